"""`test`: style, types and tests, with a broker of their own that is gone afterwards."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO

from launcher import packages, screen
from launcher.place import ROOT, environment
from launcher.problem import Problem
from launcher.shop import Shop, without_keys

STYLE = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
)
# Tests wait more than they work, so these run beside all others. They start shops of their own and share nothing.
APART = ("tests/faults", "tests/outages", "tests/launcher")
TEAR_DOWN = 120.0  # seconds that an interrupted pytest has to stop what its fixtures started
INTERRUPTED = 130


def run(arguments: Sequence[str]) -> int:
    """Run everything, or with `arguments` pytest alone; the exit status of what failed first, else 0."""
    env = without_keys(environment())
    env["PYTHONUNBUFFERED"] = "1"
    if arguments:
        _have_curl()
        return _pytest([arguments], env)
    for command in STYLE:
        screen.say(f"── {' '.join(command)}")
        status = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=env).returncode
        if status != 0:
            return status
    _have_curl()
    return _pytest([[f"--ignore={folder}" for folder in APART], APART], env)


def _have_curl() -> None:
    """Install curl if it is missing: the documentation's requests use it. Raises Problem if that fails."""
    if shutil.which("curl"):
        return
    manager = packages.available()
    if manager is None or not packages.install(packages.CURL, manager, screen.say):
        raise Problem("The documentation is tested with curl, which could not be installed; please install it.")


def _pytest(lots: Sequence[Sequence[str]], env: Mapping[str, str]) -> int:
    """Run pytest once for each lot of arguments, side by side, each with a broker of its own.

    The first is shown as it runs, the others when it has ended. The exit status of the first that failed, else 0.
    """
    tests: list[tuple[subprocess.Popen[bytes], IO[bytes] | None]] = []
    with contextlib.ExitStack() as stack:
        for lot in lots:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="shop-test-"))
            node = Shop.on_free_ports(folder, parts="broker")
            stack.callback(node.stop)
            node.start(say=screen.say, progress=screen.Steps())
            said = stack.enter_context(tempfile.TemporaryFile()) if tests else None
            screen.say(f"── pytest {' '.join(lot)}")
            command = [sys.executable, "-m", "pytest", "-p", "launcher.no_skips", "-p", "launcher.torn_down", *lot]
            started = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**env, "AMQP_URI": node.amqp_uri},
                stdout=said,
                stderr=None if said is None else subprocess.STDOUT,
            )
            stack.callback(_end, started)
            tests.append((started, said))
        try:
            for started, output in tests:
                started.wait()
                if output is not None:
                    output.seek(0)
                    print(output.read().decode(errors="replace"), flush=True)
        except KeyboardInterrupt:
            for started, _ in tests:
                _tell(started)
            for started, _ in tests:
                _end(started)
            return next((started.returncode for started, _ in tests if started.returncode), INTERRUPTED)
        return next((started.returncode for started, _ in tests if started.returncode), 0)


def _tell(tests: subprocess.Popen[bytes]) -> None:
    if tests.poll() is None:
        tests.send_signal(signal.SIGINT)


def _end(tests: subprocess.Popen[bytes]) -> None:
    """Have tests that still run stop what their fixtures started."""
    _tell(tests)
    try:
        tests.wait(TEAR_DOWN)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        tests.kill()
        tests.wait()
