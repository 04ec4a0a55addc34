"""The tables that services' databases share, as they are now."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa


def claim_columns() -> list[sa.Column[Any]]:
    """The columns of `chassis.db.claims`."""
    return [
        sa.Column("claim", sa.String(64)),
        sa.Column("holder", sa.String(64)),
        sa.Column("claimed_until", sa.Float(53), nullable=False, server_default="0"),
    ]


# In every service.
shared_by_all = sa.MetaData()
# In the services that receive webhooks.
shared_by_webhook_services = sa.MetaData()

# Which copies of the service are alive; see `chassis.db.heartbeat`.
presence = sa.Table(
    "presence",
    shared_by_all,
    sa.Column("holder", sa.String(64), primary_key=True),
    sa.Column("seen", sa.Float(53), nullable=False),
)

# The answers stored under an Idempotency-Key; see `chassis.work.idempotency`.
answers = sa.Table(
    "answers",
    shared_by_all,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("body", sa.String(64), nullable=False),
    sa.Column("effect", sa.String(64), nullable=False),
    sa.Column("request_id", sa.String(128)),
    *claim_columns(),
    sa.Column("began", sa.Float(53), nullable=False),
    sa.Column("ended", sa.Float(53)),
    sa.Column("answer", sa.Text),
    sa.Index("answers_began", "began"),
)

# Durable tasks: providers' events, and what is owed for an order; see `chassis.work.tasks`.
tasks = sa.Table(
    "tasks",
    shared_by_webhook_services,
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("queue", sa.String(16), nullable=False),
    sa.Column("kind", sa.String(128), nullable=False),
    sa.Column("subject", sa.String(64)),
    sa.Column("details", sa.JSON),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("created", sa.Float(53), nullable=False),
    sa.Column("due_at", sa.Float(53), nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    *claim_columns(),
    sa.Column("answer", sa.JSON),
    sa.Column("error", sa.Text),
    sa.Index("tasks_due", "queue", "state", "due_at"),
    sa.Index("tasks_subject", "subject"),
)
