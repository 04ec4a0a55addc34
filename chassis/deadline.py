"""How long the call being handled may still take.

The caller's deadline travels in headers. A call made on its behalf, to a service or a provider, gets only the time
left, so that the innermost wait ends first and its caller can still answer. Inside a process, a deadline is in
monotonic seconds.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)

# The time that the caller needs to receive an answer at the last moment: two hops over the broker, generously.
DEADLINE_MARGIN_S = 0.25
# Another host's wall clock may say that a deadline passed up to this long ago (seconds). Beyond that, the two clocks
# disagree: the broker drops a request that waited longer than its caller.
LATENESS_BELIEVED_S = 60.0

# The headers: milliseconds left when the call was made; monotonic seconds on that host, with its boot id; and Unix
# seconds, the only one that an older copy reads.
LEFT, STEADY, WALL = "deadline_left", "deadline_steady", "deadline"


def _boot() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


_BOOT = _boot()


def headers(timeout: float) -> dict[str, str]:
    """The headers which say that the caller waits for `timeout` seconds from now.

    Strings: AMQP has no double that every broker and client agrees on.
    """
    sent = {WALL: f"{time.time() + timeout:.3f}", LEFT: f"{int(timeout * 1000)}"}
    if _BOOT:
        sent[STEADY] = f"{math.floor((time.monotonic() + timeout) * 1000) / 1000:.3f} {_BOOT}"
    return sent


def of(context: Mapping[str, Any]) -> float | None:
    """The deadline (monotonic seconds) in `headers`; None when there is none.

    Raises ValueError or TypeError when the deadline cannot be read.
    """
    if WALL not in context:
        return None
    now = time.monotonic()
    moment, _, boot = str(context.get(STEADY, "")).partition(" ")
    if boot and boot == _BOOT:
        return _number(moment)
    left = _number(context[WALL]) - time.time()
    if LEFT in context:
        longest = _number(context[LEFT]) / 1000
        # When two hosts' clocks differ by more, only the milliseconds left count.
        left = min(left, longest) if left > -LATENESS_BELIEVED_S else longest
    return now + left


def begin(deadline: float | None) -> None:
    """Set the deadline (monotonic seconds) of the call that this greenlet or thread handles; None for no deadline."""
    _deadline.set(deadline)


def remaining() -> float | None:
    """Seconds left for the call being handled (negative when it is late); None when nobody waits."""
    deadline = _deadline.get()
    return None if deadline is None else deadline - time.monotonic()


def bounded(seconds: float) -> float:
    """The time a nested wait may take: `seconds`, or what is left less a margin, whichever is shorter (never < 0)."""
    left = remaining()
    return seconds if left is None else max(0.0, min(seconds, left - DEADLINE_MARGIN_S))


def _number(text: Any) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a deadline is a number")
    return number
