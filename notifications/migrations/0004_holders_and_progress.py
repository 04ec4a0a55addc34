"""Which process holds a message, its delivery status, and how often its outcome stayed unknown."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for column in (
        sa.Column("holder", sa.String(64)),
        sa.Column("settled", sa.Double, nullable=False, server_default="0"),
        sa.Column("uncertain", sa.Integer, nullable=False, server_default="0"),
        sa.Column("progress", sa.Text),
        sa.Column("progressed", sa.Double),
        sa.Column("error", sa.Text),
        sa.Column("polled", sa.Double),
    ):
        op.add_column("messages", column)
    op.create_index("messages_provider_id", "messages", ["provider_id"])
    op.create_index("messages_progress", "messages", ["progress", "created"])
    op.create_index("messages_polled", "messages", ["polled"])
