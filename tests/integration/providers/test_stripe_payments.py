"""The `Payments` port through Stripe's SDK and the sandbox: charges, declines, refunds and lost answers."""

from __future__ import annotations

import dataclasses
import uuid
from typing import Any

import pytest
import requests
import stripe

from cart.rules.payments import ACTION, CALLED_OFF, CANCELED, OPEN, REPLAYED, SUCCEEDED, USED_UP
from cart.stripe.payments import StripePayments
from chassis.settings import SANDBOX_KEYS, Provider, Settings
from contracts.errors import OutcomeUnknown, PaymentDeclined, ProviderFailure, Refused
from tests.running_sandbox import RunningSandbox
from tests.scripted_server import Scripted, ScriptedServer


@pytest.fixture
def payments(providers: RunningSandbox) -> StripePayments:
    return StripePayments(settings(providers.url))


def settings(url: str, provider_timeout: float = 20.0) -> Settings:
    stripe = Provider(SANDBOX_KEYS["stripe"], "", f"{url}/stripe", False)
    return dataclasses.replace(Settings.load(), stripe=stripe, provider_timeout=provider_timeout)


def key() -> str:
    return uuid.uuid4().hex


def opened(payments: StripePayments, amount: int = 1000) -> tuple[str, str]:
    """Open a payment; return the id of its order and its own id."""
    order_id = f"or_{key()}"
    payment = payments.open(order_id, amount, "usd", "shopper@example.com", f"{order_id}:open")
    assert (payment.state, payment.amount, payment.charge) == (OPEN, amount, None)
    return order_id, payment.id


def charges(providers: RunningSandbox, order_id: str) -> list[dict[str, Any]]:
    return [charge for charge in providers.ledger(order_id=order_id)["charges"] if charge["paid"]]


@pytest.mark.parametrize("card", ["tok_mastercard", "pm_card_visa"])
def test_a_confirmed_payment_is_charged_its_amount(
    payments: StripePayments, providers: RunningSandbox, card: str
) -> None:
    order_id, payment_id = opened(payments, 1234)
    payment = payments.confirm(payment_id, payments.method(card, key()), key())
    assert payment.state == SUCCEEDED
    [charge] = charges(providers, order_id)
    assert (charge["id"], charge["amount"]) == (payment.charge, 1234)
    assert payments.find(payment_id) == payment


def test_the_same_key_opens_and_charges_once(payments: StripePayments, providers: RunningSandbox) -> None:
    order_id, payment_id = opened(payments)
    again = payments.open(order_id, 1000, "usd", "shopper@example.com", f"{order_id}:open")
    assert again.id == payment_id
    confirm = key()
    first = payments.confirm(payment_id, "pm_card_visa", confirm)
    assert payments.confirm(payment_id, "pm_card_visa", confirm) == first
    assert len(charges(providers, order_id)) == 1


def test_succeeded_payment_is_not_charged_again(payments: StripePayments, providers: RunningSandbox) -> None:
    order_id, payment_id = opened(payments)
    payments.confirm(payment_id, "pm_card_visa", key())
    with pytest.raises(Refused) as caught:
        payments.confirm(payment_id, "pm_card_visa", key())
    assert caught.value.facts["code"] == "payment_intent_unexpected_state"
    assert len(charges(providers, order_id)) == 1


def test_declined_card_leaves_the_payment_open(payments: StripePayments, providers: RunningSandbox) -> None:
    order_id, payment_id = opened(payments)
    method = payments.method("tok_visa_chargeDeclinedInsufficientFunds", key())
    with pytest.raises(PaymentDeclined) as caught:
        payments.confirm(payment_id, method, key())
    assert caught.value.facts == {"code": "card_declined", "decline_code": "insufficient_funds"}
    found = payments.find(payment_id)
    assert found.state == OPEN
    assert found.decline is not None
    assert charges(providers, order_id) == []


@pytest.mark.parametrize(("result", "state"), [("succeed", SUCCEEDED), ("fail", OPEN)])
def test_bank_challenge_decides_the_payment(
    payments: StripePayments, providers: RunningSandbox, result: str, state: str
) -> None:
    _, payment_id = opened(payments)
    payment = payments.confirm(payment_id, "pm_card_authenticationRequired", key())
    assert payment.state == ACTION
    assert payment.action is not None
    assert payment.action["client_secret"].startswith(payment_id)
    assert payment.action["next_action"]["type"]
    requests.post(f"{providers.url}/sandbox/3ds/{payment_id}", json={"result": result}, timeout=30).raise_for_status()
    assert payments.find(payment_id).state == state


def test_token_that_was_used_is_refused_as_such(payments: StripePayments, providers: RunningSandbox) -> None:
    sdk = stripe.StripeClient(SANDBOX_KEYS["stripe"], base_addresses={"api": f"{providers.url}/stripe"})
    token = sdk.v1.test_helpers.confirmation_tokens.create({"payment_method": "pm_card_visa"}).id
    assert payments.confirm(opened(payments)[1], token, key()).state == SUCCEEDED
    order_id, payment_id = opened(payments)
    with pytest.raises(Refused) as caught:
        payments.confirm(payment_id, token, key())
    assert caught.value.facts[USED_UP] is True
    assert charges(providers, order_id) == []


def test_canceled_payment_cannot_be_confirmed(payments: StripePayments, providers: RunningSandbox) -> None:
    order_id, payment_id = opened(payments)
    assert payments.cancel(payment_id).state == CANCELED
    assert payments.cancel(payment_id).state == CANCELED
    with pytest.raises(Refused) as caught:
        payments.confirm(payment_id, "pm_card_visa", key())
    assert caught.value.facts[CALLED_OFF] is True
    assert charges(providers, order_id) == []


def test_canceling_a_succeeded_payment_keeps_it_succeeded(payments: StripePayments) -> None:
    _, payment_id = opened(payments)
    payments.confirm(payment_id, "pm_card_visa", key())
    assert payments.cancel(payment_id).state == SUCCEEDED


def test_payment_is_refunded_once_all_of_it_was(payments: StripePayments) -> None:
    order_id, payment_id = opened(payments)
    payments.confirm(payment_id, "pm_card_visa", key())
    found = []
    for amount in (400, 600):
        found.append(payments.find(payment_id))
        payments.refund(payment_id, amount, f"rf_{amount}", order_id, key())
    found.append(payments.cancel(payment_id))
    assert [(each.state, each.refunded) for each in found] == [
        (SUCCEEDED, False),
        (SUCCEEDED, False),
        (SUCCEEDED, True),
    ]


@pytest.mark.parametrize("card", ["tok_nonsense", "pm_nonsense"])
def test_unknown_card_is_refused(payments: StripePayments, card: str) -> None:
    _, payment_id = opened(payments)
    with pytest.raises(Refused):
        payments.confirm(payment_id, payments.method(card, key()), key())


def test_amount_below_the_minimum_is_refused(payments: StripePayments) -> None:
    with pytest.raises(Refused) as caught:
        payments.open("or_small", 10, "usd", "shopper@example.com", key())
    assert caught.value.facts["code"] == "amount_too_small"


def test_wrong_api_key_is_neither_shown_nor_logged(providers: RunningSandbox, caplog: Any) -> None:
    wrong = settings(providers.url)
    wrong = Settings(**{**vars(wrong), "stripe": type(wrong.stripe)("wrong-key", "", wrong.stripe.base, False)})
    with pytest.raises(ProviderFailure) as caught:
        StripePayments(wrong).find("pi_1")
    assert "wrong-key" not in str(caught.value)
    assert "wrong-key" not in caplog.text


@pytest.mark.parametrize("fault", [{"lose_answer_rate": 1}, {"hang_rate": 1}, {"error_rate": 1, "error_status": 500}])
def test_missing_answer_leaves_the_outcome_unknown(
    payments: StripePayments, providers: RunningSandbox, fault: dict[str, Any]
) -> None:
    order_id, payment_id = opened(payments)
    confirm = key()
    providers.fault("stripe", path="/v1/payment_intents", **fault)
    with pytest.raises(OutcomeUnknown):
        StripePayments(settings(providers.url, 1.0)).confirm(payment_id, "pm_card_visa", confirm)
    providers.heal()
    # The idempotency key prevents a second charge, whether or not the first call took effect.
    assert payments.confirm(payment_id, "pm_card_visa", confirm).state == SUCCEEDED
    assert len(charges(providers, order_id)) == 1


def paid(payments: StripePayments) -> tuple[str, str]:
    order_id, payment_id = opened(payments)
    payments.confirm(payment_id, "pm_card_visa", key())
    return order_id, payment_id


def test_refund_is_made_once_per_key_and_listed(payments: StripePayments, providers: RunningSandbox) -> None:
    order_id, payment_id = paid(payments)
    assert payments.refunds(payment_id) == []
    refund_key = key()
    first = payments.refund(payment_id, 300, "rf_1", order_id, refund_key)
    assert (first.amount, first.refund_id, first.failed) == (300, "rf_1", False)
    assert payments.refund(payment_id, 300, "rf_1", order_id, refund_key) == first
    second = payments.refund(payment_id, 700, "rf_2", order_id, key())
    assert {refund.id: refund for refund in payments.refunds(payment_id)} == {first.id: first, second.id: second}
    [charge] = charges(providers, order_id)
    assert charge["amount_refunded"] == 1000


def test_refund_above_the_remaining_amount_is_refused(payments: StripePayments) -> None:
    order_id, payment_id = paid(payments)
    payments.refund(payment_id, 300, "rf_1", order_id, key())
    with pytest.raises(Refused):
        payments.refund(payment_id, 701, "rf_2", order_id, key())
    assert [refund.amount for refund in payments.refunds(payment_id)] == [300]


def test_refund_with_a_lost_answer_is_listed(payments: StripePayments, providers: RunningSandbox) -> None:
    order_id, payment_id = paid(payments)
    providers.fault("stripe", path="/v1/refunds", lose_answer_rate=1)
    with pytest.raises(OutcomeUnknown):
        payments.refund(payment_id, 300, "rf_1", order_id, key())
    providers.heal()
    assert [(refund.refund_id, refund.amount) for refund in payments.refunds(payment_id)] == [("rf_1", 300)]


@pytest.mark.parametrize("replayed", [True, False])
def test_replayed_failure_is_marked_as_replayed(
    providers: RunningSandbox, scripted: ScriptedServer, replayed: bool
) -> None:
    said = {"Idempotent-Replayed": "true", "Stripe-Should-Retry": "false"} if replayed else {}
    failure = b'{"error": {"type": "api_error", "message": "No."}}'
    saved = Scripted(500, failure, {"Content-Type": "application/json", **said})
    nothing = Scripted(200, b'{"object": "list", "data": [], "has_more": false}')
    scripted.answers = [saved, nothing, saved, nothing, saved] if replayed else [saved]
    payments = StripePayments(settings(scripted.url))
    with pytest.raises(OutcomeUnknown) as caught:
        payments.refund("pi_1", 300, "rf_1", "or_1", key())
    assert caught.value.facts[REPLAYED] is replayed
