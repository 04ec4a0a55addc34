"""The ports to a provider of text messages, in the shop's terms. See docs/adding-a-provider.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from contracts.webhooks import WebhookSource
from notifications.rules.messages import Sms
from notifications.rules.progress import News, Record, Wish


@dataclass(frozen=True)
class SentSms:
    """A text message that the provider accepted: the provider's id, and its status at that time ("queued")."""

    sid: str
    status: str


class Texter(Protocol):
    """The system that sends text messages. `longest_call` is the time in seconds within which any one call ends, and
    `longest_answer` the time that the provider has to answer it.

    Every method may raise Unavailable (could not be reached, or requests a later retry) and ProviderFailure (an invalid
    answer, or our key or our number is rejected; then with the fact ``ours``).
    """

    longest_call: float
    longest_answer: float

    def send(self, sms: Sms) -> SentSms:
        """Send a text message. Never repeat it without asking `sent` first.

        Raises:
            Refused: the provider rejects it; nothing was sent. The fact ``unwanted`` is set when the number wants no
                more messages.
            OutcomeUnknown: it may have been sent. The fact ``answered`` is true when the provider has finished the
                request, so that `sent` finds the message if it exists.
        """
        ...

    def sent(self, sms: Sms, since: float) -> list[SentSms]:
        """Return the messages with this text that went to this number since then (Unix seconds), the earliest first."""
        ...

    def news(self, sid: str) -> News | None:
        """Return the status of an accepted message; None when the provider does not know it, or gives an unknown
        status."""
        ...


class SmsProvider(Protocol):
    """One provider of text messages: a bundle, made of the process's `chassis.settings.Settings`.

    Attributes:
        texter: the client.
        lists: the messages that the provider has sent, for reconciliation.
    """

    texter: Texter
    lists: Any

    def webhooks(self, record: Record, wish: Wish) -> WebhookSource:
        """Return the source of its webhooks: what became of messages, and what shoppers reply."""
        ...
