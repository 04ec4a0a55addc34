"""Refunds in the sandbox that fail after they succeeded, or that are pending first, through Stripe's own SDK."""

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


@pytest.fixture(scope="module")
def sdks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sdks]:
    """Start a sandbox of its own, because these tests advance the clock."""
    with SandboxProcess(tmp_path_factory.mktemp("later")) as process:
        yield Sdks(process.url)


@pytest.fixture(autouse=True)
def _usual_switches(sdks: Sdks) -> Iterator[None]:
    yield
    assert sdks.delete("/sandbox/options/stripe").status_code == 200


def pay(sdks: Sdks, card: str) -> stripe.PaymentIntent:
    return new_intent(sdks, confirm=True, payment_method=card)


def refund(sdks: Sdks, intent: stripe.PaymentIntent, **more: Any) -> stripe.Refund:
    asked: Any = {"payment_intent": intent.id, **more}
    return sdks.stripe.v1.refunds.create(asked)


def test_refund_of_the_failing_card_fails_after_its_success(sdks: Sdks) -> None:
    intent = pay(sdks, "pm_card_refundFail")
    made = refund(sdks, intent, amount=100)
    assert (made.status, "failure_reason" in made) == ("succeeded", False)
    assert charge_of(sdks, intent).amount_refunded == 100

    assert sdks.post("/sandbox/clock", json={"advance_seconds": 60}).status_code == 200

    failed = until(lambda: (now := sdks.stripe.v1.refunds.retrieve(made.id)).status == "failed" and now)
    assert failed.failure_reason == "expired_or_canceled_card"
    assert failed.failure_balance_transaction not in (None, failed.balance_transaction)
    assert failed.balance_transaction == made.balance_transaction
    charge = charge_of(sdks, intent)
    assert (charge.amount_refunded, charge.refunded) == (0, False)
    assert refund(sdks, intent).amount == 446


def test_pending_refund_counts_and_completes_later(sdks: Sdks) -> None:
    card = sdks.stripe.v1.payment_methods.create({"type": "card", "card": {"token": "tok_pendingRefund"}})
    intent = pay(sdks, card.id)
    made = refund(sdks, intent)
    assert (made.status, made.pending_reason, made.balance_transaction) == ("pending", "processing", None)
    assert charge_of(sdks, intent).refunded
    with pytest.raises(stripe.InvalidRequestError, match="already been refunded"):
        refund(sdks, intent)

    sdks.post("/sandbox/clock", json={"advance_seconds": 60})

    done = until(lambda: (now := sdks.stripe.v1.refunds.retrieve(made.id)).status == "succeeded" and now)
    assert done.balance_transaction is not None
    assert "pending_reason" not in done


def test_control_api_settles_the_refund_of_a_usual_card(sdks: Sdks) -> None:
    intent = pay(sdks, "pm_card_visa")
    made = refund(sdks, intent)
    assert (
        settle(sdks, "refunds", made.id, 409, result="succeed")["error"]
        == "this refund cannot succeed: it is succeeded"
    )

    failed = settle(sdks, "refunds", made.id, result="fail", reason="lost_or_stolen_card")

    assert (failed["status"], failed["failure_reason"]) == ("failed", "lost_or_stolen_card")
    assert list(body_problems(failed, stripe.Refund)) == []
    assert not charge_of(sdks, intent).refunded
    settle(sdks, "refunds", made.id, 409, result="fail")
    settle(sdks, "refunds", "re_none", 404, result="fail")
    for wrong in ({}, {"result": "lost"}, {"result": "fail", "reason": "because"}, {"result": "fail", "now": True}):
        settle(sdks, "refunds", made.id, 400, **wrong)


def test_settled_refund_does_not_settle_again(sdks: Sdks) -> None:
    intent = pay(sdks, "pm_card_pendingRefund")
    early, late = refund(sdks, intent, amount=100), refund(sdks, intent, amount=50)
    settle(sdks, "refunds", early.id, result="fail")

    sdks.post("/sandbox/clock", json={"advance_seconds": 60})

    until(lambda: sdks.stripe.v1.refunds.retrieve(late.id).status == "succeeded")
    assert sdks.stripe.v1.refunds.retrieve(early.id).status == "failed"
    assert charge_of(sdks, intent).amount_refunded == 50


def test_switch_lets_a_share_of_all_refunds_fail(sdks: Sdks) -> None:
    usual = sdks.get("/sandbox/options/stripe").json()
    wanted = {"refund_fail_rate": 0.5, "refund_pending_rate": 0.5, "settle_after_s": 9000, "seed": 3}
    assert sdks.put("/sandbox/options/stripe", json=wanted).json() == {**usual, **wanted}
    intent = pay(sdks, "pm_card_visa")
    first = [refund(sdks, intent, amount=10).status for _ in range(8)]
    assert set(first) == {"succeeded", "pending"}
    sdks.put("/sandbox/options/stripe", json={**wanted, "settle_after_s": 0})

    again = [refund(sdks, intent, amount=10) for _ in range(8)]

    assert [one.status for one in again] == first
    ends = {"succeeded": "failed", "pending": "succeeded"}
    for one in again:
        until(lambda one=one: sdks.stripe.v1.refunds.retrieve(one.id).status == ends[str(one.status)])


@pytest.mark.parametrize(
    "switches",
    [
        [],
        {"refunds": 1},
        {"refund_fail_rate": 2},
        {"refund_fail_rate": 0.6, "refund_pending_rate": 0.6},
        {"settle_after_s": -1},
        {"seed": True},
    ],
)
def test_unusable_switches_are_refused(sdks: Sdks, switches: Any) -> None:
    usual = sdks.get("/sandbox/options/stripe").json()
    answer = sdks.put("/sandbox/options/stripe", json=switches)
    assert (answer.status_code, list(answer.json())) == (400, ["error"])
    assert sdks.get("/sandbox/options/stripe").json() == usual


def test_failed_refund_sends_its_events_in_order(tmp_path: Path) -> None:
    gateway = Gateway()
    with SandboxProcess(tmp_path, WEBHOOK_URL=gateway.url) as process:
        sdks = Sdks(process.url)
        intent = pay(sdks, "pm_card_refundFail")
        made = refund(sdks, intent)
        switch(sdks, "stripe", events=ALL_EVENTS)
        sdks.post("/sandbox/webhooks/stripe/flush")
        gateway.arrived.clear()

        settle(sdks, "refunds", made.id, result="fail")

        until(lambda: len(gateway.of("stripe")) == 3)
        feed = sdks.get("/sandbox/feed", params={"kind": "webhook", "limit": 3}).json()["entries"]
        kinds = ["refund.updated", "charge.refund.updated", "refund.failed"]
        assert [one["event"] for one in reversed(feed)] == kinds
        assert sorted(gateway.kinds()) == sorted(kinds)
        for one in gateway.of("stripe"):
            assert list(body_problems(one.json, stripe.Event)) == []
            assert list(body_problems(one.json["data"]["object"], stripe.Refund)) == []
            assert one.json["data"]["object"]["status"] == "failed"
        updated = next(one.json for one in gateway.of("stripe") if one.json["type"] == "refund.updated")
        assert updated["data"]["previous_attributes"] == {"status": "succeeded"}
    gateway.close()


def test_restart_keeps_the_plans_and_the_switches(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path) as process:
        sdks = Sdks(process.url)
        sdks.put("/sandbox/options/stripe", json={"refund_fail_rate": 1, "settle_after_s": 3600})
        made = refund(sdks, pay(sdks, "pm_card_visa"))
        process.terminate()
    with SandboxProcess(tmp_path) as process:
        sdks = Sdks(process.url)
        assert sdks.get("/sandbox/options/stripe").json()["refund_fail_rate"] == 1
        assert sdks.stripe.v1.refunds.retrieve(made.id).status == "succeeded"
        sdks.post("/sandbox/clock", json={"advance_seconds": 3600})
        until(lambda: sdks.stripe.v1.refunds.retrieve(made.id).status == "failed")
