"""The delivery status of a message after its provider accepted it, in the shop's terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum


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
    """A provider's report on a message: its delivery status, and the error, if any ("")."""

    progress: Progress
    error: str = ""


# Records what a provider reports on a message: its kind ("email", "sms"), what finds it (its ``key``, its
# ``provider_id``), and the news, if any. Raises NotFound when the message is not recorded, or not yet.
Record = Callable[[str, Mapping[str, str], News | None], None]
