"""The tables that services' databases share, as they are now."""

from __future__ import annotations

import sqlalchemy as sa

# In every service.
every_service = sa.MetaData()
# In the services that receive webhooks.
webhooks = sa.MetaData()

# Which copies of the service are alive; see `chassis.presence`.
presence = sa.Table(
    "presence",
    every_service,
    sa.Column("holder", sa.String(64), primary_key=True),
    sa.Column("seen", sa.Float(53), nullable=False),
)

# The answers stored under an Idempotency-Key; see `chassis.once`.
answers = sa.Table(
    "answers",
    every_service,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("body", sa.String(64), nullable=False),
    sa.Column("effect", sa.String(64), nullable=False),
    sa.Column("request_id", sa.String(128)),
    sa.Column("holder", sa.String(64)),
    sa.Column("until", sa.Float(53), nullable=False),
    sa.Column("began", sa.Float(53), nullable=False),
    sa.Column("ended", sa.Float(53)),
    sa.Column("answer", sa.Text),
    sa.Index("answers_began", "began"),
)

# Webhook events of providers, stored before they are acknowledged; see `chassis.inbox`.
events = sa.Table(
    "events",
    webhooks,
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
    sa.Index("events_due", "state", "due"),
)
