"""The steps that were taken with an order, for the copy that resumes it, and for operators."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cart.rules.order import Order
from cart.store.tables import Store, steps
from chassis.db.engine import plain


class Journal(Store):
    """The steps, in SQL. What is written belongs to the transaction that stores the order."""

    def begin(self, order: Order, step: str) -> None:
        """Record that a step of the current attempt begins, unless it was begun before."""
        known = sa.select(steps.c.step).where(_attempt(order), steps.c.step == step)
        with self._database.write() as connection:
            if connection.execute(known).first() is None:
                values = {"order_id": order.id, "attempt": order.attempt, "step": step, "began": self._clock()}
                connection.execute(sa.insert(steps).values(**values))

    def end(self, order: Order, outcome: dict[str, Any], step: str | None = None) -> None:
        """Record how `step` ended, or every open step of the current attempt."""
        still_open = sa.update(steps).where(_attempt(order), steps.c.ended.is_(None))
        if step is not None:
            still_open = still_open.where(steps.c.step == step)
        with self._database.write() as connection:
            connection.execute(still_open.values(ended=self._clock(), outcome=outcome))

    def note(self, order: Order, step: str, outcome: dict[str, Any]) -> None:
        """Record a step that consists only of the current transaction."""
        self.begin(order, step)
        # Only this one: if a process was killed in another, the one that resumes it finds out how it ended.
        self.end(order, outcome, step)

    def payment_unknown(self, order: Order) -> bool:
        """Whether this attempt requested a payment, and never learned its id."""
        query = sa.select(steps.c.outcome).where(_attempt(order), steps.c.step == "open")
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return row is not None and not (row.outcome or {}).get("payment")

    def began(self, order: Order, step: str) -> float | None:
        """When a step of the current attempt began (Unix seconds); None when it did not."""
        query = sa.select(steps.c.began).where(_attempt(order), steps.c.step == step)
        with self._database.read() as connection:
            return connection.execute(query).scalar()

    def ever(self, order: Order, step: str) -> bool:
        """Whether any attempt of the order, current or earlier, has begun a step."""
        query = sa.select(steps.c.step).where(steps.c.order_id == order.id, steps.c.step == step).limit(1)
        with self._database.read() as connection:
            return connection.execute(query).first() is not None

    def of_order(self, order_id: str) -> list[dict[str, Any]]:
        """Every step ever taken with an order, oldest first."""
        query = sa.select(steps).where(steps.c.order_id == order_id).order_by(steps.c.began)
        with self._database.read() as connection:
            return [plain(row) for row in connection.execute(query).mappings()]


def _attempt(order: Order) -> sa.ColumnElement[bool]:
    return sa.and_(steps.c.order_id == order.id, steps.c.attempt == order.attempt)
