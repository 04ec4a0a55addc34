"""The record of every message."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "messages",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("body", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("claim", sa.Text),
        sa.Column("claimed_until", sa.Double, nullable=False),
        sa.Column("tried", sa.Double, nullable=False),
        sa.Column("provider_id", sa.Text),
        sa.Column("status", sa.Text),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("sent", sa.Double),
    )
    op.create_index("messages_recipient", "messages", ["recipient"])
