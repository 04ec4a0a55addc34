"""How Stripe counts money: its currencies, and the smallest unit of each.

All amounts in the shop, and between it and Stripe, are whole numbers of this unit. The exponents differ from ISO 4217
for isk, ugx and mga. Source: https://docs.stripe.com/currencies.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from typing import Final

_ZERO_DECIMAL: Final = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split()  # noqa: SIM905 - a list of names reads better
)
_THREE_DECIMAL: Final = frozenset(("bhd", "jod", "kwd", "omr", "tnd"))
# Two decimals, except for payouts (huf and twd), which the shop does not make.
_TWO_DECIMAL: Final = frozenset(
    """
    usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd cad cdf chf cny cop crc
    cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg huf idr ils inr isk jmd kes kgs khr kyd
    kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr
    pln qar ron rsd rub sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah ugx uyu uzs wst xcd
    yer zar zmw
    """.split()  # noqa: SIM905 - a list of names reads better
)
CURRENCIES: Final = _ZERO_DECIMAL | _THREE_DECIMAL | _TWO_DECIMAL

# isk and ugx no longer have a fraction, but Stripe's API keeps two decimals, which must be 00. Of three decimals,
# card networks accept only two: the last must be 0.
_CHARGE_STEPS: Final = {"isk": 100, "ugx": 100, **dict.fromkeys(_THREE_DECIMAL, 10)}
# The least that Stripe charges, for the currencies that it lists; for others it depends on the account. Source:
# https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts.
LEAST_CHARGES: Final = {
    "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250, "eur": 50, "gbp": 30,
    "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50, "pln": 200,
    "ron": 200, "sek": 300, "sgd": 50, "thb": 1000, "usd": 50,
}  # fmt: skip
_SYMBOLS: Final = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}

LONGEST_AMOUNT_TEXT: Final = 40
MAX_INTEGER_DIGITS: Final = 15


class UnknownCurrency(ValueError):
    """Stripe has no such currency."""


def currency_code(currency: object) -> str:
    """`currency` as Stripe writes it, in lower case. Raises UnknownCurrency."""
    code = currency.lower() if isinstance(currency, str) and len(currency) == 3 else ""
    if code not in CURRENCIES:
        raise UnknownCurrency(f"Stripe has no currency {str(currency)[:10]!r}")
    return code


def exponent(currency: str) -> int:
    """How many decimals an amount of this currency has in Stripe's API: 0, 2 or 3. Raises UnknownCurrency."""
    code = currency_code(currency)
    return 0 if code in _ZERO_DECIMAL else 3 if code in _THREE_DECIMAL else 2


def charge_step(currency: str) -> int:
    """The divisor of every charged amount, in the smallest unit: 100, 10 or 1. Raises UnknownCurrency."""
    return _CHARGE_STEPS.get(currency_code(currency), 1)


def decimal_text(amount: int, currency: str) -> str:
    """An amount in the smallest unit as a plain decimal number: 346 usd is "3.46". Raises UnknownCurrency."""
    return _decimal(amount, currency, "")


def amount_for_people(amount: int, currency: str) -> str:
    """An amount in the smallest unit as a person reads it: $1,234.50, ¥1,234, 12.50 CHF. Raises UnknownCurrency."""
    code = currency_code(currency)
    sign, number = "-" if amount < 0 else "", _decimal(abs(amount), code, ",")
    return f"{sign}{_SYMBOLS[code]}{number}" if code in _SYMBOLS else f"{sign}{number} {code.upper()}"


def parse_amount(text: str, currency: str, *, rounding: str | None = None, multiple_of: int = 1) -> int:
    """A decimal amount ("3.46") as a whole number of the currency's smallest unit (346).

    Args:
        text: a decimal number, as a provider writes it; may have a sign and an exponent ("1e2").
        rounding: one of decimal's rounding modes, such as ROUND_HALF_UP; None refuses an amount that does not fit.
        multiple_of: the divisor of the result, in the smallest unit; `charge_step` for charged amounts.

    Raises:
        UnknownCurrency: Stripe has no such currency.
        ValueError: `text` is not a number, is out of range, or needs rounding when `rounding` is None.
    """
    decimals = exponent(currency)
    try:
        number = Decimal(text) if len(text) <= LONGEST_AMOUNT_TEXT else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or (number and not -LONGEST_AMOUNT_TEXT < number.adjusted() < MAX_INTEGER_DIGITS):
        raise ValueError(f"{text[:LONGEST_AMOUNT_TEXT]!r} is not an amount")
    with localcontext() as context:
        context.prec = 3 * LONGEST_AMOUNT_TEXT  # exact for every text that passed
        steps = number.scaleb(decimals) / multiple_of
        whole = steps.to_integral_value(rounding=rounding or ROUND_HALF_UP)
        if rounding is None and whole != steps:
            smallest = decimal_text(multiple_of, currency)
            raise ValueError(f"{text!r} is not a multiple of {smallest} {currency.lower()}")
        return int(whole) * multiple_of


def _decimal(amount: int, currency: str, thousands: str) -> str:
    decimals = exponent(currency)
    whole, fraction = divmod(abs(amount), 10**decimals)
    sign = "-" if amount < 0 else ""
    return f"{sign}{whole:{thousands}}" + (f".{fraction:0{decimals}}" if decimals else "")
