"""Tax codes, settings, products with tax codes, and the ledger of taxes, in the sandbox, through Stripe's own SDK."""

from __future__ import annotations

import uuid

from tests.integration.providers.sandbox.process import Sdks
from tests.integration.providers.sandbox.stripe_tax import (
    CLOTHING,
    DIGITAL,
    FOOD,
    SERVICES,
    calculate,
    record,
    refused,
    reverse,
)


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
