"""The processes of one copy, identified by a mark in their environment, so that a reused process id is never
mistaken."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable

import psutil

# Every process that supervisord starts inherits it, as do their children; its value is `runtime_dir.copy_id`.
MARK = "SHOP_COPY_ID"


def marked(copy: str, mark: str = MARK) -> list[psutil.Process]:
    """Return the living processes whose environment has `mark` with the value `copy`, oldest first."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(mark) == copy and process.status() != psutil.STATUS_ZOMBIE:
                found.append((process.create_time(), process.pid, process))
        except (psutil.Error, OSError):  # gone in the meantime, or another user's
            continue
    return [process for _, _, process in sorted(found, key=lambda entry: entry[:2])]


def supervisor_of(copy: str) -> psutil.Process | None:
    """Return the supervisord of the copy `copy`, or None when it does not run."""
    for process in marked(copy):
        try:
            if "supervisor.supervisord" in process.cmdline():
                return process
        except psutil.Error:
            continue
    return None


def kill(copy: str, timeout: float = 10.0, mark: str = MARK) -> int:
    """Kill every process of the copy `copy`, and return how many there were. Raises TimeoutError if some survive."""
    count, deadline = 0, time.monotonic() + timeout
    while remaining := marked(copy, mark):  # repeated, because a dying parent may just have created a child
        if time.monotonic() > deadline:
            raise TimeoutError(f"still running: {_names(remaining)}")
        count = max(count, len(remaining))
        for process in remaining:
            _kill(process)
        psutil.wait_procs(remaining, timeout=1)
    return count


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.kill()


def _names(processes: Iterable[psutil.Process]) -> str:
    return ", ".join(str(process.pid) for process in processes)
