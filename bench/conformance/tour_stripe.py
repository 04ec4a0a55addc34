"""The tour of Stripe: each route and each kind of event, with success and with errors."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from bench.conformance.exchanges import Caller, Exchange
from bench.conformance.tours import Chapter, Trip
from sandbox.settings import STRIPE_PUBLISHABLE_KEY

DECLINES = (
    *("pm_card_visa_chargeDeclined", "pm_card_chargeDeclinedInsufficientFunds", "pm_card_chargeDeclinedExpiredCard"),
    *("pm_card_chargeDeclinedIncorrectCvc", "pm_card_chargeDeclinedProcessingError", "pm_card_radarBlock"),
)
ADDRESS = {
    "line1": "1092 Indian Summer Ct",
    "line2": "2",
    "city": "San Jose",
    "state": "CA",
    "postal_code": "95122",
    "country": "US",
}
MANUAL = {"automatic_payment_methods": {"enabled": True, "allow_redirects": "never"}}
FILES = "multipart/form-data; boundary=bound"
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF"


def _post(stripe: Caller, path: str, form: dict[str, Any] | None = None, **more: Any) -> Exchange:
    return stripe.ask("POST", f"/v1{path}", form=form or {}, **more)


def _get(stripe: Caller, path: str, query: dict[str, Any] | None = None) -> Exchange:
    return stripe.ask("GET", f"/v1{path}", query=query or {})


def _id(exchange: Exchange) -> str:
    return str(exchange.body["id"])


def _paid(stripe: Caller, payment_method: str = "pm_card_visa", **more: Any) -> dict[str, Any]:
    """Pay with a test payment method; return the PaymentIntent."""
    asked = {
        "amount": 2000,
        "currency": "usd",
        "confirm": True,
        "payment_method": payment_method,
        **MANUAL,
        **more,
    }
    body: dict[str, Any] = _post(stripe, "/payment_intents", asked).body
    return body


def _catalogue(stripe: Caller, trip: Trip) -> None:
    product = _id(
        _post(
            stripe,
            "/products",
            {
                "name": "Wally bone",
                "description": "A bone",
                "images": ["https://example.com/bone.jpg"],
                "marketing_features": [{"name": "chewable"}],
                "metadata": {"category": "food"},
                "package_dimensions": {"height": 5, "length": 5, "weight": 5, "width": 5},
                "shippable": True,
                "statement_descriptor": "WALLY",
                "tax_code": "txcd_99999999",
                "unit_label": "bone",
                "url": "https://example.com/bone",
            },
        )
    )
    trip.clean(lambda: _post(stripe, f"/products/{product}", {"active": False}))
    key = f"{product}-bone"
    price = _id(
        _post(
            stripe,
            "/prices",
            {
                "product": product,
                "currency": "usd",
                "unit_amount": 50,
                "lookup_key": key,
                "nickname": "bone",
                "metadata": {"sku": "bone"},
                "tax_behavior": "exclusive",
            },
        )
    )
    trip.clean(lambda: _post(stripe, f"/prices/{price}", {"active": False}))
    exact = _id(_post(stripe, "/prices", {"product": product, "currency": "usd", "unit_amount_decimal": "650.5"}))
    monthly = {"interval": "month"}
    _post(stripe, "/prices", {"product": product, "currency": "jpy", "unit_amount": 500, "recurring": monthly})
    _post(stripe, f"/products/{product}", {"default_price": price, "description": "", "metadata": {"category": ""}})
    _post(stripe, f"/products/{product}", {"tax_details": {"tax_code": "txcd_40040000"}})
    _get(stripe, f"/products/{product}", {"expand": ["default_price"]})
    _get(stripe, "/products", {"limit": 2, "active": True})
    _get(stripe, "/products", {"ids": [product]})
    _get(stripe, "/products/search", {"query": "name:'Wally bone'"})
    _get(stripe, f"/prices/{exact}", {"expand": ["product"]})
    _get(stripe, "/prices", {"product": product, "limit": 2, "expand": ["data.product"]})
    _get(stripe, "/prices", {"lookup_keys": [key], "active": True})
    _post(stripe, f"/prices/{exact}", {"active": False, "nickname": "half"})
    lone = _id(
        _post(stripe, "/products", {"name": "Lone", "default_price_data": {"currency": "usd", "unit_amount": 1}})
    )
    trip.clean(lambda: _post(stripe, f"/products/{lone}", {"active": False}))
    free = _id(_post(stripe, "/products", {"name": "Free"}))
    stripe.ask("DELETE", f"/v1/products/{free}")
    for refused in (
        _get(stripe, f"/products/{free}"),
        _post(stripe, "/products", {"name": "Again", "id": product}),
        _post(stripe, "/products", {}),
        _post(stripe, "/products", {"name": ""}),
        _post(stripe, f"/products/{product}", {"colour": "red"}),
        stripe.ask("DELETE", f"/v1/products/{product}"),
        _get(stripe, "/products/search", {"query": "colour"}),
        _get(stripe, "/prices/price_none"),
        _post(stripe, "/prices/price_none", {"active": False}),
        _post(stripe, "/prices", {"product": "prod_none", "currency": "usd", "unit_amount": 1}),
        _post(stripe, "/prices", {"product": product, "currency": "usd", "unit_amount": 1, "lookup_key": key}),
        _post(stripe, "/prices", {"product": product, "currency": "usd"}),
        _get(stripe, "/prices", {"limit": 101}),
        _get(stripe, "/nothing"),
    ):
        trip.refused(refused)


def _payment_methods(stripe: Caller, trip: Trip) -> None:
    billing = {"name": "Chloe Taylor", "email": "chloe@example.com", "phone": "+14155550123", "address": ADDRESS}
    made = _post(
        stripe,
        "/payment_methods",
        {"type": "card", "card": {"token": "tok_mastercard"}, "billing_details": billing, "metadata": {"a": "b"}},
    )
    _get(stripe, f"/payment_methods/{_id(made)}")
    _post(stripe, f"/payment_methods/{_id(made)}", {"billing_details": {"name": "Chloe"}, "metadata": {"a": ""}})
    trip.refused(_get(stripe, "/payment_methods/pm_none"))
    trip.refused(_post(stripe, "/payment_methods", {"type": "card", "card": {"token": "tok_none"}}))
    trip.refused(_post(stripe, "/payment_methods", {"type": "card"}))
    token = _post(
        stripe,
        "/test_helpers/confirmation_tokens",
        {
            "payment_method": "pm_card_visa",
            "return_url": "https://example.com/back",
            "shipping": {"name": "Chloe Taylor", "address": ADDRESS},
        },
    )
    _get(stripe, f"/confirmation_tokens/{_id(token)}")
    paid = {"amount": 700, "currency": "usd", "confirm": True, "confirmation_token": _id(token)}
    _post(stripe, "/payment_intents", paid)
    trip.refused(_post(stripe, "/payment_intents", paid))
    trip.refused(_get(stripe, "/confirmation_tokens/ctoken_none"))
    [configuration] = _get(stripe, "/payment_method_configurations").body["data"]
    _get(stripe, f"/payment_method_configurations/{configuration['id']}")
    trip.refused(_get(stripe, "/payment_method_configurations/pmc_none"))


def _payments(stripe: Caller, trip: Trip) -> None:
    intent = _id(
        _post(
            stripe,
            "/payment_intents",
            {
                "amount": 2000,
                "currency": "usd",
                "description": "order",
                "metadata": {"order_id": "or_conformance"},
                "receipt_email": "chloe@example.com",
                "shipping": {"name": "Chloe Taylor", "phone": "+14155550123", "address": ADDRESS},
                "statement_descriptor_suffix": "BONE",
                **MANUAL,
            },
            headers={"Idempotency-Key": f"{trip.name}-intent"},
        )
    )
    _post(stripe, f"/payment_intents/{intent}", {"amount": 2100, "metadata": {"order_id": "or_conformance2"}})
    trip.refused(_post(stripe, f"/payment_intents/{intent}/confirm"))
    for name in DECLINES:
        trip.refused(_post(stripe, f"/payment_intents/{intent}/confirm", {"payment_method": name}))
    _get(stripe, f"/payment_intents/{intent}", {"expand": ["latest_charge", "payment_method"]})
    _post(
        stripe,
        f"/payment_intents/{intent}/confirm",
        {"payment_method": "pm_card_visa", "expand": ["latest_charge"]},
        headers={"Idempotency-Key": f"{trip.name}-confirm"},
    )
    _post(
        stripe,
        f"/payment_intents/{intent}/confirm",
        {"payment_method": "pm_card_visa", "expand": ["latest_charge"]},
        headers={"Idempotency-Key": f"{trip.name}-confirm"},
    )
    charge = _get(stripe, f"/payment_intents/{intent}").body["latest_charge"]
    _get(stripe, "/payment_intents", {"limit": 2, "created": {"gte": 1}, "expand": ["data.latest_charge"]})
    _get(stripe, f"/charges/{charge}", {"expand": ["payment_intent"]})
    _post(stripe, f"/charges/{charge}", {"description": "changed", "metadata": {"a": "b"}})
    _get(stripe, "/charges", {"payment_intent": intent})
    held = _paid(stripe, capture_method="manual")["id"]
    _post(stripe, f"/payment_intents/{held}/capture", {"amount_to_capture": 1500})
    asks = _paid(stripe, "pm_card_authenticationRequired")["id"]
    other = {"confirm": True, "amount": 500, "currency": "usd", "payment_method": "pm_card_threeDSecure2Required"}
    for form in ({**MANUAL, "use_stripe_sdk": True}, {"return_url": "https://example.com/back"}):
        asking = _id(_post(stripe, "/payment_intents", {**other, **form}))
        trip.clean(partial(_post, stripe, f"/payment_intents/{asking}/cancel"))
    trip.refused(_post(stripe, "/payment_intents", {**other, **MANUAL, "error_on_requires_action": True}))
    _post(stripe, f"/payment_intents/{asks}/cancel", {"cancellation_reason": "abandoned"})
    for refused in (
        _post(stripe, f"/payment_intents/{intent}/cancel"),
        _post(stripe, f"/payment_intents/{intent}", {"amount": 1}),
        _post(stripe, f"/payment_intents/{asks}/confirm", {"payment_method": "pm_card_visa"}),
        _post(stripe, f"/payment_intents/{intent}/capture"),
        _get(stripe, "/payment_intents/pi_none"),
        _post(stripe, "/payment_intents", {"currency": "usd"}),
        _post(stripe, "/payment_intents", {"amount": 0, "currency": "usd"}),
        _post(stripe, "/payment_intents", {"amount": "x", "currency": "usd"}),
        _post(stripe, "/payment_intents", {"amount": 100, "currency": "xyz"}),
        _post(stripe, "/payment_intents", {"amount": 100, "currency": "usd", "payment_method_types": ["card"]}),
        _get(stripe, "/charges/ch_none"),
        _post(
            stripe,
            "/payment_intents",
            {"amount": 5, "currency": "usd"},
            headers={"Idempotency-Key": f"{trip.name}-intent"},
        ),
        stripe.ask("GET", "/v1/charges", anonymous=True),
        stripe.ask("GET", "/v1/charges", anonymous=True, headers={"Authorization": "Bearer sk_test_wrong"}),
    ):
        trip.refused(refused)


def _bank(stripe: Caller, trip: Trip) -> None:
    """What the shopper answers on the bank's page."""
    for answer in ("succeed", "fail"):
        intent = _paid(stripe, "pm_card_authenticationRequired")["id"]
        trip.control("POST", f"/sandbox/3ds/{intent}", {"result": answer})
        _get(stripe, f"/payment_intents/{intent}", {"expand": ["latest_charge"]})


def _by_script(stripe: Caller, trip: Trip) -> None:
    """What Stripe.js calls with the publishable key."""
    publishable = {"Authorization": f"Bearer {STRIPE_PUBLISHABLE_KEY}"}
    card = {"number": "4000000000003220", "exp_month": 12, "exp_year": 34, "cvc": "123"}
    account = {"routing_number": "110000000", "account_number": "000123456789"}
    billing = {"name": "Chloe Taylor"}
    collected = (
        {"type": "card", "card": card},
        {"type": "us_bank_account", "us_bank_account": account, "billing_details": billing},
    )
    for data in collected:
        form = {"payment_method_data": data, "return_url": "https://example.com/back"}
        token = _id(_post(stripe, "/confirmation_tokens", form, headers=publishable))
        paid = {"amount": 700, "currency": "usd", "confirm": True, "confirmation_token": token}
        intent = _post(stripe, "/payment_intents", paid).body
        secret = {"client_secret": intent["client_secret"]}
        address = f"/v1/payment_intents/{intent['id']}"
        stripe.ask("GET", address, query=secret, headers=publishable, is_partial=True)
        trip.refused(stripe.ask("GET", address, query={"client_secret": "wrong"}, headers=publishable))
        trip.refused(stripe.ask("GET", address, headers=publishable))
    wrong_card = {"type": "card", "card": {**card, "number": "4242424242424241"}}
    wrong_account = {"type": "us_bank_account", "us_bank_account": {**account, "routing_number": "1"}}
    for wrong in (wrong_card, wrong_account, {**wrong_account, "billing_details": billing}):
        trip.refused(_post(stripe, "/confirmation_tokens", {"payment_method_data": wrong}, headers=publishable))
    trip.refused(_post(stripe, "/confirmation_tokens", {"payment_method_data": collected[0]}))
    trip.refused(stripe.ask("GET", "/v1/charges", headers=publishable))


def _debits(stripe: Caller, trip: Trip) -> None:
    paid = _paid(stripe, "pm_usBankAccount_success")
    failed = _paid(stripe, "pm_usBankAccount_insufficientFunds")
    canceled = _paid(stripe, "pm_usBankAccount_processing")
    _get(stripe, f"/charges/{paid['latest_charge']}")
    _get(stripe, f"/payment_methods/{paid['payment_method']}")
    _post(stripe, f"/payment_intents/{canceled['id']}/cancel")
    if trip.sandbox is not None:
        trip.control("POST", f"/sandbox/payments/{paid['id']}", {"result": "succeed"})
        trip.control("POST", f"/sandbox/payments/{failed['id']}", {"result": "fail"})
        for intent in (paid, failed, canceled):
            _get(stripe, f"/payment_intents/{intent['id']}", {"expand": ["latest_charge"]})


def _refunds(stripe: Caller, trip: Trip) -> None:
    intent = _paid(stripe)
    part = _post(
        stripe,
        "/refunds",
        {"payment_intent": intent["id"], "amount": 500, "reason": "requested_by_customer", "metadata": {"a": "b"}},
    )
    _post(stripe, f"/refunds/{_id(part)}", {"metadata": {"a": "c"}})
    _get(stripe, f"/refunds/{_id(part)}", {"expand": ["charge"]})
    _post(stripe, "/refunds", {"charge": intent["latest_charge"]})
    _get(stripe, "/refunds", {"payment_intent": intent["id"], "limit": 1})
    _get(stripe, f"/charges/{intent['latest_charge']}")
    trip.refused(_post(stripe, "/refunds", {"payment_intent": intent["id"]}))
    trip.refused(_post(stripe, "/refunds", {"payment_intent": _paid(stripe)["id"], "amount": 99999}))
    trip.refused(_post(stripe, "/refunds", {"payment_intent": "pi_none"}))
    trip.refused(_post(stripe, "/refunds", {}))
    trip.refused(_get(stripe, "/refunds/re_none"))
    for card in ("pm_card_refundFail", "pm_card_pendingRefund"):
        refund = _id(_post(stripe, "/refunds", {"payment_intent": _paid(stripe, card)["id"]}))
        if trip.sandbox is not None:
            result = "fail" if card == "pm_card_refundFail" else "succeed"
            trip.control("POST", f"/sandbox/refunds/{refund}", {"result": result})
            _get(stripe, f"/refunds/{refund}")
    if trip.sandbox is not None:
        pending = _id(_post(stripe, "/refunds", {"payment_intent": _paid(stripe, "pm_card_pendingRefund")["id"]}))
        trip.control("POST", f"/sandbox/refunds/{pending}", {"result": "fail", "reason": "lost_or_stolen_card"})
        _get(stripe, f"/refunds/{pending}")


def _disputes(stripe: Caller, trip: Trip) -> None:
    won = _dispute_of(stripe, _paid(stripe, "pm_card_createDispute"))
    _get(stripe, f"/charges/{won['charge']}")
    _get(stripe, f"/disputes/{won['id']}", {"expand": ["charge", "payment_intent"]})
    receipt = _file(stripe)
    _get(stripe, f"/files/{_id(receipt)}")
    _get(stripe, "/files", {"purpose": "dispute_evidence", "limit": 1})
    facts = {"customer_name": "Chloe Taylor", "shipping_tracking_number": "9205590175547700000015"}
    draft = {"evidence": {**facts, "receipt": _id(receipt)}, "submit": False, "metadata": {"a": "b"}}
    _post(stripe, f"/disputes/{won['id']}", draft)
    _post(stripe, f"/disputes/{won['id']}", {"evidence": {"uncategorized_text": "winning_evidence"}})
    lost = _dispute_of(stripe, _paid(stripe, "pm_card_createDisputeProductNotReceived"))
    _post(stripe, f"/disputes/{lost['id']}", {"evidence": {"uncategorized_text": "losing_evidence"}})
    inquiry = _dispute_of(stripe, _paid(stripe, "pm_card_createDisputeInquiry"))
    _post(stripe, f"/disputes/{inquiry['id']}", {"evidence": {"uncategorized_text": "escalate_inquiry_evidence"}})
    accepted = _dispute_of(stripe, _paid(stripe, "pm_card_createDispute"))
    trip.refused(_post(stripe, "/refunds", {"charge": accepted["charge"]}))
    _post(stripe, f"/disputes/{accepted['id']}/close")
    for each in (won, lost, inquiry, accepted):
        _get(stripe, f"/disputes/{each['id']}")
    _get(stripe, "/disputes", {"limit": 3})
    trip.refused(_post(stripe, f"/disputes/{accepted['id']}/close"))
    trip.refused(_post(stripe, f"/disputes/{lost['id']}", {"evidence": {"receipt": "file_none"}}))
    trip.refused(_get(stripe, "/disputes/du_none"))
    trip.refused(_get(stripe, "/files/file_none"))
    trip.refused(_file(stripe, b"A text"))
    trip.refused(_post(stripe, "/files", {"purpose": "dispute_evidence"}))
    warned = _paid(stripe, "pm_card_createIssuerFraudRecord")
    found = _get(stripe, "/radar/early_fraud_warnings", {"charge": warned["latest_charge"]})
    _get(stripe, f"/radar/early_fraud_warnings/{found.body['data'][0]['id']}", {"expand": ["charge"]})
    _post(stripe, "/refunds", {"charge": warned["latest_charge"]})  # it is no longer actionable
    trip.refused(_get(stripe, "/radar/early_fraud_warnings/issfr_none"))


def _dispute_of(stripe: Caller, intent: dict[str, Any]) -> dict[str, Any]:
    """The dispute of a payment: real ones appear within seconds."""
    query = {"payment_intent": intent["id"]}
    found = stripe.ask_until("/v1/disputes", lambda body: bool(body["data"]), query).body["data"]
    first: dict[str, Any] = found[0]
    return first


def _file(stripe: Caller, content: bytes = PDF) -> Exchange:
    part = b"--bound\r\nContent-Disposition: form-data; "
    purpose = part + b'name="purpose"\r\n\r\ndispute_evidence\r\n'
    head = part + b'name="file"; filename="receipt.pdf"\r\nContent-Type: application/pdf\r\n\r\n'
    raw = purpose + head + content + b"\r\n--bound--\r\n"
    return stripe.ask("POST", "/v1/files", raw=raw, headers={"Content-Type": FILES})


def _discounts(stripe: Caller, trip: Trip) -> None:
    coupon = _id(_post(stripe, "/coupons", {"percent_off": 12.5, "duration": "once", "name": "Twelve"}))
    amount = _id(_post(stripe, "/coupons", {"amount_off": 100, "currency": "usd", "duration": "forever"}))
    _post(stripe, f"/coupons/{coupon}", {"name": "Renamed", "metadata": {"a": "b"}})
    _get(stripe, f"/coupons/{coupon}", {"expand": ["applies_to"]})
    _get(stripe, "/coupons", {"limit": 2})
    restrictions = {"minimum_amount": 500, "minimum_amount_currency": "usd"}
    asked = {
        "promotion": {"type": "coupon", "coupon": coupon},
        "code": f"{trip.name}A",
        "max_redemptions": 5,
        "expires_at": int(time.time()) + 86400,
        "restrictions": restrictions,
        "expand": ["promotion.coupon"],
    }
    code = _id(_post(stripe, "/promotion_codes", asked))
    trip.clean(lambda: _post(stripe, f"/promotion_codes/{code}", {"active": False}))
    trip.refused(_post(stripe, "/promotion_codes", asked))
    _get(stripe, f"/promotion_codes/{code}", {"expand": ["promotion.coupon", "promotion.coupon.applies_to"]})
    _get(stripe, "/promotion_codes", {"coupon": coupon, "expand": ["data.promotion.coupon"]})
    _post(stripe, f"/promotion_codes/{code}", {"active": False, "metadata": {"a": "b"}})
    stripe.ask("DELETE", f"/v1/coupons/{coupon}")
    stripe.ask("DELETE", f"/v1/coupons/{amount}")
    trip.refused(_get(stripe, f"/coupons/{coupon}"))
    trip.refused(stripe.ask("DELETE", f"/v1/coupons/{coupon}"))
    trip.refused(_post(stripe, "/coupons", {}))
    trip.refused(_post(stripe, "/coupons", {"percent_off": 101}))
    trip.refused(_get(stripe, "/promotion_codes/promo_none"))
    trip.refused(_post(stripe, "/promotion_codes", {"promotion": {"type": "coupon", "coupon": "none"}}))


def _taxes(stripe: Caller, trip: Trip) -> None:
    _get(stripe, "/tax/settings")
    _get(stripe, "/tax_codes", {"limit": 3})
    _get(stripe, "/tax_codes/txcd_99999999")
    trip.refused(_get(stripe, "/tax_codes/txcd_none"))
    lines = [
        {"amount": 1000, "reference": "bone", "quantity": 2, "tax_behavior": "exclusive", "tax_code": "txcd_99999999"},
        {"amount": 500, "reference": "book", "tax_behavior": "inclusive"},
    ]
    asked = {
        "currency": "usd",
        "line_items": lines,
        "customer_details": {"address": ADDRESS, "address_source": "shipping"},
        "shipping_cost": {"amount": 300, "tax_behavior": "exclusive"},
        "ship_from_details": {"address": ADDRESS},
        "expand": ["line_items", "line_items.data.tax_breakdown", "shipping_cost.tax_breakdown"],
    }
    calculation = _id(_post(stripe, "/tax/calculations", asked))
    abroad = {"address": {"line1": "Platz 1", "city": "Berlin", "postal_code": "10117", "country": "DE"}}
    abroad |= {"address_source": "shipping", "tax_ids": [{"type": "eu_vat", "value": "DE123456789"}]}  # type: ignore[dict-item]
    _post(stripe, "/tax/calculations", {**asked, "currency": "eur", "customer_details": abroad})
    _get(stripe, f"/tax/calculations/{calculation}")
    _get(stripe, f"/tax/calculations/{calculation}/line_items", {"limit": 1, "expand": ["data.tax_breakdown"]})
    record = {"calculation": calculation, "reference": f"{trip.name}-sale", "expand": ["line_items"]}
    sale = _id(_post(stripe, "/tax/transactions/create_from_calculation", record))
    _get(stripe, f"/tax/transactions/{sale}", {"expand": ["line_items"]})
    _get(stripe, f"/tax/transactions/{sale}/line_items")
    back = {"mode": "partial", "original_transaction": sale, "reference": f"{trip.name}-back", "flat_amount": -100}
    _post(stripe, "/tax/transactions/create_reversal", back)
    full = {"mode": "full", "original_transaction": sale, "reference": f"{trip.name}-full", "expand": ["line_items"]}
    _post(stripe, "/tax/transactions/create_reversal", full)
    nowhere = {"address": {"country": "US", "postal_code": "00000"}, "address_source": "shipping"}
    trip.refused(_post(stripe, "/tax/calculations", {**asked, "customer_details": nowhere}))
    trip.refused(_post(stripe, "/tax/transactions/create_from_calculation", record))
    trip.refused(_post(stripe, "/tax/transactions/create_reversal", full))
    trip.refused(_get(stripe, "/tax/transactions/tax_none"))
    trip.refused(_get(stripe, "/tax/calculations/taxcalc_none"))


def _later(stripe: Caller, trip: Trip) -> None:
    """What happens only by the sandbox's own switches."""
    trip.control("PUT", "/sandbox/options/stripe", {"asynchronous_capture": True, "settle_after_s": 60})
    late = _paid(stripe)
    _get(stripe, f"/charges/{late['latest_charge']}")
    trip.control("DELETE", "/sandbox/options/stripe")
    disputed = _paid(stripe)["latest_charge"]
    trip.control("POST", f"/sandbox/charges/{disputed}/dispute", {"claim": "inquiry", "amount": 100})
    trip.control("POST", f"/sandbox/charges/{_paid(stripe)['latest_charge']}/fraud_warning", {"fraud_type": "misc"})
    trip.control("PUT", "/sandbox/faults/stripe", {"error_rate": 1, "error_status": 429, "times": 1})
    trip.refused(_get(stripe, "/products"))
    trip.control("PUT", "/sandbox/faults/stripe", {"saved_error_rate": 1, "times": 1})
    trip.refused(_post(stripe, "/products", {"name": "x"}, headers={"Idempotency-Key": f"{trip.name}-saved"}))
    trip.control("DELETE", "/sandbox/faults/stripe")
    trip.control("POST", "/sandbox/clock", {"advance_seconds": 20 * 86400})
    _get(stripe, f"/charges/{late['latest_charge']}")
    _get(stripe, "/disputes", {"charge": disputed})


CHAPTERS = (
    Chapter("catalogue", _catalogue),
    Chapter("payment methods", _payment_methods),
    Chapter("payments", _payments),
    Chapter("bank", _bank, sandbox_only=True),
    Chapter("by script", _by_script, sandbox_only=True),
    Chapter("debits", _debits),
    Chapter("refunds", _refunds),
    Chapter("disputes", _disputes),
    Chapter("discounts", _discounts),
    Chapter("taxes", _taxes),
    Chapter("later", _later, sandbox_only=True),
)
