"""A feed of what has happened, for other services to follow. Its entries are numbered in commit order, so that a reader
who has seen a number has seen all smaller ones."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from chassis.db.engine import Database, plain
from contracts.errors import require_number

MAX_ENTRIES = 1000  # at once


def counter_table(name: str, metadata: sa.MetaData) -> sa.Table:
    """One row. Every entry locks it until commit, so that no number becomes visible before all smaller ones."""
    return sa.Table(
        name,
        metadata,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("last", sa.BigInteger, nullable=False),
    )


class Feed:
    """One feed.

    Args:
        database: the service's.
        entries: its table; the primary key is ``seq``, a number without autoincrement.
        counter: its `counter_table`.
    """

    def __init__(self, database: Database, entries: sa.Table, counter: sa.Table) -> None:
        self._database = database
        self._entries = entries
        self._counter = counter

    def add(self, connection: Connection, **entry: Any) -> None:
        """Append an entry in the caller's transaction; as late as possible, because others wait until its end."""
        connection.execute(sa.update(self._counter).values(last=self._counter.c.last + 1))
        seq = connection.execute(sa.select(self._counter.c.last)).scalar_one()
        connection.execute(sa.insert(self._entries).values(seq=seq, **entry))

    def after(self, seq: int, limit: int) -> list[dict[str, Any]]:
        """Return the entries after a number, by ``seq``.

        Args:
            seq: of the last entry that the reader knows; 0 for all.
            limit: 1 to `MAX_ENTRIES`.

        Raises InvalidRequest naming ``after`` or ``limit``.
        """
        require_number("after", seq, 0, 2**62)
        require_number("limit", limit, 1, MAX_ENTRIES)
        with self._database.read() as connection:
            query = sa.select(self._entries).where(self._entries.c.seq > seq).order_by(self._entries.c.seq).limit(limit)
            return [plain(row) for row in connection.execute(query).mappings()]
