"""Stripe's lists of payments and refunds, page by page, the newest first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import stripe

from cart.reconcile import Listed, Refunded
from cart.stripe_payments import STATES, StripePayments
from contracts.errors import ProviderFailure, Refused

PAGE = 100
# Where what is asked for by its id has more to it than the id.
_WITH_CHARGE = ["latest_charge"]


class StripeLists:
    """What Stripe has, whether we know of it or not.

    Args:
        payments: the adapter whose connections and failures these are, too.
    """

    def __init__(self, payments: StripePayments) -> None:
        self._payments = payments

    def payments(self, after: str | None, since: float) -> tuple[list[Listed], str | None]:
        """A page of the payments made since then (Unix seconds), and where the next one begins; None at the end.

        Raises as the port's `find` does.
        """
        asked: Any = {**_bounds(after, since), "expand": [f"data.{name}" for name in _WITH_CHARGE]}
        return self._page(lambda client: client.v1.payment_intents.list(asked), _listed)

    def refunds(self, after: str | None, since: float) -> tuple[list[Refunded], str | None]:
        """A page of the refunds made since then, as `payments`."""
        asked: Any = _bounds(after, since)
        return self._page(lambda client: client.v1.refunds.list(asked), _refunded)

    def payment(self, payment_id: str) -> Listed | None:
        """One payment, or None when Stripe knows of none."""
        asked: Any = {"expand": _WITH_CHARGE}
        return self._one(lambda client: client.v1.payment_intents.retrieve(payment_id, asked), _listed)

    def refund(self, refund_id: str) -> Refunded | None:
        """One refund, or None when Stripe knows of none."""
        return self._one(lambda client: client.v1.refunds.retrieve(refund_id), _refunded)

    def _page(self, ask: Callable[[stripe.StripeClient], Any], read: Callable[[Any], Any]) -> tuple[Any, str | None]:
        found = self._payments.asked(ask)
        try:
            page = [read(each.to_dict()) for each in found.data]
            return page, page[-1].id if found.has_more and page else None
        except (KeyError, AttributeError, TypeError, ValueError) as error:
            raise ProviderFailure("Stripe's list cannot be read.") from error

    def _one(self, ask: Callable[[stripe.StripeClient], Any], read: Callable[[Any], Any]) -> Any:
        try:
            return read(self._payments.asked(ask).to_dict())
        except Refused as refused:
            if refused.facts.get("code") == "resource_missing":
                return None
            raise
        except (KeyError, AttributeError, TypeError, ValueError) as error:
            raise ProviderFailure("Stripe's answer cannot be read.") from error


def _bounds(after: str | None, since: float) -> dict[str, Any]:
    asked: dict[str, Any] = {"limit": PAGE}
    if after is not None:
        asked["starting_after"] = after
    if since > 0:
        asked["created"] = {"gte": int(since)}
    return asked


def _listed(body: dict[str, Any]) -> Listed:
    charge = body.get("latest_charge")
    succeeded = body["status"] == "succeeded"
    return Listed(
        id=body["id"],
        state=STATES[body["status"]],
        amount=body["amount_received"] if succeeded else body["amount"],
        currency=body["currency"],
        order_id=(body.get("metadata") or {}).get("order_id"),
        refunded=charge["amount_refunded"] if isinstance(charge, dict) else 0,
        created=float(body["created"]),
    )


def _refunded(body: dict[str, Any]) -> Refunded:
    return Refunded(
        id=body["id"],
        payment=body.get("payment_intent") or "",
        amount=body["amount"],
        state=body["status"],
        created=float(body["created"]),
    )
