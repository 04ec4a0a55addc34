"""The minimum and maximum that Stripe charges in a currency, and its errors for other amounts."""

from __future__ import annotations

from contracts.currencies import CURRENCIES, LEAST_CHARGES, charge_step, decimal_text
from sandbox.stripe.errors import invalid
from sandbox.stripe.params import Str

MAX_AMOUNT = 99_999_999


class Currency(Str):
    """A three-letter currency code, in either case; converted to lower case."""

    def convert(self, value: object, name: str) -> str:
        code = super().convert(value, name).lower()
        if code not in CURRENCIES:
            raise invalid(
                f"Invalid currency: {code[:10]}. Stripe currently supports these currencies: "
                f"{', '.join(sorted(CURRENCIES))}",
                name,
            )
        return code


def spelled(amount: int, currency: str) -> str:
    """Format an amount in the smallest unit for people ("$0.50")."""
    return f"{'$' if currency == 'usd' else ''}{decimal_text(amount, currency)}"


def check_step(amount: int, currency: str) -> None:
    """Raise StripeFailure (400) for an amount with decimals in a currency whose decimals exist only nominally."""
    step = charge_step(currency)
    if amount % step:
        raise invalid(
            f"Invalid amount. Currency {currency.upper()} has become effectively zero-decimal and charged amounts must "
            f"be evenly divisible by {step}. See https://stripe.com/docs/currencies#special-cases for more information."
            if step == 100
            else f"Invalid amount. Amounts in {currency.upper()} must be evenly divisible by {step}.",
            "amount",
            "invalid_charge_amount_no_decimal_compatible" if step == 100 else "parameter_invalid_integer",
        )


def check_chargeable(amount: int, currency: str) -> None:
    """Raise StripeFailure (400) for an amount that is too small, too large or too finely divided to charge."""
    check_step(amount, currency)
    least = LEAST_CHARGES.get(currency, 50)
    if amount < least:
        raise invalid(f"Amount must be at least {spelled(least, currency)} {currency}", "amount", "amount_too_small")
    if amount > MAX_AMOUNT:
        raise invalid(
            f"Amount must be no more than {spelled(MAX_AMOUNT, currency)} {currency}", "amount", "amount_too_large"
        )
