"""How far the service has read other parties' lists."""

from __future__ import annotations

import sqlalchemy as sa

from cart.store.tables import Store, cursors
from chassis.clock import AHEAD_S
from chassis.db.engine import once_more


class Positions(Store):
    """The positions, in SQL, by the list's name."""

    def get(self, name: str) -> int:
        """How far `name` has been read; 0 before the first time."""
        with self._database.read() as connection:
            return connection.execute(sa.select(cursors.c.seen).where(cursors.c.name == name)).scalar() or 0

    @once_more
    def read_until(self, name: str, seen: int) -> None:
        """Record how far `name` was read (Unix seconds). It moves back only when the old time is far ahead of this one,
        as from a wrong clock."""
        with self._database.write() as connection:
            if not self._begin(name, seen):
                wrong = sa.or_(cursors.c.seen < seen, cursors.c.seen > seen + AHEAD_S)
                connection.execute(sa.update(cursors).where(cursors.c.name == name, wrong).values(seen=seen))

    def advance(self, name: str, after: int, seen: int) -> bool:
        """Record that `name` was read from `after` to `seen`; False when another copy has read that part.

        Part of a transaction that is `once_more`.
        """
        if not after:
            return self._begin(name, seen)
        here = sa.update(cursors).where(cursors.c.name == name, cursors.c.seen == after)
        with self._database.write() as connection:
            return connection.execute(here.values(seen=seen)).rowcount == 1

    def _begin(self, name: str, seen: int) -> bool:
        with self._database.write() as connection:
            if connection.execute(sa.select(cursors.c.seen).where(cursors.c.name == name)).first() is not None:
                return False
            connection.execute(sa.insert(cursors).values(name=name, seen=seen))
        return True
