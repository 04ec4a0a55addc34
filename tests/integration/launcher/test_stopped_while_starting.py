"""SIGTERM ends a process at every moment of its start. No process needs SIGKILL.

Every process here may take 50 minutes to drain (PAY_TIMEOUT), so a lost signal fails the test.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from launcher.place import ROOT
from launcher.ports import free_port
from launcher.shop import without_keys
from tests.rabbit_node import RabbitNode

ENDED = (0, -signal.SIGTERM)
START_TIMEOUT_S = 240.0  # long enough on a busy machine
SERVICE = ["launcher.start_service", "shipping"]
PARTS = {"service": SERVICE, "gateway": ["gateway"], "sandbox": ["sandbox"]}


@pytest.fixture(scope="module")
def broker(rabbit: RabbitNode) -> str:
    return rabbit.uri


@contextmanager
def started(module: list[str], uri: str, place: Path) -> Iterator[subprocess.Popen[str]]:
    gateway = free_port()
    env = {
        **without_keys(os.environ),
        "AMQP_URI": uri,
        "VAR_DIR": str(place),
        "PAY_TIMEOUT": "3000",
        "GATEWAY_PORT": str(gateway),
        "SANDBOX_PORT": str(free_port(avoid={gateway})),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "-W", "ignore", "-m", *module]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=pipe, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def terminated_output(process: subprocess.Popen[str]) -> str:
    """Send SIGTERM, wait for the end, and return the remaining output of the process."""
    process.terminate()
    output = process.communicate(timeout=START_TIMEOUT_S)[0]
    assert process.returncode in ENDED, output
    return output


def handles_sigterm(process: subprocess.Popen[str]) -> bool:
    """Whether `process` has a handler for SIGTERM. A blocked signal does not count: sigwait hides the block."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("part", PARTS)
def test_process_that_was_just_spawned_ends(part: str, broker: str, tmp_path: Path) -> None:
    with started(PARTS[part], broker, tmp_path) as process:
        terminated_output(process)


@pytest.mark.parametrize("part", PARTS)
def test_process_that_just_got_its_handler_ends(part: str, broker: str, tmp_path: Path) -> None:
    """Before that moment the default action ends the process. After it, the handler must end it."""
    with started(PARTS[part], broker, tmp_path) as process:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not handles_sigterm(process):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.001)
        terminated_output(process)


def test_service_that_waits_for_its_broker_ends(tmp_path: Path) -> None:
    with started(SERVICE, f"amqp://user:word@127.0.0.1:{free_port()}//", tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "shipping: up to date\n"
        terminated_output(process)


def test_service_whose_start_hangs_ends(broker: str, tmp_path: Path) -> None:
    nameko = ["nameko", "run", "--config", "config.yml", "tests.integration.launcher.slow_start"]
    with started(["launcher.after_broker", *nameko], broker, tmp_path) as process:
        assert process.stdout is not None
        while (line := process.stdout.readline()) != "starting\n":
            assert line, "the process ended early"
        assert '"stopped while starting"' in terminated_output(process)
