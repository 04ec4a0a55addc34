"""The table of currencies has Stripe's exponents. Amounts are written and read with them."""

from __future__ import annotations

from decimal import ROUND_HALF_UP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.currencies import (
    CURRENCIES,
    UnknownCurrency,
    amount_for_people,
    charge_step,
    decimal_text,
    exponent,
    parse_amount,
)

AMOUNTS = st.integers(min_value=-(10**12), max_value=10**12)
CODES = st.sampled_from(sorted(CURRENCIES))


@pytest.mark.parametrize(
    ("currency", "decimals", "step"),
    [
        ("usd", 2, 1),
        ("EUR", 2, 1),
        ("jpy", 0, 1),
        ("mga", 0, 1),
        ("isk", 2, 100),
        ("ugx", 2, 100),
        ("huf", 2, 1),
        ("twd", 2, 1),
        ("kwd", 3, 10),
        ("bhd", 3, 10),
    ],
)
def test_exponents_are_stripes(currency: str, decimals: int, step: int) -> None:
    assert (exponent(currency), charge_step(currency)) == (decimals, step)


def test_every_special_currency_is_in_the_table() -> None:
    assert sorted(code for code in CURRENCIES if exponent(code) == 0) == (
        ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"]
    )
    assert sorted(code for code in CURRENCIES if exponent(code) == 3) == ["bhd", "jod", "kwd", "omr", "tnd"]


@given(AMOUNTS, CODES)
def test_written_amount_reads_back_as_itself(amount: int, currency: str) -> None:
    assert parse_amount(decimal_text(amount, currency), currency) == amount


@given(AMOUNTS, CODES)
def test_rounded_amount_is_chargeable_and_near(amount: int, currency: str) -> None:
    step = charge_step(currency)
    read = parse_amount(decimal_text(amount, currency), currency, rounding=ROUND_HALF_UP, multiple_of=step)
    assert read % step == 0
    assert abs(read - amount) * 2 <= step


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [
        (446, "usd", "$4.46"),
        (5, "usd", "$0.05"),
        (123456789, "USD", "$1,234,567.89"),
        (-446, "usd", "-$4.46"),
        (1250, "eur", "€12.50"),
        (500, "gbp", "£5.00"),
        (1234, "jpy", "¥1,234"),
        (1250, "chf", "12.50 CHF"),
        (1234, "kwd", "1.234 KWD"),
        (500000, "isk", "5,000.00 ISK"),
        (500000, "mga", "500,000 MGA"),
    ],
)
def test_people_read_amounts_in_the_usual_form(amount: int, currency: str, written: str) -> None:
    assert amount_for_people(amount, currency) == written


@pytest.mark.parametrize(
    ("text", "currency"),
    [("3.465", "usd"), ("0.5", "jpy"), ("1.2345", "kwd"), ("0.0000000000000000000000000000001", "usd")],
)
def test_amount_that_needs_rounding_is_refused(text: str, currency: str) -> None:
    with pytest.raises(ValueError, match="is not a multiple of"):
        parse_amount(text, currency)


@pytest.mark.parametrize("text", ["", "x", "NaN", "Infinity", "1e999999999", "1e-999999999", "1e15", "9" * 41])
def test_text_that_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount"):
        parse_amount(text, "usd", rounding=ROUND_HALF_UP)


@pytest.mark.parametrize("currency", ["zzz", "", "us", "usdd", "uyi", None, 5])
def test_unknown_currency_is_named(currency: str) -> None:
    for ask in (exponent, charge_step, lambda code: parse_amount("1", code), lambda code: decimal_text(1, code)):
        with pytest.raises(UnknownCurrency, match="Stripe has no currency"):
            ask(currency)
