"""Stripe's payments in the sandbox through Stripe's own SDK: success, declines, 3-D Secure, capture, refunds."""

from __future__ import annotations

import re
from typing import Any

import pytest
import stripe

from tests.integration.providers.sandbox.process import Sdks

AUTOMATIC = {"enabled": True, "allow_redirects": "never"}


def new_intent(sdks: Sdks, **more: Any) -> stripe.PaymentIntent:
    asked: Any = {"amount": 446, "currency": "usd", "automatic_payment_methods": AUTOMATIC, **more}
    return sdks.stripe.v1.payment_intents.create(asked)


def charges_of(sdks: Sdks, intent: stripe.PaymentIntent) -> list[stripe.Charge]:
    return sdks.stripe.v1.charges.list({"payment_intent": intent.id}).data


def test_card_token_pays_a_changed_intent(sdks: Sdks) -> None:
    card = sdks.stripe.v1.payment_methods.create({"type": "card", "card": {"token": "tok_mastercard"}})
    assert card.card is not None
    assert (card.card.brand, card.card.last4) == ("mastercard", "4444")
    intent = new_intent(sdks, metadata={"order_id": "or_1"})
    assert (intent.status, intent.latest_charge, intent.capture_method) == (
        "requires_payment_method", None, "automatic_async",
    )  # fmt: skip
    assert intent.client_secret is not None
    assert intent.client_secret.startswith(f"{intent.id}_secret_")

    intent = sdks.stripe.v1.payment_intents.update(intent.id, {"amount": 500, "description": "Order or_1"})
    paid = sdks.stripe.v1.payment_intents.confirm(
        intent.id, {"payment_method": card.id, "error_on_requires_action": True}
    )

    assert (paid.status, paid.amount_received, paid.payment_method) == ("succeeded", 500, card.id)
    [charge] = charges_of(sdks, paid)
    assert charge.id == paid.latest_charge
    assert (charge.amount, charge.paid, charge.status, charge.description) == (500, True, "succeeded", "Order or_1")
    assert charge.metadata.to_dict() == {"order_id": "or_1"}
    assert sdks.stripe.v1.payment_intents.retrieve(paid.id).to_dict() == paid.to_dict()


def test_succeeded_intent_refuses_further_changes(sdks: Sdks) -> None:
    intent = new_intent(sdks, confirm=True, payment_method="pm_card_visa")
    for change in (
        lambda: sdks.stripe.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"}),
        lambda: sdks.stripe.v1.payment_intents.update(intent.id, {"amount": 900}),
        lambda: sdks.stripe.v1.payment_intents.cancel(intent.id),
        lambda: sdks.stripe.v1.payment_intents.capture(intent.id),
    ):
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            change()
        assert refusal.value.code == "payment_intent_unexpected_state"
        assert refusal.value.error is not None
        assert refusal.value.error.payment_intent is not None
        assert refusal.value.error.payment_intent.id == intent.id
    assert len(charges_of(sdks, intent)) == 1
    assert sdks.stripe.v1.payment_intents.update(intent.id, {"metadata": {"a": "b"}}).metadata.to_dict() == {"a": "b"}


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("chargeDeclined", "card_declined", "generic_decline"),
        ("visa_chargeDeclined", "card_declined", "generic_decline"),
        ("chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("chargeDeclinedLostCard", "card_declined", "lost_card"),
        ("chargeDeclinedStolenCard", "card_declined", "stolen_card"),
        ("chargeDeclinedFraudulent", "card_declined", "fraudulent"),
        ("chargeDeclinedVelocityLimitExceeded", "card_declined", "card_velocity_exceeded"),
        ("chargeDeclinedExpiredCard", "expired_card", None),
        ("chargeDeclinedIncorrectCvc", "incorrect_cvc", None),
        ("chargeDeclinedProcessingError", "processing_error", None),
    ],
)
def test_declined_card_leaves_the_intent_open(sdks: Sdks, card: str, code: str, decline_code: str | None) -> None:
    intent = new_intent(sdks)
    token = sdks.stripe.v1.payment_methods.create({"type": "card", "card": {"token": f"tok_{card}"}})
    for method in (token.id, f"pm_card_{card}"):
        with pytest.raises(stripe.CardError) as refusal:
            sdks.stripe.v1.payment_intents.confirm(intent.id, {"payment_method": method})
        error = refusal.value.error
        assert error is not None
        assert (refusal.value.http_status, refusal.value.code, error.decline_code) == (402, code, decline_code)
        assert error.payment_intent is not None
        assert (error.payment_intent.id, error.payment_intent.status) == (intent.id, "requires_payment_method")
        assert error.charge is not None
        failed = sdks.stripe.v1.charges.retrieve(error.charge)
        assert (failed.paid, failed.status, failed.failure_code) == (False, "failed", code)

    stored = sdks.stripe.v1.payment_intents.retrieve(intent.id)
    assert stored.last_payment_error is not None
    assert (stored.last_payment_error.code, stored.payment_method) == (code, None)
    paid = sdks.stripe.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert (paid.status, paid.last_payment_error) == ("succeeded", None)
    assert [charge.paid for charge in charges_of(sdks, intent)] == [True, False, False]


@pytest.mark.parametrize("name", ["radarBlock", "chargeDeclinedFraudulent"])
def test_radar_blocks_the_payment_of_a_risky_card(sdks: Sdks, name: str) -> None:
    intent = new_intent(sdks)
    with pytest.raises(stripe.CardError) as refusal:
        sdks.stripe.v1.payment_intents.confirm(intent.id, {"payment_method": f"pm_card_{name}"})
    assert refusal.value.error is not None
    assert (refusal.value.code, refusal.value.error.decline_code) == ("card_declined", "fraudulent")
    [charge] = charges_of(sdks, intent)
    assert charge.outcome is not None
    assert (charge.outcome.type, charge.outcome.network_status) == ("blocked", "not_sent_to_network")
    assert (charge.outcome.reason, charge.outcome.risk_level) == ("highest_risk_level", "highest")
    assert (charge.paid, charge.fraud_details.to_dict()) == (False, {"stripe_report": "fraudulent"})
    with pytest.raises(stripe.CardError):
        sdks.stripe.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_chargeDeclined"})
    declined = charges_of(sdks, intent)[0].outcome
    assert declined is not None
    assert (declined.type, declined.network_status) == ("issuer_declined", "declined_by_network")


@pytest.mark.parametrize(
    ("name", "number", "risk"),
    [
        ("pm_card_riskLevelElevated", "4000000000009235", "elevated"),
        ("pm_card_bypassPending", "4000000000000077", "normal"),
    ],
)
def test_card_pays_with_a_level_of_risk(sdks: Sdks, name: str, number: str, risk: str) -> None:
    typed: Any = {"type": "card", "card": {"number": number, "exp_month": 12, "exp_year": 2034, "cvc": "123"}}
    for method in (name, sdks.stripe.v1.payment_methods.create(typed).id):
        intent = new_intent(sdks, confirm=True, payment_method=method)
        [charge] = charges_of(sdks, intent)
        assert (intent.status, charge.paid) == ("succeeded", True)
        assert charge.outcome is not None
        assert (charge.outcome.risk_level, charge.outcome.type) == (risk, "authorized")


@pytest.mark.parametrize("cvc", [{"cvc": "123"}, {}], ids=["with CVC", "without CVC"])
def test_card_with_a_failing_cvc_check_pays_without_cvc(sdks: Sdks, cvc: dict[str, str]) -> None:
    card = {"number": "4000000000000101", "exp_month": 12, "exp_year": 2034, **cvc}
    typed: Any = {"type": "card", "card": card}
    intent = new_intent(sdks, payment_method=sdks.stripe.v1.payment_methods.create(typed).id)
    if not cvc:
        assert sdks.stripe.v1.payment_intents.confirm(intent.id).status == "succeeded"
        return
    with pytest.raises(stripe.CardError) as refusal:
        sdks.stripe.v1.payment_intents.confirm(intent.id)
    assert (refusal.value.code, refusal.value.param) == ("incorrect_cvc", "cvc")
    [charge] = charges_of(sdks, intent)
    assert charge.payment_method_details is not None
    assert charge.payment_method_details.card is not None
    assert charge.payment_method_details.card.checks is not None
    assert charge.payment_method_details.card.checks.cvc_check == "fail"


def test_approved_3ds_challenge_completes_the_payment(sdks: Sdks) -> None:
    intent = new_intent(sdks)
    asked = sdks.stripe.v1.payment_intents.confirm(
        intent.id, {"payment_method": "pm_card_threeDSecure2Required", "return_url": "https://shop.example/back"}
    )
    assert (asked.status, asked.latest_charge) == ("requires_action", None)
    assert asked.next_action is not None
    assert asked.next_action.redirect_to_url is not None
    page = asked.next_action.redirect_to_url.url
    assert page == f"{sdks.url}/sandbox/3ds/{intent.id}"
    assert asked.next_action.redirect_to_url.return_url == "https://shop.example/back"
    assert "4.46" in sdks.get(f"/sandbox/3ds/{intent.id}").text

    answer = sdks.post(f"/sandbox/3ds/{intent.id}", json={"result": "succeed"})

    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
    stored = sdks.stripe.v1.payment_intents.retrieve(intent.id)
    assert (stored.status, stored.next_action, stored.amount_received) == ("succeeded", None, 446)
    assert [charge.paid for charge in charges_of(sdks, intent)] == [True]
    assert sdks.post(f"/sandbox/3ds/{intent.id}", json={"result": "succeed"}).status_code == 409


def test_3ds_answer_without_a_challenge_is_refused(sdks: Sdks) -> None:
    intent = new_intent(sdks, payment_method="pm_card_visa")
    assert intent.status == "requires_confirmation"
    assert sdks.post(f"/sandbox/3ds/{intent.id}", json={"result": "succeed"}).status_code == 409
    assert sdks.post(f"/sandbox/3ds/{intent.id}", json={"result": "perhaps"}).status_code == 400
    assert sdks.post("/sandbox/3ds/pi_none", json={"result": "succeed"}).status_code == 404
    assert charges_of(sdks, intent) == []
    assert "Nothing to confirm" in sdks.get(f"/sandbox/3ds/{intent.id}").text


def test_3ds_page_has_a_strict_policy(sdks: Sdks) -> None:
    options = {"confirm": True, "payment_method": "pm_card_authenticationRequired"}
    intent = new_intent(sdks, return_url="https://shop.example/back?order=<b>", **options)
    page = sdks.get(f"/sandbox/3ds/{intent.id}")
    assert page.headers["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' https://shop.example; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    assert page.headers["Cache-Control"] == "no-store"
    assert not re.search(r"<script|<style|style=|\son\w+=", page.text)
    style = re.search(r'rel="stylesheet" href="([^"]+)"', page.text)
    assert style
    assert sdks.get(style[1]).headers["Content-Type"].startswith("text/css")


def test_3ds_form_without_a_return_url_shows_the_result(sdks: Sdks) -> None:
    intent = new_intent(sdks, confirm=True, payment_method="pm_card_authenticationRequired")
    url = f"/sandbox/3ds/{intent.id}"
    answer = sdks.post(url, data={"result": "succeed"})
    assert answer.status_code == 200
    assert "Payment confirmed" in answer.text
    again = sdks.post(url, data={"result": "succeed"})
    assert again.status_code == 409
    assert "Nothing to confirm" in again.text
    unknown = sdks.get("/sandbox/3ds/pi_none")
    assert unknown.status_code == 404
    assert "Unknown payment" in unknown.text


def test_rejected_3ds_challenge_fails_the_payment(sdks: Sdks) -> None:
    intent = new_intent(
        sdks, confirm=True, payment_method="pm_card_authenticationRequired", return_url="https://a.example"
    )
    assert intent.status == "requires_action"

    answer = sdks.post(f"/sandbox/3ds/{intent.id}", data={"result": "fail"}, allow_redirects=False)

    assert (answer.status_code, answer.headers["Location"]) == (
        303,
        f"https://a.example?payment_intent={intent.id}&payment_intent_client_secret={intent.client_secret}"
        "&redirect_status=failed",
    )
    stored = sdks.stripe.v1.payment_intents.retrieve(intent.id)
    assert (stored.status, stored.payment_method, stored.latest_charge) == ("requires_payment_method", None, None)
    assert stored.last_payment_error is not None
    assert stored.last_payment_error.code == "payment_intent_authentication_failure"


def test_bank_declines_after_an_approved_3ds_challenge(sdks: Sdks) -> None:
    intent = new_intent(sdks, confirm=True, payment_method="pm_card_threeDSecureRequiredChargeDeclined")
    answer = sdks.post(f"/sandbox/3ds/{intent.id}", json={"result": "succeed"})
    assert (answer.status_code, answer.json()["status"]) == (200, "requires_payment_method")
    assert [charge.paid for charge in charges_of(sdks, intent)] == [False]


def test_error_on_requires_action_declines_a_3ds_card(sdks: Sdks) -> None:
    intent = new_intent(sdks)
    with pytest.raises(stripe.CardError) as refusal:
        sdks.stripe.v1.payment_intents.confirm(
            intent.id, {"payment_method": "pm_card_threeDSecure2Required", "error_on_requires_action": True}
        )
    assert refusal.value.code == "authentication_required"
    assert sdks.stripe.v1.payment_intents.retrieve(intent.id).status == "requires_payment_method"


def test_a_payment_method_without_a_customer_pays_once(sdks: Sdks) -> None:
    card = sdks.stripe.v1.payment_methods.create({"type": "card", "card": {"token": "tok_visa"}})
    new_intent(sdks, confirm=True, payment_method=card.id)
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        new_intent(sdks, confirm=True, payment_method=card.id)


def test_card_number_is_accepted_and_validated(sdks: Sdks) -> None:
    card: Any = {"number": "4000 0000 0000 9995", "exp_month": 12, "exp_year": 2034, "cvc": "123"}
    made = sdks.stripe.v1.payment_methods.create({"type": "card", "card": card})
    with pytest.raises(stripe.CardError) as refusal:
        new_intent(sdks, confirm=True, payment_method=made.id)
    assert refusal.value.error is not None
    assert refusal.value.error.decline_code == "insufficient_funds"
    for change, code in (
        ({"number": "4242424242424241"}, "incorrect_number"),
        ({"exp_month": 13}, "invalid_expiry_month"),
        ({"exp_year": 2001}, "invalid_expiry_year"),
        ({"cvc": "1"}, "invalid_cvc"),
    ):
        with pytest.raises(stripe.CardError) as refusal:
            sdks.stripe.v1.payment_methods.create({"type": "card", "card": {**card, **change}})
        assert refusal.value.code == code


def test_only_four_digits_of_a_real_card_are_stored(sdks: Sdks) -> None:
    card: Any = {"number": "4539578763621486", "exp_month": 12, "exp_year": 2034}
    made = sdks.stripe.v1.payment_methods.create({"type": "card", "card": card})
    assert made.card is not None
    assert made.card.last4 == "1486"
    assert made.card.fingerprint is not None
    assert "62148" not in made.card.fingerprint
    with pytest.raises(stripe.CardError, match="test mode"):
        new_intent(sdks, confirm=True, payment_method=made.id)


def test_inline_card_token_pays_the_intent(sdks: Sdks) -> None:
    paid = new_intent(sdks, confirm=True, payment_method_data={"type": "card", "card": {"token": "tok_visa"}})
    assert paid.status == "succeeded"


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"amount": 49}, "amount_too_small", "amount"),
        ({"amount": 150, "currency": "isk"}, "invalid_charge_amount_no_decimal_compatible", "amount"),
        ({"amount": 100_000_000}, "amount_too_large", "amount"),
        ({"payment_method_types": ["card"]}, "payment_method_types_no_longer_supported", "payment_method_types"),
        ({"payment_method": "pm_none"}, "resource_missing", "payment_method"),
        ({"payment_method": "pm_card_nobody"}, "resource_missing", "payment_method"),
        ({"allowed_payment_method_types": ["card"]}, "parameters_exclusive", "automatic_payment_methods"),
        ({"error_on_requires_action": True}, None, "error_on_requires_action"),
        ({"shipping": {"name": "A"}}, "parameter_missing", "shipping[address]"),
        ({"automatic_payment_methods": {"allow_redirects": "never"}}, "parameter_missing",
         "automatic_payment_methods[enabled]"),
        ({"payment_method_data": {"type": "card", "card": {"token": "tok_none"}}}, "resource_missing",
         "payment_method_data[card][token]"),
    ],
)  # fmt: skip
def test_invalid_intent_parameter_is_refused(sdks: Sdks, change: dict[str, Any], code: str | None, param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        new_intent(sdks, **change)
    assert (refusal.value.http_status, refusal.value.code, refusal.value.param) == (400, code, param)


def test_redirect_methods_need_a_return_url(sdks: Sdks) -> None:
    intent = new_intent(sdks, automatic_payment_methods={"enabled": True})
    with pytest.raises(stripe.InvalidRequestError, match="return_url"):
        sdks.stripe.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    paid = sdks.stripe.v1.payment_intents.confirm(
        intent.id, {"payment_method": "pm_card_visa", "return_url": "https://a.example"}
    )
    assert paid.status == "succeeded"


def test_an_intent_without_a_card_cannot_be_confirmed(sdks: Sdks) -> None:
    intent = new_intent(sdks)
    with pytest.raises(stripe.InvalidRequestError, match="missing a payment method"):
        sdks.stripe.v1.payment_intents.confirm(intent.id)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        sdks.stripe.v1.payment_intents.confirm("pi_none")
    assert (refusal.value.http_status, refusal.value.code) == (404, "resource_missing")


def test_authorized_amount_is_captured_in_part(sdks: Sdks) -> None:
    held = new_intent(sdks, confirm=True, payment_method="pm_card_visa", capture_method="manual")
    assert (held.status, held.amount_capturable, held.amount_received) == ("requires_capture", 446, 0)
    taken = sdks.stripe.v1.payment_intents.capture(held.id, {"amount_to_capture": 400})
    assert (taken.status, taken.amount_capturable, taken.amount_received) == ("succeeded", 0, 400)
    [charge] = charges_of(sdks, taken)
    assert (charge.captured, charge.amount_captured) == (True, 400)


def test_a_canceled_intent_stays_canceled(sdks: Sdks) -> None:
    intent = new_intent(sdks)
    canceled = sdks.stripe.v1.payment_intents.cancel(intent.id, {"cancellation_reason": "abandoned"})
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "abandoned")
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        sdks.stripe.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert refusal.value.code == "payment_intent_unexpected_state"


def test_refunds_cannot_exceed_the_charge(sdks: Sdks) -> None:
    intent = new_intent(sdks, confirm=True, payment_method="pm_card_visa")
    assert isinstance(intent.latest_charge, str)
    part = sdks.stripe.v1.refunds.create(
        {"payment_intent": intent.id, "amount": 100, "reason": "requested_by_customer", "metadata": {"why": "late"}}
    )
    assert (part.status, part.amount, part.charge) == ("succeeded", 100, intent.latest_charge)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        sdks.stripe.v1.refunds.create({"payment_intent": intent.id, "amount": 347})
    assert refusal.value.param == "amount"

    rest = sdks.stripe.v1.refunds.create({"charge": intent.latest_charge})

    assert rest.amount == 346
    charge = sdks.stripe.v1.charges.retrieve(intent.latest_charge)
    assert (charge.amount_refunded, charge.refunded) == (446, True)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        sdks.stripe.v1.refunds.create({"charge": intent.latest_charge})
    assert refusal.value.code == "charge_already_refunded"
    listed = sdks.stripe.v1.refunds.list({"payment_intent": intent.id}).data
    assert [one.id for one in listed] == [rest.id, part.id]
    assert sdks.stripe.v1.refunds.retrieve(part.id).to_dict() == part.to_dict()
    unpaid = new_intent(sdks)
    with pytest.raises(stripe.InvalidRequestError, match="does not have a successful charge"):
        sdks.stripe.v1.refunds.create({"payment_intent": unpaid.id})
