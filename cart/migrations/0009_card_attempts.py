"""Attempts to pay by card, and the stock that waits for a bank's confirmation."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "card_attempts",
        sa.Column("order_id", sa.String(64), primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("payer", sa.String(255), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("began", sa.Float(53), nullable=False),
    )
    op.create_index("card_attempts_payer", "card_attempts", ["payer", "began"])
    op.create_table(
        "bank_holds",
        sa.Column("order_id", sa.String(64), primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("sku", sa.String(255), primary_key=True),
        sa.Column("quantity", sa.Integer, nullable=False),
    )
    op.create_index("bank_holds_sku", "bank_holds", ["sku"])
