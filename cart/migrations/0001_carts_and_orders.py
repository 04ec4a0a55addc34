"""Carts, orders, the steps of a payment, and owed work."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "cart_items",
        sa.Column("cart_id", sa.String(128), primary_key=True),
        sa.Column("sku", sa.String(255), primary_key=True),
        sa.Column("product_id", sa.String(255), nullable=False),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.Column("added", sa.Float(53), nullable=False),
    )
    op.create_table(
        "cart_additions",
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("added", sa.Float(53), nullable=False),
    )
    op.create_index("cart_additions_added", "cart_additions", ["added"])
    op.create_table(
        "orders",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(255), nullable=False, unique=True),
        sa.Column("cart_id", sa.String(128), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("email", sa.String(320), nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("payment", sa.String(255)),
        sa.Column("stock_key", sa.String(255)),
        sa.Column("card", sa.String(64)),
        sa.Column("claim", sa.String(64)),
        sa.Column("lease", sa.Float(53), nullable=False),
        sa.Column("created", sa.Float(53), nullable=False),
    )
    op.create_index("orders_newest", "orders", ["created", "id"])
    op.create_index("orders_status", "orders", ["status", "lease"])
    op.create_table(
        "purchase_steps",
        sa.Column("order_id", sa.String(64), primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("step", sa.String(32), primary_key=True),
        sa.Column("began", sa.Float(53), nullable=False),
        sa.Column("ended", sa.Float(53)),
        sa.Column("outcome", sa.JSON),
    )
    op.create_table(
        "owed",
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("order_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("since", sa.Float(53), nullable=False),
        sa.Column("due", sa.Float(53), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("claim", sa.String(64)),
        sa.Column("answer", sa.JSON),
        sa.Column("error", sa.Text),
    )
    op.create_index("owed_due", "owed", ["state", "due"])
    op.create_index("owed_order", "owed", ["order_id"])


def downgrade() -> None:
    for table in ("owed", "purchase_steps", "orders", "cart_additions", "cart_items"):
        op.drop_table(table)
