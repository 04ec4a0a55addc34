"""Stripe Tax in the sandbox, through Stripe's own SDK."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stripe

from sandbox.stripe import tax_rates
from tests.integration.providers.sandbox.process import SandboxProcess, Sdks

DAY_S = 86400
SEATTLE = {"country": "US", "postal_code": "98104", "state": "WA", "city": "Seattle", "line1": "920 5th Ave"}
FOOD, CLOTHING, DIGITAL, SERVICES = "txcd_40040000", "txcd_30011000", "txcd_10000000", "txcd_20030000"


def calculate(sdks: Sdks, *lines: dict[str, Any], to: Any = SEATTLE, **more: Any) -> stripe.tax.Calculation:
    """Calculate the tax on these lines in US dollars, or in the currency of `more`; lines may omit everything."""
    details = {"address": to, "address_source": "shipping", **more.pop("customer", {})}
    asked: Any = {
        "currency": "usd", "line_items": [{"amount": 1000, **line} for line in lines or ({},)],
        "customer_details": details, "expand": ["line_items"], **more,
    }  # fmt: skip
    return sdks.stripe.v1.tax.calculations.create(asked)


def to(country: str, **more: str) -> dict[str, str]:
    return {"country": country, **more}


def record(sdks: Sdks, calculation: stripe.tax.Calculation, reference: str | None = None) -> stripe.tax.Transaction:
    """Record a sale."""
    return sdks.stripe.v1.tax.transactions.create_from_calculation(
        {"calculation": str(calculation.id), "reference": reference or unique(), "expand": ["line_items"]}
    )


def reverse(sdks: Sdks, original: str, mode: str = "full", **more: Any) -> stripe.tax.Transaction:
    asked: Any = {
        "mode": mode, "original_transaction": original, "reference": unique(), "expand": ["line_items"], **more,
    }  # fmt: skip
    return sdks.stripe.v1.tax.transactions.create_reversal(asked)


def part(line: Any, amount: int, amount_tax: int, **more: Any) -> dict[str, Any]:
    """Return a line of a partial reversal."""
    return {
        "original_line_item": line.id, "reference": unique(), "amount": amount, "amount_tax": amount_tax, **more,
    }  # fmt: skip


def unique() -> str:
    return f"tax-{uuid.uuid4().hex[:12]}"


def lines_of(body: Any) -> list[Any]:
    return list(body.line_items.data)


def amounts(body: Any) -> list[tuple[int, int]]:
    return [(line.amount, line.amount_tax) for line in lines_of(body)]


def refused(ask: Callable[[], object]) -> tuple[str | None, str | None]:
    """Return the code and the parameter of Stripe's refusal."""
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        ask()
    assert refusal.value.http_status == 400
    assert refusal.value.error is not None
    assert refusal.value.error.to_dict()["type"] == "invalid_request_error"
    return refusal.value.code, refusal.value.param


# Calculations


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


# Transactions


def test_transaction_records_its_calculation(sdks: Sdks) -> None:
    made = calculate(sdks, {"reference": "L1", "metadata": {"sku": "duck"}}, shipping_cost={"amount": 200})
    reference = unique()
    sold = sdks.stripe.v1.tax.transactions.create_from_calculation(
        {"calculation": str(made.id), "reference": reference, "metadata": {"order": "7"}, "expand": ["line_items"]}
    )
    assert (sold.type, sold.reference, sold.reversal, sold.currency) == ("transaction", reference, None, "usd")
    assert sold.metadata is not None
    assert sold.metadata.to_dict() == {"order": "7"}
    assert sold.customer_details.to_dict() == made.customer_details.to_dict()
    assert sold.created == sold.posted_at >= sold.tax_date == made.tax_date
    [line], [calculated] = lines_of(sold), lines_of(made)
    assert (line.amount, line.amount_tax, line.reference, line.type) == (1000, 65, "L1", "transaction")
    assert line.metadata.to_dict() == {"sku": "duck"}
    assert line.id != calculated.id
    assert sold.shipping_cost is not None
    assert (sold.shipping_cost.amount, sold.shipping_cost.amount_tax) == (200, 13)
    kept = sdks.stripe.v1.tax.transactions.retrieve(sold.id, {"expand": ["line_items"]})
    assert kept.to_dict() == sold.to_dict()


def test_reference_is_used_once_by_sales_and_reversals(sdks: Sdks) -> None:
    made, reference = calculate(sdks), unique()
    sold = record(sdks, made, reference)
    again = ("resource_already_exists", "reference")
    assert refused(lambda: record(sdks, made, reference)) == again
    assert refused(lambda: reverse(sdks, sold.id, reference=reference)) == again
    back = reverse(sdks, sold.id)
    assert refused(lambda: reverse(sdks, sold.id, reference=back.reference)) == again
    assert refused(lambda: record(sdks, made, back.reference)) == again


def test_same_key_replays_the_transaction(sdks: Sdks) -> None:
    made, reference, key = calculate(sdks), unique(), unique()
    asked: Any = {"calculation": str(made.id), "reference": reference}
    service = sdks.stripe.v1.tax.transactions
    first, second = (service.create_from_calculation(asked, {"idempotency_key": key}) for _ in range(2))
    assert first.to_dict() == second.to_dict()
    assert refused(lambda: service.create_from_calculation(asked)) == ("resource_already_exists", "reference")


def test_lost_answer_is_found_under_its_key(sdks: Sdks, fault: Callable[..., Any]) -> None:
    made, reference = calculate(sdks), unique()
    fault("stripe", lose_answer_rate=1, times=1, path="/v1/tax/transactions")
    sold = record(sdks, made, reference)  # the SDK repeats it with the same key
    assert sold.reference == reference
    assert sdks.get("/sandbox/faults/stripe").json()["hits"] == 1


def test_failing_calculation_is_an_api_error(sdks: Sdks, fault: Callable[..., Any]) -> None:
    fault("stripe", error_rate=1, error_status=503, path="/v1/tax/calculations")
    impatient = sdks.stripe_with("sk_sandbox", retries=0)
    asked: Any = {
        "currency": "usd", "line_items": [{"amount": 1}],
        "customer_details": {"address": SEATTLE, "address_source": "shipping"},
    }  # fmt: skip
    with pytest.raises(stripe.APIError):
        impatient.v1.tax.calculations.create(asked)


def test_posted_at_lies_between_tax_date_and_now(sdks: Sdks) -> None:
    now = int(sdks.get("/sandbox/clock").json()["now"])
    made = calculate(sdks, tax_date=now - 2 * DAY_S)
    asked: Any = {"calculation": str(made.id), "reference": unique()}
    service = sdks.stripe.v1.tax.transactions
    for wrong in (now - 3 * DAY_S, now + DAY_S):
        assert refused(lambda at=wrong: service.create_from_calculation({**asked, "posted_at": at})) == (  # type: ignore[misc]
            None, "posted_at",
        )  # fmt: skip
    assert service.create_from_calculation({**asked, "posted_at": now - DAY_S}).posted_at == now - DAY_S


def test_unknown_objects_are_refused(sdks: Sdks) -> None:
    for ask in (
        lambda: sdks.stripe.v1.tax.calculations.retrieve("taxcalc_0"),
        lambda: sdks.stripe.v1.tax.transactions.retrieve("tax_0"),
        lambda: sdks.stripe.v1.tax.calculations.line_items.list("taxcalc_0"),
        lambda: sdks.stripe.v1.tax.transactions.line_items.list("tax_0"),
        lambda: sdks.stripe.v1.tax_codes.retrieve("txcd_1"),
    ):
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            ask()
        assert (refusal.value.http_status, refusal.value.code) == (404, "resource_missing")
    asked: Any = {"calculation": "taxcalc_0", "reference": unique()}
    create = sdks.stripe.v1.tax.transactions.create_from_calculation
    assert refused(lambda: create(asked)) == ("resource_missing", "calculation")
    assert refused(lambda: reverse(sdks, "tax_0")) == ("resource_missing", "original_transaction")


def test_calculation_expires_after_ninety_days_and_outlives_a_restart(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path) as process:
        sdks = Sdks(process.url)
        made = calculate(sdks)
        sold = record(sdks, made, "before")
        process.terminate()
    with SandboxProcess(tmp_path) as process:
        sdks = Sdks(process.url)
        assert sdks.stripe.v1.tax.transactions.retrieve(sold.id).reference == "before"
        sdks.post("/sandbox/clock", json={"advance_seconds": 90 * DAY_S - 120})
        record(sdks, made, "in time")
        sdks.post("/sandbox/clock", json={"advance_seconds": 120})
        assert refused(lambda: record(sdks, made, "late")) == ("resource_missing", "calculation")
        with pytest.raises(stripe.InvalidRequestError) as gone:
            sdks.stripe.v1.tax.calculations.retrieve(str(made.id))
        assert (gone.value.http_status, gone.value.code) == (404, "resource_missing")
        assert amounts(reverse(sdks, sold.id)) == [(-1000, -65)]


# Reversals


def test_full_reversal_takes_everything_back_once(sdks: Sdks) -> None:
    sold = record(sdks, calculate(sdks, {"reference": "L1"}, {"amount": 500}, shipping_cost={"amount": 200}))
    back = reverse(sdks, sold.id, metadata={"refund": "re_1"})
    assert (back.type, amounts(back)) == ("reversal", [(-1000, -65), (-500, -33)])
    assert back.shipping_cost is not None
    assert (back.shipping_cost.amount, back.shipping_cost.amount_tax) == (-200, -13)
    assert back.reversal is not None
    assert back.reversal.original_transaction == sold.id
    assert [line.reversal.original_line_item for line in lines_of(back)] == [line.id for line in lines_of(sold)]
    assert [line.type for line in lines_of(back)] == ["reversal"] * 2
    over = (None, "original_transaction")
    assert refused(lambda: reverse(sdks, sold.id)) == over
    assert refused(lambda: reverse(sdks, sold.id, "partial", flat_amount=-1)) == over


def test_partial_reversal_takes_lines_and_shipping_back(sdks: Sdks) -> None:
    sold = record(sdks, calculate(sdks, {"reference": "L1", "quantity": 2}, {}, shipping_cost={"amount": 200}))
    first, second = lines_of(sold)
    back = reverse(
        sdks, sold.id, "partial", line_items=[part(first, -500, -32, quantity=1, metadata={"a": "b"})],
        shipping_cost={"amount": -100, "amount_tax": -6},
    )  # fmt: skip
    [line] = lines_of(back)
    assert (line.amount, line.amount_tax, line.quantity) == (-500, -32, 1)
    assert line.metadata.to_dict() == {"a": "b"}
    assert line.reversal.original_line_item == first.id
    assert back.shipping_cost is not None
    assert (back.shipping_cost.amount, back.shipping_cost.amount_tax) == (-100, -6)
    rest = reverse(sdks, sold.id, "partial", line_items=[part(first, -500, -33), part(second, -1000, -65)])
    assert rest.shipping_cost is None


@pytest.mark.parametrize(
    ("amount", "amount_tax", "param"), [(-501, -1, "[amount]"), (-1, -34, "[amount_tax]"), (1, -1, "[amount]")]
)
def test_more_than_what_is_left_is_refused(sdks: Sdks, amount: int, amount_tax: int, param: str) -> None:
    sold = record(sdks, calculate(sdks, shipping_cost={"amount": 1000}))
    [line] = lines_of(sold)
    half = {"amount": -500, "amount_tax": -32}
    reverse(sdks, sold.id, "partial", line_items=[part(line, -500, -32)], shipping_cost=half)
    over = {"amount": amount, "amount_tax": amount_tax}
    assert refused(lambda: reverse(sdks, sold.id, "partial", line_items=[part(line, **over)])) == (
        None, f"line_items[0]{param}",
    )  # fmt: skip
    assert refused(lambda: reverse(sdks, sold.id, "partial", shipping_cost=over)) == (None, f"shipping_cost{param}")
    parts = [part(line, -300, 0), part(line, -300, 0)]
    assert refused(lambda: reverse(sdks, sold.id, "partial", line_items=parts)) == (None, "line_items[1][amount]")
    assert sdks.stripe.v1.tax.transactions.retrieve(sold.id)
    reverse(sdks, sold.id, "partial", line_items=[part(line, -500, -33)])


def test_flat_amount_is_shared_in_proportion_to_what_is_left(sdks: Sdks) -> None:
    """Stripe's own example: 10 and 20 dollars with a tax of 10 percent, and a refund of 16.50."""
    ten_percent = {"to": to("IT"), "currency": "eur"}
    lines = ({"tax_code": FOOD}, {"tax_code": FOOD, "amount": 2000})
    sold = record(sdks, calculate(sdks, *lines, **ten_percent))
    assert amounts(sold) == [(1000, 100), (2000, 200)]
    assert amounts(reverse(sdks, sold.id, "partial", flat_amount=-1650)) == [(-500, -50), (-1000, -100)]
    other = record(sdks, calculate(sdks, *lines, **ten_percent))
    reverse(sdks, other.id, "partial", line_items=[part(lines_of(other)[0], -1000, -100)])
    assert amounts(reverse(sdks, other.id, "partial", flat_amount=-1650)) == [(0, 0), (-1500, -150)]
    assert refused(lambda: reverse(sdks, other.id, "partial", flat_amount=-551)) == (None, "flat_amount")
    assert amounts(reverse(sdks, other.id, "partial", flat_amount=-550)) == [(0, 0), (-500, -50)]


def test_flat_amounts_take_exactly_everything_back(sdks: Sdks) -> None:
    made = calculate(
        sdks, {"amount": 333}, {"amount": 1, "tax_behavior": "inclusive"}, {"amount": 777, "tax_behavior": "inclusive"},
        to=to("DE"), currency="eur", shipping_cost={"amount": 499, "tax_behavior": "inclusive"},
    )  # fmt: skip
    sold = record(sdks, made)
    steps = [-1, -7, -100, -333]
    backs = [reverse(sdks, sold.id, "partial", flat_amount=step) for step in (*steps, -made.amount_total - sum(steps))]
    for number, line in enumerate(lines_of(sold)):
        returned = [lines_of(back)[number] for back in backs]
        assert sum(each.amount for each in returned) == -line.amount
        assert sum(each.amount_tax for each in returned) == -line.amount_tax
    assert sold.shipping_cost is not None
    costs = [back.shipping_cost for back in backs if back.shipping_cost]
    assert sum(cost.amount for cost in costs) == -sold.shipping_cost.amount
    assert sum(cost.amount_tax for cost in costs) == -sold.shipping_cost.amount_tax


def test_partial_reversal_can_be_undone(sdks: Sdks) -> None:
    sold = record(sdks, calculate(sdks))
    [line] = lines_of(sold)
    partial = reverse(sdks, sold.id, "partial", line_items=[part(line, -1000, -65)])
    undone = reverse(sdks, partial.id)
    assert amounts(undone) == [(1000, 65)]
    assert undone.reversal is not None
    assert undone.reversal.original_transaction == partial.id
    assert refused(lambda: reverse(sdks, partial.id)) == (None, "original_transaction")
    reverse(sdks, sold.id, "partial", line_items=[part(line, -1000, -65)])
    assert refused(lambda: reverse(sdks, sold.id, "partial", flat_amount=-1)) == (None, "flat_amount")
    assert refused(lambda: reverse(sdks, undone.id, "partial", flat_amount=-1)) == (None, "mode")


def test_full_reversal_can_be_undone(sdks: Sdks) -> None:
    sold = record(sdks, calculate(sdks))
    undone = reverse(sdks, reverse(sdks, sold.id).id)
    assert amounts(undone) == [(1000, 65)]
    assert amounts(reverse(sdks, sold.id)) == [(-1000, -65)]


def test_full_reversal_ignores_partial_ones(sdks: Sdks) -> None:
    sold = record(sdks, calculate(sdks))
    reverse(sdks, sold.id, "partial", flat_amount=-500)
    assert amounts(reverse(sdks, sold.id)) == [(-1000, -65)]


def test_sale_has_at_most_thirty_partial_reversals(sdks: Sdks) -> None:
    sold = record(sdks, calculate(sdks))
    for _ in range(30):
        reverse(sdks, sold.id, "partial", flat_amount=-1)
    assert refused(lambda: reverse(sdks, sold.id, "partial", flat_amount=-1)) == (None, "original_transaction")


@pytest.mark.parametrize(
    ("mode", "more", "code", "param"),
    [
        ("none", {}, None, "mode"),
        ("partial", {}, "parameter_missing", "line_items"),
        ("full", {"flat_amount": -1}, None, "flat_amount"),
        ("partial", {"flat_amount": 1}, None, "flat_amount"),
        (
            "partial",
            {"flat_amount": -1, "shipping_cost": {"amount": 0, "amount_tax": 0}},
            "parameters_exclusive",
            "flat_amount",
        ),
        ("partial", {"shipping_cost": {"amount": 0, "amount_tax": 0}}, None, "shipping_cost"),
        ("partial", {"shipping_cost": {"amount": 0}}, "parameter_missing", "shipping_cost[amount_tax]"),
        (
            "partial",
            {"line_items": [{"original_line_item": "tax_li_0", "reference": "a", "amount": 0, "amount_tax": 0}]},
            "resource_missing",
            "line_items[0][original_line_item]",
        ),
        (
            "partial",
            {"line_items": [{"reference": "a", "amount": 0, "amount_tax": 0}]},
            "parameter_missing",
            "line_items[0][original_line_item]",
        ),
        ("full", {"reference": ""}, "parameter_invalid_empty", "reference"),
    ],
)
def test_bad_reversal_is_refused(sdks: Sdks, mode: str, more: Any, code: str | None, param: str) -> None:
    sold = record(sdks, calculate(sdks))
    assert refused(lambda: reverse(sdks, sold.id, mode, **more)) == (code, param)


def test_lines_of_a_reversal_have_different_references(sdks: Sdks) -> None:
    sold = record(sdks, calculate(sdks, {}, {}))
    parts = [part(line, -1, 0, reference="same") for line in lines_of(sold)]
    assert refused(lambda: reverse(sdks, sold.id, "partial", line_items=parts)) == (None, "line_items[1][reference]")


# Tax codes, settings, products, and the sandbox's own routes


def test_tax_codes_are_listed(sdks: Sdks) -> None:
    codes = {code.id: code.name for code in sdks.stripe.v1.tax_codes.list({"limit": 2}).auto_paging_iter()}
    assert codes["txcd_99999999"] == "General - Tangible Goods"
    assert {DIGITAL, SERVICES, FOOD, CLOTHING, "txcd_92010001", "txcd_00000000"} < set(codes)
    assert sdks.stripe.v1.tax_codes.retrieve(FOOD).name == codes[FOOD]


def test_settings_say_what_is_assumed(sdks: Sdks) -> None:
    found = sdks.stripe.v1.tax.settings.retrieve()
    assert (found.status, found.defaults.tax_code, found.defaults.tax_behavior) == (
        "active", "txcd_99999999", "exclusive",
    )  # fmt: skip
    assert found.head_office is not None
    assert (found.head_office.address.country, found.head_office.address.state) == ("US", "CA")


def test_product_keeps_its_tax_code(sdks: Sdks) -> None:
    made = sdks.stripe.v1.products.create({"name": "Bread", "tax_code": FOOD})
    assert made.tax_code == FOOD
    assert sdks.stripe.v1.products.update(made.id, {"tax_code": CLOTHING}).tax_code == CLOTHING
    assert sdks.stripe.v1.products.retrieve(made.id).tax_code == CLOTHING
    wrong = ("resource_missing", "tax_code")
    assert refused(lambda: sdks.stripe.v1.products.update(made.id, {"tax_code": "txcd_1"})) == wrong
    assert refused(lambda: sdks.stripe.v1.products.create({"name": "Bread", "tax_code": "food"})) == wrong
    assert sdks.stripe.v1.products.update(made.id, {"tax_code": ""}).tax_code is None


def test_ledger_has_the_sales_and_reversals_of_an_order(sdks: Sdks) -> None:
    order = f"or_{uuid.uuid4().hex}"
    sold = record(sdks, calculate(sdks), order)
    reverse(sdks, sold.id, reference=f"{order}-refund")
    record(sdks, calculate(sdks))
    found = sdks.get("/sandbox/ledger", params={"order_id": order, "kind": "taxes"}).json()["taxes"]
    assert [(one["type"], one["reference"]) for one in found] == [
        ("transaction", order), ("reversal", f"{order}-refund"),
    ]  # fmt: skip
    assert [one["line_items"][0]["amount_tax"] for one in found] == [65, -65]


def test_rates_are_published(sdks: Sdks) -> None:
    table = sdks.get("/sandbox/tax").json()
    assert table["us_state_percent"]["CA"] == "7.25"
    assert table["vat_percent"]["HU"] == "27"
