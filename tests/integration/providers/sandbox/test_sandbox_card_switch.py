"""The sandbox's switch that lets ordinary cards behave as another test card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.integration.providers.sandbox.process import SandboxProcess, Sdks
from tests.integration.providers.sandbox.test_sandbox_disputes import charge_of, dispute_of, pay


@pytest.fixture
def cards(sdks: Sdks) -> Iterator[Sdks]:
    yield sdks
    assert sdks.delete("/sandbox/cards").json()["behave_as"] is None


def behave(sdks: Sdks, name: str, **more: Any) -> None:
    answer = sdks.put("/sandbox/cards", json={"behave_as": name, **more})
    assert answer.status_code == 200, answer.text


def test_ordinary_card_is_blocked_as_often_as_asked(cards: Sdks) -> None:
    behave(cards, "pm_card_radarBlock", times=1)
    with pytest.raises(stripe.CardError) as blocked:
        pay(cards, "pm_card_visa")
    assert blocked.value.error is not None
    charge = cards.stripe.v1.charges.retrieve(str(blocked.value.error.charge))
    assert charge.outcome is not None
    assert charge.outcome.type == "blocked"
    assert charge.payment_method_details is not None
    assert charge.payment_method_details.card is not None
    assert charge.payment_method_details.card.last4 == "4242"
    assert pay(cards, "pm_card_visa").status == "succeeded"
    assert cards.get("/sandbox/cards").json()["hits"] == 1


def test_share_of_the_charges_is_disputed(cards: Sdks) -> None:
    behave(cards, "pm_card_createDispute", share=0.25)
    disputed = [charge_of(cards, pay(cards, "pm_card_mastercard")).disputed for _ in range(8)]
    assert disputed == [False, False, False, True] * 2


def test_card_with_a_behaviour_of_its_own_keeps_it(cards: Sdks) -> None:
    behave(cards, "pm_card_createDispute")
    with pytest.raises(stripe.CardError, match="insufficient funds"):
        pay(cards, "pm_card_chargeDeclinedInsufficientFunds")
    assert dispute_of(cards, pay(cards, "pm_card_createDisputeInquiry")).status == "warning_needs_response"
    assert cards.get("/sandbox/cards").json()["seen"] == 0


def test_switch_survives_a_restart(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path) as process:
        behave(Sdks(process.url), "tok_createDispute", times=3)
        process.kill()
    with SandboxProcess(tmp_path) as process:
        sdks = Sdks(process.url)
        assert dispute_of(sdks, pay(sdks, "pm_card_visa")).reason == "fraudulent"
        shown = sdks.get("/sandbox/cards").json()
        assert shown == {"behave_as": "tok_createDispute", "share": 1, "times": 3, "seen": 1, "hits": 1}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "behave_as"),
        ({"behave_as": "pm_card_unknown"}, "behave_as"),
        ({"behave_as": "pm_card_visa", "share": 1.5}, "share"),
        ({"behave_as": "pm_card_visa", "times": True}, "times"),
        ({"behave_as": "pm_card_visa", "colour": "red"}, "known"),
    ],
)
def test_bad_switch_of_the_cards_is_refused(cards: Sdks, body: dict[str, Any], named: str) -> None:
    answer = cards.put("/sandbox/cards", json=body)
    assert (answer.status_code, named in answer.json()["error"]) == (400, True)
