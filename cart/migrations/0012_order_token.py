"""The token that opens an order to its bearer."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    # Empty in existing orders, and in those that a copy of the old code still writes: such an order gets its token when
    # it is first shown (`Orders.issue_tokens`). Filling it here would lock the table for as long as that takes.
    op.add_column("orders", sa.Column("token", sa.String(64)))
