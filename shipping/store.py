"""The shipping service's tables, and every question that it asks of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from chassis.database import Database
from chassis.logs import log
from contracts.errors import InvalidRequest
from shipping.carriers import Label
from shipping.label import Purchase, State
from shipping.shipment import Shipment

metadata = sa.MetaData()

# Compared byte by byte on both databases, so that a page continues where the last one ended.
Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

shipments = sa.Table(
    "shipments",
    metadata,
    sa.Column("object_id", Text, primary_key=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("order_id", sa.Text, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    # What the list may be ordered by, in small letters.
    sa.Column("name", Text, nullable=False),
    sa.Column("city", Text, nullable=False),
    sa.Column("state", Text, nullable=False),
    sa.Column("country", Text, nullable=False),
    sa.Column("address", sa.JSON, nullable=False),
    sa.Column("parcels", sa.JSON, nullable=False),
    sa.Column("contents", sa.JSON, nullable=False),
    sa.Column("rates", sa.JSON, nullable=False),
    sa.Column("methods", sa.JSON, nullable=False),
)
sa.Index("shipments_created", shipments.c.created, shipments.c.object_id)

labels = sa.Table(
    "labels",
    metadata,
    sa.Column("shipment_id", Text, sa.ForeignKey("shipments.object_id"), primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("claim", sa.Text),
    sa.Column("claimed_until", sa.Double, nullable=False),
    sa.Column("key", sa.Text),
    sa.Column("rate_id", sa.Text),
    sa.Column("asked_rate_id", sa.Text),
    sa.Column("carrier", sa.Text),
    sa.Column("tried", sa.Double, nullable=False),
    sa.Column("transaction_id", sa.Text),
    sa.Column("label_url", sa.Text),
    sa.Column("tracking_number", sa.Text),
    sa.Column("bought", sa.Double),
)


class ShippingStore:
    """Shipments and the purchases of their labels.

    Args:
        database: the service's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert: Any = postgresql.insert if database.dialect == "postgresql" else sqlite.insert

    @property
    def database(self) -> Database:
        """The service's database, for what else is kept in it."""
        return self._database

    def ping(self) -> None:
        """Raises Unavailable when the database cannot be asked."""
        self._database.ping()

    def add(self, shipment: Shipment) -> Shipment:
        """Keep a shipment, and answer the one that is kept under its key: the first."""
        row = {
            "object_id": shipment.object_id,
            "key": shipment.key,
            "order_id": shipment.order_id,
            "created": shipment.created,
            "address": shipment.address,
            "parcels": shipment.parcels,
            "contents": shipment.contents,
            "rates": shipment.rates,
            "methods": shipment.methods,
            **{field: (shipment.address.get(field) or "").lower() for field in ("name", "city", "state", "country")},
        }
        with self._database.write() as connection:
            connection.execute(self._insert(shipments).values(row).on_conflict_do_nothing(index_elements=["key"]))
            return _shipment(connection.execute(sa.select(shipments).where(shipments.c.key == shipment.key)).one())

    def by_key(self, key: str) -> Shipment | None:
        """The shipment made under a caller's key, or None."""
        return self._one(shipments.c.key == key)

    def get(self, object_id: str) -> Shipment | None:
        """The shipment of that id, or None."""
        return self._one(shipments.c.object_id == object_id)

    def page(self, field: str, backwards: bool, limit: int, after: str | None) -> tuple[list[Shipment], bool]:
        """A page of shipments, and whether more follow.

        Args:
            field: a column to order by; ties go by id.
            backwards: the largest first.
            limit: how many.
            after: the id of the last one of the page before.

        Raises:
            InvalidRequest: there is no shipment `after`.
        """
        by, by_id = shipments.c[field], shipments.c.object_id
        query = sa.select(shipments).limit(limit + 1)
        query = query.order_by(by.desc(), by_id.desc()) if backwards else query.order_by(by, by_id)
        with self._database.read() as connection:
            if after is not None:
                last = connection.execute(sa.select(by, by_id).where(by_id == after)).one_or_none()
                if last is None:
                    errors = {"starting_after": ["there is no such shipment"]}
                    raise InvalidRequest("The list cannot start there.", {"errors": errors})
                here, there = sa.tuple_(by, by_id), sa.tuple_(*map(sa.literal, last))
                query = query.where(here < there if backwards else here > there)
            rows: Sequence[sa.Row[Any]] = connection.execute(query).all()
        return [_shipment(row) for row in rows[:limit]], len(rows) > limit

    def purchase(self, shipment_id: str) -> Purchase | None:
        """The purchase of a shipment's label as it stands, or None."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(labels).where(labels.c.shipment_id == shipment_id)).one_or_none()
        return _purchase(row) if row else None

    def claim(self, shipment_id: str, claim: str, now: float, until: float) -> Purchase | None:
        """See `shipping.label.Purchases`."""
        fresh = {"shipment_id": shipment_id, "state": State.NEW.value, "claimed_until": 0.0, "tried": 0.0}
        this = labels.c.shipment_id == shipment_id
        with self._database.write() as connection:
            connection.execute(self._insert(labels).values(fresh).on_conflict_do_nothing())
            row = connection.execute(sa.select(labels).where(this).with_for_update()).one()
            if row.state != State.BOUGHT.value:
                if row.claimed_until > now and row.claim != claim:
                    return None
                connection.execute(sa.update(labels).where(this).values(claim=claim, claimed_until=until))
        return _purchase(row)

    def begin(self, claim: str, asked: Purchase, key: str, until: float) -> bool:
        """See `shipping.label.Purchases`."""
        return self._change(
            asked.shipment_id,
            labels.c.claim == claim,
            state=State.BEGAN.value,
            rate_id=asked.rate_id,
            asked_rate_id=asked.asked_rate_id,
            carrier=asked.carrier,
            key=key,
            tried=asked.tried,
            claimed_until=until,
        )

    def end(self, shipment_id: str, claim: str, state: State, tried: float | None = None) -> None:
        """See `shipping.label.Purchases`."""
        when = {} if tried is None else {"tried": tried}
        self._change(shipment_id, labels.c.claim == claim, state=state.value, claimed_until=0.0, **when)

    def record(self, purchase: Purchase, now: float) -> Purchase:
        """See `shipping.label.Purchases`."""
        label = purchase.label
        assert label is not None
        first = self._change(
            purchase.shipment_id,
            state=State.BOUGHT.value,
            rate_id=purchase.rate_id,
            asked_rate_id=purchase.asked_rate_id,
            carrier=purchase.carrier,
            transaction_id=label.transaction_id,
            label_url=label.label_url,
            tracking_number=label.tracking_number,
            bought=now,
            claimed_until=0.0,
        )
        kept = self.purchase(purchase.shipment_id)
        assert kept is not None
        if not first and kept.label and kept.label.transaction_id != label.transaction_id:
            log.error("two labels for one shipment", shipment=purchase.shipment_id, second=label.transaction_id)
        return kept

    def _change(self, shipment_id: str, *conditions: sa.ColumnElement[bool], **values: Any) -> bool:
        """Change a purchase that is not bought yet, under further conditions; whether it was."""
        statement = sa.update(labels).where(
            labels.c.shipment_id == shipment_id, labels.c.state != State.BOUGHT.value, *conditions
        )
        with self._database.write() as connection:
            return connection.execute(statement.values(**values)).rowcount == 1

    def _one(self, condition: sa.ColumnElement[bool]) -> Shipment | None:
        with self._database.read() as connection:
            row = connection.execute(sa.select(shipments).where(condition)).one_or_none()
        return _shipment(row) if row else None


def _shipment(row: sa.Row[Any]) -> Shipment:
    return Shipment(
        object_id=row.object_id,
        key=row.key,
        order_id=row.order_id,
        created=row.created,
        address=row.address,
        parcels=row.parcels,
        contents=row.contents,
        rates=row.rates,
        methods=row.methods,
    )


def _purchase(row: sa.Row[Any]) -> Purchase:
    label = Label(row.transaction_id, row.label_url, row.tracking_number) if row.transaction_id else None
    return Purchase(row.shipment_id, State(row.state), row.rate_id, row.asked_rate_id, row.carrier, row.tried, label)
