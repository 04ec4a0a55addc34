"""The port to a mail provider, in the shop's terms."""

from __future__ import annotations

from typing import Protocol

from notifications.rules.messages import Mail


class Mailer(Protocol):
    """The system that sends mail. `longest_call` is the time in seconds within which any one call ends."""

    longest_call: float

    def send(self, mail: Mail) -> str:
        """Send a mail, and return the provider's id of it. It is impossible to ask later whether it was sent.

        Raises:
            Refused: the provider rejects it.
            ProviderFailure: the provider rejects our key, or its answer is invalid.
            Unavailable: not sent; try again later.
            OutcomeUnknown: it may have been sent.
        """
        ...
