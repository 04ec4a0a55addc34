"""ConfirmationTokens in the sandbox, and how a confirmation asks the shopper's bank, through Stripe's own SDK."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.integration.providers.sandbox.process import SandboxProcess, Sdks
from tests.integration.providers.sandbox.test_sandbox_stripe_payments import new_intent

RETURN_URL = "https://shop.example/back"
SHIPPING = {"name": "Chloe", "address": {"line1": "1092 Indian Summer Ct", "country": "US"}}


@pytest.fixture(autouse=True)
def _usual_switches(sdks: Sdks) -> Iterator[None]:
    yield
    assert sdks.delete("/sandbox/options/stripe").status_code == 200


def token(sdks: Sdks, card: str = "pm_card_visa", **more: Any) -> stripe.ConfirmationToken:
    asked: Any = {"payment_method": card, **more}
    return sdks.stripe.v1.test_helpers.confirmation_tokens.create(asked)


def confirm(sdks: Sdks, intent: stripe.PaymentIntent, **asked: Any) -> stripe.PaymentIntent:
    changes: Any = asked
    return sdks.stripe.v1.payment_intents.confirm(intent.id, changes)


def test_token_confirms_an_intent_once(sdks: Sdks) -> None:
    made = token(sdks, shipping=SHIPPING)
    assert made.id.startswith("ctoken_")
    assert made.expires_at == made.created + 12 * 3600
    assert made.payment_method_preview is not None
    assert made.payment_method_preview.card is not None
    assert made.payment_method_preview.card.last4 == "4242"
    assert sdks.stripe.v1.confirmation_tokens.retrieve(made.id).to_dict() == made.to_dict()

    paid = confirm(sdks, new_intent(sdks), confirmation_token=made.id)

    assert paid.status == "succeeded"
    assert paid.shipping is not None
    assert paid.shipping.name == "Chloe"
    assert sdks.stripe.v1.confirmation_tokens.retrieve(made.id).payment_intent == paid.id
    other = new_intent(sdks)
    with pytest.raises(stripe.InvalidRequestError, match="already been used to confirm") as refusal:
        confirm(sdks, other, confirmation_token=made.id)
    assert (refusal.value.http_status, refusal.value.param) == (400, "confirmation_token")
    assert sdks.stripe.v1.payment_intents.retrieve(other.id).status == "requires_payment_method"


def test_declined_token_is_used_up(sdks: Sdks) -> None:
    intent, made = new_intent(sdks), token(sdks, "pm_card_chargeDeclined")
    with pytest.raises(stripe.CardError):
        confirm(sdks, intent, confirmation_token=made.id)
    with pytest.raises(stripe.InvalidRequestError, match="already been used"):
        confirm(sdks, intent, confirmation_token=made.id)
    assert confirm(sdks, intent, confirmation_token=token(sdks).id).status == "succeeded"


def test_request_takes_precedence_over_the_token(sdks: Sdks) -> None:
    made = token(sdks, "pm_card_chargeDeclined", shipping=SHIPPING, return_url=RETURN_URL)
    asked = {"payment_method": "pm_card_mastercard", "shipping": {**SHIPPING, "name": "Other"}}
    paid = confirm(sdks, new_intent(sdks), confirmation_token=made.id, **asked)
    assert paid.status == "succeeded"
    assert paid.shipping is not None
    assert paid.shipping.name == "Other"


def test_intent_is_created_and_confirmed_with_a_token(sdks: Sdks) -> None:
    paid = new_intent(sdks, confirm=True, confirmation_token=token(sdks).id)
    assert paid.status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        new_intent(sdks, confirmation_token=token(sdks).id)
    assert refusal.value.param == "confirmation_token"
    always = new_intent(sdks, automatic_payment_methods={"enabled": True})
    assert confirm(sdks, always, confirmation_token=token(sdks, return_url=RETURN_URL).id).status == "succeeded"


def test_token_of_a_bank_account_is_processing(sdks: Sdks) -> None:
    made = token(sdks, "pm_usBankAccount_success")
    assert confirm(sdks, new_intent(sdks), confirmation_token=made.id).status == "processing"


def test_unknown_token_is_refused(sdks: Sdks) -> None:
    for call, status in (
        (lambda: confirm(sdks, new_intent(sdks), confirmation_token="ctoken_none"), 400),
        (lambda: sdks.stripe.v1.confirmation_tokens.retrieve("ctoken_none"), 404),
    ):
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            call()
        assert (refusal.value.http_status, refusal.value.code) == (status, "resource_missing")
    for wrong in ({}, {"payment_method": "pm_card_visa", "payment_method_data": {"type": "card"}}):
        asked: Any = wrong
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            sdks.stripe.v1.test_helpers.confirmation_tokens.create(asked)
        assert refusal.value.param == "payment_method"


def test_token_expires_after_twelve_hours(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path) as process:
        sdks = Sdks(process.url)
        made = token(sdks)
        sdks.post("/sandbox/clock", json={"advance_seconds": 12 * 3600})
        with pytest.raises(stripe.InvalidRequestError, match="expired"):
            confirm(sdks, new_intent(sdks), confirmation_token=made.id)


def test_bank_is_asked_by_script_without_a_return_url(sdks: Sdks) -> None:
    made = token(sdks, "pm_card_authenticationRequired")
    asked = confirm(sdks, new_intent(sdks), confirmation_token=made.id)
    assert asked.status == "requires_action"
    assert asked.next_action is not None
    assert asked.next_action.type == "use_stripe_sdk"
    assert asked.next_action.use_stripe_sdk is not None
    assert asked.next_action.use_stripe_sdk["stripe_js"] == f"{sdks.url}/sandbox/3ds/{asked.id}"
    assert sdks.post(f"/sandbox/3ds/{asked.id}", json={"result": "succeed"}).json()["status"] == "succeeded"


@pytest.mark.parametrize("where", ["token", "confirmation"])
def test_bank_is_asked_by_redirect_with_a_return_url(sdks: Sdks, where: str) -> None:
    url = {"return_url": RETURN_URL}
    made = token(sdks, "pm_card_authenticationRequired", **(url if where == "token" else {}))
    more = url if where == "confirmation" else {}
    asked = confirm(sdks, new_intent(sdks), confirmation_token=made.id, **more)
    assert asked.next_action is not None
    assert asked.next_action.redirect_to_url is not None
    assert asked.next_action.redirect_to_url.return_url == RETURN_URL


def test_switch_leaves_the_bank_to_the_script(sdks: Sdks) -> None:
    card = {"payment_method": "pm_card_authenticationRequired"}

    def next_action(**more: Any) -> str:
        asked = confirm(sdks, new_intent(sdks), **card, **more)
        assert asked.next_action is not None
        return asked.next_action.type

    assert (next_action(), next_action(use_stripe_sdk=True)) == ("redirect_to_url", "use_stripe_sdk")
    sdks.put("/sandbox/options/stripe", json={"use_stripe_sdk": True})
    assert (next_action(), next_action(return_url=RETURN_URL)) == ("use_stripe_sdk", "redirect_to_url")
