"""supervisord, asked to stop and start what is dying, coming back or going at that moment: the last word holds."""

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
    """One with a program `sleeper`, which lives for ever, and two copies of `stubborn`, which take a second to end."""
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
    """Wait until both copies of `stubborn` have said that they take their time."""
    deadline = time.monotonic() + 60
    logs = [supervisor.runtime.var_dir / "logs" / f"stubborn-{number}.log" for number in (1, 2)]
    while not all(log.exists() and "ready" in log.read_text(encoding="utf-8") for log in logs):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_was_killed_a_moment_before_is_stopped_and_stays_down(supervisor: Supervisor) -> None:
    """supervisord brings back what died: a stop that meets it dead, and not yet brought back, must not be lost."""
    for number in range(ROUNDS):
        supervisor.run("sleeper")
        until(supervisor, "sleeper", "RUNNING")
        [part] = supervisor.parts("sleeper")
        psutil.Process(part["pid"]).kill()
        time.sleep(number / 1000)  # another moment of its death each time
        supervisor.halt("sleeper")
        assert states(supervisor, "sleeper") == {"STOPPED"}
    log = (supervisor.runtime.var_dir / "logs" / "supervisord.log").read_text(encoding="utf-8")
    assert "with SIGKILL" not in log  # no SIGTERM went to a process that was not its own program yet


FORKS = """
import os, time
fork = os.fork()
if fork == 0:
    time.sleep(300)
    os._exit(0)
print(fork, flush=True)
os.waitpid(fork, 0)
"""


def test_what_is_not_its_own_program_yet_is_not_told_to_stop_however_long_that_takes() -> None:
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


def test_two_may_stop_the_same_at_once_and_both_find_it_stopped(supervisor: Supervisor) -> None:
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


def test_two_may_start_the_same_at_once(supervisor: Supervisor) -> None:
    failed: list[Exception] = []
    together = threading.Barrier(4)

    def run() -> None:
        together.wait(60)
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


def test_what_does_not_stop_in_time_is_told(supervisor: Supervisor) -> None:
    supervisor.run("stubborn")
    until_stubborn(supervisor)
    with pytest.raises(Problem, match=r"stubborn has not stopped within 0 seconds: stubborn-1 is RUNNING, stubborn-2"):
        supervisor.halt("stubborn", timeout=0)


def test_all_workers_of_a_part_are_killed_also_when_one_ended_with_its_leader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is left goes on taking requests, on the port that the next one shares."""

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
