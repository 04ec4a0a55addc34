"""Which recipients want no more messages, and the feed of what became of messages."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "suppressions",
        sa.Column("recipient", sa.String(400), primary_key=True),
        sa.Column("reason", sa.String(32)),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_index("suppressions_newest", "suppressions", ["at"])
    op.create_table(
        "news",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("unwanted", sa.Boolean, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_index("news_at", "news", ["at"])
    op.create_index("news_key", "news", ["key"])
    counter = op.create_table(
        "news_counter",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("last", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(counter, [{"id": 1, "last": 0}])
