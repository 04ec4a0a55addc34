"""Bounded waiting for PostgreSQL among greenlets. Eventlet's own waiting has no bound, and libpq's connect timeout
does not apply to a connection that greenlets wait for."""

from __future__ import annotations

import time
from typing import Any

import eventlet.hubs
import psycopg2
from eventlet import patcher
from psycopg2 import extensions

from chassis.fair_scheduling import unpaused

# How long connecting may take (seconds).
CONNECT_SECONDS = 3.0
# How long an answer may take (seconds): longer than the server's statement timeout, so that only a silent or
# unreachable server exceeds it.
ANSWER_SECONDS = 8.0


def bound_waits() -> None:
    """Bound each of this process's waits for PostgreSQL. Does nothing if eventlet does not do the waiting."""
    if patcher.is_monkey_patched("psycopg"):
        extensions.set_wait_callback(_wait)


def _wait(connection: Any, timeout: float = -1) -> None:
    """Wait as psycopg2 requests. Raises OperationalError, and closes the connection, when that takes too long."""
    new = connection.status == extensions.STATUS_SETUP
    end = time.monotonic() + (CONNECT_SECONDS if new else ANSWER_SECONDS)
    while (state := connection.poll()) != extensions.POLL_OK:
        if state not in (extensions.POLL_READ, extensions.POLL_WRITE):
            raise psycopg2.OperationalError(f"Bad result from poll: {state!r}")
        late = psycopg2.OperationalError(f"PostgreSQL {'cannot be reached' if new else 'is silent'}.")
        left = end - time.monotonic()
        if left <= 0:
            raise late
        reading = state == extensions.POLL_READ
        with unpaused():  # in the middle of a transaction
            eventlet.hubs.trampoline(
                connection.fileno(), read=reading, write=not reading, timeout=left, timeout_exc=late
            )
