"""What the payment of an order waits for."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0020"


def upgrade() -> None:
    op.add_column("orders", sa.Column("waits_for", sa.String(16)))
