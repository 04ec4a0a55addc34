"""A pytest plugin (`-p launcher.torn_down`): a terminated test run still stops what its fixtures started."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# A signal that arrives at a bad moment is raised again after this time (seconds).
A_MOMENT = 0.01


def pytest_configure() -> None:
    """Convert every termination signal to Ctrl-C, after which pytest runs its teardown."""
    for number in SIGNALS:
        signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> None:
    if frame is not None and frame.f_lineno is None:
        # Between two lines of the program there is no current line; pytest would look it up, and crash.
        threading.Timer(A_MOMENT, os.kill, (os.getpid(), number)).start()
        return
    # The signal often arrives twice, from the terminal and from the launcher. The second must not interrupt the
    # teardown.
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt
