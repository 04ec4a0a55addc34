"""The kinds of payment methods that Stripe's Payment Element offers.

Source: the account's payment method configuration, https://docs.stripe.com/api/payment_method_configurations/object.
The Element also considers the currency, the amount and the shopper's country.
"""

from __future__ import annotations

import time
from typing import Any

from cart.stripe.payments import StripePayments
from contracts.errors import OutcomeUnknown, ShopError

# How long an answer is used: a page asks at each payment, and a person changes the configuration once in months
# (seconds). After a failure, Stripe is left alone for a while.
KEPT_S = 300.0
PAUSE_S = 10.0


class StripeMethodTypes:
    """`cart.rules.payments.MethodTypes` over Stripe. The last answer is kept in the process, and used as well while
    Stripe does not answer."""

    def __init__(self, payments: StripePayments) -> None:
        self._payments = payments
        self._known: list[str] | None = None
        self._until = 0.0  # monotonic seconds

    def types(self) -> list[str]:
        """See the port."""
        if self._known is None or time.monotonic() >= self._until:
            try:
                self._known = self._read()
                self._until = time.monotonic() + KEPT_S
            except ShopError:
                if self._known is None:
                    raise
                self._until = time.monotonic() + PAUSE_S
        return self._known

    def _read(self) -> list[str]:
        listed = self._payments.asked(lambda client: client.v1.payment_method_configurations.list({"limit": 100}))
        try:
            every = [each.to_dict() for each in listed.data]
            # A platform's configurations for connected accounts are listed, too.
            [default] = [each for each in every if each["is_default"] and not each.get("parent")]
            return sorted(name for name, each in default.items() if _is_on(each))
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise OutcomeUnknown("Stripe's answer cannot be read.", {"retry_after": 2}) from error


def _is_on(each: Any) -> bool:
    """Whether a member of a configuration is a method that is offered."""
    if not isinstance(each, dict) or "display_preference" not in each:
        return False
    return bool(each["available"]) and each["display_preference"]["value"] == "on"
