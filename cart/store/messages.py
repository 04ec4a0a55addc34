"""What became of the orders' messages after the provider accepted them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from cart.store.tables import Store, message_states
from chassis.db.engine import plain
from chassis.db.upsert import insert_new


class Messages(Store):
    """The states of messages, in SQL, by the key of their delivery."""

    def record(self, key: str, status: str, error: str | None, at: float) -> None:
        """Record the latest state of a message: "sent", "delivered", "failed" or "bounced".

        Args:
            error: why it was not delivered, or not yet.
            at: Unix seconds.
        """
        values = {"status": status, "error": error, "at": at}
        with self._database.write() as connection:
            if not insert_new(connection, message_states, {"key": key, **values}):
                this = sa.update(message_states).where(message_states.c.key == key)
                connection.execute(this.values(**values))

    def of(self, keys: Collection[str]) -> dict[str, dict[str, Any]]:
        """The known states of these messages, by key: ``{"status", "error", "at"}``."""
        with self._database.read() as connection:
            query = sa.select(message_states).where(message_states.c.key.in_(keys))
            return {row["key"]: plain(row) for row in connection.execute(query).mappings()}
