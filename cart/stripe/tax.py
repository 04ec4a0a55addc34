"""The port for taxes over Stripe Tax: calculations, transactions and their reversals.

Stripe has no list of transactions, and none can be found by its reference, which is unique. Source: Stripe's guide
"Collect taxes" and its API reference, `tax/calculations` and `tax/transactions`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from cart.rules.tax import Calculation, Entry, Question
from cart.stripe.payments import StripePayments
from chassis.logs import log
from chassis.providers.stripe_sdk import stripe
from chassis.settings import Settings
from contracts.errors import OutcomeUnknown, ProviderFailure, Refused, Unavailable

PART = "Stripe Tax"
PAGE = 100
# Codes of refusals: Stripe cannot tell what is taxed at the address; the reference has its transaction already.
UNKNOWN_ADDRESS = "customer_tax_location_invalid"
REFERENCE_USED = "resource_already_exists"


class StripeTaxes:
    """The `Taxes` port over Stripe Tax.

    It has connections of its own, so that an outage of Stripe Tax does not open the circuit breaker of payments.

    Args:
        settings: as for `StripePayments`, and where the parcels come from.
    """

    def __init__(self, settings: Settings) -> None:
        self._stripe = StripePayments(settings, PART)
        given = settings.ship_from
        self._from = {
            "line1": given["street1"],
            "postal_code": given["zip"],
            **{name: given[name] for name in ("city", "state", "country")},
        }

    def calculate(self, question: Question) -> Calculation:
        behavior = "inclusive" if question.included else "exclusive"
        lines = [
            {
                "amount": each.amount,
                "quantity": each.quantity,
                "reference": each.sku,
                "tax_behavior": behavior,
                **({} if each.code is None else {"tax_code": each.code}),
            }
            for each in question.goods
        ]
        address = {name: value for name, value in asdict(question.address).items() if value}
        asked: Any = {
            "currency": question.currency,
            "line_items": lines,
            "customer_details": {"address": address, "address_source": "shipping"},
        }
        if question.shipping is not None:
            asked["shipping_cost"] = {"amount": question.shipping, "tax_behavior": behavior}
            asked["ship_from_details"] = {"address": self._from}
        try:
            found = self._stripe.asked_once(lambda client, _: client.v1.tax.calculations.create(asked), None)
        except OutcomeUnknown as error:  # nothing is recorded in any case
            raise Unavailable(f"{PART} did not answer.", {"retry_after": 2}) from error
        except Refused as refused:
            raise _refusal(refused) from refused
        try:
            body = found.to_dict()
            return Calculation(
                id=_text(body["id"]),
                expires_at=_whole(body["expires_at"]),
                added=_whole(body["tax_amount_exclusive"]),
                contained=_whole(body["tax_amount_inclusive"]),
                total=_whole(body["amount_total"]),
            )
        except (KeyError, AttributeError, TypeError, ValueError) as error:
            raise ProviderFailure("The calculated tax cannot be read.") from error

    def record(self, calculation: str, reference: str, key: str) -> str | None:
        asked: Any = {"calculation": calculation, "reference": reference}
        return self._once(
            lambda client, options: client.v1.tax.transactions.create_from_calculation(asked, options), key
        )

    def reverse(self, sale: str, amount: int, reference: str, key: str) -> str | None:
        # Stripe shares it out over the lines, the shipping and their taxes, by what is left of each.
        asked: Any = {
            "mode": "partial",
            "original_transaction": sale,
            "reference": reference,
            "flat_amount": -amount,
        }
        return self._once(lambda client, options: client.v1.tax.transactions.create_reversal(asked, options), key)

    def undo(self, reversal: str, reference: str, key: str) -> str | None:
        asked: Any = {"mode": "full", "original_transaction": reversal, "reference": reference}
        return self._once(lambda client, options: client.v1.tax.transactions.create_reversal(asked, options), key)

    def find(self, entry: str) -> Entry | None:
        asked: Any = {"limit": PAGE}
        try:
            found = self._stripe.asked(lambda client: client.v1.tax.transactions.retrieve(entry)).to_dict()
            lines = self._stripe.asked(
                lambda client: list(client.v1.tax.transactions.line_items.list(entry, asked).auto_paging_iter())
            )
        except Refused as refused:
            if refused.facts.get("code") == "resource_missing":
                return None
            raise
        try:
            parts = [*(line.to_dict() for line in lines), *filter(None, [found.get("shipping_cost")])]
            reversal = found.get("reversal") or {}
            return Entry(
                id=_text(found["id"]),
                reference=_text(found["reference"]),
                amount=sum(_amount(part) for part in parts),
                tax=sum(_whole(part["amount_tax"]) for part in parts),
                reverses=reversal.get("original_transaction"),
            )
        except (KeyError, AttributeError, TypeError, ValueError) as error:
            raise ProviderFailure("Stripe's transaction cannot be read.") from error

    def _once(self, ask: Callable[[stripe.StripeClient, Any], Any], key: str) -> str | None:
        """The id of the transaction that `ask` makes under the idempotency key, or had made."""
        try:
            made = self._stripe.asked_once(ask, key)  # under any other key, the reference prevents a second
        except Refused as refused:
            if refused.facts.get("code") != REFERENCE_USED:
                raise
            log.error("tax transaction of unknown id", key=key)
            return None
        try:
            return _text(made.id)
        except (AttributeError, ValueError) as error:
            raise OutcomeUnknown("Stripe's answer cannot be read.") from error


def _refusal(refused: Refused) -> Refused:
    if refused.facts.get("code") != UNKNOWN_ADDRESS:
        return refused
    return Refused(refused.detail, {"errors": {"address": [refused.detail]}})


def _amount(part: dict[str, Any]) -> int:
    """The amount of a line or of the shipping, with its tax."""
    added = 0 if part["tax_behavior"] == "inclusive" else _whole(part["amount_tax"])
    return _whole(part["amount"]) + added


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{str(value)[:20]!r} is no id")
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{str(value)[:20]!r} is no whole number")
    return value
