"""Shipments, and the purchases of their labels."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "shipments",
        sa.Column("object_id", Text, primary_key=True),
        sa.Column("key", sa.Text, nullable=False, unique=True),
        sa.Column("order_id", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
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
    op.create_index("shipments_created", "shipments", ["created", "object_id"])
    op.create_table(
        "labels",
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
