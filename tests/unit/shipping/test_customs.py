"""The customs declaration of a parcel: who needs one, what it says, and which goods need an export filing."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.currencies import decimal_text
from contracts.errors import Refused
from shipping.rules.customs import Filing, check_filing, contents, filing, is_declared

BONE: dict[str, Any] = {
    "quantity": 3,
    "package_dimensions": {"height": 5, "length": 5, "width": 5, "weight": 2.5},
    "description": "Wally bone",
    "price": 50,
    "currency": "usd",
}


def test_each_line_is_declared_with_its_whole_weight_and_value() -> None:
    assert contents([BONE]) == [
        {
            "description": "Wally bone",
            "quantity": 3,
            "net_weight": "7.5",
            "mass_unit": "oz",
            "value_amount": "1.50",
            "value_currency": "USD",
        }
    ]


@pytest.mark.parametrize("missing", ["description", "price", "currency"])
def test_incomplete_line_leaves_everything_undeclared(missing: str) -> None:
    incomplete = {name: value for name, value in BONE.items() if name != missing}
    assert contents([BONE, incomplete]) == []


@pytest.mark.parametrize(
    ("units", "currency", "amount"),
    [(346, "usd", "3.46"), (5, "usd", "0.05"), (500, "jpy", "500"), (1, "kwd", "0.001")],
)
def test_smallest_units_become_a_decimal_amount(units: int, currency: str, amount: str) -> None:
    assert decimal_text(units, currency) == amount


HOME = {"country": "US", "state": "CA", "city": "San Francisco"}
# Where it goes -> whether it is declared, and what the declaration says about its export filing.
DESTINATIONS = {
    ("US", "NY", "New York"): (False, Filing.NONE),
    ("US", "California", "San Jose"): (False, Filing.NONE),
    ("US", "AE", "APO"): (True, Filing.LOW_VALUE),
    ("US", "AP", "FPO"): (True, Filing.LOW_VALUE),
    ("US", "Armed Forces Americas", "Miami"): (True, Filing.LOW_VALUE),
    ("US", "", "DPO"): (True, Filing.LOW_VALUE),
    ("US", "PR", "San Juan"): (True, Filing.LOW_VALUE),
    ("PR", "", "San Juan"): (True, Filing.LOW_VALUE),
    ("US", "VI", "Charlotte Amalie"): (True, Filing.LOW_VALUE),
    ("US", "gu", "Tamuning"): (True, Filing.NONE),
    ("GU", "", "Tamuning"): (True, Filing.NONE),
    ("US", "American Samoa", "Pago Pago"): (True, Filing.NONE),
    ("US", "MP", "Saipan"): (True, Filing.NONE),
    ("US", "PW", "Koror"): (True, Filing.LOW_VALUE),
    ("CA", "ON", "Ottawa"): (True, Filing.CANADA),
    ("DE", "", "Berlin"): (True, Filing.LOW_VALUE),
}


def place(country: str, state: str, city: str) -> dict[str, str]:
    return {"country": country, "state": state, "city": city}


@pytest.mark.parametrize("there", DESTINATIONS, ids=" ".join)
def test_destination_decides_declaration_and_filing(there: tuple[str, str, str]) -> None:
    assert (is_declared(place(*there), HOME), filing(place(*there), HOME)) == DESTINATIONS[there]


def test_shop_abroad_claims_no_american_exemption() -> None:
    berlin = place("DE", "", "Berlin")
    assert is_declared(HOME, berlin)
    assert filing(HOME, berlin) is Filing.NONE


def test_territory_declares_what_it_sends_to_the_states() -> None:
    assert filing(HOME, place("US", "PR", "San Juan")) is Filing.LOW_VALUE


def worth(*dollars: str, currency: str = "USD") -> list[dict[str, str]]:
    return [{"value_amount": each, "value_currency": currency} for each in dollars]


@pytest.mark.parametrize("values", [("2500.01",), ("1500.00", "1000.01")], ids=str)
def test_export_worth_more_than_2500_dollars_is_refused(values: tuple[str, ...]) -> None:
    for there in (("DE", "", "Berlin"), ("US", "PR", "San Juan"), ("US", "AE", "APO")):
        with pytest.raises(Refused, match=r"more than \$2,500"):
            check_filing(place(*there), HOME, worth(*values))


@pytest.mark.parametrize("country", ["CU", "IR", "KP", "sy"])
def test_export_to_an_embargoed_country_is_refused_at_any_value(country: str) -> None:
    for origin in (HOME, place("US", "PR", "San Juan"), place("US", "GU", "Tamuning")):
        for declared in (worth("1.00"), []):
            with pytest.raises(Refused, match=r"758\.1") as refused:
                check_filing(place(country, "", "Capital"), origin, declared)
            assert list(refused.value.facts["errors"]["address"]) == ["country"]


def test_shop_abroad_files_no_american_export() -> None:
    check_filing(place("CU", "", "Havana"), place("CA", "ON", "Ottawa"), worth("1.00"))


@pytest.mark.parametrize("there", [("CA", "ON", "Ottawa"), ("US", "GU", "Tamuning"), ("US", "NY", "New York")], ids=str)
def test_unfiled_destination_takes_any_value(there: tuple[str, str, str]) -> None:
    check_filing(place(*there), HOME, worth("9000.00"))


def test_export_worth_2500_dollars_passes() -> None:
    check_filing(place("DE", "", "Berlin"), HOME, worth("2500.00"))


def test_value_in_another_currency_is_converted_by_a_rate() -> None:
    berlin, rate = place("DE", "", "Berlin"), {"currency": "USD", "amount": "10.00", "currency_local": "EUR"}
    check_filing(berlin, HOME, worth("2400.00", currency="EUR"))
    check_filing(berlin, HOME, worth("2400.00", currency="EUR"), [{**rate, "amount_local": "9.80"}])
    with pytest.raises(Refused):
        check_filing(berlin, HOME, worth("2400.00", currency="EUR"), [{**rate, "amount_local": "9.00"}])


def test_value_is_converted_by_a_rate_in_its_own_currency() -> None:
    rate = {"currency": "EUR", "amount": "9.00", "currency_local": "USD", "amount_local": "10.00"}
    check_filing(place("DE", "", "Berlin"), HOME, worth("2200.00", currency="EUR"), [rate])
    with pytest.raises(Refused, match="more than"):
        check_filing(place("DE", "", "Berlin"), HOME, worth("2400.00", currency="EUR"), [rate])


def test_value_that_nobody_converts_is_not_certified_exempt() -> None:
    rate = {"currency": "USD", "amount": "9.00", "currency_local": "USD", "amount_local": "9.00"}
    with pytest.raises(Refused, match="not known"):
        check_filing(place("DE", "", "Berlin"), HOME, worth("1.00", currency="EUR"), [rate])
