"""Rules that compare our text messages with the provider's list; they make no requests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from contracts.contacts import masked
from contracts.differences import Difference

SENT = "sent"
# The repairs that `NotificationsService.mend` can do.
RECORD = "record"

# An order's id in the body of a text.
_ORDER = re.compile(r"\bor_[0-9A-Za-z]{14,}\b")


@dataclass(frozen=True)
class Texted:
    """A text message in the provider's list.

    Attributes:
        sid: its id; to: the number; body: its text; status: ``queued`` … ``delivered``, ``failed``.
        created: Unix seconds.
    """

    sid: str
    to: str
    body: str
    status: str
    created: float = 0.0

    def __str__(self) -> str:
        return f"{self.status}, to {masked(self.to)} ({self.sid})"


@dataclass(frozen=True)
class Kept:
    """Our record of a text message.

    Attributes:
        key: its caller's; to, body: the recipient's number, and the text in the last attempt.
        state: the progress of its sending: ``sent``, ``began``, …
        sid: the provider's id of it, once it is sent.
        touched: when it was last changed (Unix seconds).
    """

    key: str
    to: str
    body: str
    state: str
    sid: str | None = None
    touched: float = 0.0

    def __str__(self) -> str:
        return f"{self.state}{f' ({self.sid})' if self.sid else ''}, key {self.key}"


def order_in(body: str) -> str | None:
    """Return the order that a text mentions."""
    found = _ORDER.search(body)
    return found[0] if found else None


def key_of(body: str) -> str | None:
    """Return the key under which the cart sends the text about a paid order, derived from the order that the text
    mentions."""
    order = order_in(body)
    return f"{order}:sms" if order else None


def compare_texts(
    texts: Iterable[Texted],
    ours: Mapping[str, Kept],
    unsent: Mapping[str, Kept],
    by_key: Mapping[str, Kept],
    until: float,
) -> list[Difference]:
    """Return the differences between a page of the provider's messages and ours.

    Args:
        texts: the page.
        ours: our records of these messages, by the provider's id.
        unsent: for messages without a record of ours: one of ours to the same number, with the same text, that our
            records do not show as sent, by the provider's id.
        by_key: our records under the keys that the texts would have (`key_of`), by key.
        until: messages younger than this (Unix seconds) may still be in progress.
    """
    found = []
    for text in texts:
        kept = unsent.get(text.sid)
        if text.sid in ours or text.created > until or (kept is not None and kept.touched > until):
            continue
        theirs, key = f"Twilio says: {text}", key_of(text.body)
        other = by_key.get(key or "")
        if other is not None and other.touched > until:
            continue
        subject = order_in(text.body) or text.sid
        if kept is not None:
            fix = {"do": RECORD, "sid": text.sid, "key": kept.key}
            found.append(Difference("SMS unknown here", subject, str(kept), theirs, "record it", fix=fix))
        elif key is not None and other is None:
            fix = {"do": RECORD, "sid": text.sid, "key": key}
            found.append(Difference("SMS unknown here", subject, "no such message", theirs, "record it", fix=fix))
        else:
            # A sent text cannot be recalled, so the difference is only recorded, and reported once.
            kind, said = ("SMS sent twice", str(other)) if other is not None else ("SMS of nobody", "no such message")
            fix = {"do": RECORD, "sid": text.sid, "key": f"twilio:{text.sid}"}
            found.append(Difference(kind, subject, said, theirs, "take note of it", fix=fix))
    return found


def compare_missing(kept: Iterable[Kept]) -> list[Difference]:
    """Return the differences for messages that the provider does not know."""
    return [
        Difference(
            "SMS unknown at Twilio",
            order_in(each.body) or each.key,
            str(each),
            f"Twilio says: no such message ({each.sid})",
            advice="is this the account that sent it?",
        )
        for each in kept
    ]
