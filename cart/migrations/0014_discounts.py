"""Discount codes, their redemptions, and the code that a cart or an order has."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.create_table(
        "discounts",
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("code", sa.String(500), nullable=False),
        sa.Column("code_key", sa.String(500), nullable=False),
        sa.Column("hundredths", sa.Integer),
        sa.Column("amount_off", sa.BigInteger),
        sa.Column("currency", sa.String(3)),
        sa.Column("minimum_amount", sa.BigInteger),
        sa.Column("max_redemptions", sa.BigInteger),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("redeemed", sa.Integer, nullable=False),
        sa.Column("read_at", sa.Float(53), nullable=False),
    )
    op.create_index("discounts_code_key", "discounts", ["code_key"])
    op.create_index("discounts_newest", "discounts", ["created", "id"])
    op.create_table(
        "redemptions",
        sa.Column("order_id", sa.String(64), primary_key=True),
        sa.Column("discount", sa.String(255), nullable=False),
        sa.Column("at", sa.Float(53), nullable=False),
    )
    op.create_index("redemptions_discount", "redemptions", ["discount"])
    op.create_table(
        "cart_discounts",
        sa.Column("cart_id", sa.String(128), primary_key=True),
        sa.Column("code", sa.String(500), nullable=False),
    )
    op.add_column("orders", sa.Column("discount", sa.String(255)))
