"""Whether a refund is pending, and which failed refund it repeats."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.add_column("refunds", sa.Column("pending", sa.Boolean))
    op.add_column("refunds", sa.Column("repeats", sa.String(64)))
