"""Until when the carriers' invoices have been read."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "positions",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("reached", sa.Double),
        sa.Column("begun", sa.Double, nullable=False),
    )
