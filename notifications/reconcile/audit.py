"""Compares the shop's text messages with the provider's list, page by page, and repairs what is safe to repair.

Mails cannot be compared: SendGrid offers no list of what it sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from chassis.audit import known_page, no_such_part, no_such_repair, unreadable
from chassis.clock import now as clock_now
from chassis.records import SetAside, sorted_out
from contracts.differences import page
from contracts.errors import Conflict, NotFound, ProviderFailure
from notifications.rules.messages import Sms
from notifications.rules.reconcile import RECORD, Kept, Texted, compare_missing, compare_texts, key_of
from notifications.rules.record import State
from notifications.rules.sms import SentSms
from notifications.store.messages import MessageStore
from notifications.store.tables import messages
from notifications.twilio.lists import TwilioLists

PAGE = 200
# How long the repair of one message may hold its record (seconds): two writes.
CLAIM_S = 30.0
_SMS = messages.c.kind == "sms"


class MessageAudit:
    """Compares and repairs.

    Args:
        store: our messages.
        lists: the provider's.
        clock: Unix seconds.
    """

    def __init__(self, store: MessageStore, lists: TwilioLists, clock: Callable[[], float] = clock_now) -> None:
        self._store = store
        self._lists = lists
        self._clock = clock

    def page(
        self, part: str, cursor: str | None, since: float, until: float, ids: Sequence[str] | None
    ) -> dict[str, Any]:
        """Return one page of a part, as `contracts.differences.page`.

        Args:
            part: "texts" (the provider's list) or "sent" (ours).
            cursor: from the previous page; None for the first.
            since, until: limits of the creation time (Unix seconds).
            ids: instead of a page, ask the provider for these messages of ours, by the provider's ids.
        """
        if part == "texts" and ids is None:
            listed, following = self._lists.texts(cursor, since)
            found, aside = sorted_out(listed)
            differences = self._compared(found, until) + unreadable("Twilio", aside)
            seen = [each.sid for each in found] + [each.id for each in aside]
            return page(len(listed), differences, following, seen=seen)
        if part == "texts" and ids is not None:
            asked = {sid: self._lists.one(sid) for sid in ids}
            gone = [sid for sid, text in asked.items() if text is None]
            aside = [text for text in asked.values() if isinstance(text, SetAside)]
            return page(0, compare_missing(self._by_sid(gone).values()) + unreadable("Twilio", aside))
        if part == "sent":
            return self._sent(cursor, since, until)
        raise no_such_part(part)

    def mend(self, fix: dict[str, Any]) -> str:
        """Do what a difference proposed, if it still applies; return one sentence about what was done.

        Raises Conflict (it no longer applies), NotFound, OutcomeUnknown, Unavailable, ProviderFailure.
        """
        if fix.get("do") != RECORD:
            raise no_such_repair()
        text = self._lists.one(str(fix.get("sid")))
        if text is None:
            raise NotFound("Twilio knows of no such message.")
        if isinstance(text, SetAside):
            raise ProviderFailure(f"Twilio's record of the message cannot be read: {text.reason}.")
        sms, now = Sms(str(fix.get("key")), text.to, text.body), self._clock()
        claim = f"reconcile:{text.sid}"
        record = self._store.claim(sms, claim, now, now + CLAIM_S)
        if record is None or record.state is State.SENT:
            raise Conflict("The message is recorded, or being sent, by now.")
        adopted = self._store.adopt(sms, [SentSms(text.sid, text.status)], now)
        if adopted is None:
            self._store.end(sms.key, claim, record.state)
            raise Conflict("The message is recorded as another one by now.")
        return f"recorded message {text.sid}"

    def _sent(self, cursor: str | None, since: float, until: float) -> dict[str, Any]:
        sent = sa.and_(_SMS, messages.c.state == State.SENT.value, messages.c.provider_id.is_not(None))
        wanted = [sent, messages.c.sent >= since, messages.c.sent <= until]
        return known_page(self._store.database, messages.c.key, messages.c.provider_id, wanted, cursor, PAGE)

    def _compared(self, found: list[Texted], until: float) -> list[Any]:
        to = sorted({text.to for text in found})
        keys = sorted({key for text in found if (key := key_of(text.body))})
        here = messages.c.provider_id.in_([text.sid for text in found])
        mine = sa.and_(_SMS, messages.c.recipient.in_(to), sa.or_(here, messages.c.state != State.SENT.value))
        with self._store.database.read() as connection:
            rows = connection.execute(sa.select(messages).where(mine)).all()
            keyed = connection.execute(sa.select(messages).where(_SMS, messages.c.key.in_(keys))).all()
        ours = {row.provider_id: _kept(row) for row in rows if row.provider_id}
        left = [_kept(row) for row in rows if row.state != State.SENT.value]
        unsent: dict[str, Kept] = {}
        for text in found:
            if text.sid in ours:
                continue
            same = next((kept for kept in left if _same(text, kept)), None)
            if same is not None:
                unsent[text.sid] = same
                left.remove(same)  # another text in the same words is another message
        return compare_texts(found, ours, unsent, {row.key: _kept(row) for row in keyed}, until)

    def _by_sid(self, sids: Iterable[str]) -> dict[str, Kept]:
        query = sa.select(messages).where(_SMS, messages.c.provider_id.in_(list(sids)))
        with self._store.database.read() as connection:
            return {row.provider_id: _kept(row) for row in connection.execute(query)}


def _same(text: Texted, kept: Kept) -> bool:
    # Twilio puts a sentence of its own in front of a trial account's messages.
    return kept.to == text.to and bool(kept.body.strip()) and text.body.strip().endswith(kept.body.strip())


def _kept(row: Any) -> Kept:
    return Kept(
        key=row.key,
        to=row.recipient,
        body=row.body or "",
        state=row.state,
        sid=row.provider_id,
        touched=max(row.created, row.tried, row.sent or 0.0),
    )
