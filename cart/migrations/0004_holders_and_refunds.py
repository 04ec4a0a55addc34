"""Claims name their holder; refunds; indexes that find an order by its payment and by its shipment."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

orders = sa.table("orders", sa.column("id"), sa.column("document", sa.JSON), sa.column("shipment"))


def upgrade() -> None:
    op.add_column("orders", sa.Column("holder", sa.String(64)))
    op.add_column("orders", sa.Column("looks", sa.Integer, nullable=False, server_default="0"))
    op.add_column("orders", sa.Column("shipment", sa.String(255)))
    op.add_column("owed", sa.Column("holder", sa.String(64)))
    connection = op.get_bind()
    for row in connection.execute(sa.select(orders.c.id, orders.c.document)).all():
        here = sa.update(orders).where(orders.c.id == row.id)
        connection.execute(here.values(shipment=row.document.get("upstream_id")))
    op.create_index("orders_payment", "orders", ["payment"])
    op.create_index("orders_shipment", "orders", ["shipment"])
    op.create_table(
        "refunds",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("order_id", sa.String(64), nullable=False),
        sa.Column("key", sa.String(255), nullable=False, unique=True),
        sa.Column("payment", sa.String(255), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("provider_id", sa.String(255), unique=True),
        sa.Column("claim", sa.String(64)),
        sa.Column("holder", sa.String(64)),
        sa.Column("lease", sa.Float(53), nullable=False),
        sa.Column("looks", sa.Integer, nullable=False),
        sa.Column("began", sa.Float(53), nullable=False),
        sa.Column("ended", sa.Float(53)),
        sa.Column("error", sa.Text),
    )
    op.create_index("refunds_order", "refunds", ["order_id"])
    op.create_index("refunds_state", "refunds", ["state", "lease"])
    op.create_table(
        "cursors",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("seen", sa.BigInteger, nullable=False),
    )
