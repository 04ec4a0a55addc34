"""Calculations of Stripe Tax, in the sandbox, through Stripe's own SDK."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.stripe import tax_rates
from tests.integration.providers.sandbox.process import Sdks
from tests.integration.providers.sandbox.stripe_tax import (
    CLOTHING,
    DAY_S,
    DIGITAL,
    FOOD,
    SEATTLE,
    SERVICES,
    amounts,
    calculate,
    lines_of,
    record,
    refused,
    to,
)


def test_tax_is_added_to_exclusive_and_part_of_inclusive_lines(sdks: Sdks) -> None:
    made = calculate(
        sdks, {"tax_behavior": "inclusive", "reference": "L1"}, {"reference": "L2", "quantity": 3},
        to=to("DE"), currency="eur", shipping_cost={"amount": 500, "tax_behavior": "inclusive"},
    )  # fmt: skip
    assert amounts(made) == [(1000, 160), (1000, 190)]
    assert [(line.reference, line.quantity, line.tax_behavior) for line in lines_of(made)] == [
        ("L1", 1, "inclusive"), ("L2", 3, "exclusive"),
    ]  # fmt: skip
    assert made.shipping_cost is not None
    assert (made.shipping_cost.amount, made.shipping_cost.amount_tax) == (500, 80)
    assert made.shipping_cost.tax_code == "txcd_92010001"
    assert (made.tax_amount_inclusive, made.tax_amount_exclusive, made.amount_total) == (240, 190, 2690)
    inclusive, exclusive = (part.to_dict() for part in made.tax_breakdown)
    assert (inclusive["amount"], inclusive["taxable_amount"], inclusive["inclusive"]) == (240, 1260, True)
    assert exclusive == {
        "amount": 190, "inclusive": False, "taxability_reason": "standard_rated", "taxable_amount": 1000,
        "tax_rate_details": {
            "country": "DE", "flat_amount": None, "percentage_decimal": "19.0", "rate_type": "percentage",
            "state": None, "tax_type": "vat",
        },
    }  # fmt: skip


def test_calculation_shows_what_was_asked(sdks: Sdks) -> None:
    now = int(sdks.get("/sandbox/clock").json()["now"])
    made = calculate(
        sdks, tax_date=now - DAY_S, ship_from_details={"address": to("us", state="CA")},
        customer={"tax_ids": [{"type": "us_ein", "value": "1"}]},
    )  # fmt: skip
    assert made.customer_details.to_dict() == {
        "address": {**SEATTLE, "line2": None}, "address_source": "shipping", "ip_address": None,
        "tax_ids": [{"type": "us_ein", "value": "1"}], "taxability_override": "none",
    }  # fmt: skip
    assert made.ship_from_details is not None
    assert made.ship_from_details.address.country == "US"
    assert made.tax_date == now - DAY_S
    assert made.expires_at is not None
    assert now + 90 * DAY_S <= made.expires_at <= now + 90 * DAY_S + 60
    kept = sdks.stripe.v1.tax.calculations.retrieve(str(made.id), {"expand": ["line_items"]})
    assert kept.to_dict() == made.to_dict()
    bare = sdks.stripe.v1.tax.calculations.retrieve(str(made.id)).to_dict()
    assert "line_items" not in bare


def test_breakdown_of_a_line_is_shown_when_it_is_expanded(sdks: Sdks) -> None:
    made = calculate(
        sdks, shipping_cost={"amount": 100},
        expand=["line_items.data.tax_breakdown", "shipping_cost.tax_breakdown"],
    )  # fmt: skip
    assert made.shipping_cost is not None
    [of_shipping], [of_line] = made.shipping_cost.tax_breakdown or (), lines_of(made)[0].tax_breakdown
    assert of_line.to_dict() == {
        "amount": 65, "sourcing": "destination", "taxability_reason": "standard_rated", "taxable_amount": 1000,
        "jurisdiction": {"country": "US", "display_name": "Washington", "level": "state", "state": "WA"},
        "tax_rate_details": {
            "display_name": "Sales and Use Tax", "percentage_decimal": "6.5", "tax_type": "sales_tax",
        },
    }  # fmt: skip
    assert of_shipping.amount == 7
    listed = sdks.stripe.v1.tax.calculations.line_items
    [bare], [full] = listed.list(str(made.id)).data, listed.list(str(made.id), {"expand": ["data.tax_breakdown"]}).data
    assert "tax_breakdown" not in bare.to_dict()
    assert full.to_dict() == lines_of(made)[0].to_dict()
    assert refused(lambda: calculate(sdks, expand=["line_items.data.product"])) == (None, "expand")


def test_line_items_are_read_page_by_page(sdks: Sdks) -> None:
    made = calculate(sdks, *({"reference": f"L{number}"} for number in range(12)))
    assert made.line_items is not None
    assert (len(made.line_items.data), made.line_items.has_more) == (10, True)
    listed = sdks.stripe.v1.tax.calculations.line_items
    found = [line.reference for line in listed.list(str(made.id), {"limit": 5}).auto_paging_iter()]
    assert found == [f"L{number}" for number in range(12)]
    before = listed.list(str(made.id), {"limit": 2, "ending_before": made.line_items.data[3].id})
    assert ([line.reference for line in before.data], before.has_more) == (["L1", "L2"], True)
    recorded = record(sdks, made)
    lines = sdks.stripe.v1.tax.transactions.line_items.list(recorded.id, {"limit": 100}).data
    assert [line.reference for line in lines] == found
    unknown: Any = {"starting_after": "tax_li_0"}
    assert refused(lambda: listed.list(str(made.id), unknown)) == ("resource_missing", "starting_after")


@pytest.mark.parametrize(
    ("amount", "behavior", "tax"),
    # 6.5 percent: 0.455, 0.52, exactly 6.5 and 19.5; contained in 213: exactly 13.
    [(7, "exclusive", 0), (8, "exclusive", 1), (100, "exclusive", 7), (300, "exclusive", 20), (213, "inclusive", 13),
     (0, "exclusive", 0)],
)  # fmt: skip
def test_tax_is_rounded_half_up(sdks: Sdks, amount: int, behavior: str, tax: int) -> None:
    assert amounts(calculate(sdks, {"amount": amount, "tax_behavior": behavior})) == [(amount, tax)]


def test_tax_is_rounded_per_line(sdks: Sdks) -> None:
    made = calculate(sdks, {"amount": 100}, {"amount": 100})
    assert (amounts(made), made.tax_amount_exclusive) == ([(100, 7), (100, 7)], 14)


@pytest.mark.parametrize(
    ("currency", "amount", "tax"),
    # Sweden's 25 percent in yen, which has no decimals, and in currencies whose charges end in 0.
    [("jpy", 1010, 253), ("isk", 101000, 25250), ("kwd", 1010, 253)],
)
def test_tax_is_rounded_to_the_smallest_unit_of_the_currency(sdks: Sdks, currency: str, amount: int, tax: int) -> None:
    made = calculate(sdks, {"amount": amount}, to=to("SE"), currency=currency.upper())
    assert (made.currency, made.tax_amount_exclusive) == (currency, tax)


@pytest.mark.parametrize(
    ("code", "place", "percent", "reason"),
    [
        (None, to("US", postal_code="95122"), "7.25", "standard_rated"),
        (None, to("US", postal_code="84101-1234"), "6.1", "standard_rated"),
        (None, to("US", postal_code="97204"), "0.0", "not_collecting"),
        (None, to("US", postal_code="00907"), "0.0", "not_supported"),
        (CLOTHING, to("US", postal_code="10001", state="New York"), "0.0", "product_exempt"),
        (CLOTHING, to("US", postal_code="95122"), "7.25", "standard_rated"),
        (FOOD, to("US", postal_code="95122"), "0.0", "product_exempt"),
        (FOOD, to("US", postal_code="37201"), "4.0", "reduced_rated"),
        (SERVICES, to("US", postal_code="96813"), "4.0", "standard_rated"),
        (SERVICES, to("US", postal_code="95122"), "0.0", "product_exempt"),
        (DIGITAL, to("US", postal_code="95122"), "0.0", "product_exempt"),
        (DIGITAL, to("US", postal_code="98104"), "6.5", "standard_rated"),
        ("txcd_92010001", to("US", postal_code="95122"), "0.0", "product_exempt"),
        ("txcd_00000000", to("US", postal_code="95122"), "0.0", "not_subject_to_tax"),
        (None, to("FI"), "25.5", "standard_rated"),
        (FOOD, to("FR"), "5.5", "reduced_rated"),
        (FOOD, to("DK"), "25.0", "standard_rated"),
        (FOOD, to("GB"), "0.0", "zero_rated"),
        (None, to("GB"), "20.0", "standard_rated"),
        (None, to("JP"), "0.0", "not_collecting"),
        (None, to("KP"), "0.0", "not_supported"),
    ],
)
def test_rate_depends_on_place_and_tax_code(
    sdks: Sdks, code: str | None, place: Any, percent: str, reason: str
) -> None:
    made = calculate(sdks, {"tax_code": code} if code else {}, to=place)
    [breakdown] = made.tax_breakdown
    assert (breakdown.tax_rate_details.percentage_decimal, breakdown.taxability_reason) == (percent, reason)
    assert breakdown.amount == made.tax_amount_exclusive == round(float(percent) * 10 + 0.001)


def test_every_state_and_country_has_a_rate() -> None:
    assert len(tax_rates.US_STATES) == 45 + 1
    assert len(tax_rates.VAT) == 27 + 1
    assert set(tax_rates.VAT_FOOD) < set(tax_rates.VAT)
    assert not set(tax_rates.VAT) & tax_rates.UNREGISTERED
    named = (*tax_rates.US_TAXED_SHIPPING, *tax_rates.US_TAXED_SERVICES, *tax_rates.US_UNTAXED_DIGITAL,
             *tax_rates.US_UNTAXED_CLOTHING, *tax_rates.US_FOOD)  # fmt: skip
    assert set(named) <= set(tax_rates.US_STATES)


@pytest.mark.parametrize(
    ("customer", "reason"),
    [
        ({"taxability_override": "customer_exempt"}, "customer_exempt"),
        ({"taxability_override": "reverse_charge"}, "reverse_charge"),
        ({"tax_ids": [{"type": "eu_vat", "value": "FR12345678901"}]}, "reverse_charge"),
        ({"tax_ids": [{"type": "gb_vat", "value": "GB123456789"}]}, "standard_rated"),
    ],
)
def test_exempt_customers_and_businesses_pay_no_tax(sdks: Sdks, customer: Any, reason: str) -> None:
    made = calculate(sdks, {"tax_behavior": "inclusive"}, to=to("FR"), currency="eur", customer=customer)
    assert made.tax_breakdown[0].taxability_reason == reason
    assert made.tax_amount_inclusive == (167 if reason == "standard_rated" else 0)


def test_line_takes_the_tax_code_of_its_product(sdks: Sdks) -> None:
    coded = sdks.stripe.v1.products.create({"name": "Bread", "tax_code": FOOD})
    plain = sdks.stripe.v1.products.create({"name": "Duck"})
    made = calculate(sdks, {"product": coded.id}, {"product": plain.id}, {"product": coded.id, "tax_code": CLOTHING})
    assert [line.tax_code for line in lines_of(made)] == [FOOD, "txcd_99999999", CLOTHING]
    assert [line.product for line in lines_of(made)] == [coded.id, plain.id, coded.id]


@pytest.mark.parametrize(
    ("place", "code", "param"),
    [
        (to("US"), "customer_tax_location_invalid", "customer_details[address]"),
        (to("US", state="CA"), "customer_tax_location_invalid", "customer_details[address]"),
        (to("US", postal_code="9512", state="CA"), "customer_tax_location_invalid", "customer_details[address]"),
        (to("US", postal_code="95122", state="NY"), "customer_tax_location_invalid", "customer_details[address]"),
        (to("US", postal_code="95122", state="Duckburg"), "customer_tax_location_invalid", "customer_details[address]"),
        (to("XX"), None, "customer_details[address][country]"),
        ({"city": "Paris"}, "parameter_missing", "customer_details[address][country]"),
        (to("FR", street="1"), "parameter_unknown", "customer_details[address][street]"),
    ],
)
def test_imprecise_address_is_refused(sdks: Sdks, place: Any, code: str | None, param: str) -> None:
    assert refused(lambda: calculate(sdks, to=place)) == (code, param)


@pytest.mark.parametrize(
    ("more", "code", "param"),
    [
        ({"currency": "xxx"}, None, "currency"),
        ({"currency": None}, "parameter_missing", "currency"),
        ({"customer_details": None}, None, "customer_details"),
        ({"customer_details": {"address_source": "billing"}}, "parameter_missing", "customer_details[address]"),
        (
            {"customer_details": {"address": to("FR")}},
            "parameter_missing",
            "customer_details[address_source]",
        ),
        (
            {"customer_details": {"ip_address": "1.2.3.4"}},
            "customer_tax_location_invalid",
            "customer_details[ip_address]",
        ),
        ({"customer": {"address_source": "home"}}, None, "customer_details[address_source]"),
        ({"line_items": None}, "parameter_missing", "line_items"),
        ({"line_items": [{"reference": "L1"}]}, "parameter_missing", "line_items[0][amount]"),
        ({"line_items": [{"amount": -1}]}, "parameter_invalid_integer", "line_items[0][amount]"),
        ({"line_items": [{"amount": 1, "quantity": 0}]}, "parameter_invalid_integer", "line_items[0][quantity]"),
        ({"line_items": [{"amount": 1, "reference": "L1"}] * 2}, None, "line_items[1][reference]"),
        ({"line_items": [{"amount": 1, "tax_behavior": "free"}]}, None, "line_items[0][tax_behavior]"),
        ({"line_items": [{"amount": 1, "tax_code": "txcd_1"}]}, "resource_missing", "line_items[0][tax_code]"),
        ({"line_items": [{"amount": 1, "product": "prod_0"}]}, "resource_missing", "line_items[0][product]"),
        ({"shipping_cost": {"tax_behavior": "inclusive"}}, "parameter_missing", "shipping_cost[amount]"),
        ({"shipping_cost": {"amount": 1, "tax_code": "txcd_1"}}, "resource_missing", "shipping_cost[tax_code]"),
        ({"shipping_cost": {"shipping_rate": "shr_1"}}, "resource_missing", "shipping_cost[shipping_rate]"),
        ({"ship_from_details": {"address": to("XX")}}, None, "ship_from_details[address][country]"),
        ({"tax_date": 1000}, None, "tax_date"),
    ],
)
def test_bad_calculation_is_refused(sdks: Sdks, more: dict[str, Any], code: str | None, param: str) -> None:
    assert refused(lambda: calculate(sdks, **more)) == (code, param)


def test_unknown_customer_is_refused(sdks: Sdks) -> None:
    asked: Any = {"currency": "usd", "customer": "cus_0", "line_items": [{"amount": 1}]}
    assert refused(lambda: sdks.stripe.v1.tax.calculations.create(asked)) == ("resource_missing", "customer")
