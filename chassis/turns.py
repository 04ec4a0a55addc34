"""Whose turn it is: in one process, what is quick goes before what is slow.

Greenlets run until they wait. When a slow provider answers a dozen payments in the same moment, each goes on for some
milliseconds, one straight after the other, and who only wants to read a cart stands behind all of them. So whoever
handles a verb with a limit (``@rpc(most=12)``), or sweeps, and comes back from waiting for another process, takes turns
with its like: one goes on, then whatever has meanwhile arrived is read, and what is quick is done before the next.

Bounded: nobody is made to wait for quick ones for longer than `MOST` per turn, so that a flood of them slows payments
down and never stops them. A quick one that waits itself (for another service) is not waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import eventlet
from eventlet.semaphore import Semaphore

# How long one turn is put off for quick ones (seconds): some of them, done one after the other.
MOST = 0.02
# How often it is seen whether they are done (seconds).
LOOK = 0.001


class Turns:
    """The turns of one process. For greenlets, which it takes to be alone in their thread.

    Args:
        most: how long one turn is put off for what is quick (seconds).
        clock: monotonic seconds; another one in tests.
        sleep: gives way for so many seconds; another one in tests.

    Attributes:
        quick: how many quick ones are at work, those not counted that wait for another process.
    """

    def __init__(
        self,
        most: float = MOST,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = eventlet.sleep,
    ) -> None:
        self.quick = 0
        self._most = most
        self._clock = clock
        self._sleep = sleep
        self._line = Semaphore(1)

    def take(self) -> None:
        """Wait for the turn of whoever is slow: after those that came before it, and after what is quick."""
        with self._line:
            self._sleep(0)  # what has arrived since the last one's turn is read now
            end = self._clock() + self._most
            while self.quick and self._clock() < end:
                self._sleep(LOOK)


_turns: ContextVar[tuple[Turns, bool] | None] = ContextVar("turns", default=None)


def begin(turns: Turns, quick: bool) -> None:
    """Say what this greenlet is at work on from here; what is slow waits for its first turn.

    Args:
        quick: whether others give way to it. It is counted by whoever began it, in `Turns.quick`, as soon as it is
            known of.
    """
    _turns.set((turns, quick))
    if not quick:
        turns.take()


def pause() -> None:
    """Between two steps: whoever is slow goes on when it is its turn again. Nothing for others."""
    mine = _turns.get()
    if mine is not None and not mine[1]:
        mine[0].take()


@contextmanager
def away() -> Iterator[None]:
    """Around a wait for another process: nobody gives way to whoever waits, and who is slow pauses after it."""
    mine = _turns.get()
    if mine is not None and mine[1]:
        mine[0].quick -= 1
        try:
            yield
        finally:
            mine[0].quick += 1
        return
    try:
        yield
    except Exception:
        pause()
        raise
    pause()
