"""The currencies that Stripe takes, and the least that can be charged in them."""

from __future__ import annotations

from sandbox.stripe_errors import invalid
from sandbox.stripe_params import Str

CURRENCIES = frozenset(
    """
    usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bif bmd bnd bob brl bsd bwp byn bzd cad cdf chf
    clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl htg huf idr
    ils inr isk jmd jpy kes kgs khr kmf krw kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk
    mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp
    sle sos srd std szl thb tjs top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf xcd xof xpf yer zar zmw
    """.split()  # noqa: SIM905 - a list of names reads better so
)
ZERO_DECIMAL = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"]
)
_LEAST = {
    "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250, "eur": 50, "gbp": 30,
    "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50, "pln": 200,
    "ron": 200, "sek": 300, "sgd": 50, "thb": 1000, "usd": 50,
}  # fmt: skip
MOST = 99_999_999


class Currency(Str):
    """A three-letter currency code, in either case; becomes lowercase."""

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
    """An amount of the smallest unit as people write it ("$0.50")."""
    text = str(amount) if currency in ZERO_DECIMAL else f"{amount / 100:.2f}"
    return f"{'$' if currency == 'usd' else ''}{text}"


def check_chargeable(amount: int, currency: str) -> None:
    """StripeFailure (400) when the amount is too small or too large to be charged."""
    least = _LEAST.get(currency, 50)
    if amount < least:
        raise invalid(f"Amount must be at least {spelled(least, currency)} {currency}", "amount", "amount_too_small")
    if amount > MOST:
        raise invalid(f"Amount must be no more than {spelled(MOST, currency)} {currency}", "amount", "amount_too_large")
