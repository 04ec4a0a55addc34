"""Fields and parameters of Stripe's that the shop does not use, as `bench conformance` compares them."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.integration.providers.sandbox.gateways import ALL_EVENTS, Gateway, until
from tests.integration.providers.sandbox.process import Sdks

CLOTHES, FOOD = "txcd_30011000", "txcd_40040000"
OPEN: dict[str, Any] = {
    "amount": 2000, "currency": "usd",
    "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
}  # fmt: skip
PAID: dict[str, Any] = {**OPEN, "confirm": True, "payment_method": "pm_card_visa"}
ADDRESS = {"line1": "1 Way", "city": "San Jose", "state": "CA", "postal_code": "95122", "country": "US"}


def test_tax_details_and_tax_code_of_a_product_agree(sdks: Sdks) -> None:
    products = sdks.stripe.v1.products
    asked: Any = {"name": "Coat", "tax_details": {"tax_code": CLOTHES}}
    made = products.create(asked).to_dict()
    assert (made["tax_code"], made["tax_details"]["tax_code"]) == (CLOTHES, CLOTHES)

    changed = products.update(made["id"], {"tax_code": FOOD}).to_dict()
    assert changed["tax_details"] == {"performance_location": None, "tax_code": FOOD}
    unset: Any = {"tax_details": ""}
    emptied = products.update(made["id"], unset).to_dict()
    assert (emptied["tax_code"], emptied["tax_details"]) == (None, None)


@pytest.mark.parametrize(
    ("details", "code", "param"),
    [
        ({"tax_code": "txcd_unknown"}, "resource_missing", "tax_details[tax_code]"),
        ({"performance_location": "taxloc_1"}, "resource_missing", "tax_details[performance_location]"),
        ({"tax_code": FOOD}, "parameters_exclusive", "tax_code"),
    ],
)
def test_unusable_tax_details_are_refused(sdks: Sdks, details: Any, code: str, param: str) -> None:
    asked: Any = {
        "name": "Coat",
        "tax_details": details,
        **({"tax_code": CLOTHES} if details == {"tax_code": FOOD} else {}),
    }
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sdks.stripe.v1.products.create(asked)
    assert (refused.value.code, refused.value.param) == (code, param)


@pytest.mark.parametrize("name", ["customer", "customer_account", "on_behalf_of", "payment_method_configuration"])
def test_payment_for_an_unknown_party_is_refused(sdks: Sdks, name: str) -> None:
    asked: Any = {**OPEN, name: "unknown"}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sdks.stripe.v1.payment_intents.create(asked)
    assert (refused.value.code, refused.value.param) == ("resource_missing", name)


def test_payment_keeps_what_is_asked_of_its_method(sdks: Sdks) -> None:
    asked: Any = {**OPEN, "setup_future_usage": "off_session", "excluded_payment_method_types": ["klarna"]}
    intent = sdks.stripe.v1.payment_intents.create(asked)
    assert (intent.setup_future_usage, intent.excluded_payment_method_types) == ("off_session", ["klarna"])

    unset: Any = {"setup_future_usage": ""}
    assert sdks.stripe.v1.payment_intents.update(intent.id, unset).setup_future_usage is None


def test_capture_sets_the_statement_descriptor(sdks: Sdks) -> None:
    intent = sdks.stripe.v1.payment_intents.create({**PAID, "capture_method": "manual"})
    captured = sdks.stripe.v1.payment_intents.capture(intent.id, {"statement_descriptor_suffix": "BONE"})
    assert captured.statement_descriptor_suffix == "BONE"


def test_charge_takes_a_fraud_report_shipping_and_group(sdks: Sdks) -> None:
    intent = sdks.stripe.v1.payment_intents.create(PAID)
    asked: Any = {
        "fraud_details": {"user_report": "safe"},
        "shipping": {"name": "Chloe", "address": ADDRESS},
        "transfer_group": f"group {intent.id}",
    }
    charge = sdks.stripe.v1.charges.update(str(intent.latest_charge), asked).to_dict()

    assert charge["fraud_details"] == {"user_report": "safe"}
    assert (charge["shipping"]["name"], charge["shipping"]["address"]["city"]) == ("Chloe", "San Jose")
    listed = sdks.stripe.v1.charges.list({"transfer_group": f"group {intent.id}"})
    assert [each.id for each in listed.data] == [charge["id"]]


def test_refund_keeps_its_instructions_email(sdks: Sdks) -> None:
    intent = sdks.stripe.v1.payment_intents.create(PAID)
    asked: Any = {"payment_intent": intent.id, "instructions_email": "chloe@example.com"}
    assert sdks.stripe.v1.refunds.create(asked).to_dict()["instructions_email"] == "chloe@example.com"


def test_applies_to_of_a_coupon_is_there_only_if_expanded(sdks: Sdks) -> None:
    product = sdks.stripe.v1.products.create({"name": "Bone"}).id
    asked: Any = {"percent_off": 5, "applies_to": {"products": [product]}}
    coupon = sdks.stripe.v1.coupons.create(asked)
    assert "applies_to" not in coupon.to_dict()
    promotion: Any = {"promotion": {"type": "coupon", "coupon": coupon.id}}
    code = sdks.stripe.v1.promotion_codes.create(promotion).id

    expand: Any = {"expand": ["promotion.coupon", "promotion.coupon.applies_to"]}
    found = sdks.stripe.v1.promotion_codes.retrieve(code, expand).to_dict()
    assert found["promotion"]["coupon"]["applies_to"] == {"products": [product]}
    without: Any = {"expand": ["promotion.coupon"]}
    found = sdks.stripe.v1.promotion_codes.retrieve(code, without).to_dict()
    assert "applies_to" not in found["promotion"]["coupon"]


def test_coupon_for_all_products_has_no_applies_to(sdks: Sdks) -> None:
    coupon = sdks.stripe.v1.coupons.create({"percent_off": 5})
    assert "applies_to" not in sdks.stripe.v1.coupons.retrieve(coupon.id, {"expand": ["applies_to"]}).to_dict()


def test_card_of_a_payment_method_is_updated(sdks: Sdks) -> None:
    asked: Any = {"type": "card", "card": {"token": "tok_visa"}}
    method = sdks.stripe.v1.payment_methods.create(asked)
    changes: Any = {"card": {"exp_month": 7, "exp_year": 2040}, "allow_redisplay": "always"}
    changed = sdks.stripe.v1.payment_methods.update(method.id, changes).to_dict()

    assert (changed["card"]["exp_month"], changed["card"]["exp_year"]) == (7, 2040)
    assert changed["allow_redisplay"] == "always"
    wrong: Any = {"card": {"exp_month": 13}}
    with pytest.raises(stripe.InvalidRequestError):
        sdks.stripe.v1.payment_methods.update(method.id, wrong)


def test_recurring_price_keeps_its_interval(sdks: Sdks) -> None:
    product = sdks.stripe.v1.products.create({"name": "Bone"}).id
    recurring: Any = {"interval": "week", "interval_count": 2, "usage_type": "licensed", "trial_period_days": 3}
    price = sdks.stripe.v1.prices.create(
        {"product": product, "currency": "usd", "unit_amount": 1, "recurring": recurring}
    ).to_dict()
    assert {name: price["recurring"][name] for name in recurring} == recurring


def test_unknown_type_of_a_tax_id_is_refused(sdks: Sdks) -> None:
    asked: Any = {
        "currency": "usd",
        "line_items": [{"amount": 100, "reference": "a"}],
        "customer_details": {
            "address": ADDRESS, "address_source": "shipping", "tax_ids": [{"type": "mars_vat", "value": "1"}],
        },
    }  # fmt: skip
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sdks.stripe.v1.tax.calculations.create(asked)
    assert refused.value.param == "customer_details[tax_ids][0][type]"


def test_previous_attributes_are_those_that_were_there(webhook_sdks: Sdks, received: Gateway) -> None:
    webhook_sdks.put("/sandbox/webhooks/stripe", json={"events": ALL_EVENTS})
    asked: Any = {**PAID, "payment_method": "pm_card_pendingRefund"}
    intent = webhook_sdks.stripe.v1.payment_intents.create(asked)
    refund = webhook_sdks.stripe.v1.refunds.create({"payment_intent": intent.id}).id
    webhook_sdks.post(f"/sandbox/refunds/{refund}", json={"result": "succeed"})

    until(lambda: "refund.updated" in received.kinds())
    event = next(one.json for one in received.of("stripe") if one.json["type"] == "refund.updated")
    was = {"status": "pending", "balance_transaction": None, "pending_reason": "processing"}
    assert event["data"]["previous_attributes"] == was
