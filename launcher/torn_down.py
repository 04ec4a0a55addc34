"""A pytest plugin (`-p launcher.torn_down`): tests that are told to end still stop what their fixtures started."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# When the signal comes at a bad moment, it comes again so much later (seconds).
A_MOMENT = 0.01


def pytest_configure() -> None:
    """Take every way of being told so for Ctrl-C, which pytest tears down after."""
    for number in SIGNALS:
        signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> None:
    if frame is not None and frame.f_lineno is None:
        # Between two lines of the program. Pytest wants to tell which line it was, and would end over that.
        threading.Timer(A_MOMENT, os.kill, (os.getpid(), number)).start()
        return
    # The same wish often comes twice, from the terminal and from the launcher; the tearing down must not be cut short.
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt
