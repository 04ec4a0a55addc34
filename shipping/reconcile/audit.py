"""Compares the shop's labels with the carrier's list, page by page, and repairs what is safe to repair."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from chassis.audit import known_page, no_such_part, no_such_repair, unreadable
from chassis.clock import now as clock_now
from chassis.records import SetAside, sorted_out
from contracts.differences import page
from contracts.errors import Conflict, NotFound, ProviderFailure, Unavailable
from shipping.rules.carriers import Label
from shipping.rules.purchase import LabelPurchase, LabelRefund, State
from shipping.rules.reconcile import RECORD, SOLD, Kept, Sold, compare_labels, compare_missing
from shipping.store.shipments import ShippingStore
from shipping.store.tables import labels, shipments

PAGE = 200
# How long the repair of one label may hold its purchase (seconds): two requests and a write.
CLAIM_S = 30.0
# The prefix of an order's id.
ORDER = "or_"
_JOINED = sa.select(labels, shipments.c.order_id).join(shipments, shipments.c.object_id == labels.c.shipment_id)


class LabelAudit:
    """Compares and repairs.

    Args:
        store: our labels.
        lists: the carrier's; see `shipping.rules.carriers.Carrier`.
        clock: Unix seconds.
    """

    def __init__(self, store: ShippingStore, lists: Any, clock: Callable[[], float] = clock_now) -> None:
        self._store = store
        self._lists = lists
        self._clock = clock

    def page(
        self, part: str, cursor: str | None, since: float, until: float, ids: Sequence[str] | None
    ) -> dict[str, Any]:
        """Return one page of a part, as `contracts.differences.page`.

        Args:
            part: "sold" (the carrier's list) or "bought" (ours).
            cursor: from the previous page; None for the first.
            since, until: limits of the creation time (Unix seconds).
            ids: instead of a page, ask the carrier for these labels of ours, by their transaction ids.
        """
        if part == "sold" and ids is None:
            return self._sold(int(cursor or 1), since, until)
        if part == "sold" and ids is not None:
            return self._one_by_one(ids, until)
        if part == "bought":
            return self._bought(cursor, since, until)
        raise no_such_part(part)

    def shipments_with_label(self, shipment_ids: Sequence[str]) -> list[str]:
        """Return the shipments that have a label for each parcel which was not refunded (or whose refund the carrier
        rejected)."""
        kept = sa.or_(labels.c.voided.is_(None), labels.c.refund == LabelRefund.USED.value)
        rows = self._parcels(shipment_ids, sa.and_(labels.c.state == State.BOUGHT.value, kept))
        return sorted({row.whole for row in rows} - {row.whole for row in rows if not row.holds})

    def unreturned(self, shipment_ids: Sequence[str]) -> list[str]:
        """Return the shipments that have a label without a refund request, for any parcel."""
        rows = self._parcels(shipment_ids, sa.and_(labels.c.state == State.BOUGHT.value, labels.c.voided.is_(None)))
        return sorted({row.whole for row in rows if row.holds})

    def _parcels(self, shipment_ids: Sequence[str], condition: sa.ColumnElement[bool]) -> Sequence[sa.Row[Any]]:
        """Return for each parcel of these shipments the whole shipment, and whether the condition holds for its
        label."""
        ids = list(shipment_ids)
        whole = sa.func.coalesce(shipments.c.part_of, shipments.c.object_id).label("whole")
        holds = sa.func.coalesce(condition, sa.false()).label("holds")
        query = sa.select(whole, holds).outerjoin(labels, labels.c.shipment_id == shipments.c.object_id)
        with self._store.database.read() as connection:
            of_these = sa.or_(shipments.c.object_id.in_(ids), shipments.c.part_of.in_(ids))
            return connection.execute(query.where(of_these)).all()

    def mend(self, fix: dict[str, Any]) -> str:
        """Do what a difference proposed, if it still applies; return one sentence about what was done.

        Raises Conflict (it no longer applies), NotFound, Unavailable, ProviderFailure.
        """
        if fix.get("do") != RECORD:
            raise no_such_repair()
        sold = self._lists.one(str(fix.get("label")))
        if isinstance(sold, SetAside):
            raise ProviderFailure(f"Shippo's record of the label cannot be read: {sold.reason}.")
        shipment = self._store.get(str(fix.get("shipment")))
        if shipment is None or sold is None:
            raise NotFound("There is no such shipment, or no such label.")
        if sold.state != SOLD or not sold.label_url:
            raise Conflict(f"The label is {sold.state} by now.")
        rate = self._lists.rate(sold.rate_id)
        now, claim = self._clock(), secrets.token_hex(16)
        row = self._store.claim(shipment.object_id, claim, now, now + CLAIM_S)
        if row is None:
            raise Unavailable("The label is being bought by another call.", {"retry_after": 2})
        if row.label is not None or row.closed:
            raise Conflict("The shipment's label is bought, or was given back, by now.")
        asked = row.rate_id if row.asked_rate_id == sold.rate_id else None
        label = Label(sold.id, sold.label_url, sold.tracking_number)
        bought = LabelPurchase(
            shipment.object_id,
            State.BOUGHT,
            asked or sold.rate_id,
            sold.rate_id,
            rate.carrier if rate else row.carrier,
            label=label,
            price=row.price if asked else None,
            price_currency=row.price_currency if asked else None,
        )
        self._store.record(bought, now)
        return f"recorded label {sold.id}, tracking number {sold.tracking_number or 'none'}"

    def _sold(self, number: int, since: float, until: float) -> dict[str, Any]:
        found, following = self._lists.sold(number, since)
        after = None if following is None else str(following)
        return page(len(found), self._compared(found, until), after, seen=[each.id for each in found])

    def _one_by_one(self, ids: Sequence[str], until: float) -> dict[str, Any]:
        asked = {each: self._lists.one(each) for each in ids}
        there = [sold for sold in asked.values() if sold is not None]
        gone = self._records([each for each, sold in asked.items() if sold is None], {})
        return page(0, [*self._compared(there, until), *compare_missing(gone.values())])

    def _bought(self, cursor: str | None, since: float, until: float) -> dict[str, Any]:
        wanted = [labels.c.state == State.BOUGHT.value, labels.c.bought >= since, labels.c.bought <= until]
        return known_page(self._store.database, labels.c.shipment_id, labels.c.transaction_id, wanted, cursor, PAGE)

    def _compared(self, listed: list[Sold | SetAside], until: float) -> list[Any]:
        found, aside = sorted_out(listed)
        ours = self._records([each.id for each in found], {each.id: each.tracking_number or "" for each in found})
        wanted = {each.id: self._shipment_of(each) for each in found if each.id not in ours and each.state == SOLD}
        lone = {key: kept for key, kept in wanted.items() if kept is not None}
        return compare_labels(found, ours, lone, until) + unreadable("Shippo", aside)

    def _records(self, ids: Iterable[str], numbers: dict[str, str]) -> dict[str, Kept]:
        """Return our records of the carrier's labels, by transaction id. The tracking number is tried first; it has an
        index."""
        ids = list(ids)
        by_number = _JOINED.where(labels.c.tracking_number.in_([number for number in numbers.values() if number]))
        with self._store.database.read() as connection:
            rows = list(connection.execute(by_number).all())
            left = set(ids) - {row.transaction_id for row in rows}
            if left:
                rows += connection.execute(_JOINED.where(labels.c.transaction_id.in_(sorted(left)))).all()
        return {row.transaction_id: _kept(row) for row in rows if row.transaction_id in set(ids)}

    def _shipment_of(self, sold: Sold) -> Kept | None:
        """Return the shipment that a label without a record of ours was bought for."""
        by_rate = sa.or_(labels.c.asked_rate_id == sold.rate_id, labels.c.rate_id == sold.rate_id)
        # Equal parcels have the same chosen rate; only the first asks for it.
        asked_first = sa.case((labels.c.asked_rate_id == sold.rate_id, 0), else_=1)
        with self._store.database.read() as connection:
            row = connection.execute(_JOINED.where(by_rate).order_by(asked_first).limit(1)).one_or_none()
        if row is not None:
            return _kept(row)
        # The account may also buy labels outside the shop; a label without an order's id is not ours.
        rate = self._lists.rate(sold.rate_id) if sold.reference.startswith(ORDER) else None
        if rate is None:
            return None
        # A shipment has an id at each carrier that quoted; its own is that of the first.
        of_order = sa.or_(shipments.c.object_id == rate.shipment_id, shipments.c.order_id == sold.reference)
        with self._store.database.read() as connection:
            for shipment in connection.execute(sa.select(shipments).where(of_order)).all():
                if rate.shipment_id in (shipment.object_id, *(each.get("shipment") for each in shipment.rates)):
                    row = connection.execute(_JOINED.where(labels.c.shipment_id == shipment.object_id)).one_or_none()
                    unasked = Kept(shipment.object_id, shipment.order_id, "not asked for", touched=shipment.created)
                    return unasked if row is None else _kept(row)
        return None


def _kept(row: Any) -> Kept:
    return Kept(
        shipment_id=row.shipment_id,
        order_id=row.order_id,
        state=row.state,
        transaction_id=row.transaction_id,
        voided=row.voided is not None,
        refund=row.refund,
        touched=max(row.tried, row.bought or 0.0, row.voided or 0.0),
    )
