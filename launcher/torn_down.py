"""A pytest plugin (`-p launcher.torn_down`): tests that are told to end still stop what their fixtures started."""

from __future__ import annotations

import signal
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def pytest_configure() -> None:
    """Take every way of being told so for Ctrl-C, which pytest tears down after."""
    for number in SIGNALS:
        signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> None:
    # The same wish often comes twice, from the terminal and from the launcher; the tearing down must not be cut short.
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt
