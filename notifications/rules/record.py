"""The record of one message, and the port to its store."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from contracts.errors import Conflict
from notifications.rules.messages import Mail, Sms
from notifications.rules.sms import SentSms


class State(StrEnum):
    """The progress of sending a message."""

    NEW = "new"  # claimed; nothing sent yet
    BEGAN = "began"  # it is being sent, or the sender crashed
    UNKNOWN = "unknown"  # it was sent, and the provider's answer is unknown
    FAILED = "failed"  # it was not sent
    SENT = "sent"


@dataclass(frozen=True)
class Record:
    """The record of one message.

    Attributes:
        key: the caller's; kind: "email" or "sms"; recipient: an address or a number.
        body: the text of a text message in the last attempt, "" for a mail.
        state: see `State`.
        tried: Unix seconds at which the last attempt began.
        settled: Unix seconds until which a request that ended without an answer may still be in progress.
        provider_id, status: the provider's answer when it accepted the message.
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
        """Whether the outcome of the last attempt is unknown."""
        return self.state in (State.BEGAN, State.UNKNOWN)


class Records(Protocol):
    """The store of message records.

    A claim is a random token that belongs to this process until a given time. It is void after that time, or when the
    process has died. A claim that was taken over cannot write any more.
    """

    def claim(self, message: Mail | Sms, claim: str, now: float, until: float) -> Record | None:
        """Take the message for this claim until then, and return its current record. The record of a sent message is
        returned without being claimed; None when another claim holds it."""
        ...

    def begin(self, message: Mail | Sms, claim: str, now: float, until: float, uncertain: bool = False) -> bool:
        """Record that the message is about to be sent, and renew the claim. False when the claim was taken over.

        Args:
            uncertain: whether it may have been sent before, with no way to find out; such attempts are counted.

        Raises Unavailable; then the claim is released, and the message must not be sent.
        """
        ...

    def alive(self) -> bool:
        """Whether others still consider this process alive; checked before any action that no key protects."""
        ...

    def end(self, key: str, claim: str, state: State, settled: float | None = None) -> None:
        """Record the progress, and release the claim; if it cannot be written now, the write is deferred."""
        ...

    def record(self, key: str, provider_id: str, status: str, now: float, claim: str | None = None) -> None:
        """Record that it is sent, even if another process holds the claim.

        Raises Unavailable; a write that fails now is deferred, and applies if `claim` still holds the message.
        """
        ...

    def adopt(self, sms: Sms, found: list[SentSms], now: float) -> SentSms | None:
        """Record the first found message that no other record refers to as this one, and return it.

        Raises:
            OutcomeUnknown: the same text is being sent to the same number right now; the found message may be that one.
        """
        ...


def mismatch(record: Record, message: Mail | Sms) -> Conflict | None:
    """Return the error for a key that belongs to another message, or None when it is the same message."""
    kind, recipient = describe(message)
    if (record.kind, record.recipient) == (kind, recipient):
        return None
    return Conflict("This key was used for another message.")


def describe(message: Mail | Sms) -> tuple[str, str]:
    """Return the kind of a message, and its recipient."""
    return ("email", message.to) if isinstance(message, Mail) else ("sms", message.number)
