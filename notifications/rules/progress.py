"""The delivery status of a message after its provider accepted it, in the shop's terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Unwanted(StrEnum):
    """Why a recipient gets no more messages."""

    OPTED_OUT = "opted out"  # the number has sent STOP
    SPAM = "marked as spam"
    UNSUBSCRIBED = "unsubscribed"


class Progress(StrEnum):
    """The delivery status of a message."""

    QUEUED = "queued"  # the provider has accepted it
    SENT = "sent"  # it is on its way
    DELIVERED = "delivered"
    FAILED = "failed"  # it will not be delivered
    BOUNCED = "bounced"  # the mailbox rejected it

    def follows(self, known: Progress | None) -> bool:
        """Whether this is news compared with that. A message only moves forward, but a mail may bounce after it was
        delivered."""
        if known is None:
            return True
        if (known, self) == (Progress.DELIVERED, Progress.BOUNCED):
            return True
        return _STEPS[self] > _STEPS[known]

    @property
    def final(self) -> bool:
        """Whether this status is final."""
        return _STEPS[self] == 2


_STEPS = {Progress.QUEUED: 0, Progress.SENT: 1, Progress.DELIVERED: 2, Progress.FAILED: 2, Progress.BOUNCED: 2}


@dataclass(frozen=True)
class News:
    """A provider's report on a message.

    Attributes:
        progress: its delivery status.
        error: why it was not delivered, or not yet; "" without a reason.
        unwanted: why its recipient wants no more messages, if the report says so.
        at: when it happened (Unix seconds), which orders it with what the recipient said before and after; None when
            the report does not say.
    """

    progress: Progress
    error: str = ""
    unwanted: Unwanted | None = None
    at: float | None = None


# Records what a provider reports on a message: its kind ("email", "sms"), what finds it (its ``key``, its
# ``provider_id``), and the news, if any. Raises NotFound when the message is not recorded, or not yet.
Record = Callable[[str, Mapping[str, str], News | None], None]

# Records that a number wants no more text messages, or wants them again: the number (E.164), whether it wants them, and
# when it said so (Unix seconds).
Wish = Callable[[str, bool, float], None]
