"""The key that finds orders by mail address: the same for every spelling of it."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    # Empty in existing orders, and in those that a copy of the old code still writes: such an order is found by its
    # address as written, until a copy of the new code fills it (`Orders.fill_email_keys`). Filling it here would lock
    # the table for as long as that takes.
    op.add_column("orders", sa.Column("email_key", sa.String(400)))
    op.create_index("orders_email_key", "orders", ["email_key", "created", "id"])
