"""The notifications service's table, and every question that it asks of it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from chassis.database import Database
from contracts.errors import OutcomeUnknown
from notifications.delivery import Record, State, describe, mismatch
from notifications.messages import Mail, Sms
from notifications.sms import SentSms

metadata = sa.MetaData()

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("recipient", sa.Text, nullable=False),
    # A text message's own words, by which Twilio can be asked for it; null for a mail.
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
sa.Index("messages_recipient", messages.c.recipient)


class MessageStore:
    """The record of every message.

    Args:
        database: the service's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert: Any = postgresql.insert if database.dialect == "postgresql" else sqlite.insert

    @property
    def database(self) -> Database:
        """The service's database, for what else is kept in it."""
        return self._database

    def ping(self) -> None:
        """Raises Unavailable when the database cannot be asked."""
        self._database.ping()

    def get(self, key: str) -> Record | None:
        """The record of the message under a caller's key, or None."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(messages).where(messages.c.key == key)).one_or_none()
        return _record(row) if row else None

    def claim(self, message: Mail | Sms, claim: str, now: float, until: float) -> Record | None:
        """See `notifications.delivery.Records`. Raises Conflict when the key stands for another message."""
        kind, recipient = describe(message)
        fresh = {
            "key": message.key,
            "kind": kind,
            "recipient": recipient,
            "body": _body(message),
            "state": State.NEW.value,
            "claimed_until": 0.0,
            "tried": 0.0,
            "created": now,
        }
        this = messages.c.key == message.key
        with self._database.write() as connection:
            connection.execute(self._insert(messages).values(fresh).on_conflict_do_nothing())
            row = connection.execute(sa.select(messages).where(this).with_for_update()).one()
            record = _record(row)
            if refusal := mismatch(record, message):
                raise refusal
            if record.state is not State.SENT:
                if row.claimed_until > now and row.claim != claim:
                    return None
                connection.execute(sa.update(messages).where(this).values(claim=claim, claimed_until=until))
        return record

    def begin(self, message: Mail | Sms, claim: str, now: float, until: float) -> bool:
        """See `notifications.delivery.Records`."""
        values = {"state": State.BEGAN.value, "body": _body(message), "tried": now, "claimed_until": until}
        return self._change(message.key, messages.c.claim == claim, **values)

    def end(self, key: str, claim: str, state: State, tried: float | None = None) -> None:
        """See `notifications.delivery.Records`."""
        when = {} if tried is None else {"tried": tried}
        self._change(key, messages.c.claim == claim, state=state.value, claimed_until=0.0, **when)

    def record(self, key: str, provider_id: str, status: str, now: float) -> None:
        """See `notifications.delivery.Records`."""
        self._change(key, **_sent(provider_id, status, now))

    def adopt(self, sms: Sms, found: list[SentSms], now: float) -> SentSms | None:
        """See `notifications.delivery.Records`."""
        to_same = sa.and_(messages.c.kind == "sms", messages.c.recipient == sms.number)
        sending = sa.and_(to_same, messages.c.body == sms.body, messages.c.key != sms.key)
        sending = sa.and_(sending, messages.c.state == State.BEGAN.value, messages.c.claimed_until > now)
        with self._database.write() as connection:
            # Whoever else looks for the same words to the same number waits here, so that no two take one message.
            connection.execute(sa.select(messages.c.key).where(to_same).with_for_update()).all()
            taken = set(connection.scalars(sa.select(messages.c.provider_id).where(to_same)))
            free = [each for each in found if each.sid not in taken]
            if not free:
                return None
            if connection.execute(sa.select(messages.c.key).where(sending).limit(1)).first():
                raise OutcomeUnknown("The same text is being sent to this number right now.", {"retry_after": 2})
            values = _sent(free[0].sid, free[0].status, now)
            connection.execute(sa.update(messages).where(messages.c.key == sms.key).values(**values))
        return free[0]

    def _change(self, key: str, *conditions: sa.ColumnElement[bool], **values: Any) -> bool:
        """Change the record of a message that is not sent yet, under further conditions; whether it was."""
        statement = sa.update(messages).where(messages.c.key == key, messages.c.state != State.SENT.value, *conditions)
        with self._database.write() as connection:
            return connection.execute(statement.values(**values)).rowcount == 1


def _body(message: Mail | Sms) -> str | None:
    return message.body if isinstance(message, Sms) else None


def _sent(provider_id: str, status: str, now: float) -> dict[str, Any]:
    return {
        "state": State.SENT.value,
        "provider_id": provider_id,
        "status": status,
        "sent": now,
        "claimed_until": 0.0,
    }


def _record(row: sa.Row[Any]) -> Record:
    return Record(
        key=row.key,
        kind=row.kind,
        recipient=row.recipient,
        body=row.body or "",
        state=State(row.state),
        tried=row.tried,
        provider_id=row.provider_id or "",
        status=row.status or "",
    )
