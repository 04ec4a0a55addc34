"""Past migrations of the tables that services' databases share: never changed, like any other revision.

`chassis.db.shared_tables` describes these tables as they are now.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def create_presence_and_answers() -> None:
    """Create ``presence`` (see `chassis.db.heartbeat`) and ``answers`` (see `chassis.work.idempotency`)."""
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


def create_events() -> None:
    """Create ``events`` (see `chassis.work.inbox`): providers' events, stored before they are acknowledged."""
    op.create_table(
        "events",
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("kind", sa.String(128), nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("received", sa.Float(53), nullable=False),
        sa.Column("due", sa.Float(53), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("claim", sa.String(64)),
        sa.Column("holder", sa.String(64)),
        sa.Column("until", sa.Float(53), nullable=False),
        sa.Column("error", sa.Text),
    )
    op.create_index("events_due", "events", ["state", "due"])
