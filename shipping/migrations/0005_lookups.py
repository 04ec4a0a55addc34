"""Recent questions to Shippo and its answers."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "lookups",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("answer", sa.JSON, nullable=False),
        sa.Column("asked", sa.Double, nullable=False),
    )
    op.create_index("lookups_asked", "lookups", ["asked"])
