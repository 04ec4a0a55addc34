"""How far a message has come after its provider took it, in the shop's words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Progress(StrEnum):
    """How far a message has come."""

    QUEUED = "queued"  # the provider has it
    SENT = "sent"  # it is on its way
    DELIVERED = "delivered"
    FAILED = "failed"  # it will not be delivered
    BOUNCED = "bounced"  # the mailbox refused it

    def follows(self, known: Progress | None) -> bool:
        """Whether this is news to somebody who knows that: a message only goes forward, but a mail may come back after
        it was delivered."""
        if known is None:
            return True
        if (known, self) == (Progress.DELIVERED, Progress.BOUNCED):
            return True
        return _STEPS[self] > _STEPS[known]

    @property
    def final(self) -> bool:
        """Whether nothing more is to be expected."""
        return _STEPS[self] == 2


_STEPS = {Progress.QUEUED: 0, Progress.SENT: 1, Progress.DELIVERED: 2, Progress.FAILED: 2, Progress.BOUNCED: 2}


@dataclass(frozen=True)
class News:
    """What a provider said of a message: how far it has come, and what went wrong where something did ("")."""

    progress: Progress
    error: str = ""
