"""Named places where a process can be killed, so that a test may prove what survives it there.

A point costs one look at the environment. It does nothing unless ``CRASH_POINTS`` names a folder that holds a file of
the point's name: whoever reaches it first takes the file away and dies there, as by ``kill -9``.
"""

from __future__ import annotations

import contextlib
import os
import signal


def reached(point: str) -> None:
    """Die here when a test has asked for it.

    Args:
        point: such as ``pay:confirm:asked``; unique in the shop.
    """
    folder = os.environ.get("CRASH_POINTS")
    if not folder:
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, point.replace(":", "-")))  # by one process only, if several come here at once
        os.kill(os.getpid(), signal.SIGKILL)
