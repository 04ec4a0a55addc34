"""The price of an order: the only place that adds money up.

All amounts are whole numbers in the currency's smallest unit, as Stripe defines it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from contracts.errors import Conflict

SKU, TAX, SHIPPING = "sku", "tax", "shipping"

# The largest amount of one PaymentIntent: eight digits (Stripe's API reference, `amount`).
MAX_AMOUNT = 99_999_999


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an order.

    Attributes:
        kind: ``sku``, ``tax``, ``shipping``, or another word for an adjustment, such as ``discount``.
        amount: of the whole line; a discount's is negative.
        currency: three lower-case letters.
        description: for the shopper.
        parent: the SKU, or the shipping method.
        quantity: the number of pieces; None for anything but goods.
    """

    kind: str
    amount: int
    currency: str
    description: str | None = None
    parent: str | None = None
    quantity: int | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """What an order costs, by part."""

    subtotal: int
    adjustments: int
    shipping: int
    tax: int

    @property
    def total(self) -> int:
        """The amount to pay."""
        return self.subtotal + self.adjustments + self.shipping + self.tax


def price(lines: Iterable[Line], adjustments: Iterable[Line], shipping: Line | None, tax: Iterable[Line]) -> Totals:
    """Add up what an order costs.

    Args:
        lines: the goods.
        adjustments: discounts (negative) and fees.
        shipping: the selected shipping method; None before one is selected.
        tax: the taxes that the other lines do not include.
    """
    return Totals(_sum(lines), _sum(adjustments), 0 if shipping is None else shipping.amount, _sum(tax))


def price_lines(lines: Iterable[Line]) -> Totals:
    """Add up the lines of an order by their kind. Of several shipping lines, the last counts."""
    kinds: dict[str, list[Line]] = {SKU: [], TAX: [], SHIPPING: [], "": []}
    for line in lines:
        kinds[line.kind if line.kind in kinds else ""].append(line)
    return price(kinds[SKU], kinds[""], kinds[SHIPPING][-1] if kinds[SHIPPING] else None, kinds[TAX])


def check_payable(totals: Totals) -> None:
    """Raises Conflict unless one payment can take the total."""
    if totals.total > MAX_AMOUNT:
        raise Conflict(f"An order of {totals.total} is more than one payment can take ({MAX_AMOUNT}).")
    if totals.total < 0:
        raise Conflict(f"An order of {totals.total} cannot be paid.")


def one_currency(named: Iterable[str]) -> str:
    """The one currency of an order, in lower case, from those that its lines name. Raises Conflict."""
    currencies = sorted({currency.lower() for currency in named})
    if len(currencies) > 1:
        raise Conflict(f"One order has one currency; this one has {', '.join(currencies)}.")
    return currencies[0]


def _sum(lines: Iterable[Line]) -> int:
    return sum(line.amount for line in lines)
