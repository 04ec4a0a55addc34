"""Claims: the right of one live copy of a service to work on a row.

A claim is in three columns: `claim`, a random token that identifies it; `holder`, the copy that made it; and
`claimed_until`. It is void when it was released, its time is up, or its holder's heartbeat has stopped. Then any copy
may take the row over, with a token of its own. Every write of a holder names its token, so a holder that has lost its
claim changes nothing.
"""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa

from chassis.clock import due
from chassis.db.engine import Database, no_transaction, plain

# The columns of a row that nobody claims.
RELEASED = {"claim": None, "holder": None, "claimed_until": 0.0}


class ClaimLost(Exception):
    """The claim became void, and another process has taken the work over."""


class Claims:
    """The claims on the rows of one table.

    A table of work that waits for a time also has the column `due_at` (Unix seconds), which is 0 while a row is
    claimed: abandoned work is due at once, before all other.

    Args:
        database: the service's.
        table: it has the three columns, and a primary key of one column.
    """

    def __init__(self, database: Database, table: sa.Table) -> None:
        self._database = database
        self._table = table
        (self._key,) = table.primary_key.columns

    def new(self, until: float, claim: str | None = None) -> dict[str, Any]:
        """The values of a claim that is about to be made, or renewed.

        Call it outside of a transaction: it first makes sure that the others see this process alive.

        Args:
            until: Unix seconds.
            claim: its token; None for a new one.

        Raises Unavailable.
        """
        no_transaction("A claim is made")
        values = {"claim": claim or uuid.uuid4().hex, "holder": self._database.heartbeat.hold(), "claimed_until": until}
        return {**values, "due_at": 0.0} if "due_at" in self._table.c else values

    def is_void(self, now: float) -> sa.ColumnElement[bool]:
        """The condition that a row is not claimed at `now` (Unix seconds)."""
        return self._database.heartbeat.is_void(self._table.c.holder, self._table.c.claimed_until, now)

    def is_ready(self, now: float, longest_wait_s: float | sa.ColumnElement[float]) -> sa.ColumnElement[bool]:
        """The condition that a row is due at `now` and not claimed.

        Args:
            longest_wait_s: a `due_at` further ahead was stored by a wrong clock: it counts as due.
        """
        return sa.and_(self.is_void(now), due(self._table.c.due_at, now, longest_wait_s))

    def take(
        self, connection: sa.Connection, key: str, claim: dict[str, Any], condition: sa.ColumnElement[bool]
    ) -> dict[str, Any] | None:
        """Claim a row if it fulfils `condition`, which has to include that it is not claimed; returns it, or None.

        Args:
            claim: from `new`, and further columns to set.
        """
        taken = sa.update(self._table).where(self._key == key, condition).values(**claim)
        if connection.execute(taken).rowcount != 1:
            return None
        return plain(connection.execute(sa.select(self._table).where(self._key == key)).mappings().one())

    def update(self, key: str, claim: str | None, *conditions: sa.ColumnElement[bool]) -> sa.Update:
        """An update of the row that changes nothing when `claim` was lost (or is None)."""
        mine = sa.false() if claim is None else self._table.c.claim == claim
        return sa.update(self._table).where(self._key == key, mine, *conditions)

    def release(self, key: str, claim: str | None, *conditions: sa.ColumnElement[bool], **values: Any) -> bool:
        """End a claim, and store `values` with it. Returns False when it was lost.

        If the database is away, this is done once it is reachable.
        """
        ended = self.update(key, claim, *conditions).values(**RELEASED, **values)
        return self._database.deferred.write(ended, key) != 0

    def void_later(self, key: str, claim: str, *conditions: sa.ColumnElement[bool]) -> None:
        """Make a claim void, after a write that failed because the database is away. The row keeps the token: what the
        holder writes next still applies, unless another one has taken the row over."""
        self._database.deferred.put_off(self.update(key, claim, *conditions).values(claimed_until=0.0), key)

    def release_later(self, key: str, claim: str | None, *conditions: sa.ColumnElement[bool], **values: Any) -> None:
        """Like `release`, after a write that failed because the database is away."""
        self._database.deferred.put_off(self.update(key, claim, *conditions).values(**RELEASED, **values), key)
