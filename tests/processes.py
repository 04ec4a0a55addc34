"""A process that dies, as far as its database can tell."""

from __future__ import annotations

import sqlalchemy as sa

from chassis.database import Database
from chassis.presence import GONE, Presence, presence


def die(database: Database) -> None:
    """Whoever used this database has gone and is not seen any more; who uses it from now on is another process."""
    with database.write() as connection:
        gone = sa.update(presence).where(presence.c.holder == database.presence.holder)
        connection.execute(gone.values(seen=presence.c.seen - GONE - 1))
    database.presence = Presence(database)
