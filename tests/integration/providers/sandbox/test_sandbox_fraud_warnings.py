"""Early fraud warnings of Stripe Radar in the sandbox: by test card and by the control API."""

from __future__ import annotations

import pytest
import stripe

from tests.integration.providers.sandbox.process import Sdks
from tests.integration.providers.sandbox.stripe_payments import charge_of
from tests.integration.providers.sandbox.test_sandbox_disputes import kinds_of, noted, pay

__all__ = ["noted"]
CREATED, UPDATED = (f"radar.early_fraud_warning.{what}" for what in ("created", "updated"))


def warning_of(sdks: Sdks, paid: stripe.PaymentIntent) -> stripe.radar.EarlyFraudWarning:
    [warning] = sdks.stripe.v1.radar.early_fraud_warnings.list({"payment_intent": paid.id}).data
    return warning


def test_card_brings_a_warning_right_after_payment(sdks: Sdks, noted: None) -> None:
    paid = pay(sdks, "pm_card_createIssuerFraudRecord")
    warning = warning_of(sdks, paid)

    assert warning.id.startswith("issfr_")
    assert (warning.charge, warning.fraud_type, warning.actionable) == (paid.latest_charge, "misc", True)
    assert sdks.stripe.v1.radar.early_fraud_warnings.retrieve(warning.id).to_dict() == warning.to_dict()
    assert not charge_of(sdks, paid).disputed
    assert kinds_of(sdks, paid)[1:] == ["charge.succeeded", CREATED, "payment_intent.succeeded"]


def test_full_refund_settles_the_warning(sdks: Sdks, noted: None) -> None:
    paid = pay(sdks, "pm_card_createIssuerFraudRecord")
    sdks.stripe.v1.refunds.create({"payment_intent": paid.id, "amount": 100})
    assert warning_of(sdks, paid).actionable
    sdks.stripe.v1.refunds.create({"payment_intent": paid.id})
    assert not warning_of(sdks, paid).actionable
    assert kinds_of(sdks, paid).count(UPDATED) == 1


def test_failed_refund_makes_the_warning_actionable_again(sdks: Sdks) -> None:
    paid = pay(sdks, "pm_card_createIssuerFraudRecord")
    refund = sdks.stripe.v1.refunds.create({"payment_intent": paid.id})
    assert not warning_of(sdks, paid).actionable
    assert sdks.post(f"/sandbox/refunds/{refund.id}", json={"result": "fail"}).status_code == 200
    assert warning_of(sdks, paid).actionable


def test_dispute_settles_the_warning_of_the_control_api(sdks: Sdks) -> None:
    paid = pay(sdks, "pm_card_visa")
    path = f"/sandbox/charges/{paid.latest_charge}"
    assert sdks.post(f"{path}/fraud_warning", json={"fraud_type": "bad"}).status_code == 400
    made = sdks.post(f"{path}/fraud_warning", json={"fraud_type": "made_with_stolen_card"})
    assert (made.status_code, made.json()["fraud_type"]) == (200, "made_with_stolen_card")
    assert warning_of(sdks, paid).actionable
    sdks.post(f"{path}/dispute", json={})
    assert not warning_of(sdks, paid).actionable


def test_unknown_warning_is_not_found(sdks: Sdks) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="No such early_fraud_warning") as missing:
        sdks.stripe.v1.radar.early_fraud_warnings.retrieve("issfr_unknown")
    assert missing.value.http_status == 404
    assert sdks.post("/sandbox/charges/ch_unknown/fraud_warning", json={}).status_code == 404
