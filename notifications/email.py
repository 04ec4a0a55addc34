"""What the shop needs of a mail carrier, in its own words."""

from __future__ import annotations

from typing import Protocol

from notifications.messages import Mail


class Mailer(Protocol):
    """Who sends mail. `longest_call` is the time in seconds after which any one call has ended."""

    longest_call: float

    def send(self, mail: Mail) -> str:
        """Send a mail, and answer the provider's id of it. There is no way to ask later whether it was sent.

        Raises:
            Refused: the provider will not have it.
            ProviderFailure: it refuses our key, or answers what makes no sense.
            Unavailable: not sent; try again later.
            OutcomeUnknown: it may have been sent.
        """
        ...
