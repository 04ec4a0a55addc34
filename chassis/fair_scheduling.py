"""Fair scheduling in one process: quick requests go before slow ones.

Greenlets run until they wait. When a slow provider answers a dozen payments at the same moment, each continues for
some milliseconds, one after the other, and a request that only reads a cart waits behind all of them. So greenlets that
handle a verb with a limit (``@rpc(most=12)``), or sweep, take turns after each wait for another process: one continues,
then new messages are read, and the quick requests are done before the next turn. See `FairScheduling` for the bounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import eventlet
from eventlet.semaphore import Semaphore

from chassis.deadline import remaining

# How long one turn is postponed for quick requests (seconds): enough for some of them, one after the other.
LONGEST_WAIT_S = 0.01
# How often to check whether they are done (seconds).
LOOK_INTERVAL_S = 0.001
# With less than this left (seconds), a call no longer waits for quick ones.
HURRY_S = 1.0


class FairScheduling:
    """The turns of one process. For greenlets, and only those of one thread.

    No turn waits for quick requests longer than `LONGEST_WAIT_S`, nor when the caller's time is nearly up: a flood of
    them slows payments down and never stops them. A quick request that waits for another process is not waited for. A
    greenlet does not pause while it holds what others wait for: a transaction, or a connection to a provider.

    Args:
        most: how long one turn is postponed for quick requests (seconds).
        clock: monotonic seconds; another one in tests.
        sleep: yields for that many seconds; another one in tests.

    Attributes:
        quick: how many quick requests are running, without those that wait for another process.
    """

    def __init__(
        self,
        most: float = LONGEST_WAIT_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = eventlet.sleep,
    ) -> None:
        self.quick = 0
        self._most = most
        self._clock = clock
        self._sleep = sleep
        self._line = Semaphore(1)

    def take(self) -> None:
        """Wait for a slow greenlet's turn: behind those that came before it, and behind quick requests."""
        with self._line:
            self._sleep(0)  # messages that arrived since the last turn are read now
            left = remaining()
            end = self._clock() + (self._most if left is None or left > HURRY_S else 0.0)
            while self.quick > 0 and self._clock() < end:
                self._sleep(LOOK_INTERVAL_S)


_turns: ContextVar[tuple[FairScheduling, bool] | None] = ContextVar("turns", default=None)


def begin(turns: FairScheduling, quick: bool) -> None:
    """Declare this greenlet's work as quick or slow; a slow one waits for its first turn.

    Args:
        quick: whether others give way to it. Its creator counts it in `FairScheduling.quick` as soon as it is known.
    """
    _turns.set((turns, quick))
    pause()


def pause() -> None:
    """Between two steps: a slow greenlet waits for its next turn. Does nothing for others."""
    mine = _turns.get()
    if mine is not None and not mine[1]:
        mine[0].take()


@contextmanager
def unpaused() -> Iterator[None]:
    """Suppress pauses inside, for work that must not be postponed once begun. Nobody gives way to it either."""
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
    """Wrap a wait for another process: nobody gives way to this greenlet while it waits, and a slow one pauses
    afterwards, also after a failure."""
    try:
        with unpaused():
            yield
    except Exception:
        pause()
        raise
    pause()
