"""The services as a route calls them: `shop.products.get(product_id)`, over the process's one connection.

Every call has a deadline, carries the request's id, and expires with its caller (`chassis.rpc.client`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chassis.settings import Settings
from gateway.shares import SharedClient

NAMES = ("products", "cart", "shipping", "notifications")


class Deadlines:
    """How long each verb may take, in seconds."""

    def __init__(self, settings: Settings) -> None:
        self.usual = settings.rpc_timeout
        self._longer = {
            # These ask carriers for rates, which is slow.
            ("cart", "checkout"): settings.checkout_timeout,
            ("cart", "quote_order"): settings.checkout_timeout,
            # This takes the money, then requests label, email and SMS: four providers, one after the other.
            ("cart", "pay"): settings.pay_timeout,
            # Undoing a payment: the money, the stock, the label.
            ("cart", "cancel"): settings.pay_timeout,
            ("cart", "refund"): settings.pay_timeout,
        }

    @property
    def longest(self) -> float:
        """The longest deadline of any verb."""
        return max(self.usual, *self._longer.values())

    def of(self, service: str, verb: str) -> float:
        """The deadline of ``service.verb``."""
        return self._longer.get((service, verb), self.usual)


@dataclass(frozen=True, slots=True)
class Service:
    """One service; each attribute is a verb, called with the positional, JSON-plain arguments of that verb."""

    _name: str
    _client: SharedClient
    _deadlines: Deadlines
    _context: dict[str, str]
    _notes: dict[str, Any] | None

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            timeout = self._deadlines.of(self._name, verb)
            return self._client.call(self._name, verb, args, None, timeout, self._context, self._notes)

        return call


class Shop:
    """All services, as one request calls them.

    Args:
        context: headers that travel with each call.
        notes: receives what accompanies an answer; None when it is not needed.
    """

    def __init__(
        self, client: SharedClient, deadlines: Deadlines, context: dict[str, str], notes: dict[str, Any] | None = None
    ) -> None:
        self.products, self.cart, self.shipping, self.notifications = (
            Service(name, client, deadlines, context, notes) for name in NAMES
        )
