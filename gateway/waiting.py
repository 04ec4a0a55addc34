"""Synchronous routes on the event loop: each runs in a greenlet, which yields to the loop while it waits.

SQLAlchemy's asyncio extension works in the same way. One thread serves all requests of a process, so nothing in a route
may block it: a route may wait only with the functions here.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

from greenlet import getcurrent, greenlet

from chassis.logs import log


def run(work: Callable[[], None]) -> None:
    """Run `work` in a greenlet until it ends or first waits. Call it from the loop, in its thread."""
    greenlet(_logged).switch(work)


class Wait:
    """Something that one greenlet waits for, and that any thread may settle once.

    Create it in the loop's thread, while the loop runs.
    """

    __slots__ = ("_loop", "_settled", "_thread", "_waiting", "reply", "service")

    def __init__(self, service: str = "") -> None:
        self.service = service
        self.reply: Any = None
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._waiting: greenlet | None = None
        self._settled = False

    def settle(self, reply: Any) -> None:
        """Give `reply` to the waiting greenlet."""
        self.reply = reply
        if threading.get_ident() == self._thread:
            self._wake()
        else:
            self._loop.call_soon_threadsafe(self._wake)

    def wait(self, timeout: float) -> bool:
        """Wait until it is settled, at most `timeout` seconds; returns whether it is."""
        if not self._settled:
            timer = self._loop.call_later(timeout, self._resume)
            self._waiting = getcurrent()
            parent = self._waiting.parent
            assert parent is not None  # routes run in the greenlets of `run`
            parent.switch()
            timer.cancel()
        return self._settled

    def _wake(self) -> None:
        self._settled = True
        if self._waiting is not None:
            # Not immediately: the reader of replies may be inside a frame.
            self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.switch()


def sleep(seconds: float) -> None:
    """Let other greenlets run for `seconds`."""
    Wait().wait(seconds)


def together(works: Sequence[Callable[[], None]], timeout: float) -> None:
    """Run `works` at the same time, each in a greenlet; return when all have ended, or after `timeout` seconds."""
    ended = Wait()
    left = len(works)

    def counted(work: Callable[[], None]) -> None:
        nonlocal left
        try:
            work()
        finally:
            left -= 1
            if left == 0:
                ended.settle(None)

    for work in works:
        ended._loop.call_soon(run, lambda work=work: counted(work))
    ended.wait(timeout)


def _logged(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception:
        log.exception("bug", service="gateway")  # otherwise it would end the loop's current callback
