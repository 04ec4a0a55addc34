"""Shared by the launcher tests: an environment without a user's settings, and a checkout at an awkward path."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from launcher.place import ROOT
from launcher.ports import free_port
from launcher.shop import without_keys

LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "var", "tests", "bench", ".*_cache", "__pycache__", ".env")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository whose path contains a space, a % and a semicolon. It uses this checkout's .venv."""
    target = tmp_path_factory.mktemp("launcher") / "a shop, 100% new;"
    shutil.copytree(ROOT, target, ignore=LEFT_OUT)
    (target / ".venv").symlink_to(ROOT / ".venv")
    return target


@pytest.fixture(scope="session")
def run(checkout: Path) -> Run:
    """A function that runs `./install_run_project` of that copy from another directory."""

    def run(*arguments: str, env: Mapping[str, str], stdin: str = "", timeout: float = 280) -> object:
        command = [str(checkout / "install_run_project"), *arguments]
        return subprocess.run(
            command, cwd="/", env=dict(env), input=stdin, capture_output=True, text=True, timeout=timeout
        )

    return run  # type: ignore[return-value]


def surroundings(var_dir: Path | str, **more: str) -> dict[str, str]:
    """Return the environment of a user with free ports and this VAR_DIR."""
    gateway = free_port()
    return {
        **without_keys(os.environ),
        "GATEWAY_PORT": str(gateway),
        "SANDBOX_PORT": str(free_port(avoid={gateway})),
        "VAR_DIR": str(var_dir),
        "DEMO": "false",
        **more,
    }


@pytest.fixture(scope="module")
def shop_env(checkout: Path, run: Run) -> Iterator[dict[str, str]]:
    """The environment of a whole shop that runs with --detach, with two carts and the default VAR_DIR."""
    env = surroundings("var", CART_COPIES="2")
    started = run("--detach", env=env)
    try:
        assert started.returncode == 0, started.stdout + started.stderr
        yield env
    finally:
        run("stop", env=env)
