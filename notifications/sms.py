"""What the shop needs of a carrier of text messages, in its own words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from notifications.messages import Sms
from notifications.progress import News


@dataclass(frozen=True)
class SentSms:
    """A text message that the provider took: its id of it, and how far it was then ("queued")."""

    sid: str
    status: str


class Texter(Protocol):
    """Who sends text messages. `longest_call` is the time in seconds after which any one call has ended, and
    `longest_answer` the time that the provider is given to answer it.

    Every method may raise Unavailable (could not be asked, or asks us to come back) and ProviderFailure (answered what
    makes no sense, or refuses our key or our number).
    """

    longest_call: float
    longest_answer: float

    def send(self, sms: Sms) -> SentSms:
        """Send a text message. Never to be repeated without asking `sent` first.

        Raises:
            Refused: the provider will not have it; nothing was sent.
            OutcomeUnknown: it may have been sent; with the fact ``answered`` true when the provider is done with the
                request, so that `sent` knows of the message if there is one.
        """
        ...

    def sent(self, sms: Sms, since: float) -> list[SentSms]:
        """The messages with this text that went to this number since then (Unix seconds), the earliest first."""
        ...

    def news(self, sid: str) -> News | None:
        """What has become of a message that was taken; None when the provider does not know it, or says what nobody
        understands."""
        ...
