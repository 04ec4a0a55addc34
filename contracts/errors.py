"""The failures that cross the wire.

A service raises one of these, an adapter translates an SDK's errors into one, the gateway alone knows which HTTP status
each becomes. Anything else that a service raises is a bug.

Each is registered with Nameko, so that it keeps its type over any number of hops, and takes positional, JSON-plain
arguments only, which is what Nameko's error payload can carry.
"""

from __future__ import annotations

from typing import Any

from nameko.exceptions import deserialize_to_instance


class ShopError(Exception):
    """A failure that the caller is told about.

    Args:
        detail: a sentence for the person who reads the answer.
        facts: what a program may want to know, JSON-plain (for example ``{"errors": {"price": ["..."]}}``).
    """

    def __init__(self, detail: str = "", facts: dict[str, Any] | None = None) -> None:
        super().__init__(detail, facts or {})
        self.detail = detail
        self.facts: dict[str, Any] = facts or {}

    def __str__(self) -> str:
        return self.detail


@deserialize_to_instance
class InvalidRequest(ShopError):
    """The request itself is wrong; ``facts["errors"]`` maps each field to its messages.

    For a webhook, ``facts["unsigned"]`` says that its signature is wrong.
    """


@deserialize_to_instance
class PaymentDeclined(ShopError):
    """The card was refused; ``facts`` has ``code`` and, where the bank gave one, ``decline_code``. Nothing is taken."""


@deserialize_to_instance
class PaymentActionRequired(ShopError):
    """The bank wants the shopper to confirm: ``facts`` has ``client_secret`` and ``next_action``. Nothing is taken."""


@deserialize_to_instance
class NotFound(ShopError):
    """There is no such thing, or it is somebody else's."""


@deserialize_to_instance
class Conflict(ShopError):
    """The state forbids it."""


@deserialize_to_instance
class TooManyRequests(ShopError):
    """A rate limit is exhausted; ``facts["retry_after"]``: seconds until a request is accepted again."""


@deserialize_to_instance
class KeyInProgress(Conflict):
    """Another request with the same ``Idempotency-Key`` is at work; ``facts["retry_after"]``: seconds to wait."""


@deserialize_to_instance
class Refused(ShopError):
    """Well-formed, but the provider will not have it (an address that no carrier knows).

    ``facts["permanent"]`` is true when the provider will refuse the same request each time (a recipient who sent STOP).
    The adapter that knows the provider's codes sets it, and nobody retries.
    """

    @property
    def permanent(self) -> bool:
        """Whether retrying is useless."""
        return self.facts.get("permanent") is True


@deserialize_to_instance
class KeyReused(Refused):
    """The ``Idempotency-Key`` stands for another request; ``facts["errors"]`` names it."""


@deserialize_to_instance
class ProviderFailure(ShopError):
    """A provider answered something that makes no sense, or refused us rather than the request (a wrong key)."""


@deserialize_to_instance
class Unavailable(ShopError):
    """A service or provider cannot be reached and did nothing; ``facts["retry_after"]``: seconds to wait."""


@deserialize_to_instance
class OutcomeUnknown(ShopError):
    """A provider was asked and gave no readable answer: it may have happened. Ask before doing it again."""


@deserialize_to_instance
class DeadlineExceeded(ShopError):
    """The time allowed for the call ran out; the request expires with it, so it will not start later."""
