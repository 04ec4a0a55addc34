"""Whose turn it is: in one process, what is quick goes before what is slow.

Greenlets run until they wait. When a slow provider answers a dozen payments in the same moment, each goes on for some
milliseconds, one straight after the other, and who only wants to read a cart stands behind all of them. So whoever
handles a verb with a limit (``@rpc(most=12)``), or sweeps, and comes back from waiting for another process, takes turns
with its like: one goes on, then whatever has meanwhile arrived is read, and what is quick is done before the next.

Bounded: nobody is made to wait for quick ones for longer than `MOST` per turn, nor when the caller's time is nearly up,
so that a flood of them slows payments down and never stops them. A quick one that waits itself is not waited for. And
nobody pauses while they hold what others wait for: a transaction, or a connection to a provider.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import eventlet
from eventlet.semaphore import Semaphore

from chassis.deadline import remaining

# How long one turn is put off for quick ones (seconds): some of them, done one after the other.
MOST = 0.01
# How often it is seen whether they are done (seconds).
LOOK = 0.001
# With less than this left (seconds), a call waits for no quick one any more.
HURRY = 1.0


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
            left = remaining()
            end = self._clock() + (self._most if left is None or left > HURRY else 0.0)
            while self.quick > 0 and self._clock() < end:
                self._sleep(LOOK)


_turns: ContextVar[tuple[Turns, bool] | None] = ContextVar("turns", default=None)


def begin(turns: Turns, quick: bool) -> None:
    """Say what this greenlet is at work on from here; what is slow waits for its first turn.

    Args:
        quick: whether others give way to it. It is counted by whoever began it, in `Turns.quick`, as soon as it is
            known of.
    """
    _turns.set((turns, quick))
    pause()


def pause() -> None:
    """Between two steps: whoever is slow goes on when it is its turn again. Nothing for others."""
    mine = _turns.get()
    if mine is not None and not mine[1]:
        mine[0].take()


@contextmanager
def unpaused() -> Iterator[None]:
    """Without pauses inside: for what must not be put off once it has begun. Nobody gives way to it either."""
    mine = _turns.get()
    token = _turns.set(None)
    if mine is not None:
        mine[0].quick -= mine[1]
    try:
        yield
    finally:
        _turns.reset(token)
        if mine is not None:
            mine[0].quick += mine[1]


@contextmanager
def away() -> Iterator[None]:
    """Around a wait for another process: nobody gives way to whoever waits, and who is slow pauses after it, however it
    ended."""
    try:
        with unpaused():
            yield
    except Exception:
        pause()
        raise
    pause()
