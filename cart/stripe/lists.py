"""Stripe's lists of payments and refunds, page by page, the newest first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cart.rules.reconcile import Listed, Refunded
from cart.stripe.payments import DISCOUNT_CODE, STATES, WITH_CHARGE, StripePayments
from chassis.providers.stripe_sdk import stripe
from chassis.records import SetAside, Unreadable, id_of, read_one
from contracts.currencies import currency_code
from contracts.errors import ProviderFailure, Refused

PAGE = 100


class StripePages:
    """Reads Stripe's lists.

    Args:
        payments: the adapter whose connections and error translation are used here, too.
    """

    def __init__(self, payments: StripePayments) -> None:
        self._payments = payments

    def _page(
        self, ask: Callable[[stripe.StripeClient], Any], kind: str, read: Callable[[Any], Any], after: str | None
    ) -> tuple[Any, str | None]:
        found = self._payments.asked(ask)
        try:
            page = [read_one(kind, each, read) for each in found.data]
            # If the last record of a page has no id, the next page begins with that record again.
            last = next((name for each in reversed(found.data) if (name := id_of(each)) != "?"), None)
            if found.has_more and last in (None, after):
                raise ProviderFailure("Stripe's list cannot be read on: its records have no ids.")
            return page, last if found.has_more else None
        except (KeyError, AttributeError, TypeError, ValueError) as error:
            raise ProviderFailure("Stripe's list cannot be read.") from error

    def _one(self, ask: Callable[[stripe.StripeClient], Any]) -> Any:
        try:
            return self._payments.asked(ask)
        except Refused as refused:
            if refused.facts.get("code") == "resource_missing":
                return None
            raise


class StripeLists(StripePages):
    """Stripe's payments and refunds, whether we know them or not."""

    def payments(self, after: str | None, since: float) -> tuple[list[Listed | SetAside], str | None]:
        """A page of the payments made since then (Unix seconds), and the cursor of the next one; None at the end.

        An unreadable payment is in the page as set aside.

        Raises as the port's `find` does.
        """
        asked: Any = {**bounds(after, since), "expand": [f"data.{name}" for name in WITH_CHARGE]}
        return self._page(lambda client: client.v1.payment_intents.list(asked), "payment at Stripe", _listed, after)

    def refunds(self, after: str | None, since: float) -> tuple[list[Refunded | SetAside], str | None]:
        """A page of the refunds made since then, as `payments`."""
        asked: Any = bounds(after, since)
        return self._page(lambda client: client.v1.refunds.list(asked), "refund at Stripe", _refunded, after)

    def payment(self, payment_id: str) -> Listed | SetAside | None:
        """One payment, or None when Stripe has none with this id."""
        asked: Any = {"expand": WITH_CHARGE}
        found = self._one(lambda client: client.v1.payment_intents.retrieve(payment_id, asked))
        return None if found is None else read_one("payment at Stripe", found, _listed)

    def refund(self, refund_id: str) -> Refunded | SetAside | None:
        """One refund, or None when Stripe has none with this id."""
        found = self._one(lambda client: client.v1.refunds.retrieve(refund_id))
        return None if found is None else read_one("refund at Stripe", found, _refunded)


def bounds(after: str | None, since: float) -> dict[str, Any]:
    asked: dict[str, Any] = {"limit": PAGE}
    if after is not None:
        asked["starting_after"] = after
    if since > 0:
        asked["created"] = {"gte": int(since)}
    return asked


def _listed(payment: Any) -> Listed:
    body = payment.to_dict()
    charge = body.get("latest_charge")
    succeeded, metadata = body["status"] == "succeeded", body.get("metadata") or {}
    return Listed(
        id=body["id"],
        state=STATES[body["status"]],
        amount=whole(body["amount_received"] if succeeded else body["amount"]),
        currency=currency_code(body["currency"]),
        order_id=metadata.get("order_id"),
        refunded=whole(charge["amount_refunded"]) if isinstance(charge, dict) else 0,
        created=float(body["created"]),
        discount=metadata.get(DISCOUNT_CODE),
    )


def _refunded(refund: Any) -> Refunded:
    body = refund.to_dict()
    return Refunded(
        id=body["id"],
        payment=body.get("payment_intent") or "",
        amount=whole(body["amount"]),
        state=str(body["status"]),
        created=float(body["created"]),
    )


def whole(amount: Any) -> int:
    if isinstance(amount, bool) or not isinstance(amount, int):
        raise Unreadable(f"{str(amount)[:20]!r} is no amount")
    return amount
