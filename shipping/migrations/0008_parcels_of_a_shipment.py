"""Shipments of several parcels, what labels cost, and why a rate was refused."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    for column in (sa.Column("part_of", Text), sa.Column("part", sa.Integer), sa.Column("twin_of", Text)):
        op.add_column("shipments", column)
    op.create_index("shipments_part_of", "shipments", ["part_of"])
    for column in (
        sa.Column("price", sa.BigInteger),
        sa.Column("price_currency", sa.Text),
        sa.Column("refusal", sa.Text),
    ):
        op.add_column("labels", column)
    op.create_table(
        "charges",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("transaction_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
    )
    op.create_index("charges_transaction", "charges", ["transaction_id"])
    op.create_index("charges_created", "charges", ["created"])
