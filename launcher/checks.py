"""`test`: style, types and tests, with a broker of their own that is gone afterwards."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

from launcher import packages, screen
from launcher.place import ROOT, environment
from launcher.problem import Problem
from launcher.shop import Shop, without_keys

STYLE = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
)
TEAR_DOWN = 120.0  # seconds that an interrupted pytest has to stop what its fixtures started
INTERRUPTED = 130


def run(arguments: Sequence[str]) -> int:
    """Run everything, or with `arguments` pytest alone; the exit status of what failed first, else 0."""
    env = without_keys(environment())
    env["PYTHONUNBUFFERED"] = "1"
    if not arguments:
        for command in STYLE:
            screen.say(f"── {' '.join(command)}")
            status = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=env).returncode
            if status != 0:
                return status
    _have_curl()
    with tempfile.TemporaryDirectory(prefix="shop-test-") as folder:
        node = Shop.on_free_ports(folder, parts="broker")
        try:
            node.start(say=screen.say, progress=screen.Steps())
            return _pytest(arguments, {**env, "AMQP_URI": node.amqp_uri})
        finally:
            node.stop()


def _have_curl() -> None:
    """The README's requests are sent as they are printed there. Raises Problem when curl cannot be had."""
    if shutil.which("curl"):
        return
    manager = packages.available()
    if manager is None or not packages.install(packages.CURL, manager, screen.say):
        raise Problem("The README's requests are tested with curl, which could not be installed; please install it.")


def _pytest(arguments: Sequence[str], env: Mapping[str, str]) -> int:
    screen.say(f"── pytest {' '.join(arguments)}")
    command = [sys.executable, "-m", "pytest", "-p", "launcher.no_skips", "-p", "launcher.torn_down", *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=dict(env)) as tests:
        try:
            return tests.wait()
        except KeyboardInterrupt:
            tests.send_signal(signal.SIGINT)
            try:
                return tests.wait(TEAR_DOWN) or INTERRUPTED
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                tests.kill()
                return INTERRUPTED
