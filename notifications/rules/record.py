"""The record of one message, and the port to its store."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from contracts.errors import Conflict
from notifications.rules.messages import Mail, Sms


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


def mismatch(record: Record, message: Mail | Sms) -> Conflict | None:
    """Return the error for a key that belongs to another message, or None when it is the same message."""
    kind, recipient = describe(message)
    if (record.kind, record.recipient) == (kind, recipient):
        return None
    return Conflict("This key was used for another message.")


def describe(message: Mail | Sms) -> tuple[str, str]:
    """Return the kind of a message, and its recipient."""
    return ("email", message.to) if isinstance(message, Mail) else ("sms", message.number)
