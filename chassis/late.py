"""What could not be written when it was to be: kept at hand, and written as soon as the database is back.

It is for the ends of claims. A claim that cannot be let go of holds until its time is up, though its holder is alive
and has nothing more to do with the work. Each statement names the claim in its condition: what another has taken over
meanwhile it leaves alone, however late it comes. What is still kept when the process is killed is lost, and the claims
are void then anyway (`chassis.presence`).
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import eventlet
import sqlalchemy as sa

from chassis.logs import log
from contracts.errors import Unavailable

if TYPE_CHECKING:
    from chassis.database import Database

# How often it is tried again (seconds).
EVERY = 1.0
# So much is remembered while the database is away; beyond that the oldest goes, whose claim runs out first.
MOST = 1000
# How long a service that was asked to go still tries (seconds); it has little more for all that is under way.
LAST_WAIT = 2.0

Statement: TypeAlias = sa.Update | sa.Delete


@dataclass(eq=False)  # two that say the same are two
class PutOff:
    """One statement that waits.

    Attributes:
        row: its table, and the key of the row that it changes.
        statement: names the claim in its condition.
    """

    row: tuple[str, str]
    statement: Statement


class Late:
    """The late writes of one process.

    Args:
        database: where to.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[PutOff] = deque(maxlen=MOST)

    def __len__(self) -> int:
        return len(self._waiting)

    def write(self, statement: Statement, key: str) -> int | None:
        """Write something now, or soon; how many rows it changed, or None when it is put off.

        Args:
            statement: has to be right however late it comes.
            key: the row's. What is written to one row this way is written in its order.
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
        """Write something soon: it was just tried in vain. Arguments as of `write`."""
        row = _row(statement, key)
        log.warning("written later", table=row[0], key=key, service=self._database.service)
        self._waiting.append(PutOff(row, statement))

    def catch_up(self) -> None:
        """Write what waits. Raises Unavailable when the database is still away; the rest waits on."""
        while self._waiting:
            first = self._waiting[0]
            try:
                with self._database.write() as connection:
                    connection.execute(first.statement)
            except Unavailable:
                raise
            except Exception:  # a bug, or a text that no column takes: it must not hold up what comes after it
                log.exception("never written", table=first.row[0], key=first.row[1])
            # Only now: what comes to the same row meanwhile waits behind it.
            with contextlib.suppress(ValueError):
                self._waiting.remove(first)

    def run(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Catch up until the greenlet is killed."""
        while True:
            with contextlib.suppress(Unavailable):
                self.catch_up()
            sleep(EVERY)

    def finish(self) -> None:
        """Catch up once more, for a service that goes: until the first that fails, and not for long."""
        silent = Unavailable("The database is silent.")
        with contextlib.suppress(Unavailable), eventlet.Timeout(LAST_WAIT, silent):
            self.catch_up()


def _row(statement: Statement, key: str) -> tuple[str, str]:
    return statement.table.description, key
