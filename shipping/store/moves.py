"""Where the parcels are, and the feed of their steps."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from chassis.clock import asked_before
from chassis.db.engine import Database, plain
from chassis.db.feed import Feed
from shipping.rules.purchase import LabelRefund
from shipping.rules.whereabouts import FINAL, WITH_CARRIER, Whereabouts
from shipping.store.tables import labels, move_counter, moves, shipments

# A parcel that has not arrived after this time is not tracked any more (seconds).
LOST_AFTER_S = 90 * 86400.0


class Moves:
    """The known positions of the parcels.

    Args:
        database: the service's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._feed = Feed(database, moves, move_counter)

    def record(self, tracking_number: str, where: Whereabouts, now: float) -> bool:
        """Record the carrier's report on a parcel; return whether the parcel is ours and the report is news.

        Args:
            now: Unix seconds: the time of the step when the carrier gives none.
        """
        this = labels.c.tracking_number == tracking_number
        with self._database.write() as connection:
            row = connection.execute(sa.select(labels).where(this).with_for_update()).first()
            known = Whereabouts(row.tracking_status, row.tracking_date) if row and row.tracking_status else None
            if row is None or not where.follows(known):
                return False
            values: dict[str, Any] = {"tracking_status": where.status, "tracking_date": where.at or now}
            if where.status in FINAL:
                values["polled"] = None
            connection.execute(sa.update(labels).where(labels.c.shipment_id == row.shipment_id).values(**values))
            step = {"shipment_id": row.shipment_id, "tracking_number": tracking_number, "status": where.status}
            self._feed.add(connection, **step, at=where.at or now)
        return True

    def after(self, seq: int, limit: int) -> list[dict[str, Any]]:
        """Return the steps after a number: ``[{"seq", "shipment_id", "tracking_number", "status", "at", "whole"}]``, as
        `ShippingService.movements` describes them. Raises as `Feed.after` does."""
        steps = self._feed.after(seq, limit)
        with self._database.read() as connection:
            wholes = self._wholes(connection, {step["shipment_id"] for step in steps})
            for step in steps:
                step["shipment_id"] = wholes.get(step["shipment_id"], step["shipment_id"])
            waits = self._waiting(connection, {step["shipment_id"] for step in steps})
        return [{**step, "whole": step["shipment_id"] not in waits} for step in steps]

    @staticmethod
    def _wholes(connection: sa.Connection, shipment_ids: Collection[str]) -> dict[str, str]:
        """Return those of these shipments that are part of another one, and that one."""
        part = shipments.c.part_of
        query = sa.select(shipments.c.object_id, part).where(shipments.c.object_id.in_(shipment_ids), part.is_not(None))
        return {row.object_id: row.part_of for row in connection.execute(query)}

    @staticmethod
    def _waiting(connection: sa.Connection, shipment_ids: Collection[str]) -> set[str]:
        """Return those of these shipments of which the carrier does not have every parcel."""
        parcel = sa.func.coalesce(shipments.c.part_of, shipments.c.object_id)
        with_it = sa.func.coalesce(labels.c.tracking_status.in_(WITH_CARRIER), sa.false())
        query = (
            sa.select(parcel)
            .outerjoin(labels, labels.c.shipment_id == shipments.c.object_id)
            .where(sa.or_(shipments.c.object_id.in_(shipment_ids), shipments.c.part_of.in_(shipment_ids)), ~with_it)
        )
        return set(connection.execute(query).scalars())

    def due(self, now: float, every: float, limit: int) -> list[dict[str, Any]]:
        """Claim labels that Shippo was not asked about for this many seconds, the longest first.

        Each is claimed by one caller, and is due again the same number of seconds later.

        Returns:
            ``[{"shipment_id", "carrier", "tracking_number", "transaction_id", "refund"}]``
        """
        due = sa.select(labels.c.shipment_id).where(asked_before(labels.c.polled, now, every)).order_by(labels.c.polled)
        due = due.limit(limit)
        with self._database.read() as connection:
            if connection.execute(due).first() is None:  # usually nothing is due, and this check takes no lock
                return []
        with self._database.write() as connection:
            ids = list(connection.execute(due.with_for_update(skip_locked=True)).scalars())
            these = labels.c.shipment_id.in_(ids)
            lost = sa.and_(
                labels.c.bought < now - LOST_AFTER_S, labels.c.refund.is_distinct_from(LabelRefund.PENDING.value)
            )
            connection.execute(sa.update(labels).where(these).values(polled=sa.case((lost, sa.null()), else_=now)))
            names = ("shipment_id", "carrier", "tracking_number", "transaction_id", "refund")
            rows = connection.execute(sa.select(*(labels.c[name] for name in names)).where(these)).mappings()
            return [plain(row) for row in rows]

    def put_back(self, shipment_ids: list[str]) -> None:
        """Mark labels as due again that were claimed but not asked about, because Shippo did not answer."""
        these = sa.and_(labels.c.shipment_id.in_(shipment_ids), labels.c.polled.is_not(None))
        with self._database.write() as connection:
            connection.execute(sa.update(labels).where(these).values(polled=0.0))
