"""The sandbox's own routes: health, faults and the ledger."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import requests
import stripe
from python_http_client import exceptions
from sendgrid.helpers.mail import Mail
from shippo.models import errors
from twilio.base.exceptions import TwilioRestException

from tests.integration.providers.sandbox.parcels import address, buy, ship
from tests.integration.providers.sandbox.process import Sdks

Fault = Callable[..., dict[str, Any]]
FROM = "+15005550006"


def text_to(sdks: Sdks, number: str = "+14155552671", text: str = "hello") -> Any:
    return sdks.twilio.messages.create(to=number, from_=FROM, body=text)


def test_health_reports_ok(sdks: Sdks) -> None:
    answer = sdks.get("/sandbox/health")
    assert (answer.status_code, answer.json()["status"], answer.json()["database"]) == (200, "ok", "ok")


def test_injected_error_has_the_provider_format(sdks: Sdks, fault: Fault) -> None:
    to = f"{uuid.uuid4().hex}@example.com"
    for provider in ("stripe", "shippo", "twilio", "sendgrid"):
        fault(provider, error_rate=1, error_status=503)

    with pytest.raises(stripe.APIError) as stripe_error:
        sdks.stripe_with("sk_sandbox", retries=0).v1.products.list()
    assert (stripe_error.value.http_status, stripe_error.value.error.type) == (503, "api_error")  # type: ignore[union-attr]
    with pytest.raises(errors.SDKError) as shippo_error:
        ship(sdks)
    assert (shippo_error.value.status_code, "detail" in shippo_error.value.body) == (503, True)
    with pytest.raises(TwilioRestException) as twilio_error:
        text_to(sdks)
    assert (twilio_error.value.status, twilio_error.value.code) == (503, 20500)
    with pytest.raises(exceptions.ServiceUnavailableError):
        sdks.sendgrid.send(Mail("shop@example.com", to, "s", "t"))

    fault("stripe", error_rate=1, error_status=429)
    with pytest.raises(stripe.RateLimitError):
        sdks.stripe.v1.products.list()
    sdks.delete("/sandbox/faults/sendgrid")
    assert sdks.get("/sandbox/ledger", params={"to": to}).json()["emails"] == []
    assert sdks.sendgrid.send(Mail("shop@example.com", to, "s", "t")).status_code == 202


def test_retry_succeeds_after_a_single_error(sdks: Sdks, fault: Fault) -> None:
    fault("stripe", error_rate=1, times=1)
    assert sdks.stripe.v1.products.create({"name": "A"}).name == "A"
    assert sdks.get("/sandbox/faults/stripe").json()["hits"] == 1


def test_latency_applies_only_to_the_given_path_and_method(sdks: Sdks, fault: Fault) -> None:
    fault("stripe", latency_ms=400, path="/stripe/v1/prices", method="get")

    key = {"Authorization": "Bearer sk_sandbox"}

    def hits() -> int:
        return int(sdks.get("/sandbox/faults/stripe").json()["hits"])

    assert sdks.get("/stripe/v1/products", headers=key).status_code == 200
    assert sdks.post("/stripe/v1/prices", headers=key).status_code == 400
    assert hits() == 0
    started = time.monotonic()
    assert sdks.get("/stripe/v1/prices", headers=key).status_code == 200
    assert time.monotonic() - started >= 0.4
    assert hits() == 1


def test_request_with_a_lost_answer_takes_effect(sdks: Sdks, fault: Fault) -> None:
    shipment = ship(sdks, metadata=f"or_{uuid.uuid4().hex}")
    fault("shippo", lose_answer_rate=1, path="/transactions", method="POST")
    with pytest.raises(requests.ConnectionError):
        buy(sdks, shipment)
    labels = sdks.get("/sandbox/ledger", params={"order_id": shipment.metadata}).json()["labels"]
    assert [label["status"] for label in labels] == ["SUCCESS"]

    to = f"{uuid.uuid4().hex}@example.com"
    fault("sendgrid", lose_answer_rate=1)
    with pytest.raises(OSError):  # noqa: PT011 - urllib raises several kinds of error
        sdks.sendgrid.send(Mail("shop@example.com", to, "s", "t"))
    assert len(sdks.get("/sandbox/ledger", params={"to": to}).json()["emails"]) == 1


def test_hanging_call_ends_when_the_client_disconnects(sdks: Sdks, fault: Fault) -> None:
    key = uuid.uuid4().hex
    fault("stripe", hang_rate=1, times=1)
    impatient = sdks.stripe_with("sk_sandbox", retries=0, seconds=1.5)
    with pytest.raises(stripe.APIConnectionError):
        impatient.v1.products.create({"name": "A"}, {"idempotency_key": key})

    # The hanging call releases its key soon after the client disconnects. Until then the answer is 409.
    headers = {"Authorization": "Bearer sk_sandbox", "Idempotency-Key": key}
    deadline = time.monotonic() + 60
    while (answer := sdks.post("/stripe/v1/products", data={"name": "A"}, headers=headers)).status_code == 409:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert answer.status_code == 200
    assert "Idempotent-Replayed" not in answer.headers


def test_same_seed_draws_the_same_faults(sdks: Sdks, fault: Fault) -> None:
    def series(seed: int) -> list[int]:
        fault("twilio", error_rate=0.5, error_status=500, seed=seed)
        account = ("AC" + "0" * 32, "sandbox")
        path = f"/twilio/2010-04-01/Accounts/{account[0]}/Messages.json?PageSize=1"
        return [sdks.get(path, auth=account).status_code for _ in range(24)]

    first = series(7)
    assert set(first) == {200, 500}
    assert series(7) == first
    assert series(8) != first


@pytest.mark.parametrize(
    "settings",
    [
        {"error_rate": 2},
        {"hang_rate": "often"},
        {"latency_ms": -1},
        {"error_status": 200},
        {"colour": "red"},
        {"times": -1},
        {"seed": "x"},
        {"path": 1},
        [1],
    ],
)
def test_invalid_fault_is_refused(sdks: Sdks, settings: Any) -> None:
    answer = sdks.put("/sandbox/faults/stripe", json=settings)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_faults_are_shown_and_switched_off(sdks: Sdks, fault: Fault) -> None:
    shown = fault("shippo", latency_ms=1, hang_rate=0.25, seed=3, path="/shipments", times=4)
    assert shown == sdks.get("/sandbox/faults/shippo").json() == sdks.get("/sandbox/faults").json()["shippo"]
    assert (shown["latency_ms"], shown["hang_rate"], shown["seed"], shown["times"], shown["hits"]) == (1, 0.25, 3, 4, 0)
    off = sdks.delete("/sandbox/faults/shippo").json()
    assert (off["latency_ms"], off["hang_rate"], off["path"]) == (0, 0, None)
    assert sdks.get("/sandbox/faults/paypal").status_code == 404


def test_ledger_filters_by_order_and_recipient(sdks: Sdks) -> None:
    order, other = f"or_{uuid.uuid4().hex}", f"or_{uuid.uuid4().hex}"
    mail, phone = f"{uuid.uuid4().hex}@example.com", f"+1415{2 * 10**6 + uuid.uuid4().int % (8 * 10**6)}"
    for one in (order, other):
        sdks.stripe.v1.payment_intents.create(
            {
                "amount": 446,
                "currency": "usd",
                "confirm": True,
                "payment_method": "pm_card_visa",
                "metadata": {"order_id": one},
                "receipt_email": mail,
                "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            }
        )
        buy(sdks, ship(sdks, address(email=mail, phone=phone), metadata=one))
        text_to(sdks, phone, f"Your order {one} is ready")
        sdks.sendgrid.send(Mail("shop@example.com", mail, f"Order {one}", "Hello", "<b>Hello</b>"))

    found = sdks.get("/sandbox/ledger", params={"order_id": order}).json()
    assert {name: len(entries) for name, entries in found.items()} == {
        "charges": 1, "labels": 1, "emails": 1, "sms": 1, "taxes": 0,
    }  # fmt: skip
    assert (found["charges"][0]["amount"], found["charges"][0]["paid"]) == (446, True)
    label = found["labels"][0]
    assert (label["address_to"]["name"], label["amount"], label["carrier"]) == ("Chloe Taylor", "3.46", "USPS")
    assert label["label_url"].endswith(".pdf")
    assert label["parcels"][0]["weight"] == "10"
    letter = found["emails"][0]
    assert (letter["to"], letter["subject"], letter["text"], letter["html"]) == (
        [mail], f"Order {order}", "Hello", "<b>Hello</b>",
    )  # fmt: skip
    assert found["sms"][0]["body"] == f"Your order {order} is ready"
    by_mail = sdks.get("/sandbox/ledger", params={"to": mail.upper()}).json()
    assert [len(by_mail[name]) for name in ("charges", "labels", "emails", "sms")] == [2, 2, 2, 0]
    assert [one["subject"] for one in by_mail["emails"]] == [f"Order {order}", f"Order {other}"]
    unquoted = sdks.get(f"/sandbox/ledger?to={phone}").json()
    assert [len(unquoted[name]) for name in ("charges", "labels", "emails", "sms")] == [0, 2, 0, 2]
    both = sdks.get("/sandbox/ledger", params={"to": phone, "order_id": other}).json()
    assert [one["body"] for one in both["sms"]] == [f"Your order {other} is ready"]
    assert len(sdks.get("/sandbox/ledger", params={"to": mail, "limit": 1}).json()["emails"]) == 1
    assert sdks.get("/sandbox/ledger", params={"colour": "red"}).status_code == 400
    page = sdks.get("/sandbox/ledger", params={"to": mail, "kind": "emails", "limit": 1, "offset": 1}).json()
    assert [one["subject"] for one in page.pop("emails")] == [f"Order {order}"]
    assert page == {}
    for wrong in ({"kind": "letters"}, {"offset": "-1"}):
        assert sdks.get("/sandbox/ledger", params=wrong).status_code == 400
