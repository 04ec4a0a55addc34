"""Deferred writes: statements that failed because the database was away, retried once it is reachable.

They end claims. A claim that cannot be released holds until its time is up, though its holder is alive and has
finished the work. Each statement names the claim in its condition, so that a late write does not touch a row that
another copy has taken over. Deferred writes are lost if the process is killed, but its claims are void then
(`chassis.db.heartbeat`).
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import eventlet
import sqlalchemy as sa

from chassis.db.transactions import Transactions
from chassis.logs import log
from contracts.errors import Unavailable

# The interval between retries (seconds).
RETRY_INTERVAL_S = 1.0
# The most writes kept while the database is away; beyond that the oldest is dropped, whose claim expires first.
MAX_WRITES = 1000
# How long a stopping service still tries (seconds): its whole shutdown may take little longer.
STOP_TIMEOUT_S = 2.0

Statement: TypeAlias = sa.Update | sa.Delete


@dataclass(eq=False)  # two equal statements are two writes
class PutOff:
    """One deferred statement.

    Attributes:
        row: its table, and the key of the row that it changes.
        statement: names the claim in its condition.
    """

    row: tuple[str, str]
    statement: Statement


class DeferredWrites:
    """The deferred writes of one process.

    Args:
        database: the database to write to.
    """

    def __init__(self, database: Transactions) -> None:
        self._database = database
        self._waiting: deque[PutOff] = deque(maxlen=MAX_WRITES)

    def __len__(self) -> int:
        return len(self._waiting)

    def write(self, statement: Statement, key: str) -> int | None:
        """Write now, or defer the write; returns how many rows changed, or None when it is deferred.

        Args:
            statement: has to be correct even if it is executed late.
            key: the row's. Writes to one row keep their order.
        """
        if not any(each.row == _row(statement, key) for each in list(self._waiting)):
            try:
                with self._database.write() as connection:
                    return connection.execute(statement).rowcount
            except Unavailable:
                pass
        self.put_off(statement, key)
        return None

    def put_off(self, statement: Statement, key: str) -> None:
        """Defer a write that has just failed. Arguments as of `write`."""
        row = _row(statement, key)
        log.warning("write deferred", table=row[0], key=key, service=self._database.service)
        self._waiting.append(PutOff(row, statement))

    def catch_up(self) -> None:
        """Execute the deferred writes. Raises Unavailable when the database is still away; the rest stays deferred."""
        while self._waiting:
            first = self._waiting[0]
            try:
                with self._database.write() as connection:
                    connection.execute(first.statement)
            except Unavailable:
                raise
            except Exception:  # a bug, or a text that no column accepts: it must not block the writes behind it
                log.exception("deferred write failed", table=first.row[0], key=first.row[1])
            # Not before: a new write to the same row must queue behind it meanwhile.
            with contextlib.suppress(ValueError):
                self._waiting.remove(first)

    def run(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Catch up until the greenlet is killed."""
        while True:
            with contextlib.suppress(Unavailable):
                self.catch_up()
            sleep(RETRY_INTERVAL_S)

    def finish(self) -> None:
        """Catch up once more when the service stops: until the first failure, and not for long."""
        silent = Unavailable("The database is silent.")
        with contextlib.suppress(Unavailable), eventlet.Timeout(STOP_TIMEOUT_S, silent):
            self.catch_up()


def _row(statement: Statement, key: str) -> tuple[str, str]:
    return statement.table.description, key
