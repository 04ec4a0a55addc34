"""Discount codes: what one takes off the goods, and when it applies; and the port to the provider that keeps them.

A percentage is rounded half up to the currency's smallest charged unit, as Stripe rounds on invoices. No discount
exceeds the goods, and shipping is not discounted (Stripe's guide "Coupons and promotion codes").
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from cart.rules.price import DISCOUNT, Line
from contracts.currencies import amount_for_people, charge_step
from contracts.errors import Conflict, NotFound

# All of the goods, in hundredths of a percent: Stripe's percentages have two decimals.
ALL_OFF = 10_000
# What to do about a cart's code that no longer applies.
REMOVE_IT = "Remove it from the cart, and check out again."


@dataclass(frozen=True, slots=True)
class Terms:
    """What an operator decides about a code.

    Attributes:
        code: what the shopper types; capitals make no difference.
        hundredths: hundredths of a percent that it takes off; None when it takes off an amount.
        amount_off: in the smallest unit of `currency`; None when it takes off a percentage.
        currency: of the amounts, in lower case; None for a percentage without a minimum, which fits every currency.
        minimum_amount: the least that the goods must cost, in the smallest unit of `currency`.
        max_redemptions: how many orders it may pay for in all; None for any number.
        expires_at: the first moment when it no longer applies (Unix seconds).
    """

    code: str
    hundredths: int | None = None
    amount_off: int | None = None
    currency: str | None = None
    minimum_amount: int | None = None
    max_redemptions: int | None = None
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class Discount:
    """A code as the provider keeps it, and how often it was redeemed here.

    Attributes:
        id: the provider's; a code can be withdrawn, and made again with another id.
        terms: its terms.
        active: false once it is withdrawn, or when it has terms that the shop cannot keep.
        created: Unix seconds.
        redeemed: how many orders have redeemed it, or are being paid with it.
        terms_id: the provider's record of its terms, which other codes may share; None when it is not known.
    """

    id: str
    terms: Terms
    active: bool
    created: int
    redeemed: int = 0
    terms_id: str | None = None

    @property
    def used_up(self) -> bool:
        """Whether no further order can redeem it."""
        return self.terms.max_redemptions is not None and self.redeemed >= self.terms.max_redemptions

    def expired(self, now: float) -> bool:
        """Whether it no longer applies at `now` (Unix seconds)."""
        return self.terms.expires_at is not None and now >= self.terms.expires_at

    def check(self, now: float) -> None:
        """Raises NotFound when it is withdrawn, Conflict when it is expired or used up.

        Args:
            now: Unix seconds.
        """
        if not self.active and not self.expired(now):
            raise unknown(self.terms.code)
        if self.expired(now):
            raise Conflict(f"The discount code {self.terms.code} has expired.")
        if self.used_up:
            raise used_up(self.terms.code)

    def line(self, subtotal: int, currency: str) -> Line:
        """The order's line for goods of `subtotal` (smallest unit of `currency`); its amount is not positive.

        Raises Conflict for goods of another currency or below the minimum.
        """
        terms = self.terms
        if terms.currency is not None and terms.currency != currency:
            raise Conflict(f"The discount code {terms.code} is for orders in {terms.currency}, not in {currency}.")
        if terms.minimum_amount is not None and subtotal < terms.minimum_amount:
            least = amount_for_people(terms.minimum_amount, currency)
            raise Conflict(f"The discount code {terms.code} is for orders of {least} or more.")
        return Line(DISCOUNT, -taken_off(terms, subtotal, currency), currency, _description(terms), terms.code)


def taken_off(terms: Terms, subtotal: int, currency: str) -> int:
    """How much a code takes off goods of `subtotal`, in the smallest unit of `currency`: from 0 to `subtotal`.

    It is a multiple of the currency's `charge_step`, so that the rest can be charged.
    """
    step = charge_step(currency)
    if terms.hundredths is not None:
        # Half up, in whole numbers: (subtotal * share / step + 1/2) steps.
        off = (2 * subtotal * terms.hundredths + ALL_OFF * step) // (2 * ALL_OFF * step) * step
    else:
        off = (terms.amount_off or 0) // step * step
    return min(off, subtotal)


def hundredths(percent: float) -> int:
    """A percentage in hundredths of a percent. Raises ValueError unless it is 0 to 100, with at most two decimals."""
    exact = Decimal(str(percent)) * 100  # as it was written: 33.33 * 100 is no whole number in binary
    if not 0 <= exact <= ALL_OFF or exact != int(exact):
        raise ValueError(f"{str(percent)[:20]!r} is no percentage with at most two decimals")
    return int(exact)


def folded(code: str) -> str:
    """What two spellings of one code have in common."""
    return code.lower()


def unknown(code: str) -> NotFound:
    """The error for a code that does not exist."""
    return NotFound(f"There is no discount code {code}.")


def used_up(code: str) -> Conflict:
    """The error for a code that was redeemed as often as it may be."""
    return Conflict(f"The discount code {code} is used up.")


def public(discount: Discount, now: float) -> dict[str, Any]:
    """The code as the API shows it. `now`: Unix seconds."""
    terms = discount.terms
    return {
        "id": discount.id,
        "object": "discount",
        "active": discount.active and not discount.expired(now) and not discount.used_up,
        "amount_off": terms.amount_off,
        "code": terms.code,
        "created": discount.created,
        "currency": terms.currency,
        "expires_at": terms.expires_at,
        "max_redemptions": terms.max_redemptions,
        "minimum_amount": terms.minimum_amount,
        "percent_off": None if terms.hundredths is None else _percent(terms.hundredths),
        "times_redeemed": discount.redeemed,
    }


def _description(terms: Terms) -> str:
    if terms.hundredths is None:
        return f"Discount {terms.code}"
    return f"Discount {terms.code} ({_percent(terms.hundredths)} % off)"


def _percent(hundredths: int) -> float:
    return hundredths // 100 if hundredths % 100 == 0 else hundredths / 100


class Discounts(Protocol):
    """A provider that keeps discount codes. All methods raise Unavailable, OutcomeUnknown and ProviderFailure."""

    def create(self, terms: Terms, key: str) -> Discount:
        """Make a code, once per `key`. Also raises Conflict (an active code is spelled like it), Refused."""

    def withdraw(self, discount_id: str) -> None:
        """Make a code unusable, once and for all; one that does not exist is unusable already."""

    def find(self, discount_id: str) -> Discount | None:
        """One code; None when there is none with this id."""

    def page(self, after: str | None) -> tuple[list[Any], str | None]:
        """A page of all codes, each a `Discount` or set aside, and the cursor of the next one; None at the end."""
