"""Stripe's disputes in the sandbox: by test card and by the control API, answered, decided, and reported."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.integration.providers.sandbox.gateways import (
    ALL_EVENTS,
    STRIPE_SECRET,
    Gateway,
    until,
)
from tests.integration.providers.sandbox.process import SandboxProcess, Sdks
from tests.integration.providers.sandbox.shapes import body_problems
from tests.integration.providers.sandbox.stripe_payments import charge_of

AUTOMATIC = {"enabled": True, "allow_redirects": "never"}
OPENED = ["payment_intent.created", "charge.succeeded", "charge.dispute.created"]
WITHDRAWN = "charge.dispute.funds_withdrawn"


def pay(sdks: Sdks, card: str = "pm_card_createDispute", **more: Any) -> stripe.PaymentIntent:
    """Pay $4.46 for an order of its own."""
    asked: Any = {
        "amount": 446, "currency": "usd", "automatic_payment_methods": AUTOMATIC,
        "metadata": {"order_id": f"or_{uuid.uuid4().hex}"}, **more,
    }  # fmt: skip
    intent = sdks.stripe.v1.payment_intents.create(asked)
    return sdks.stripe.v1.payment_intents.confirm(intent.id, {"payment_method": card})


def dispute_of(sdks: Sdks, paid: stripe.PaymentIntent) -> stripe.Dispute:
    [dispute] = sdks.stripe.v1.disputes.list({"payment_intent": paid.id}).data
    return dispute


def submit(sdks: Sdks, dispute: stripe.Dispute, text: str) -> stripe.Dispute:
    return sdks.stripe.v1.disputes.update(dispute.id, {"evidence": {"uncategorized_text": text}})


def kinds_of(sdks: Sdks, paid: stripe.PaymentIntent) -> list[str]:
    """Return the order's Stripe events, in the order in which they were noted."""
    query = {"order_id": paid.metadata["order_id"], "kind": "webhook"}
    return [entry["event"] for entry in reversed(sdks.get("/sandbox/feed", params=query).json()["entries"])]


@pytest.fixture
def noted(sdks: Sdks) -> Any:
    """Note events of all kinds; sending them fails, because nobody listens."""
    assert sdks.put("/sandbox/webhooks/stripe", json={"events": ALL_EVENTS}).status_code == 200
    yield
    sdks.delete("/sandbox/webhooks/stripe")


@pytest.mark.parametrize(
    ("name", "number", "reason", "code"),
    [
        ("createDispute", "4000000000000259", "fraudulent", "10.4"),
        ("createDisputeProductNotReceived", "4000000000002685", "product_not_received", "13.1"),
    ],
)
def test_card_is_charged_back_right_after_payment(
    sdks: Sdks, noted: None, name: str, number: str, reason: str, code: str
) -> None:
    token: Any = {"type": "card", "card": {"token": f"tok_{name}"}}
    typed: Any = {"type": "card", "card": {"number": number, "exp_month": 12, "exp_year": 2040}}
    for method in (
        f"pm_card_{name}",
        sdks.stripe.v1.payment_methods.create(token).id,
        sdks.stripe.v1.payment_methods.create(typed).id,
    ):
        paid = pay(sdks, method)
        dispute = dispute_of(sdks, paid)

        assert (paid.status, charge_of(sdks, paid).disputed) == ("succeeded", True)
        assert dispute.id.startswith("du_")
        assert (dispute.amount, dispute.reason, dispute.status) == (446, reason, "needs_response")
        assert dispute.payment_method_details is not None
        assert dispute.payment_method_details.card is not None
        assert dispute.payment_method_details.card.network_reason_code == code
        [withdrawn] = dispute.balance_transactions
        assert (withdrawn.amount, withdrawn.fee, withdrawn.net) == (-446, 1500, -1946)
        assert (withdrawn.source, withdrawn.type) == (dispute.id, "adjustment")
        assert kinds_of(sdks, paid) == [*OPENED, WITHDRAWN, "payment_intent.succeeded"]


def test_charged_back_charge_cannot_be_refunded(sdks: Sdks) -> None:
    paid = pay(sdks)
    with pytest.raises(stripe.InvalidRequestError, match="has been charged back; cannot issue a refund") as refusal:
        sdks.stripe.v1.refunds.create({"payment_intent": paid.id})
    assert refusal.value.code == "charge_disputed"


def test_authorized_charge_is_disputed_after_its_capture(sdks: Sdks) -> None:
    held = pay(sdks, capture_method="manual")
    assert sdks.stripe.v1.disputes.list({"payment_intent": held.id}).data == []
    sdks.stripe.v1.payment_intents.capture(held.id, {"amount_to_capture": 300})
    assert dispute_of(sdks, held).amount == 300


def test_inquiry_withdraws_nothing_and_can_be_refunded(sdks: Sdks, noted: None) -> None:
    paid = pay(sdks, "pm_card_createDisputeInquiry")
    inquiry = dispute_of(sdks, paid)
    assert (inquiry.status, inquiry.is_charge_refundable) == ("warning_needs_response", True)
    assert inquiry.balance_transactions == []
    assert kinds_of(sdks, paid) == [*OPENED, "payment_intent.succeeded"]
    assert sdks.stripe.v1.refunds.create({"payment_intent": paid.id}).status == "succeeded"


def test_escalated_inquiry_becomes_a_chargeback(sdks: Sdks, noted: None) -> None:
    paid = pay(sdks, "pm_card_createDisputeInquiry")
    before = len(kinds_of(sdks, paid))
    answer = submit(sdks, dispute_of(sdks, paid), "escalate_inquiry_evidence")
    assert answer.status == "warning_under_review"
    dispute = dispute_of(sdks, paid)
    assert (dispute.status, dispute.is_charge_refundable) == ("needs_response", False)
    assert [each.amount for each in dispute.balance_transactions] == [-446]
    assert kinds_of(sdks, paid)[before:] == ["charge.dispute.updated", "charge.dispute.updated", WITHDRAWN]


def test_winning_evidence_gives_the_money_back(sdks: Sdks, noted: None) -> None:
    paid = pay(sdks)
    before = len(kinds_of(sdks, paid))
    answer = submit(sdks, dispute_of(sdks, paid), "winning_evidence")
    # Stripe's answer to the submission says nothing of the decision, either.
    assert (answer.status, answer.evidence_details.submission_count) == ("under_review", 1)
    assert len(answer.balance_transactions) == 1
    won = dispute_of(sdks, paid)
    assert (won.status, won.is_charge_refundable) == ("won", True)
    assert sum(each.net for each in won.balance_transactions) == 0
    assert charge_of(sdks, paid).disputed
    assert kinds_of(sdks, paid)[before:] == [
        "charge.dispute.updated", "charge.dispute.funds_reinstated", "charge.dispute.closed",
    ]  # fmt: skip
    assert sdks.stripe.v1.refunds.create({"payment_intent": paid.id}).status == "succeeded"


@pytest.mark.parametrize(
    ("card", "status"), [("pm_card_createDispute", "lost"), ("pm_card_createDisputeInquiry", "warning_closed")]
)
def test_losing_evidence_closes_the_dispute(sdks: Sdks, noted: None, card: str, status: str) -> None:
    paid = pay(sdks, card)
    before = len(kinds_of(sdks, paid))
    submit(sdks, dispute_of(sdks, paid), "losing_evidence")
    closed = dispute_of(sdks, paid)
    assert closed.status == status
    assert len(closed.balance_transactions) == (1 if status == "lost" else 0)
    assert kinds_of(sdks, paid)[before:] == ["charge.dispute.updated", "charge.dispute.closed"]


def test_lost_dispute_gives_back_what_was_refunded(sdks: Sdks, noted: None) -> None:
    paid = pay(sdks, "pm_card_visa")
    sdks.stripe.v1.refunds.create({"payment_intent": paid.id, "amount": 100})
    assert sdks.post(f"/sandbox/charges/{paid.latest_charge}/dispute", json={}).status_code == 200
    dispute = sdks.stripe.v1.disputes.close(dispute_of(sdks, paid).id)
    assert (dispute.status, dispute.amount) == ("lost", 446)
    assert [(each.amount, each.fee) for each in dispute.balance_transactions] == [(-446, 1500), (100, 0)]
    assert kinds_of(sdks, paid)[-2:] == ["charge.dispute.funds_reinstated", "charge.dispute.closed"]


def test_closed_dispute_takes_no_evidence(sdks: Sdks) -> None:
    dispute = dispute_of(sdks, pay(sdks))
    assert sdks.stripe.v1.disputes.close(dispute.id).status == "lost"
    for late in (
        lambda: sdks.stripe.v1.disputes.close(dispute.id),
        lambda: submit(sdks, dispute, "winning_evidence"),
    ):
        with pytest.raises(stripe.InvalidRequestError, match="This dispute is already closed"):
            late()
    assert sdks.stripe.v1.disputes.retrieve(dispute.id).status == "lost"


def test_evidence_is_staged_before_it_is_submitted(sdks: Sdks) -> None:
    dispute = dispute_of(sdks, pay(sdks))
    asked: Any = {"evidence": {"shipping_carrier": "USPS"}, "submit": False, "metadata": {"seen": "yes"}}
    staged = sdks.stripe.v1.disputes.update(dispute.id, asked)
    assert (staged.status, staged.evidence.shipping_carrier) == ("needs_response", "USPS")
    assert (staged.evidence_details.has_evidence, staged.evidence_details.submission_count) == (True, 0)
    submitted = sdks.stripe.v1.disputes.update(dispute.id, {"submit": True})
    assert (submitted.status, submitted.evidence_details.submission_count) == ("under_review", 1)
    assert submitted.metadata.to_dict() == {"seen": "yes"}


def test_evidence_is_checked(sdks: Sdks) -> None:
    dispute = dispute_of(sdks, pay(sdks))
    wrong: list[tuple[Any, str]] = [
        ({"evidence": {"receipt": "file_unknown"}}, "No such file upload: 'file_unknown'"),
        ({"evidence": {"uncategorized_text": "x" * 20_001}}, "at most 20000 characters"),
        ({"evidence": {"colour": "red"}}, "Received unknown parameter"),
    ]
    for asked, message in wrong:
        with pytest.raises(stripe.InvalidRequestError, match=message):
            sdks.stripe.v1.disputes.update(dispute.id, asked)
    long = ("access_activity_log", "cancellation_rebuttal", "product_description", "refund_policy_disclosure")
    more = ("refund_refusal_explanation", "uncategorized_text", "shipping_address", "customer_name")
    much: Any = {"evidence": dict.fromkeys((*long, *more), "x" * 19_999)}
    with pytest.raises(stripe.InvalidRequestError, match="limited to 150000"):
        sdks.stripe.v1.disputes.update(dispute.id, much)
    assert sdks.stripe.v1.disputes.retrieve(dispute.id).evidence_details.submission_count == 0
    with pytest.raises(stripe.InvalidRequestError) as missing:
        sdks.stripe.v1.disputes.retrieve("du_unknown")
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")


def test_disputes_are_listed_by_charge_and_expanded(sdks: Sdks) -> None:
    paid = pay(sdks)
    dispute = dispute_of(sdks, paid)
    by_charge = sdks.stripe.v1.disputes.list({"charge": str(paid.latest_charge), "expand": ["data.charge"]})
    assert [each.id for each in by_charge.data] == [dispute.id]
    assert isinstance(by_charge.data[0].charge, stripe.Charge)
    later = pay(sdks)
    assert [each.id for each in sdks.stripe.v1.disputes.list({"limit": 1}).data] == [dispute_of(sdks, later).id]


def test_any_charge_is_disputed_and_decided_by_the_control_api(sdks: Sdks, noted: None) -> None:
    paid = pay(sdks, "pm_card_visa")
    path = f"/sandbox/charges/{paid.latest_charge}/dispute"
    assert sdks.post(path, json={"claim": "product_not_received", "amount": 100}).status_code == 200
    dispute = dispute_of(sdks, paid)
    assert (dispute.amount, dispute.reason) == (100, "product_not_received")
    assert sdks.post(path, json={}).status_code == 409
    assert sdks.post(f"/sandbox/disputes/{dispute.id}", json={"result": "escalated"}).status_code == 409
    decided = sdks.post(f"/sandbox/disputes/{dispute.id}", json={"result": "won"}).json()
    assert (decided["status"], decided["balance_transactions"][1]["amount"]) == ("won", 100)
    assert kinds_of(sdks, paid)[-2:] == ["charge.dispute.funds_reinstated", "charge.dispute.closed"]
    assert sdks.post(f"/sandbox/disputes/{dispute.id}", json={"result": "lost"}).status_code == 409


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"claim": "bad mood"}, 400),
        ({"claim": []}, 400),
        ({"amount": 447}, 400),
        ({"amount": True}, 400),
        ({"colour": "red"}, 400),
    ],
)
def test_bad_dispute_is_refused(sdks: Sdks, body: dict[str, Any], status: int) -> None:
    paid = pay(sdks, "pm_card_visa")
    assert sdks.post(f"/sandbox/charges/{paid.latest_charge}/dispute", json=body).status_code == status
    assert not charge_of(sdks, paid).disputed


def test_only_money_that_was_taken_is_disputed(sdks: Sdks) -> None:
    held = pay(sdks, "pm_card_visa", capture_method="manual")
    assert sdks.post(f"/sandbox/charges/{held.latest_charge}/dispute", json={}).status_code == 409
    assert sdks.post("/sandbox/charges/ch_unknown/dispute", json={}).status_code == 404
    assert sdks.post("/sandbox/disputes/du_unknown", json={"result": "won"}).status_code == 404


def test_malformed_body_disputes_nothing(sdks: Sdks) -> None:
    paid = pay(sdks, "pm_card_visa")
    for body in ('{"amount": 100', "[]"):
        answer = sdks.post(f"/sandbox/charges/{paid.latest_charge}/dispute", data=body)
        assert (answer.status_code, answer.json()) == (400, {"error": "the body is a JSON object"})
    assert not charge_of(sdks, paid).disputed


def test_pending_refund_fails_when_its_charge_is_charged_back(sdks: Sdks) -> None:
    paid = pay(sdks, "pm_card_pendingRefund")
    refund = sdks.stripe.v1.refunds.create({"payment_intent": paid.id})
    sdks.post(f"/sandbox/charges/{paid.latest_charge}/dispute", json={})
    failed = sdks.stripe.v1.refunds.retrieve(refund.id)
    assert (failed.status, failed.failure_reason) == ("failed", "charge_for_pending_refund_disputed")
    charge = charge_of(sdks, paid)
    assert (charge.disputed, charge.amount_refunded) == (True, 0)


def test_dispute_is_lost_without_an_answer_in_time(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path) as process:
        sdks = Sdks(process.url)
        sdks.put("/sandbox/webhooks/stripe", json={"events": ALL_EVENTS})
        silent, answered = pay(sdks), pay(sdks)
        submit(sdks, dispute_of(sdks, answered), "a receipt")
        inquiry = pay(sdks, "pm_card_createDisputeInquiry")
        sdks.post("/sandbox/clock", json={"advance_seconds": 7 * 86_400})
        assert dispute_of(sdks, silent).status == "needs_response"
        sdks.post("/sandbox/clock", json={"advance_seconds": 2 * 86_400})
        statuses = [dispute_of(sdks, each).status for each in (silent, answered, inquiry)]
        assert statuses == ["lost", "under_review", "warning_closed"]
        assert kinds_of(sdks, silent)[-1] == "charge.dispute.closed"


def test_escalated_inquiry_has_its_own_time_to_answer(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path) as process:
        sdks = Sdks(process.url)
        paid = pay(sdks, "pm_card_createDisputeInquiry")
        submit(sdks, dispute_of(sdks, paid), "a receipt")
        sdks.post("/sandbox/clock", json={"advance_seconds": 10 * 86_400})
        sdks.post(f"/sandbox/disputes/{dispute_of(sdks, paid).id}", json={"result": "escalated"})
        sdks.post("/sandbox/clock", json={"advance_seconds": 7 * 86_400})
        assert dispute_of(sdks, paid).status == "needs_response"
        sdks.post("/sandbox/clock", json={"advance_seconds": 2 * 86_400})
        assert dispute_of(sdks, paid).status == "lost"


def test_dispute_survives_a_restart_and_is_signed(tmp_path: Path) -> None:
    gateway = Gateway()
    try:
        with SandboxProcess(tmp_path, WEBHOOK_URL=gateway.url) as process:
            sdks = Sdks(process.url)
            sdks.put("/sandbox/webhooks/stripe", json={"events": ["charge.dispute.created"]})
            dispute = dispute_of(sdks, pay(sdks))
            arrival = until(lambda: gateway.of("stripe"))[0]
            process.kill()
    finally:
        gateway.close()
    event = stripe.Webhook.construct_event(arrival.body, arrival.headers["stripe-signature"], STRIPE_SECRET)
    assert (event.type, event.data.object["id"]) == ("charge.dispute.created", dispute.id)
    assert list(body_problems(arrival.json, stripe.Event)) == []
    assert list(body_problems(arrival.json["data"]["object"], stripe.Dispute)) == []
    with SandboxProcess(tmp_path) as process:
        again = Sdks(process.url)
        assert again.stripe.v1.disputes.retrieve(dispute.id).to_dict() == dispute.to_dict()
