"""How long the call being handled may still take.

The caller's deadline travels as a header (Unix seconds). A call made on behalf of it, to a service or to a provider,
gets no more than what is left, so that the innermost wait ends first and its caller can still answer.
"""

from __future__ import annotations

import time
from contextvars import ContextVar

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)

# What the caller needs to receive an answer that came at the last moment: two hops over the broker, generously.
MARGIN = 0.25


def begin(deadline: float | None) -> None:
    """Set the deadline (Unix seconds) of the call that this greenlet or thread handles; None for no end."""
    _deadline.set(deadline)


def remaining() -> float | None:
    """Seconds left for the call being handled (negative when it is late); None when nobody waits."""
    deadline = _deadline.get()
    return None if deadline is None else deadline - time.time()


def bounded(seconds: float) -> float:
    """The time a nested wait may take: `seconds`, or what is left less a margin, whichever is shorter (never < 0)."""
    left = remaining()
    return seconds if left is None else max(0.0, min(seconds, left - MARGIN))
