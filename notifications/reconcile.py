"""When our text messages and the provider's list of them disagree: rules alone, nothing asked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from contracts.differences import Difference

SENT = "sent"
# What `NotificationsService.mend` can do.
RECORD = "record"

# An order, where a text speaks of one.
_ORDER = re.compile(r"\bor_[0-9A-Za-z]{14,}\b")


@dataclass(frozen=True)
class Texted:
    """A text message, as the provider's list has it.

    Attributes:
        sid: its id; to: the number; body: its words; status: ``queued`` … ``delivered``, ``failed``.
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
    """What we know of a text message.

    Attributes:
        key: its caller's; to, body: whom it goes to, and its words at the last attempt.
        state: how far its sending has come: ``sent``, ``began``, …
        sid: the provider's id of it, once it is sent.
        touched: when something was last done about it (Unix seconds).
    """

    key: str
    to: str
    body: str
    state: str
    sid: str | None = None
    touched: float = 0.0

    def __str__(self) -> str:
        return f"{self.state}{f' ({self.sid})' if self.sid else ''}, key {self.key}"


def masked(number: str) -> str:
    """A number that can be told apart, and not called."""
    return f"…{number[-4:]}"


def order_in(body: str) -> str | None:
    """The order that a text speaks of."""
    found = _ORDER.search(body)
    return found[0] if found else None


def key_of(body: str) -> str | None:
    """The key under which the cart has a paid order texted, made of the order that the text speaks of."""
    order = order_in(body)
    return f"{order}:sms" if order else None


def compare_texts(
    texts: Iterable[Texted],
    ours: Mapping[str, Kept],
    unsent: Mapping[str, Kept],
    by_key: Mapping[str, Kept],
    until: float,
) -> list[Difference]:
    """What a page of the provider's messages and ours say differently.

    Args:
        texts: the page.
        ours: our records of these messages, by the provider's id.
        unsent: for those we have no record of: one of ours to the same number, in the same words, that is not sent as
            far as we know, by the provider's id.
        by_key: our records under the keys that the texts would have (`key_of`), by key.
        until: what is younger (Unix seconds) may still be under way.
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
            # It cannot be called back: all that can be done is to know of it, and to tell of it once only.
            kind, said = ("SMS sent twice", str(other)) if other is not None else ("SMS of nobody", "no such message")
            fix = {"do": RECORD, "sid": text.sid, "key": f"twilio:{text.sid}"}
            found.append(Difference(kind, subject, said, theirs, "take note of it", fix=fix))
    return found


def compare_missing(kept: Iterable[Kept]) -> list[Difference]:
    """What to say of messages that the provider knows nothing of."""
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
