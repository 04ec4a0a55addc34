"""What is known of one message, and where that is kept."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from contracts.errors import Conflict
from notifications.messages import Mail, Sms
from notifications.sms import SentSms


class State(StrEnum):
    """How far a message has come."""

    NEW = "new"  # claimed; nothing sent yet
    BEGAN = "began"  # it is being sent, or its sender died
    UNKNOWN = "unknown"  # it was sent, and the provider did not say
    FAILED = "failed"  # it was not sent
    SENT = "sent"


@dataclass(frozen=True)
class Record:
    """What is known of one message.

    Attributes:
        key: the caller's; kind: "email" or "sms"; recipient: an address or a number.
        body: a text message's words at the last attempt, "" for a mail.
        state: see `State`.
        tried: Unix seconds at which the last attempt began.
        settled: Unix seconds until which one that ended without an answer may still be under way.
        provider_id, status: what the provider said when it took the message.
    """

    key: str
    kind: str
    recipient: str
    body: str
    state: State
    tried: float = 0.0
    settled: float = 0.0
    provider_id: str = ""
    status: str = ""

    @property
    def unresolved(self) -> bool:
        """Whether nobody saw how the last attempt ended."""
        return self.state in (State.BEGAN, State.UNKNOWN)


class Records(Protocol):
    """Where messages are recorded.

    A claim is a random word, taken for this process until a moment: it is void when that is past or the process has
    gone. Once it was taken over, it changes nothing any more.
    """

    def claim(self, message: Mail | Sms, claim: str, now: float, until: float) -> Record | None:
        """Take the message for this claim until then, and answer its record as it stands. One that is sent is answered
        and not taken; None when another claim holds it."""
        ...

    def begin(self, message: Mail | Sms, claim: str, now: float, until: float, uncertain: bool = False) -> bool:
        """Record that it is about to be sent, and renew the claim. False when it was taken over.

        Args:
            uncertain: it may have been sent before, and nobody can say: that is counted.

        Raises Unavailable; the claim is let go of then, and the message must not be sent.
        """
        ...

    def alive(self) -> bool:
        """Whether others still take this process for alive: asked before what no key protects."""
        ...

    def end(self, key: str, claim: str, state: State, settled: float | None = None) -> None:
        """Record how far it came, and let the claim go; soon, when that cannot be written now."""
        ...

    def record(self, key: str, provider_id: str, status: str, now: float, claim: str | None = None) -> None:
        """Record that it is sent: true whoever holds the claim.

        Raises Unavailable; what cannot be written now is written soon, if `claim` holds it still.
        """
        ...

    def adopt(self, sms: Sms, found: list[SentSms], now: float) -> SentSms | None:
        """Record the first of the messages found that no other record holds as this one, and answer it.

        Raises:
            OutcomeUnknown: the same text is being sent to the same number right now; it may be that one.
        """
        ...


def mismatch(record: Record, message: Mail | Sms) -> Conflict | None:
    """The refusal of a key that stands for another message, or None when it is the same one."""
    kind, recipient = describe(message)
    if (record.kind, record.recipient) == (kind, recipient):
        return None
    return Conflict("This key was used for another message.")


def describe(message: Mail | Sms) -> tuple[str, str]:
    """Of what kind a message is, and whom it goes to."""
    return ("email", message.to) if isinstance(message, Mail) else ("sms", message.number)
