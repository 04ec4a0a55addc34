"""The failures that cross the wire.

Services raise them, and adapters translate an SDK's errors into them; only the gateway knows their HTTP statuses. Any
other error of a service is a bug.

Each is registered with Nameko, so that it keeps its type over any number of hops, and takes only positional, JSON-plain
arguments, because Nameko's error payload carries nothing else.
"""

from __future__ import annotations

from typing import Any

from nameko.exceptions import deserialize_to_instance


class ShopError(Exception):
    """A failure that is reported to the caller.

    Args:
        detail: a sentence for the person who reads the answer.
        facts: details for programs, JSON-plain (for example ``{"errors": {"price": ["..."]}}``).
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

    For a webhook, ``facts["unsigned"]`` means that its signature is wrong.
    """


def wrong_field(field: str, message: str, detail: str = "") -> InvalidRequest:
    """The error for one wrong field; without a `detail`, the message serves as the sentence, too."""
    return InvalidRequest(detail or f"{field}: {message}.", {"errors": {field: [message]}})


def require_number(field: str, value: Any, least: int, most: int) -> None:
    """Raises InvalidRequest naming `field` unless the value is a whole number within these bounds."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        message = f"must be a whole number from {least} to {most}"
        raise wrong_field(field, message, f"The {field} makes no sense.")


@deserialize_to_instance
class PaymentDeclined(ShopError):
    """The card was declined; ``facts`` has ``code`` and, if the bank gave one, ``decline_code``. Nothing is taken."""


@deserialize_to_instance
class PaymentActionRequired(ShopError):
    """The bank wants the shopper to confirm: ``facts`` has ``client_secret`` and ``next_action``. Nothing is taken."""


@deserialize_to_instance
class NotFound(ShopError):
    """It does not exist, or belongs to someone else."""


@deserialize_to_instance
class Conflict(ShopError):
    """The current state forbids it."""


@deserialize_to_instance
class TooManyRequests(ShopError):
    """A rate limit is exhausted; ``facts["retry_after"]``: seconds until a request is accepted again."""


@deserialize_to_instance
class KeyInProgress(Conflict):
    """Another request with the same ``Idempotency-Key`` is in progress; ``facts["retry_after"]``: seconds to wait."""


@deserialize_to_instance
class Refused(ShopError):
    """Well-formed, but the provider does not accept it (an address that no carrier knows).

    ``facts["permanent"]`` is true when the provider will refuse the same request each time (a recipient who sent STOP).
    The adapter that knows the provider's codes sets it; such a request is not retried.
    """

    @property
    def permanent(self) -> bool:
        """Whether retrying is useless."""
        return self.facts.get("permanent") is True


@deserialize_to_instance
class KeyReused(Refused):
    """The ``Idempotency-Key`` belongs to another request; ``facts["errors"]`` names it."""


@deserialize_to_instance
class ProviderFailure(ShopError):
    """A provider's answer makes no sense, or it refused us rather than the request (a wrong key)."""


@deserialize_to_instance
class Unavailable(ShopError):
    """A service or provider cannot be reached and did nothing; ``facts["retry_after"]``: seconds to wait."""


@deserialize_to_instance
class OutcomeUnknown(ShopError):
    """A provider gave no readable answer: the request may have taken effect. Check before repeating it."""


@deserialize_to_instance
class DeadlineExceeded(ShopError):
    """The time allowed for the call ran out; the request expires with it, so it will not start later."""
