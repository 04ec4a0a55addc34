"""The record of every message, and the feed of what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from chassis.clock import asked_before
from chassis.db.claims import RELEASED, Claims
from chassis.db.engine import Database
from chassis.db.feed import Feed
from chassis.db.upsert import insert_new
from chassis.work.inbox import Inbox
from contracts.errors import OutcomeUnknown, Unavailable
from notifications.rules.messages import Mail, Sms
from notifications.rules.progress import News, Progress, Unwanted
from notifications.rules.record import Record, State, describe, mismatch
from notifications.rules.sms import SentSms
from notifications.store.suppressions import Suppressions
from notifications.store.tables import messages, news, news_counter

# A text that was not delivered by then is not polled any more (seconds): carriers keep one for hours, and some never
# report that it arrived.
LOST_AFTER_S = 86400.0
# How long the feed keeps an entry (seconds): its reader may be away for that long.
NEWS_KEPT_S = 90 * 86400.0
# How old a message may be whose state is added to the feed later (seconds), and how many are added at once.
CATCH_UP_S = 4 * 86400.0
CAUGHT_UP = 1000
# A message that is not sent yet.
_UNSENT = messages.c.state != State.SENT.value


class MessageStore:
    """The record of every message.

    For its claims see `chassis.db.claims`.

    Args:
        database: the service's.

    Attributes:
        database: the service's, for other data in it.
        inbox: events from Twilio and SendGrid.
        suppressions: the recipients that want no more messages.
        feed: what became of messages: ``[{"seq", "key", "kind", "status", "error", "unwanted", "at"}]``.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._claims = Claims(database, messages)
        self.inbox = Inbox(database)
        self.suppressions = Suppressions(database)
        self.feed = Feed(database, news, news_counter)

    def get(self, key: str) -> Record | None:
        """Return the record of the message under a caller's key, or None."""
        with self.database.read() as connection:
            row = connection.execute(sa.select(messages).where(messages.c.key == key)).one_or_none()
        return _record(row) if row else None

    def unwanted(self, message: Mail | Sms) -> Unwanted | None:
        """Return why a message must not be sent; None when its recipient wants it, and when it was sent before. A text
        that may have been sent is not sent now: Twilio is first asked what became of it. A mail would be sent again."""
        with self.database.read():
            record = self.get(message.key)
            if record is not None and (record.state is State.SENT or (record.unresolved and isinstance(message, Sms))):
                return None
            return self.suppressions.reason(describe(message)[1])

    def claim(self, message: Mail | Sms, claim: str, now: float, until: float) -> Record | None:
        """Take the message for this claim until then, and return its current record. The record of a sent message is
        returned without being claimed; None when another claim holds it.

        Raises Conflict when the key belongs to another message.
        """
        taken, void = self._claims.new(until, claim), self._claims.is_void(now).label("void")
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
        with self.database.write() as connection:
            insert_new(connection, messages, fresh)
            row = connection.execute(sa.select(messages, void).where(this).with_for_update()).one()
            record = _record(row)
            if refusal := mismatch(record, message):
                raise refusal
            if record.state is not State.SENT:
                if row.claim != claim and not row.void:
                    return None
                connection.execute(sa.update(messages).where(this).values(**taken))
        return record

    def begin(self, message: Mail | Sms, claim: str, now: float, until: float, uncertain: bool = False) -> bool:
        """Record that the message is about to be sent, and renew the claim. False when the claim was taken over.

        Args:
            uncertain: whether it may have been sent before, with no way to find out; such attempts are counted.

        Raises Unavailable; then the claim is released, and the message must not be sent.
        """
        values: dict[str, Any] = {"state": State.BEGAN.value, "body": _body(message), "tried": now, "settled": 0.0}
        if uncertain:
            values["uncertain"] = messages.c.uncertain + 1
        try:
            values |= self._claims.new(until, claim)
            with self.database.write() as connection:
                mine = self._claims.update(message.key, claim, _UNSENT)
                return connection.execute(mine.values(**values)).rowcount == 1
        except Unavailable:
            # It will not be sent now. Whether this was written is unknown, so the state stays as it is.
            self._claims.void_later(message.key, claim, _UNSENT)
            raise

    def alive(self) -> bool:
        """Whether others still consider this process alive; checked before any action that no key protects."""
        return self.database.heartbeat.fresh

    def end(self, key: str, claim: str, state: State, settled: float | None = None) -> None:
        """Record the progress, and release the claim; if it cannot be written now, the write is deferred."""
        when = {} if settled is None else {"settled": settled}
        self._claims.release(key, claim, _UNSENT, state=state.value, **when)

    def record(self, key: str, provider_id: str, status: str, now: float, claim: str | None = None) -> None:
        """Record that it is sent, even if another process holds the claim.

        Raises Unavailable; a write that fails now is deferred, and applies if `claim` still holds the message.
        """
        values = _sent(provider_id, status, now)
        try:
            with self.database.write() as connection:
                unsent = sa.update(messages).where(messages.c.key == key, _UNSENT)
                connection.execute(unsent.values(**RELEASED, **values))
        except Unavailable:
            if claim is not None:
                self._claims.release_later(key, claim, _UNSENT, **values)
            raise

    def adopt(self, sms: Sms, found: list[SentSms], now: float) -> SentSms | None:
        """Record the first found message that no other record refers to as this one, and return it.

        Raises:
            OutcomeUnknown: the same text is being sent to the same number right now; the found message may be that one.
        """
        to_same = sa.and_(messages.c.kind == "sms", messages.c.recipient == sms.number)
        sending = sa.and_(to_same, messages.c.body == sms.body, messages.c.key != sms.key)
        sending = sa.and_(sending, messages.c.state == State.BEGAN.value, sa.not_(self._claims.is_void(now)))
        with self.database.write() as connection:
            # A concurrent search for the same text to the same number waits here, so that no two take the same message.
            connection.execute(sa.select(messages.c.key).where(to_same).with_for_update()).all()
            taken = set(connection.scalars(sa.select(messages.c.provider_id).where(to_same)))
            free = [each for each in found if each.sid not in taken]
            if not free:
                return None
            if connection.execute(sa.select(messages.c.key).where(sending).limit(1)).first():
                raise OutcomeUnknown("The same text is being sent to this number right now.", {"retry_after": 2})
            values = _sent(free[0].sid, free[0].status, now)
            connection.execute(sa.update(messages).where(messages.c.key == sms.key).values(**RELEASED, **values))
        return free[0]

    def progressed(self, kind: str, found_by: Mapping[str, str], report: News, now: float) -> bool:
        """Record the delivery status of a message, and whether its recipient wants more; return whether the message
        exists. A final status, and the reason of a delay, become an entry of the feed.

        Args:
            kind: "email" or "sms".
            found_by: its ``key`` or its ``provider_id``. A mail that is found by its key was sent, even if its sender
                did not learn of it; then ``provider_id`` is recorded with it.
            report: the provider's; an outdated one changes nothing.
            now: Unix seconds.
        """
        by = "key" if "key" in found_by else "provider_id"
        this = sa.and_(messages.c.kind == kind, messages.c[by] == found_by[by])
        with self.database.write() as connection:
            row = connection.execute(sa.select(messages).where(this).with_for_update()).first()
            if row is None:
                return False
            values: dict[str, Any] = {}
            if row.state != State.SENT.value and "provider_id" in found_by:
                values |= RELEASED | _sent(found_by["provider_id"], "accepted", now)
            known = Progress(row.progress) if row.progress else None
            delayed = report.progress is known and not known.final and report.error not in ("", row.error)
            is_news = report.progress.follows(known) or delayed
            if is_news:
                values |= {"progress": report.progress.value, "progressed": now, "error": report.error or None}
                if report.progress.final:
                    values["polled"] = None
            if values:
                connection.execute(sa.update(messages).where(messages.c.key == row.key).values(**values))
            if report.unwanted is not None:
                self.suppressions.record(row.recipient, report.unwanted, now if report.at is None else report.at)
            if is_news and (report.progress.final or report.error):
                unwanted = report.unwanted is not None
                entry = {"key": row.key, "kind": kind, "status": report.progress.value, "error": report.error or None}
                self.feed.add(connection, **entry, unwanted=unwanted, at=now)
        return True

    def catch_up(self, now: float) -> int:
        """Add the final states of the last days that are missing in the feed, because a copy of the previous release
        recorded them; returns how many. `now`: Unix seconds."""
        known = sa.exists().where(news.c.key == messages.c.key, news.c.status == messages.c.progress)
        final = messages.c.progress.in_([each.value for each in Progress if each.final])
        recent = sa.and_(messages.c.created > now - CATCH_UP_S, messages.c.progressed.is_not(None))
        missing = (
            sa.select(messages.c.key).where(final, recent, ~known).order_by(messages.c.progressed).limit(CAUGHT_UP)
        )
        with self.database.write() as connection:
            keys = list(connection.scalars(missing.with_for_update(of=messages)))
            # While this copy waited for the locks, another may have added them.
            still = sa.select(messages).where(messages.c.key.in_(keys), ~known).order_by(messages.c.progressed)
            rows = connection.execute(still).all()
            for row in rows:
                entry = {"key": row.key, "kind": row.kind, "status": row.progress, "error": row.error}
                self.feed.add(connection, **entry, unwanted=False, at=row.progressed)
        return len(rows)

    def forget_news(self, now: float) -> None:
        """Delete entries of the feed that are old enough. `now`: Unix seconds."""
        with self.database.write() as connection:
            connection.execute(sa.delete(news).where(news.c.at < now - NEWS_KEPT_S))

    def listed(self, progress: str | None, limit: int) -> list[dict[str, Any]]:
        """Return messages, the newest first: all, or those with that status. See `NotificationsService.messages`."""
        query = sa.select(messages).order_by(messages.c.created.desc(), messages.c.key).limit(limit)
        if progress is not None:
            query = query.where(messages.c.progress == progress)
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        named = ("key", "kind", "recipient", "state", "provider_id", "error", "uncertain", "created", "sent")
        return [{**{name: getattr(row, name) for name in named}, "status": row.progress} for row in rows]

    def due(self, now: float, every: float, limit: int) -> list[str]:
        """Claim text messages that Twilio was not asked about for this many seconds, the longest first; return their
        SIDs.

        Each is claimed by one caller, and is due again the same number of seconds later.
        """
        due = (
            sa.select(messages.c.key)
            .where(asked_before(messages.c.polled, now, every))
            .order_by(messages.c.polled)
            .limit(limit)
        )
        with self.database.read() as connection:
            if connection.execute(due).first() is None:  # usually nothing is due, and this check takes no lock
                return []
        with self.database.write() as connection:
            these = messages.c.key.in_(list(connection.execute(due.with_for_update(skip_locked=True)).scalars()))
            polled = sa.case((messages.c.sent < now - LOST_AFTER_S, sa.null()), else_=now)
            connection.execute(sa.update(messages).where(these).values(polled=polled))
            return list(connection.execute(sa.select(messages.c.provider_id).where(these)).scalars())

    def put_back(self, sids: list[str]) -> None:
        """Mark text messages as due again that were claimed but not asked about, because Twilio did not answer."""
        these = sa.and_(messages.c.provider_id.in_(sids), messages.c.polled.is_not(None))
        with self.database.write() as connection:
            connection.execute(sa.update(messages).where(these).values(polled=0.0))


def _body(message: Mail | Sms) -> str | None:
    return message.body if isinstance(message, Sms) else None


def _sent(provider_id: str, status: str, now: float) -> dict[str, Any]:
    return {
        "state": State.SENT.value,
        "provider_id": provider_id,
        "status": status,
        "sent": now,
        "progress": sa.func.coalesce(messages.c.progress, Progress.QUEUED.value),
        # SendGrid cannot be asked about mails.
        "polled": sa.case((sa.and_(messages.c.kind == "sms", messages.c.progress.is_(None)), now), else_=sa.null()),
    }


def _record(row: sa.Row[Any]) -> Record:
    values = {name: getattr(row, name) for name in Record.__dataclass_fields__}
    texts = {name: values[name] or "" for name in ("body", "provider_id", "status")}
    return Record(**{**values, **texts, "state": State(row.state)})
