"""The arguments of an owed request, and whether a refund is of the whole remaining amount."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("owed", sa.Column("details", sa.JSON))
    # A copy of the old code writes neither: its refunds keep their amount.
    op.add_column("refunds", sa.Column("rest", sa.Boolean, nullable=False, server_default=sa.false()))
