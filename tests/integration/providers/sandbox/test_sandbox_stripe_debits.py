"""Payments from a bank account in the sandbox, which are `processing` for days, through Stripe's own SDK."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.integration.providers.sandbox.gateways import ALL_EVENTS, Gateway, switch, until
from tests.integration.providers.sandbox.process import SandboxProcess, Sdks
from tests.integration.providers.sandbox.shapes import body_problems
from tests.integration.providers.sandbox.stripe_payments import charge_of, settle
from tests.integration.providers.sandbox.test_sandbox_stripe_payments import new_intent

MANDATE = {"customer_acceptance": {"type": "online", "online": {"ip_address": "127.0.0.1", "user_agent": "test"}}}


@pytest.fixture(scope="module")
def sdks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sdks]:
    """Start a sandbox of its own, because these tests advance the clock."""
    with SandboxProcess(tmp_path_factory.mktemp("later")) as process:
        yield Sdks(process.url)


def debit(sdks: Sdks, account: str = "success", **more: Any) -> stripe.PaymentIntent:
    method = f"pm_usBankAccount_{account}"
    return new_intent(sdks, confirm=True, payment_method=method, mandate_data=MANDATE, **more)


def wait_for(sdks: Sdks, intent: stripe.PaymentIntent, status: str) -> stripe.PaymentIntent:
    now = sdks.stripe.v1.payment_intents.retrieve
    found: stripe.PaymentIntent = until(lambda: (one := now(intent.id)).status == status and one)
    return found


def test_bank_account_is_processing_and_pays_later(sdks: Sdks) -> None:
    intent = debit(sdks)
    assert (intent.status, intent.amount_received, intent.next_action) == ("processing", 0, None)
    charge = charge_of(sdks, intent)
    assert (charge.status, charge.paid, charge.balance_transaction) == ("pending", False, None)
    for change in (
        lambda: sdks.stripe.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"}),
        lambda: sdks.stripe.v1.payment_intents.update(intent.id, {"amount": 900}),
        lambda: sdks.stripe.v1.refunds.create({"payment_intent": intent.id}),
    ):
        with pytest.raises(stripe.InvalidRequestError):
            change()

    sdks.post("/sandbox/clock", json={"advance_seconds": 60})

    paid = wait_for(sdks, intent, "succeeded")
    assert paid.amount_received == 446
    charge = charge_of(sdks, intent)
    assert (charge.status, charge.paid, charge.amount_captured) == ("succeeded", True, 446)
    assert charge.balance_transaction is not None
    assert sdks.stripe.v1.refunds.create({"payment_intent": intent.id}).status == "succeeded"


@pytest.mark.parametrize(
    ("account", "code"),
    [
        ("insufficientFunds", "insufficient_funds"),
        ("accountClosed", "account_closed"),
        ("noAccount", "no_account"),
        ("debitNotAuthorized", "debit_not_authorized"),
    ],
)
def test_debit_fails_later_and_the_intent_can_be_paid_again(sdks: Sdks, account: str, code: str) -> None:
    intent = debit(sdks, account)
    assert intent.status == "processing"

    sdks.post("/sandbox/clock", json={"advance_seconds": 60})

    failed = wait_for(sdks, intent, "requires_payment_method")
    assert failed.last_payment_error is not None
    assert (failed.last_payment_error.code, failed.payment_method) == (code, None)
    charge = charge_of(sdks, intent)
    assert (charge.status, charge.paid, charge.failure_code) == ("failed", False, code)
    paid = sdks.stripe.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert paid.status == "succeeded"


def test_control_api_settles_a_processing_payment(sdks: Sdks) -> None:
    intent = debit(sdks, "processing")
    for wrong in ({}, {"result": "lost"}, {"result": "fail", "reason": "because"}):
        settle(sdks, "payments", intent.id, 400, **wrong)
    settle(sdks, "payments", "pi_none", 404, result="fail")
    entry = sdks.get(f"/sandbox/feed/payment/{intent.id}").json()["entry"]
    assert entry["status"] == "processing"

    failed = settle(sdks, "payments", intent.id, result="fail", reason="no_account")

    assert (failed["status"], failed["last_payment_error"]["code"]) == ("requires_payment_method", "no_account")
    settle(sdks, "payments", intent.id, 409, result="succeed")
    again = debit(sdks, "insufficientFunds")
    assert settle(sdks, "payments", again.id, result="succeed")["status"] == "succeeded"
    shown = sdks.get(f"/sandbox/feed/charge/{again.latest_charge}").json()["entry"]
    assert shown["card"] == "bank account 2227"


def test_processing_payment_can_be_canceled(sdks: Sdks) -> None:
    intent = debit(sdks, "success")
    canceled = sdks.stripe.v1.payment_intents.cancel(intent.id)
    assert (canceled.status, charge_of(sdks, intent).status) == ("canceled", "failed")

    forever, later = debit(sdks, "processing"), debit(sdks, "success")
    sdks.post("/sandbox/clock", json={"advance_seconds": 60})

    wait_for(sdks, later, "succeeded")
    assert sdks.stripe.v1.payment_intents.retrieve(intent.id).status == "canceled"
    assert sdks.stripe.v1.payment_intents.retrieve(forever.id).status == "processing"


def test_intent_for_cards_or_euros_refuses_a_bank_account(sdks: Sdks) -> None:
    cards: Any = {"amount": 446, "currency": "usd", "allowed_payment_method_types": ["card"]}
    method: Any = {"payment_method": "pm_usBankAccount_success", "confirm": True}
    with pytest.raises(stripe.InvalidRequestError, match="is not allowed for this PaymentIntent") as refusal:
        sdks.stripe.v1.payment_intents.create({**cards, **method})
    assert refusal.value.param == "payment_method"
    with pytest.raises(stripe.InvalidRequestError, match="currencies: usd"):
        debit(sdks, currency="eur")
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        debit(sdks, "unknown")
    assert refusal.value.code == "resource_missing"


def test_debits_send_their_events_in_the_shape_of_stripe(tmp_path: Path) -> None:
    gateway = Gateway()
    with SandboxProcess(tmp_path, WEBHOOK_URL=gateway.url) as process:
        sdks = Sdks(process.url)
        switch(sdks, "stripe", events=ALL_EVENTS)
        first, second = debit(sdks), debit(sdks, "insufficientFunds")
        settle(sdks, "payments", first.id, result="succeed")
        settle(sdks, "payments", second.id, result="fail")
        until(lambda: len(gateway.of("stripe")) == 10)
        sent = [one.json for one in gateway.of("stripe")]
    gateway.close()
    begun = ["payment_intent.created", "charge.pending", "payment_intent.processing"]
    wanted = {
        first.id: [*begun, "charge.succeeded", "payment_intent.succeeded"],
        second.id: [*begun, "charge.failed", "payment_intent.payment_failed"],
    }
    classes = {"charge": stripe.Charge, "payment_intent": stripe.PaymentIntent}
    for intent_id, kinds in wanted.items():
        about = [
            one
            for one in sent
            if intent_id in (one["data"]["object"]["id"], one["data"]["object"].get("payment_intent"))
        ]
        assert sorted(one["type"] for one in about) == sorted(kinds)
    for one in sent:
        assert list(body_problems(one, stripe.Event)) == []
        body = one["data"]["object"]
        assert list(body_problems(body, classes[body["object"]])) == []


def test_bank_account_is_not_captured_later(sdks: Sdks) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="manual capture"):
        debit(sdks, capture_method="manual")


def test_charge_of_a_bank_account_is_not_disputed(sdks: Sdks) -> None:
    intent = debit(sdks, "processing")
    settle(sdks, "payments", intent.id, result="succeed")
    for path in ("dispute", "fraud_warning"):
        assert sdks.post(f"/sandbox/charges/{intent.latest_charge}/{path}", json={}).status_code == 409
