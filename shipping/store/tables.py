"""The shipping service's tables; tables that all services share are in `chassis.db.shared_tables`."""

from __future__ import annotations

import sqlalchemy as sa

from chassis.db.feed import counter_table

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
    # The sort fields of the list, in lower case.
    sa.Column("name", Text, nullable=False),
    sa.Column("city", Text, nullable=False),
    sa.Column("state", Text, nullable=False),
    sa.Column("country", Text, nullable=False),
    sa.Column("address", sa.JSON, nullable=False),
    sa.Column("parcels", sa.JSON, nullable=False),
    sa.Column("contents", sa.JSON, nullable=False),
    sa.Column("rates", sa.JSON, nullable=False),
    sa.Column("methods", sa.JSON, nullable=False),
    # Of the second and any further parcel; see `shipping.rules.shipment.Shipment`.
    sa.Column("part_of", Text),
    sa.Column("part", sa.Integer),
    sa.Column("twin_of", Text),
)
sa.Index("shipments_part_of", shipments.c.part_of)
sa.Index("shipments_created", shipments.c.created, shipments.c.object_id)

labels = sa.Table(
    "labels",
    metadata,
    sa.Column("shipment_id", Text, sa.ForeignKey("shipments.object_id"), primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("claim", sa.Text),
    sa.Column("claimed_until", sa.Double, nullable=False),
    # The process that claims it, see `chassis.db.heartbeat`.
    sa.Column("holder", sa.String(64)),
    sa.Column("key", sa.Text),
    sa.Column("rate_id", sa.Text),
    sa.Column("asked_rate_id", sa.Text),
    sa.Column("carrier", sa.Text),
    sa.Column("tried", sa.Double, nullable=False),
    sa.Column("settled", sa.Double, nullable=False, server_default="0"),
    sa.Column("transaction_id", sa.Text),
    sa.Column("label_url", sa.Text),
    sa.Column("tracking_number", sa.Text),
    sa.Column("bought", sa.Double),
    # What it costs, in the currency's smallest unit, and why the carrier refused to sell the rate that was asked for.
    sa.Column("price", sa.BigInteger),
    sa.Column("price_currency", sa.Text),
    sa.Column("refusal", sa.Text),
    # When its refund was requested, and Shippo's answer to that; see `shipping.labels.buy.LabelPurchase`.
    sa.Column("voided", sa.Double),
    sa.Column("refund", sa.Text),
    # Where the parcel is: the carrier's term, and the carrier's time of it.
    sa.Column("tracking_status", sa.Text),
    sa.Column("tracking_date", sa.Double),
    # When Shippo was last asked about it; null: it need not be asked.
    sa.Column("polled", sa.Double),
)
sa.Index("labels_tracking_number", labels.c.tracking_number)
sa.Index("labels_polled", labels.c.polled)
sa.Index("labels_voided", labels.c.voided)

# The items of the carriers' invoices that are for labels; see `shipping.rules.charges.Charge`.
charges = sa.Table(
    "charges",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("transaction_id", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
)
sa.Index("charges_transaction", charges.c.transaction_id)
sa.Index("charges_created", charges.c.created)

# Until when the carriers' invoices were read, by any copy, and when a copy last began to read them (Unix seconds).
positions = sa.Table(
    "positions",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("reached", sa.Double),
    sa.Column("begun", sa.Double, nullable=False),
)

# Each step of each parcel, in commit order.
moves = sa.Table(
    "moves",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("shipment_id", Text, nullable=False),
    sa.Column("tracking_number", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
)

move_counter = counter_table("move_counter", metadata)

# Recent questions to Shippo and its answers; see `shipping.store.lookups`.
lookups = sa.Table(
    "lookups",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("answer", sa.JSON, nullable=False),
    sa.Column("asked", sa.Double, nullable=False),
)
sa.Index("lookups_asked", lookups.c.asked)
