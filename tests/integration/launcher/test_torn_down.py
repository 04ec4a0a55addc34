"""With the plugin `-p launcher.torn_down`, terminated tests still run the teardown of their fixtures."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from launcher import torn_down
from launcher.place import ROOT

TEST = """
import pathlib, time
import pytest

@pytest.fixture(scope="session")
def started():
    yield
    time.sleep(1)
    pathlib.Path("stopped").touch()

def test_long(started):
    pathlib.Path("started").touch()  # only now, because a signal during the fixture's setup finds nothing to stop
    time.sleep(200)
"""


@pytest.mark.parametrize("numbers", [[signal.SIGTERM], [signal.SIGINT, signal.SIGTERM], [signal.SIGHUP]])
def test_termination_signal_runs_the_whole_teardown(tmp_path: Path, numbers: list[int]) -> None:
    (tmp_path / "test_it.py").write_text(TEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "launcher.torn_down", "test_it.py"]
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL) as tests:
        try:
            deadline = time.monotonic() + 90
            while not (tmp_path / "started").exists():
                assert time.monotonic() < deadline
                time.sleep(0.1)
            for number in numbers:
                tests.send_signal(number)
                time.sleep(0.3)
            assert tests.wait(90) == pytest.ExitCode.INTERRUPTED
        finally:
            tests.kill()
    assert (tmp_path / "stopped").exists()


def test_signal_between_two_lines_is_sent_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(torn_down.os, "kill", lambda _pid, number: sent.append(number))
    frame: Any = SimpleNamespace(f_lineno=None)
    torn_down._end(signal.SIGTERM, frame)
    deadline = time.monotonic() + 30
    while not sent:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert sent == [signal.SIGTERM]
