"""Helpers for the tests of idempotency keys."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from chassis.db.engine import Database
from chassis.db.heartbeat import Heartbeat
from chassis.db.shared_tables import answers
from chassis.work.idempotency import Asked, Idempotency

Opens = Callable[[str], Database]


class Clock:
    """A clock that only `sleep` moves; `during` runs in each sleep."""

    def __init__(self) -> None:
        self.now = time.time()
        self.during: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.during()


class FrozenClock:
    """A clock that stands still, so that no wait that uses it times out."""

    def __init__(self) -> None:
        self.now = time.time()
        self.waits = threading.Event()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.set()
        time.sleep(seconds)


def copy_of(here: Database, clock: Callable[[], float] | None = None) -> Database:
    """Return another process's view of the same database."""
    other = Database(here.url, here.service)
    other.heartbeat = Heartbeat(other, clock)
    return other


def asked(key: str = "k1", body: str = "b1", request_id: str = "first", **more: Any) -> Asked:
    return Asked(key, body, request_id, **more)


class Verb:
    """Counts its calls; returns or raises `outcome`."""

    def __init__(self, outcome: Any = None) -> None:
        self.calls = 0
        self.outcome = {"n": 1.10, "b": [None, "ü"], "a": 1} if outcome is None else outcome

    def __call__(self) -> Any:
        self.calls += 1
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def never(*_seconds: float) -> Any:
    raise AssertionError("the verb ran again, or the call waited")


def rows(here: Database) -> list[Any]:
    with here.read() as connection:
        return list(connection.execute(sa.select(answers)))


def leave_claim(once: Idempotency, key: str = "k1") -> None:
    """Claim `key` and neither answer nor release it, as a process that is killed."""
    assert once._claim(asked(key), "pay") is not None
