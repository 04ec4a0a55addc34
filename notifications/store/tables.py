"""The notifications service's tables; tables that all services share are in `chassis.db.shared_tables`."""

from __future__ import annotations

import sqlalchemy as sa

from chassis.db.feed import counter_table

metadata = sa.MetaData()

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("recipient", sa.Text, nullable=False),
    # The text of a text message, by which Twilio can be asked for it; null for a mail.
    sa.Column("body", sa.Text),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("claim", sa.Text),
    sa.Column("claimed_until", sa.Double, nullable=False),
    # The process that claims it, see `chassis.db.heartbeat`.
    sa.Column("holder", sa.String(64)),
    sa.Column("tried", sa.Double, nullable=False),
    sa.Column("settled", sa.Double, nullable=False, server_default="0"),
    # How often it was sent again although it may have been sent before, so how many extra copies may have arrived.
    sa.Column("uncertain", sa.Integer, nullable=False, server_default="0"),
    sa.Column("provider_id", sa.Text),
    sa.Column("status", sa.Text),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("sent", sa.Double),
    # Its delivery status, when that was received, and the error.
    sa.Column("progress", sa.Text),
    sa.Column("progressed", sa.Double),
    sa.Column("error", sa.Text),
    # When the provider was last asked about it; null: it need not or cannot be asked.
    sa.Column("polled", sa.Double),
)
sa.Index("messages_recipient", messages.c.recipient)
sa.Index("messages_provider_id", messages.c.provider_id)
sa.Index("messages_progress", messages.c.progress, messages.c.created)
sa.Index("messages_polled", messages.c.polled)

# What recipients want: a number or an address, and why it gets no more messages (null: it wants them again). `at` is
# when that was reported (Unix seconds).
suppressions = sa.Table(
    "suppressions",
    metadata,
    sa.Column("recipient", sa.String(400), primary_key=True),
    sa.Column("reason", sa.String(32)),
    sa.Column("at", sa.Double, nullable=False),
)
sa.Index("suppressions_newest", suppressions.c.at)

# What became of each message, in commit order.
news = sa.Table(
    "news",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", sa.String(255), nullable=False),
    sa.Column("kind", sa.String(8), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("error", sa.Text),
    # Whether it was not delivered because its recipient wants no such messages.
    sa.Column("unwanted", sa.Boolean, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
)
sa.Index("news_at", news.c.at)
sa.Index("news_key", news.c.key)
news_counter = counter_table("news_counter", metadata)
