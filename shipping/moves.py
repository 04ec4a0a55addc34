"""Where the parcels are, and the feed of their steps: numbered in the order in which they were committed, so that a
reader who has seen a number has seen all smaller ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from chassis.clock import asked_before
from chassis.database import Database
from shipping.purchase import Refund
from shipping.tables import labels, move_counter, moves
from shipping.whereabouts import FINAL, Whereabouts

# A parcel that has not arrived by then is not asked about any more (seconds).
LOST = 90 * 86400.0


class Moves:
    """What is known of the parcels.

    Args:
        database: the service's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, tracking_number: str, where: Whereabouts, now: float) -> bool:
        """Note what the carrier said of a parcel; whether it is one of ours, and news.

        Args:
            now: Unix seconds: the time of the step when the carrier names none.
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
            # The counter's row stays locked until this is committed: the next number is given out after that.
            connection.execute(sa.update(move_counter).values(last=move_counter.c.last + 1))
            step = {
                "seq": connection.execute(sa.select(move_counter.c.last)).scalar_one(),
                "shipment_id": row.shipment_id,
                "tracking_number": tracking_number,
                "status": where.status,
                "at": where.at or now,
            }
            connection.execute(sa.insert(moves).values(step))
        return True

    def after(self, seq: int, limit: int) -> list[dict[str, Any]]:
        """The steps that follow a number: ``[{"seq", "shipment_id", "tracking_number", "status", "at"}]``."""
        with self._database.read() as connection:
            query = sa.select(moves).where(moves.c.seq > seq).order_by(moves.c.seq).limit(limit)
            return [_plain(row) for row in connection.execute(query).mappings()]

    def due(self, now: float, every: float, limit: int) -> list[dict[str, Any]]:
        """Take labels that nobody has asked Shippo about for so many seconds, the longest first.

        Each is taken by one caller, and asked about again that many seconds later.

        Returns:
            ``[{"shipment_id", "carrier", "tracking_number", "refund"}]``
        """
        due = sa.select(labels.c.shipment_id).where(asked_before(labels.c.polled, now, every)).order_by(labels.c.polled)
        due = due.limit(limit)
        with self._database.read() as connection:
            if connection.execute(due).first() is None:  # most of the time, and nobody waits for a look
                return []
        with self._database.write() as connection:
            ids = list(connection.execute(due.with_for_update(skip_locked=True)).scalars())
            these = labels.c.shipment_id.in_(ids)
            lost = sa.and_(labels.c.bought < now - LOST, labels.c.refund.is_distinct_from(Refund.PENDING.value))
            connection.execute(sa.update(labels).where(these).values(polled=sa.case((lost, sa.null()), else_=now)))
            wanted = (labels.c.shipment_id, labels.c.carrier, labels.c.tracking_number, labels.c.refund)
            rows = connection.execute(sa.select(*wanted).where(these)).mappings()
            return [_plain(row) for row in rows]

    def put_back(self, shipment_ids: list[str]) -> None:
        """Labels that were taken and not asked about, since Shippo did not answer: they are due again."""
        these = sa.and_(labels.c.shipment_id.in_(shipment_ids), labels.c.polled.is_not(None))
        with self._database.write() as connection:
            connection.execute(sa.update(labels).where(these).values(polled=0.0))


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    # A column's name is a kind of text of its own, which does not go over the wire.
    return {str(name): value for name, value in row.items()}
