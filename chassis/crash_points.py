"""Crash points: named places where a process can be killed, so that a test can prove what survives a crash there.

A point costs one lookup in the environment. It does nothing unless ``CRASH_POINTS`` names a folder with a file of the
point's name: the first process that reaches the point removes the file and kills itself with SIGKILL.
"""

from __future__ import annotations

import contextlib
import os
import signal


def crash_point(point: str) -> None:
    """Kill this process here if a test has requested it.

    Args:
        point: a name such as ``pay:confirm:asked``; unique in the shop.
    """
    folder = os.environ.get("CRASH_POINTS")
    if not folder:
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, point.replace(":", "-")))  # by one process only, if several reach it
        os.kill(os.getpid(), signal.SIGKILL)
