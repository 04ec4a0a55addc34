"""A shipment's address and shipping methods, and the order and limit of a page of shipments."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from contracts.errors import InvalidRequest, NotFound, Refused
from shipping.rules.shipment import (
    Address,
    Shipment,
    cheapest,
    check_correction,
    currency_code,
    methods,
    page_order,
    public_address,
    same_service,
    smallest_units,
    summed,
)

CHLOE = {
    "name": "Chloe Taylor",
    "line1": "1092 Indian Summer Ct",
    "line2": None,
    "city": "San Jose",
    "state": "CA",
    "postal_code": "95122",
    "country": "US",
    "email": "varvara.malysheva@saritasa.com",
    "phone": None,
}


def rate(object_id: str, amount: str, days: int | None = 5, **more: Any) -> dict[str, Any]:
    """A rate in its public form, with the fields that these rules read."""
    return {
        "object_id": object_id,
        "amount": amount,
        "currency": "USD",
        "amount_local": amount,
        "currency_local": "USD",
        "servicelevel": {"name": f"Service {object_id}", "token": object_id, "terms": ""},
        "provider": "USPS",
        "estimated_days": days,
        **more,
    }


def test_an_address_is_listed_as_the_seed_shows_it() -> None:
    address = Address.parse({**CHLOE, "line2": "Flat 3"}).for_carrier()
    assert address["street2"] == "Flat 3"
    assert public_address(address) == {
        "name": "Chloe Taylor",
        "street1": "1092 Indian Summer Ct",
        "city": "San Jose",
        "state": "CA",
        "zip": "95122",
        "country": "US",
        "phone": None,
        "email": "varvara.malysheva@saritasa.com",
    }


def test_incomplete_address_names_each_wrong_field() -> None:
    with pytest.raises(InvalidRequest) as invalid:
        Address.parse({"name": "  ", "line1": "1 Main St", "city": 5, "country": "US"})
    assert invalid.value.facts["errors"] == {"name": ["required field"], "city": ["must be of string type"]}


def test_rates_become_methods_in_the_carriers_order() -> None:
    offered = methods([rate("express", "21.18", 1), rate("first", "3.46")], "usd", date(2017, 12, 30))
    assert offered == [
        {
            "id": "express",
            "amount": 2118,
            "currency": "usd",
            "description": "Service express",
            "delivery_estimate": {"date": "2017-12-31", "type": "exact"},
        },
        {
            "id": "first",
            "amount": 346,
            "currency": "usd",
            "description": "Service first",
            "delivery_estimate": {"date": "2018-01-04", "type": "exact"},
        },
    ]
    assert cheapest(offered) == "first"


def test_faster_of_two_equal_prices_is_selected() -> None:
    rates = [rate("slow", "3.46", 7), rate("unsaid", "3.46", None), rate("fast", "3.46", 2)]
    offered = methods(rates, "usd", date(2017, 12, 30))
    assert cheapest(offered) == "fast"
    assert offered[1]["delivery_estimate"] is None


def test_foreign_rate_is_offered_only_with_a_local_price() -> None:
    euro = rate("euro", "9.00", currency="EUR", amount_local="10.05")
    pounds = rate("pounds", "9.00", currency="GBP", currency_local="GBP")
    (method,) = methods([euro, pounds], "usd", date(2017, 12, 30))
    assert (method["id"], method["amount"], method["currency"]) == ("euro", 1005, "usd")


@pytest.mark.parametrize(
    ("amount", "currency", "units"),
    [
        ("3.46", "USD", 346),
        ("21.1", "usd", 2110),
        ("0.29", "USD", 29),
        ("5.005", "USD", 501),
        ("500", "JPY", 500),
        ("1.234", "KWD", 1230),
        ("486.46", "ISK", 48600),
        ("4500.5", "MGA", 4501),
        ("1e2", "USD", 10000),
    ],
)
def test_an_amount_is_counted_in_whole_smallest_units(amount: str, currency: str, units: int) -> None:
    assert smallest_units(amount, currency) == units


def test_a_rate_belongs_to_its_shipment() -> None:
    shipment = Shipment("ship", "key", "or_1", 0.0, {}, [], [], [rate("mine", "1.00")], [])
    assert shipment.rate("mine")["amount"] == "1.00"
    with pytest.raises(NotFound):
        shipment.rate("another's")


@pytest.mark.parametrize("currency", ["", "us", "usdd", "12x", "üsd", None, 5])
def test_a_currency_is_three_letters(currency: Any) -> None:
    assert currency_code("usd") == "USD"
    with pytest.raises(InvalidRequest) as invalid:
        currency_code(currency)
    assert list(invalid.value.facts["errors"]) == ["currency"]


def test_a_page_is_ordered_by_a_known_field_and_limited() -> None:
    assert page_order(None, 100) == ("created", True, 100)
    assert page_order("name", 1) == ("name", False, 1)
    assert page_order("-city", 1) == ("city", True, 1)
    for order_by in ("zip", "", "--name", "address", 7):
        with pytest.raises(InvalidRequest) as invalid:
            page_order(order_by, 10)
        assert list(invalid.value.facts["errors"]) == ["order_by"]
    for limit in (0, 101, True, "10", None):
        with pytest.raises(InvalidRequest) as invalid:
            page_order(None, limit)
        assert list(invalid.value.facts["errors"]) == ["limit"]


def test_shipment_knows_its_id_at_each_carrier() -> None:
    def shipment(*rates: dict[str, Any]) -> Shipment:
        return Shipment("s1", "key", "or_1", 0.0, {}, [], [], list(rates), [])

    assert shipment({"shipment": "s1"}, {"shipment": "s1"}, {}).at_carriers() == ["s1"]
    assert shipment({"shipment": "s1"}, {"shipment": "acme~s2"}).at_carriers() == ["s1", "acme~s2"]


TYPED = {"street1": "1092 Indian Summer Strt", "street2": None, "city": "San Jse", "state": "CA", "zip": "95122"}


def test_corrected_address_is_refused_with_the_suggestion() -> None:
    check_correction({**TYPED, "country": "US"}, {})
    with pytest.raises(Refused) as refused:
        check_correction({**TYPED, "country": "US"}, {"city": "San Jose", "zip": "95122-2308"})
    assert refused.value.facts["errors"]["address"].keys() == {"city", "postal_code"}
    assert refused.value.facts["suggestion"] == {
        "line1": "1092 Indian Summer Strt",
        "line2": None,
        "city": "San Jose",
        "state": "CA",
        "postal_code": "95122-2308",
        "country": "US",
    }


def service(name: str, amount: str, days: int | None = 3, **more: Any) -> dict[str, Any]:
    return {
        "object_id": f"{name}-{amount}",
        "provider": "USPS",
        "servicelevel": {"name": name.title(), "token": name},
        "amount": amount,
        "currency": "USD",
        "amount_local": amount,
        "currency_local": "USD",
        "estimated_days": days,
        "attributes": ["CHEAPEST"],
        **more,
    }


def test_rates_of_several_parcels_are_added_up_by_service() -> None:
    small, large = [service("first", "3.46"), service("ground", "5.00")], [service("ground", "9.95", 5, attributes=[])]
    assert summed([(2, small), (1, large)]) == [
        service("ground", "19.95", 5, object_id="ground-5.00", amount_local="19.95", attributes=[])
    ]


def test_rates_of_one_parcel_stay_as_they_are() -> None:
    assert summed([(1, [service("first", "3.46")])]) == [service("first", "3.46")]


def test_rates_in_two_currencies_are_not_added_up() -> None:
    assert summed([(1, [service("first", "3.46")]), (1, [service("first", "3.46", currency="EUR")])]) == []


def test_service_of_two_accounts_is_bought_from_the_chosen_one() -> None:
    level = {"servicelevel": {"name": "Ground", "token": "ground"}}
    dear, cheap = (
        rate("first", "10.00", carrier_account="a", **level),
        rate("second", "8.00", carrier_account="b", **level),
    )
    assert same_service([dear, cheap], dear) == dear
    assert same_service([dear, cheap], cheap) == cheap
    assert same_service([dear, cheap], {**dear, "carrier_account": "c"}) == cheap
    assert same_service([dear], rate("third", "1.00")) is None
