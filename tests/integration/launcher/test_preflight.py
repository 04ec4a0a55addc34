"""The checks before the first installation. They need only the standard library."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher import packages, preflight
from launcher.place import ROOT
from launcher.ports import free_port

NO_MANAGER = (packages.PackageManager("no-such-manager", ("no-such-manager", "install")),)


@pytest.fixture
def taken_port() -> Iterator[str]:
    """A port that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield str(listener.getsockname()[1])


@pytest.fixture
def bare_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The only PATH folder of a machine without RabbitMQ, container engine and package manager."""
    monkeypatch.setattr(packages, "RABBITMQ_SERVERS", ())
    monkeypatch.setattr(packages.os, "getuid", lambda: 1000)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def write_program(folder: Path, name: str, status: int = 0) -> None:
    (folder / name).write_text(f"#!/bin/sh\nexit {status}\n")
    (folder / name).chmod(0o755)


def free_env(**more: str) -> dict[str, str]:
    gateway = free_port()
    return {"GATEWAY_PORT": str(gateway), "SANDBOX_PORT": str(free_port({gateway})), "AMQP_URI": "amqp://x", **more}


def test_free_machine_has_no_problem(tmp_path: Path) -> None:
    assert preflight.problems("", free_env(), tmp_path) == []


def test_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.os, "access", lambda path, mode: path != tmp_path)
    found = preflight.problems("", free_env(VAR_DIR="kept/here"), tmp_path)
    assert found == [f"This user cannot write to {tmp_path}."]


@pytest.mark.parametrize("name", ["GATEWAY_PORT", "SANDBOX_PORT"])
def test_taken_port_is_named_with_its_variable(tmp_path: Path, taken_port: str, name: str) -> None:
    [found] = preflight.problems("", free_env(**{name: taken_port}), tmp_path)
    assert found == f"Port {taken_port} is in use by another program; stop that, or set {name} to a free port."
    assert preflight.problems("test", free_env(**{name: taken_port}), tmp_path) == []  # tests use free ports


def test_port_of_env_file_is_checked_unless_overridden(tmp_path: Path, taken_port: str) -> None:
    (tmp_path / ".env").write_text(f'# ports\nGATEWAY_PORT = "{taken_port}" # mine\nOTHER=1\n')
    env = free_env()
    assert preflight.problems("", env, tmp_path) == []
    del env["GATEWAY_PORT"]
    assert len(preflight.problems("", env, tmp_path)) == 1


def test_sudo_that_asks_for_a_password_is_named(tmp_path: Path, bare_path: Path) -> None:
    write_program(bare_path, "apt-get")
    write_program(bare_path, "sudo", status=1)
    [found] = preflight.problems("", free_env(AMQP_URI=""), tmp_path)
    assert found == (
        "RabbitMQ is not installed. apt-get needs root, and sudo asks for a password here. "
        "Run: sudo apt-get install -y --no-install-recommends rabbitmq-server\n"
        "Or set AMQP_URI to a running broker."
    )


def test_missing_sudo_is_named(tmp_path: Path, bare_path: Path) -> None:
    write_program(bare_path, "apt-get")
    [found] = preflight.problems("test", free_env(AMQP_URI=""), tmp_path)
    assert "there is no sudo here. Run as root: apt-get install" in found


def test_missing_package_manager_names_the_package(tmp_path: Path, bare_path: Path) -> None:
    [found] = preflight.problems("", free_env(AMQP_URI=""), tmp_path)
    assert found.startswith("RabbitMQ is not installed. Install rabbitmq-server.")


def test_silent_sudo_can_install_rabbitmq(tmp_path: Path, bare_path: Path) -> None:
    write_program(bare_path, "apt-get")
    write_program(bare_path, "sudo")
    assert preflight.problems("", free_env(AMQP_URI=""), tmp_path) == []


def test_container_engine_can_run_rabbitmq(tmp_path: Path, bare_path: Path) -> None:
    write_program(bare_path, "docker")
    assert preflight.problems("", free_env(AMQP_URI=""), tmp_path) == []


def test_given_broker_needs_no_installation(tmp_path: Path, bare_path: Path) -> None:
    assert preflight.problems("", free_env(), tmp_path) == []


def test_commands_without_a_broker_need_none(tmp_path: Path, bare_path: Path) -> None:
    assert preflight.problems("help", {}, tmp_path) == []


def test_preflight_needs_only_the_standard_library(tmp_path: Path, taken_port: str) -> None:
    shutil.copytree(ROOT / "launcher", tmp_path / "launcher", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + _RUN]
    done = subprocess.run(command, env=free_env(GATEWAY_PORT=taken_port), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith(f"Port {taken_port} is in use")


_RUN = "import runpy; sys.argv = ['preflight', '--detach']; runpy.run_module('launcher.preflight', run_name='__main__')"
