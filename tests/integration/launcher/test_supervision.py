"""Stopping and starting programs that die, restart or stop at the same moment: the last command wins."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from launcher import supervision
from launcher.problem import Problem
from launcher.runtime_dir import RuntimeDir
from launcher.shop import Shop
from launcher.supervision import Program, Supervisor

ROUNDS = 8

STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), sys.exit(0)))
print("ready", flush=True)
while True:
    time.sleep(60)
"""


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """A supervisor of `sleeper`, which never ends, and two copies of `stubborn`, which need a second to stop."""
    runtime = RuntimeDir(tmp_path / "var")
    runtime.prepare()
    stubborn = tmp_path / "stubborn.py"
    stubborn.write_text(STUBBORN, encoding="utf-8")
    programs = [
        Program("sleeper", ["sleep", "infinity"], order=1, steady=0),
        Program("stubborn", [sys.executable, str(stubborn)], order=2, steady=0, copies=2),
    ]
    supervisor = Supervisor(runtime)
    try:
        supervisor.start(programs, dict(os.environ))
        yield supervisor
    finally:
        supervisor.end(30)
        runtime.remove()


def states(supervisor: Supervisor, program: str) -> set[str]:
    return {part["statename"] for part in supervisor.parts(program)}


def until(supervisor: Supervisor, program: str, state: str) -> None:
    """Wait until every copy of `program` is in `state`."""
    deadline = time.monotonic() + 60
    while states(supervisor, program) != {state}:
        assert time.monotonic() < deadline, states(supervisor, program)
        time.sleep(0.01)


def until_stubborn(supervisor: Supervisor) -> None:
    """Wait until both copies of `stubborn` have installed their signal handler."""
    deadline = time.monotonic() + 60
    logs = [supervisor.runtime.var_dir / "logs" / f"stubborn-{number}.log" for number in (1, 2)]
    while not all(log.exists() and "ready" in log.read_text(encoding="utf-8") for log in logs):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_stop_right_after_a_kill_keeps_the_program_down(supervisor: Supervisor) -> None:
    """supervisord restarts a dead program. A stop between the death and the restart must not be lost."""
    for number in range(ROUNDS):
        supervisor.run("sleeper")
        until(supervisor, "sleeper", "RUNNING")
        [part] = supervisor.parts("sleeper")
        psutil.Process(part["pid"]).kill()
        time.sleep(number / 1000)  # vary the time between the kill and the stop
        supervisor.halt("sleeper")
        assert states(supervisor, "sleeper") == {"STOPPED"}
    log = (supervisor.runtime.var_dir / "logs" / "supervisord.log").read_text(encoding="utf-8")
    assert "with SIGKILL" not in log  # no fork lost its SIGTERM before its exec


FORKS = """
import os, time
fork = os.fork()
if fork == 0:
    time.sleep(300)
    os._exit(0)
print(fork, flush=True)
os.waitpid(fork, 0)
"""


def test_forked_process_is_not_stopped_before_its_exec() -> None:
    with subprocess.Popen([sys.executable, "-c", FORKS], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        fork = psutil.Process(int(parent.stdout.readline()))
        part = {"statename": "STARTING", "start": 100, "now": 103}
        try:
            assert not supervision._takes_sigterm({**part, "pid": fork.pid})
            assert supervision._takes_sigterm({**part, "pid": parent.pid})
        finally:
            fork.kill()
    assert not supervision._takes_sigterm({**part, "pid": fork.pid})


def test_concurrent_stops_all_find_the_program_stopped(supervisor: Supervisor) -> None:
    supervisor.run("stubborn")
    until_stubborn(supervisor)
    found: list[set[str]] = []

    def halt() -> None:
        supervisor.halt("stubborn")
        found.append(states(supervisor, "stubborn"))

    halting = [threading.Thread(target=halt) for _ in range(3)]
    for thread in halting:
        thread.start()
    for thread in halting:
        thread.join(60)
    assert found == [{"STOPPED"}] * 3


def test_concurrent_starts_all_succeed(supervisor: Supervisor) -> None:
    failed: list[Exception] = []
    barrier = threading.Barrier(4)

    def run() -> None:
        barrier.wait(60)
        try:
            supervisor.run("sleeper")
        except Exception as error:
            failed.append(error)

    for _ in range(ROUNDS // 2):
        running = [threading.Thread(target=run) for _ in range(4)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join(60)
        assert not failed
        until(supervisor, "sleeper", "RUNNING")
        supervisor.halt("sleeper")


def test_stop_timeout_names_the_remaining_processes(supervisor: Supervisor) -> None:
    supervisor.run("stubborn")
    until_stubborn(supervisor)
    with pytest.raises(Problem, match=r"stubborn has not stopped within 0 seconds: stubborn-1 is RUNNING, stubborn-2"):
        supervisor.halt("stubborn", timeout=0)


def test_kill_continues_when_one_worker_has_already_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A remaining worker would still serve requests on the port that it shares with the new process."""

    class Process:
        def __init__(self, pid: int) -> None:
            self.pid = pid

        def children(self, recursive: bool) -> list[Process]:
            return [Process(2), Process(3)]

        def kill(self) -> None:
            if self.pid == 2:
                raise psutil.NoSuchProcess(self.pid)

    shop = Shop.on_free_ports(tmp_path)
    monkeypatch.setattr(shop.supervisor, "parts", lambda _part: [{"pid": 1}])
    monkeypatch.setattr(psutil, "Process", Process)
    assert shop.kill("gateway") == [1, 3]
