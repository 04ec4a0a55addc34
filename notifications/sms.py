"""What the shop needs of a carrier of text messages, in its own words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from notifications.messages import Sms


@dataclass(frozen=True)
class SentSms:
    """A text message that the provider took: its id of it, and how far it was then ("queued")."""

    sid: str
    status: str


class Texter(Protocol):
    """Who sends text messages. `longest_call` is the time in seconds after which any one call has ended.

    Every method may raise Unavailable (could not be asked, or asks us to come back) and ProviderFailure (answered what
    makes no sense, or refuses our key or our number).
    """

    longest_call: float

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
