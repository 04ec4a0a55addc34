"""What the payment of an order waits for, and whether it may redirect the shopper."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0017"


def upgrade() -> None:
    op.add_column("orders", sa.Column("waits_for", sa.String(16)))
    op.add_column("orders", sa.Column("redirects", sa.Boolean))
