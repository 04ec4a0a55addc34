"""The tables that every service's database has, for the migrations of the four: who is alive, and what was answered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def create_presence_and_answers() -> None:
    """Create ``presence`` (see `chassis.presence`) and ``answers`` (see `chassis.once`)."""
    op.create_table(
        "presence",
        sa.Column("holder", sa.String(64), primary_key=True),
        sa.Column("seen", sa.Float(53), nullable=False),
    )
    op.create_table(
        "answers",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("body", sa.String(64), nullable=False),
        sa.Column("effect", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(128)),
        sa.Column("holder", sa.String(64)),
        sa.Column("until", sa.Float(53), nullable=False),
        sa.Column("began", sa.Float(53), nullable=False),
        sa.Column("ended", sa.Float(53)),
        sa.Column("answer", sa.Text),
    )
    op.create_index("answers_began", "answers", ["began"])
