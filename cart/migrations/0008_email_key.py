"""What orders are found by an address with: the same for every spelling of it."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    # Empty in the orders that are there, and in what a copy of the old code writes from now on: such an order is found
    # by its address as it was written, until a copy of the new code fills it (`Orders.fill_email_keys`): were it filled
    # here, the table would be locked for as long as that takes.
    op.add_column("orders", sa.Column("email_key", sa.String(400)))
    op.create_index("orders_email_key", "orders", ["email_key", "created", "id"])
