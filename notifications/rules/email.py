"""The ports to a mail provider, in the shop's terms. See docs/adding-a-provider.md."""

from __future__ import annotations

from typing import Protocol

from contracts.webhooks import WebhookSource
from notifications.rules.messages import Mail
from notifications.rules.progress import Record


class Mailer(Protocol):
    """The system that sends mail. `longest_call` is the time in seconds within which any one call ends."""

    longest_call: float

    def send(self, mail: Mail) -> str:
        """Send a mail, and return the provider's id of it. It is impossible to ask later whether it was sent.

        Raises:
            Refused: the provider rejects it.
            ProviderFailure: its answer is invalid, or, with the fact ``ours``, it rejects our key or our sender.
            Unavailable: not sent; try again later.
            OutcomeUnknown: it may have been sent.
        """
        ...


class MailProvider(Protocol):
    """One provider of mail: a bundle, made of the process's `chassis.settings.Settings`. `mailer` is its client."""

    mailer: Mailer

    def webhooks(self, record: Record) -> WebhookSource:
        """Return the source of its webhooks."""
        ...
