"""The price of an order: the only place that adds money up.

All amounts are whole numbers in the currency's smallest unit, as Stripe defines it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contracts.currencies import LEAST_CHARGES, amount_for_people, charge_step
from contracts.errors import Conflict
from contracts.product_limits import MAX_PRICE

SKU, DISCOUNT, TAX, SHIPPING = "sku", "discount", "tax", "shipping"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an order.

    Attributes:
        kind: ``sku``, ``discount``, ``tax``, ``shipping``, or another word for an adjustment.
        amount: of the whole line; a discount's is negative.
        currency: three lower-case letters.
        description: for the shopper.
        parent: the SKU, the discount code, or the shipping method.
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
    if totals.total > MAX_PRICE:
        raise Conflict(f"An order of {totals.total} is more than one payment can take ({MAX_PRICE}).")
    if totals.total < 0:
        raise Conflict(f"An order of {totals.total} cannot be paid.")


def check_chargeable(totals: Totals, currency: str) -> None:
    """As `check_payable`, and raises Conflict for a total that Stripe does not charge in `currency`: between 0 and its
    least, or, as a tax can make it, no multiple of its step.

    An order of 0 is paid without a charge.
    """
    check_payable(totals)
    step = charge_step(currency)
    if totals.total % step:
        raise Conflict(f"An order of {totals.total} {currency} cannot be charged: that must be a multiple of {step}.")
    least = LEAST_CHARGES.get(currency, 0)
    if 0 < totals.total < least:
        total, needed = amount_for_people(totals.total, currency), amount_for_people(least, currency)
        raise Conflict(f"An order of {total} is too small to be charged: that takes at least {needed}, or nothing.")


def shared(amount: int, weights: Sequence[int]) -> list[int]:
    """Share out `amount` in proportion to `weights`, to the smallest unit: the shares add up to `amount`.

    Each weight gets its exact share rounded down; the units that are left go, one each, to the largest fractions, of
    equal ones to the earlier (the largest remainder method). A negative weight, as that of a discount, gets a share
    of the other sign. The weights' sum must be positive.
    """
    total = sum(weights)
    shares = [amount * weight // total for weight in weights]
    fractions = [amount * weight % total for weight in weights]
    neediest = sorted(range(len(weights)), key=lambda place: -fractions[place])
    for place in neediest[: amount - sum(shares)]:
        shares[place] += 1
    return shares


def one_currency(named: Iterable[str]) -> str:
    """The one currency of an order, in lower case, from those that its lines name. Raises Conflict."""
    currencies = sorted({currency.lower() for currency in named})
    if len(currencies) > 1:
        raise Conflict(f"One order has one currency; this one has {', '.join(currencies)}.")
    return currencies[0]


def _sum(lines: Iterable[Line]) -> int:
    return sum(line.amount for line in lines)
