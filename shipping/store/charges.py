"""What labels cost in the end: the items of the carriers' invoices."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from chassis.clock import asked_before
from chassis.db.engine import Database, plain
from chassis.db.upsert import insert, insert_new
from shipping.rules.charges import PAYMENT, REFUND
from shipping.rules.charges import Charge as Item
from shipping.store.tables import charges, labels, positions, shipments

# The position in the invoices.
_POSITION = positions.c.name == "charges"
_UNREAD = {"name": "charges", "reached": None, "begun": 0.0}


class Charges:
    """The items, in SQL.

    Args:
        database: the service's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def position(self) -> float | None:
        """Return until when the invoices have been read (Unix seconds); before the first reading, when the first label
        was bought. None if there is none."""
        with self._database.read() as connection:
            reached = connection.execute(sa.select(positions.c.reached).where(_POSITION)).scalar()
            if reached is not None:
                return float(reached)
            first: float | None = connection.execute(sa.select(sa.func.min(labels.c.bought))).scalar()
        return first

    def reached(self, moment: float, now: float) -> None:
        """Record that the invoices have been read until `moment`; a position between that and `now` stays, because
        another copy has read further. Unix seconds."""
        with self._database.write() as connection:
            insert_new(connection, positions, _UNREAD)
            further = positions.c.reached.between(moment, now)
            behind = sa.or_(positions.c.reached.is_(None), sa.not_(further))
            connection.execute(sa.update(positions).where(_POSITION, behind).values(reached=moment))

    def begin(self, now: float, every: float) -> bool:
        """Record that a reading begins. False if a copy has begun one less than `every` seconds before `now` (Unix
        seconds)."""
        with self._database.write() as connection:
            insert_new(connection, positions, _UNREAD)
            due = sa.update(positions).where(_POSITION, asked_before(positions.c.begun, now, every))
            return connection.execute(due.values(begun=now)).rowcount == 1

    def give_up(self) -> None:
        """Record that the reading has failed, so that the next copy reads."""
        with self._database.write() as connection:
            connection.execute(sa.update(positions).where(_POSITION).values(begun=0.0))

    def since(self, moment: float) -> list[dict[str, Any]]:
        """Return the items made since then (Unix seconds)."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(charges).where(charges.c.created >= moment)).mappings()
            return [plain(row) for row in rows]

    def add(self, items: Iterable[Item]) -> None:
        """Record items, each once."""
        rows = [asdict(each) for each in items]
        if not rows:
            return
        with self._database.write() as connection:
            connection.execute(insert(connection, charges).on_conflict_do_nothing(index_elements=["id"]), rows)

    def of(self, transaction_ids: Collection[str]) -> list[dict[str, Any]]:
        """Return the items of labels, oldest first."""
        query = sa.select(charges).where(charges.c.transaction_id.in_(transaction_ids))
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(charges.c.created, charges.c.id)).mappings()
            return [plain(row) for row in rows]

    def later(self, limit: int) -> list[dict[str, Any]]:
        """Return what was charged or given back after the purchase of our labels, newest first: ``[{"order_id",
        "shipment_id", "tracking_number", "price", "kind", "amount", "currency", "at"}]``."""
        query = (
            sa.select(
                shipments.c.order_id,
                sa.func.coalesce(shipments.c.part_of, shipments.c.object_id).label("shipment_id"),
                labels.c.tracking_number,
                labels.c.price,
                charges.c.kind,
                charges.c.amount,
                charges.c.currency,
                charges.c.created.label("at"),
            )
            .join(labels, labels.c.transaction_id == charges.c.transaction_id)
            .join(shipments, shipments.c.object_id == labels.c.shipment_id)
            .where(charges.c.kind.not_in((PAYMENT, REFUND)))
            .order_by(charges.c.created.desc(), charges.c.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [plain(row) for row in connection.execute(query).mappings()]
