"""What Stripe's events say of their request, and what asynchronous capture changes, through Stripe's own SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import stripe

from tests.integration.providers.sandbox.gateways import ALL_EVENTS, Gateway, switch, until
from tests.integration.providers.sandbox.process import SandboxProcess, Sdks
from tests.integration.providers.sandbox.shapes import body_problems
from tests.integration.providers.sandbox.test_sandbox_stripe_payments import new_intent


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Gateway() as running:
        yield running


@pytest.fixture(scope="module")
def sdks(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sdks]:
    """Start a sandbox that sends all of Stripe's events to `gateway`."""
    with SandboxProcess(tmp_path_factory.mktemp("events"), WEBHOOK_URL=gateway.url) as process:
        own = Sdks(process.url)
        switch(own, "stripe", events=ALL_EVENTS)
        yield own


@pytest.fixture(autouse=True)
def _usual_switches(sdks: Sdks) -> Iterator[None]:
    yield
    assert sdks.delete("/sandbox/options/stripe").status_code == 200


def events_about(gateway: Gateway, object_id: str, kind: str) -> list[dict[str, Any]]:
    sent = [one.json for one in gateway.of("stripe")]
    return [one for one in sent if one["type"] == kind and one["data"]["object"]["id"] == object_id]


def event_about(gateway: Gateway, object_id: str, kind: str) -> dict[str, Any]:
    [event] = until(lambda: events_about(gateway, object_id, kind))
    found: dict[str, Any] = event
    assert list(body_problems(found, stripe.Event)) == []
    return found


def test_event_names_the_request_that_caused_it(sdks: Sdks, gateway: Gateway) -> None:
    asked: Any = {"name": "Created"}
    product = sdks.stripe.v1.products.create(asked, {"idempotency_key": "events:1"})
    made = event_about(gateway, product.id, "product.created")
    assert product.last_response is not None
    assert made["request"] == {"id": product.last_response.request_id, "idempotency_key": "events:1"}
    sdks.stripe.v1.products.delete(product.id)
    gone = event_about(gateway, product.id, "product.deleted")
    assert gone["request"]["id"] not in (None, made["request"]["id"])
    assert gone["request"]["idempotency_key"] is None


def test_event_of_what_stripe_does_on_its_own_has_no_request(sdks: Sdks, gateway: Gateway) -> None:
    sdks.put("/sandbox/options/stripe", json={"settle_after_s": 0})
    intent = new_intent(sdks, confirm=True, payment_method="pm_usBankAccount_success")
    assert event_about(gateway, intent.id, "payment_intent.processing")["request"]["id"] is not None
    settled = event_about(gateway, intent.id, "payment_intent.succeeded")
    assert settled["request"] == {"id": None, "idempotency_key": None}


def test_asynchronous_capture_books_the_charge_later(sdks: Sdks, gateway: Gateway) -> None:
    sdks.put("/sandbox/options/stripe", json={"asynchronous_capture": True, "settle_after_s": 3600})
    intent = new_intent(sdks, confirm=True, payment_method="pm_card_visa", expand=["latest_charge"])
    charge = intent.latest_charge
    assert isinstance(charge, stripe.Charge)
    assert (intent.status, charge.captured, charge.balance_transaction) == ("succeeded", True, None)
    succeeded = event_about(gateway, charge.id, "charge.succeeded")
    assert succeeded["data"]["object"]["balance_transaction"] is None

    sdks.post("/sandbox/clock", json={"advance_seconds": 3600})

    updated = event_about(gateway, charge.id, "charge.updated")["data"]
    assert updated["previous_attributes"] == {"balance_transaction": None}
    booked = sdks.stripe.v1.charges.retrieve(charge.id).balance_transaction
    assert booked == updated["object"]["balance_transaction"] is not None


def test_other_capture_methods_book_their_charge_at_once(sdks: Sdks) -> None:
    def balance_transaction(**more: Any) -> Any:
        intent = new_intent(sdks, confirm=True, payment_method="pm_card_visa", expand=["latest_charge"], **more)
        assert isinstance(intent.latest_charge, stripe.Charge)
        return intent.latest_charge.balance_transaction

    assert balance_transaction() is not None
    sdks.put("/sandbox/options/stripe", json={"asynchronous_capture": True})
    assert balance_transaction() is None
    assert balance_transaction(capture_method="automatic") is not None
