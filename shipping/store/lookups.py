"""Shippo's recent answers, so that repeated reads do not ask it each time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from chassis.db.engine import Database
from shipping.store.tables import lookups

# How long an answer serves all callers (seconds).
FRESH_S = 60.0


class Lookups:
    """Shippo's answers, in SQL, shared by all copies of the service.

    Args:
        database: the service's.
        clock: Unix seconds.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._insert: Any = postgresql.insert if database.dialect == "postgresql" else sqlite.insert

    def answer(self, key: str, ask: Callable[[], Any]) -> Any:
        """Return the answer to `key`: a fresh stored one, else the result of `ask()`. Raises as `ask` does. Failures
        and empty answers are not stored, because rates in another currency may still be in preparation."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(lookups).where(lookups.c.key == key)).first()
        # A future time was stored before a clock was set back.
        if row is not None and row.answer is not None and 0 <= self._clock() - row.asked < FRESH_S:
            return row.answer
        asked, answer = self._clock(), ask()
        if answer:
            self._keep(key, answer, asked)
        return answer

    def outdated(self, key: str) -> None:
        """Invalidate an answer after news: the next reader asks again, and an answer still in flight is not stored."""
        self._keep(key, None, self._clock())

    def _keep(self, key: str, answer: Any, asked: float) -> None:
        insert = self._insert(lookups).values(key=key, answer=answer, asked=asked)
        older = ~lookups.c.asked.between(asked, asked + FRESH_S)
        with self._database.write() as connection:
            connection.execute(
                insert.on_conflict_do_update(
                    index_elements=[lookups.c.key], set_={"answer": insert.excluded.answer, "asked": asked}, where=older
                )
            )

    def forget(self) -> None:
        """Delete the answers that are no longer fresh."""
        with self._database.write() as connection:
            connection.execute(sa.delete(lookups).where(lookups.c.asked < self._clock() - FRESH_S))


def tracking_key(tracking_number: str) -> str:
    """Return the key of a parcel's tracking."""
    return f"tracking:{tracking_number}"


def rates_key(shipment_id: str, currency: str) -> str:
    """Return the key of a shipment's rates in a currency."""
    return f"rates:{currency}:{shipment_id}"
