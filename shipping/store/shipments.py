"""Shipments and the purchases of their labels: every query that the service runs on these tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from chassis.cursors import Cursor, place
from chassis.db.claims import Claims
from chassis.db.engine import Database
from chassis.db.upsert import insert, insert_new
from chassis.work.inbox import Inbox
from contracts.errors import InvalidRequest, Unavailable
from shipping.rules.carriers import Label
from shipping.rules.purchase import LabelPurchase, LabelRefund, State
from shipping.rules.shipment import Shipment
from shipping.rules.whereabouts import FINAL
from shipping.store.charges import Charges
from shipping.store.lookups import Lookups
from shipping.store.moves import Moves
from shipping.store.tables import labels, shipments

# A purchase that is not complete.
_OPEN = labels.c.state != State.BOUGHT.value


class ShippingStore:
    """Shipments and the purchases of their labels.

    For its claims see `chassis.db.claims`.

    Args:
        database: the service's.

    Attributes:
        database: the service's, for other data in it.
        inbox: events from Shippo.
        moves: where the parcels are.
        lookups: Shippo's recent answers.
        charges: what labels cost in the end.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._claims = Claims(database, labels)
        self.inbox = Inbox(database)
        self.moves = Moves(database)
        self.lookups = Lookups(database)
        self.charges = Charges(database)

    def add(self, shipment: Shipment, *further: Shipment) -> Shipment:
        """Store a shipment with the shipments of its further parcels, and return the first one that was stored under
        its key."""
        with self.database.write() as connection:
            new = insert(connection, shipments).on_conflict_do_nothing(index_elements=["key"])
            connection.execute(new, _row(shipment))
            stored = _shipment(connection.execute(sa.select(shipments).where(shipments.c.key == shipment.key)).one())
            if stored.object_id == shipment.object_id and further:
                connection.execute(new, list(map(_row, further)))
        return stored

    def parts(self, shipment: Shipment) -> list[Shipment]:
        """Return the shipments of all parcels, that of the first parcel first; a twin with the rates of its equal."""
        query = sa.select(shipments).where(shipments.c.part_of == shipment.object_id).order_by(shipments.c.part)
        with self.database.read() as connection:
            found = [shipment, *map(_shipment, connection.execute(query).all())]
        rates = {each.object_id: each.rates for each in found}
        return [each if each.twin_of is None else replace(each, rates=rates[each.twin_of]) for each in found]

    def purchases(self, parts: Sequence[Shipment]) -> list[LabelPurchase | None]:
        """Return the current purchase of the label of each of these shipments, or None."""
        query = sa.select(labels).where(labels.c.shipment_id.in_([each.object_id for each in parts]))
        with self.database.read() as connection:
            found = {row.shipment_id: _purchase(row) for row in connection.execute(query).all()}
        return [found.get(each.object_id) for each in parts]

    def by_key(self, key: str) -> Shipment | None:
        """Return the shipment created under a caller's key, or None."""
        return self._one(shipments.c.key == key)

    def get(self, object_id: str) -> Shipment | None:
        """Return the shipment with that id, or None."""
        return self._one(shipments.c.object_id == object_id)

    def page(self, field: str, backwards: bool, limit: int, after: str | None) -> tuple[list[Shipment], str | None]:
        """Return a page of shipments, and the next page's cursor, or None.

        Args:
            field: a column to order by; ties go by id.
            backwards: whether the largest come first.
            limit: the page size.
            after: the previous page's cursor, or the id of its last shipment.

        Raises:
            InvalidRequest: `after` is neither a shipment nor a cursor.
        """
        order = f"{'-' if backwards else ''}{field}"
        start = place(after, order, float if field == "created" else str)
        by, by_id = shipments.c[field], shipments.c.object_id
        query = sa.select(shipments).where(shipments.c.part_of.is_(None)).limit(limit + 1)
        query = query.order_by(by.desc(), by_id.desc()) if backwards else query.order_by(by, by_id)
        with self.database.read() as connection:
            last: Any = None
            if isinstance(start, Cursor):
                last = None if start.key is None else (start.key, start.id)
            elif start is not None:
                last = connection.execute(sa.select(by, by_id).where(by_id == start)).one_or_none()
            if start is not None:
                if last is None:
                    errors = {"starting_after": ["there is no such shipment"]}
                    raise InvalidRequest("The list cannot start there.", {"errors": errors})
                here, there = sa.tuple_(by, by_id), sa.tuple_(*map(sa.literal, last))
                query = query.where(here < there if backwards else here > there)
            rows: Sequence[sa.Row[Any]] = connection.execute(query).all()
        following = None
        if len(rows) > limit:
            ended = rows[limit - 1]
            following = Cursor(order, getattr(ended, field), ended.object_id).text()
        return [_shipment(row) for row in rows[:limit]], following

    def purchase(self, shipment_id: str) -> LabelPurchase | None:
        """Return the current purchase of a shipment's label, or None."""
        with self.database.read() as connection:
            row = connection.execute(sa.select(labels).where(labels.c.shipment_id == shipment_id)).one_or_none()
        return _purchase(row) if row else None

    def claim(self, shipment_id: str, claim: str, now: float, until: float) -> LabelPurchase | None:
        """Take the purchase for this claim until then, and return its current state. A bought or closed purchase is
        returned without being claimed; None when another claim holds it."""
        return self._claim(shipment_id, claim, now, until, to_void=False)

    def claim_void(self, shipment_id: str, claim: str, now: float, until: float) -> LabelPurchase | None:
        """Like `claim`, to refund the label. The refund is recorded: from then on the purchase is closed. A bought
        label is claimed, too, unless the outcome of its refund is known."""
        return self._claim(shipment_id, claim, now, until, to_void=True)

    def begin(self, claim: str, asked: LabelPurchase, key: str, until: float) -> bool:
        """Record what the carrier is about to be asked, and renew the claim. False when the claim was taken over.

        Raises Unavailable; then the claim is released, and the carrier must not be asked.
        """
        try:
            began = self._claims.update(asked.shipment_id, claim, _OPEN).values(
                state=State.BEGAN.value,
                rate_id=asked.rate_id,
                asked_rate_id=asked.asked_rate_id,
                carrier=asked.carrier,
                key=key,
                price=asked.price,
                price_currency=asked.price_currency,
                refusal=None,
                tried=asked.tried,
                settled=0.0,
                **self._claims.new(until, claim),
            )
            with self.database.write() as connection:
                return connection.execute(began).rowcount == 1
        except Unavailable:
            # The carrier will not be asked now. Whether this was written is unknown, so the state stays as it is.
            self._claims.void_later(asked.shipment_id, claim, _OPEN)
            raise

    def alive(self) -> bool:
        """Whether others still consider this process alive; checked before any action that no key protects."""
        return self.database.heartbeat.fresh

    def end(
        self, shipment_id: str, claim: str, state: State, settled: float | None = None, refusal: str | None = None
    ) -> None:
        """Record the progress, and release the claim; if it cannot be written now, the write is deferred.

        Args:
            refusal: why the carrier refused to sell the requested rate; None leaves the record as it is.
        """
        more: dict[str, Any] = {} if settled is None else {"settled": settled}
        if refusal is not None:
            more["refusal"] = refusal
        self._claims.release(shipment_id, claim, _OPEN, state=state.value, **more)

    def refunded(self, shipment_id: str, claim: str, refund: LabelRefund | None) -> None:
        """Record the outcome of the refund (None: none yet), and release the claim; if it cannot be written now, the
        write is deferred."""
        values: dict[str, Any] = {}
        if refund is not None:
            values["refund"] = refund.value
        if refund is LabelRefund.REFUNDED:
            values["polled"] = None  # no parcel will ever be sent with it
        elif refund is LabelRefund.PENDING:
            # Shippo is asked for the refund's outcome, even if there is no parcel to ask about.
            values["polled"] = sa.func.coalesce(labels.c.polled, labels.c.voided)
        elif refund is LabelRefund.USED:
            arrived = sa.or_(labels.c.tracking_number.is_(None), labels.c.tracking_status.in_(FINAL))
            values["polled"] = sa.case((arrived, sa.null()), else_=labels.c.polled)
        self._claims.release(shipment_id, claim, **values)

    def voids(self, before: float, limit: int) -> list[str]:
        """Return the shipments whose refund was requested before then (Unix seconds) and has no known outcome. Either
        the requester died, or the label appeared late, or Shippo is reviewing the refund. In the last case the refund
        is no longer polled together with the parcels, because its parcel has arrived."""
        forgotten = sa.and_(labels.c.refund == LabelRefund.PENDING.value, labels.c.polled.is_(None))
        unknown = sa.or_(labels.c.refund.is_(None), forgotten)
        owed = (labels.c.voided < before, labels.c.state == State.BOUGHT.value, unknown)
        with self.database.read() as connection:
            # In random order, so that refunds which Shippo never answers do not block the others forever.
            query = sa.select(labels.c.shipment_id).where(*owed).order_by(sa.func.random()).limit(limit)
            return list(connection.execute(query).scalars())

    def voided(self, transaction_id: str) -> str | None:
        """Return the shipment whose label that transaction bought, if its refund was requested; else None."""
        this = sa.and_(labels.c.transaction_id == transaction_id, labels.c.voided.is_not(None))
        with self.database.read() as connection:
            return connection.execute(sa.select(labels.c.shipment_id).where(this)).scalars().first()

    def record(self, purchase: LabelPurchase, now: float, claim: str | None = None) -> LabelPurchase:
        """Record a bought label, even if another process holds the claim. The first label stays, and is returned.

        Raises Unavailable; a write that fails now is deferred, and applies if `claim` still holds the purchase.
        """
        label = purchase.label
        assert label is not None
        values = {
            "state": State.BOUGHT.value,
            "rate_id": purchase.rate_id,
            "asked_rate_id": purchase.asked_rate_id,
            "carrier": purchase.carrier,
            "transaction_id": label.transaction_id,
            "label_url": label.label_url,
            "tracking_number": label.tracking_number,
            "price": purchase.price,
            "price_currency": purchase.price_currency,
            "bought": now,
            "polled": now if label.tracking_number else None,
        }
        try:
            with self.database.write() as connection:
                unbought = sa.update(labels).where(labels.c.shipment_id == purchase.shipment_id, _OPEN)
                # The token stays: a refund that found this label has yet to record its outcome.
                connection.execute(unbought.values(claimed_until=0.0, **values))
        except Unavailable:
            if claim is not None:
                self._claims.release_later(purchase.shipment_id, claim, _OPEN, **values)
            raise
        kept = self.purchase(purchase.shipment_id)
        assert kept is not None
        return kept

    def _claim(self, shipment_id: str, claim: str, now: float, until: float, to_void: bool) -> LabelPurchase | None:
        taken = self._claims.new(until, claim)
        fresh = {"shipment_id": shipment_id, "state": State.NEW.value, "claimed_until": 0.0, "tried": 0.0}
        this = labels.c.shipment_id == shipment_id
        void = self._claims.is_void(now).label("void")
        with self.database.write() as connection:
            insert_new(connection, labels, fresh)
            row = connection.execute(sa.select(labels, void).where(this).with_for_update()).one()
            purchase = _purchase(row)
            if to_void:
                done = purchase.refund in (LabelRefund.REFUNDED, LabelRefund.USED)
            else:
                done = purchase.state is State.BOUGHT or purchase.closed
            if done:
                return purchase
            if row.claim != claim and not row.void:
                return None
            if to_void and row.voided is None:
                taken["voided"] = now
            connection.execute(sa.update(labels).where(this).values(**taken))
        return purchase

    def _one(self, condition: sa.ColumnElement[bool]) -> Shipment | None:
        with self.database.read() as connection:
            row = connection.execute(sa.select(shipments).where(condition)).one_or_none()
        return _shipment(row) if row else None


def _row(shipment: Shipment) -> dict[str, Any]:
    sortable = {name: (shipment.address.get(name) or "").lower() for name in ("name", "city", "state", "country")}
    return {**{name: getattr(shipment, name) for name in Shipment.__dataclass_fields__}, **sortable}


def _shipment(row: sa.Row[Any]) -> Shipment:
    return Shipment(**{name: getattr(row, name) for name in Shipment.__dataclass_fields__})


def _purchase(row: sa.Row[Any]) -> LabelPurchase:
    return LabelPurchase(
        shipment_id=row.shipment_id,
        state=State(row.state),
        rate_id=row.rate_id,
        asked_rate_id=row.asked_rate_id,
        carrier=row.carrier,
        tried=row.tried,
        settled=row.settled,
        label=Label(row.transaction_id, row.label_url, row.tracking_number) if row.transaction_id else None,
        voided=row.voided is not None,
        refund=LabelRefund(row.refund) if row.refund else None,
        tracking_status=row.tracking_status,
        price=row.price,
        price_currency=row.price_currency,
        refusal=row.refusal,
    )
