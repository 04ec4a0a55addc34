"""`test`: style, types and tests. No process is left running."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence

from launcher import packages, processes, screen
from launcher.place import ROOT, environment
from launcher.problem import Problem
from launcher.shop import without_keys

STYLE = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
)
FAST = "--fast"
# Tests that need no broker, database or other process.
UNITS = ("tests/unit", "tests/test_architecture.py")
PLUGINS = ("-p", "launcher.no_skips", "-p", "launcher.torn_down")
# Tests also wait, so three run on two cores. `tests/conftest.py` defines which tests share a worker.
WORKERS_PER_CORE = 1.5
TEAR_DOWN_S = 120.0  # time for an interrupted pytest to stop what its fixtures started
INTERRUPTED = 130
# Everything, with the branch coverage of the product; `pyproject.toml` sets what is measured, and the floor.
COVERAGE = "--coverage"
MEASURED = ("--cov", "--cov-report=term-missing:skip-covered")
# The programs that tests use: the command, its package, and what it is for.
PROGRAMS = (
    ("curl", packages.CURL, "The documentation is tested with curl."),
    ("chromium", packages.CHROMIUM, "Pages are tested in Chromium."),
)
# Every process that a run of the tests starts inherits this variable.
RUN = "SHOP_TEST_RUN"
# With this variable, each of several hundred processes compiles the shop again, and each pytest process all tests.
NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"


def run(arguments: Sequence[str]) -> int:
    """Run the checks; return the exit status of the first that failed, else 0.

    Args:
        arguments: none for everything; ``--fast`` for style, types and unit tests; ``--coverage`` for everything,
            with its coverage; else arguments for pytest, which then runs alone.
    """
    env = {**without_keys(environment()), "PYTHONUNBUFFERED": "1", RUN: uuid.uuid4().hex}
    env.pop(NO_BYTECODE, None)
    if arguments and [*arguments] not in ([FAST], [COVERAGE]):
        _have_programs()
        return _pytest(arguments, env)
    for command in STYLE:
        screen.say(f"── {' '.join(command)}")
        status = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=env).returncode
        if status != 0:
            return status
    if [*arguments] == [FAST]:
        return _pytest(UNITS, env)
    _have_programs()
    workers = round(WORKERS_PER_CORE * (os.cpu_count() or 1))
    measured = MEASURED if arguments else ()
    parallel = ("-n", str(workers), "--dist", "loadscope", "--no-loadscope-reorder")
    return _pytest([*parallel, "--durations=25", "--durations-min=10", *measured], env)


def _have_programs() -> None:
    """Install the programs that tests use and that are missing. Raises Problem if that fails."""
    for program, package, use in PROGRAMS:
        if shutil.which(program):
            continue
        manager = packages.available()
        if manager is None or not packages.install(package, manager, screen.say):
            raise Problem(f"{use} {packages.by_hand(package)}")


def _pytest(arguments: Sequence[str], env: Mapping[str, str]) -> int:
    """Run pytest; return its exit status. On Ctrl-C, let the tests stop what their fixtures started."""
    screen.say(f"── pytest {' '.join(arguments)}")
    tests = subprocess.Popen([sys.executable, "-m", "pytest", *PLUGINS, *arguments], cwd=ROOT, env=dict(env))
    try:
        return tests.wait()
    except KeyboardInterrupt:
        tests.send_signal(signal.SIGINT)
        try:
            tests.wait(TEAR_DOWN_S)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            tests.kill()
            tests.wait()
        return tests.returncode or INTERRUPTED
    finally:
        processes.kill(env[RUN], mark=RUN)
