"""`./install_run_project` before Python is chosen: which Python it uses, and its message when it finds none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from launcher.place import ROOT

TOOLS = ("bash", "cat", "dirname", "cmp", "cp", "mkdir", "mktemp", "rm", "env")
# A stub of Python. Its exit statuses: `fits` for the version check, `venv` for the import of venv and ensurepip,
# `preflight` for launcher.preflight, `pip` for pip.
PYTHON = """#!/usr/bin/env bash
case "$*" in
    *version_info*) exit {fits} ;;
    *"import venv, ensurepip"*) exit {venv} ;;
    -V) echo "Python 3.11.9" ;;
    "-m venv --clear .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    *"pip --version"*) exit 0 ;;
    *"pip install"*) echo "pip says a lot"; exit {pip} ;;
    "-m launcher.preflight"*) [ {preflight} = 0 ] || echo "Port 8000 is in use" >&2; exit {preflight} ;;
    "-m launcher"*) echo "launched: ${{*:3}}" ;;
esac
"""


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout without .venv. Its sibling folder `bin` is the only directory on PATH."""
    checkout = tmp_path / "a checkout"
    checkout.mkdir()
    for path in (ROOT / "install_run_project", *ROOT.glob("requirements*.lock")):
        shutil.copy(path, checkout)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or f"/no/{tool}")
    return checkout


def _write_python(checkout: Path, name: str, fits: int = 0, venv: int = 0, pip: int = 0, preflight: int = 0) -> None:
    _write_program(checkout, name, PYTHON.format(fits=fits, venv=venv, pip=pip, preflight=preflight))


def _write_program(checkout: Path, name: str, text: str) -> None:
    path = checkout.parent / "bin" / name
    path.write_text(text)
    path.chmod(0o755)


def _run(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": str(checkout.parent / "bin")}
    command = [str(checkout / "install_run_project"), *arguments]
    return subprocess.run(command, cwd="/", env=env, capture_output=True, text=True, timeout=90)


def test_missing_python_names_the_needed_versions(bare: Path) -> None:
    done = _run(bare)
    assert done.returncode == 1
    assert done.stderr == "No Python from 3.11 to 3.15 was found; install one and start again.\n"


def test_unsupported_python_version_is_ignored(bare: Path) -> None:
    _write_python(bare, "python3", fits=1)
    assert "No Python from 3.11 to 3.15" in _run(bare).stderr


def test_a_python_without_venv_is_named(bare: Path) -> None:
    _write_python(bare, "python3", venv=1)
    done = _run(bare)
    assert done.returncode == 1
    assert done.stderr.startswith("Python 3.11.9 has no venv module; install it")


def test_unusable_pythons_are_skipped(bare: Path) -> None:
    _write_python(bare, "python3.13", fits=127)
    _write_python(bare, "python3.12", venv=1)
    _write_python(bare, "python3.11")
    done = _run(bare, "status")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("launched: status\n")


def test_installed_packages_are_not_installed_again(bare: Path) -> None:
    _write_python(bare, "python3")
    assert "Installing the packages of requirements-sandbox.lock" in _run(bare, "help").stdout
    assert _run(bare, "a b", "c").stdout == "launched: a b c\n"
    (bare / "requirements-sandbox.lock").write_text("changed\n")
    assert "Installing the packages of requirements-sandbox.lock" in _run(bare, "help").stdout


def test_test_command_installs_the_dev_packages(bare: Path) -> None:
    _write_python(bare, "python3")
    _run(bare, "help")
    assert "Installing the packages of requirements-dev.lock" in _run(bare, "test").stdout
    assert _run(bare, "test", "-x").stdout == "launched: test -x\n"


@pytest.mark.parametrize("command", ["bench", "audit"])
def test_tool_command_installs_the_dev_packages(bare: Path, command: str) -> None:
    _write_python(bare, "python3")
    assert "Installing the packages of requirements-dev.lock" in _run(bare, command).stdout


def test_sbom_alone_is_written_to_standard_output(bare: Path) -> None:
    _write_python(bare, "python3")
    done = _run(bare, "sbom")
    assert done.stdout == "launched: sbom\n"
    assert "Making .venv" in done.stderr
    assert "Installing the packages of requirements-dev.lock" in done.stderr


def test_failed_installation_shows_the_installer_s_output(bare: Path) -> None:
    _write_python(bare, "python3", pip=1)
    done = _run(bare)
    assert done.returncode == 1
    assert done.stderr.startswith("pip says a lot\n")
    assert done.stderr.endswith(
        "pip says a lot\nThe packages of requirements-sandbox.lock could not be installed; is there a network? "
        "The installer's own words are above.\n"
    )
    assert "launched" not in done.stdout
    assert "Installing" in _run(bare).stdout  # the next call tries again


def test_installation_is_silent_when_it_works(bare: Path) -> None:
    _write_python(bare, "python3")
    done = _run(bare)
    assert "pip says" not in done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 3


def test_uv_installs_where_there_is_one(bare: Path) -> None:
    _write_python(bare, "python3", pip=1)
    _write_program(bare, "uv", '#!/usr/bin/env bash\necho "$*" >"${0%/*}/uv-was-called"\n')
    assert _run(bare).returncode == 0
    called = (bare.parent / "bin" / "uv-was-called").read_text()
    assert (
        called
        == "pip install --python .venv/bin/python --compile-bytecode --require-hashes -r requirements-sandbox.lock\n"
    )


def test_pip_installs_where_uv_fails(bare: Path) -> None:
    _write_python(bare, "python3")
    _write_program(bare, "uv", "#!/usr/bin/env bash\nexit 2\n")
    assert _run(bare).returncode == 0


def test_preflight_stops_the_start_before_anything_is_installed(bare: Path) -> None:
    _write_python(bare, "python3", preflight=1)
    done = _run(bare)
    assert done.returncode == 1
    assert done.stderr == "Port 8000 is in use\n"
    assert done.stdout == ""
    assert not (bare / ".venv").exists()
