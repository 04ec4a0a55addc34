"""Stripe's API keys, idempotency and headers in the sandbox."""

from __future__ import annotations

import base64
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import requests
import stripe

from tests.integration.providers.sandbox.process import Sdks

KEY = {"Authorization": "Bearer sk_sandbox"}
INTENT: Any = {
    "amount": 446, "currency": "usd", "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
}  # fmt: skip


def post(sdks: Sdks, path: str, key: str | None = None, **form: str) -> requests.Response:
    headers = {**KEY, **({} if key is None else {"Idempotency-Key": key})}
    return sdks.post(f"/stripe{path}", data=form, headers=headers)


@pytest.mark.parametrize("key", ["sk_wrong", "sk_sandbox_2"])
def test_wrong_key_is_refused_and_not_shown(sdks: Sdks, key: str) -> None:
    with pytest.raises(stripe.AuthenticationError, match="Invalid API Key") as refusal:
        sdks.stripe_with(key).v1.products.list()
    assert refusal.value.http_status == 401
    long_key = "sk_" + "x" * 20
    with pytest.raises(stripe.AuthenticationError) as refusal:
        sdks.stripe_with(long_key).v1.products.list()
    assert long_key not in str(refusal.value)


def test_request_needs_a_key_or_basic_authentication(sdks: Sdks) -> None:
    missing = sdks.get("/stripe/v1/products")
    assert (missing.status_code, missing.json()["error"]["type"]) == (401, "invalid_request_error")
    basic = base64.b64encode(b"sk_sandbox:").decode()
    assert sdks.get("/stripe/v1/products", headers={"Authorization": f"Basic {basic}"}).status_code == 200


def test_an_unknown_route_is_a_404_in_stripes_shape(sdks: Sdks) -> None:
    for method, path in (("GET", "/v1/skus"), ("DELETE", "/v1/payment_intents"), ("POST", "/v1/orders")):
        answer = requests.request(method, f"{sdks.url}/stripe{path}", headers=KEY, timeout=10)
        assert answer.status_code == 404
        assert answer.json()["error"]["message"].startswith(f"Unrecognized request URL ({method}: {path})")


def test_every_answer_has_its_request_id_and_the_version(sdks: Sdks) -> None:
    first, second = (sdks.get("/stripe/v1/products", headers=KEY) for _ in range(2))
    assert first.headers["Request-Id"].startswith("req_")
    assert first.headers["Request-Id"] != second.headers["Request-Id"]
    assert first.headers["Stripe-Version"] == "2026-10-28.endive"
    wrong = sdks.get("/stripe/v1/products", headers={**KEY, "Stripe-Version": "tomorrow"})
    assert wrong.status_code == 400


def test_json_body_is_refused(sdks: Sdks) -> None:
    answer = sdks.post("/stripe/v1/products", json={"name": "A"}, headers=KEY)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


def test_repeated_key_returns_the_first_answer(sdks: Sdks) -> None:
    key, mark = uuid.uuid4().hex, f"https://{uuid.uuid4().hex}.example"
    first = post(sdks, "/v1/products", key, name="Once", url=mark)
    again = post(sdks, "/v1/products", key, url=mark, name="Once")

    assert first.status_code == again.status_code == 200
    assert first.content == again.content
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"]
    assert len(sdks.stripe.v1.products.list({"url": mark}).data) == 1


def test_reused_key_with_a_different_request_is_refused(sdks: Sdks) -> None:
    key = uuid.uuid4().hex
    product = sdks.stripe.v1.products.create({"name": "A"}, {"idempotency_key": key})
    with pytest.raises(stripe.IdempotencyError) as refusal:
        sdks.stripe.v1.products.create({"name": "B"}, {"idempotency_key": key})
    assert refusal.value.http_status == 400
    with pytest.raises(stripe.IdempotencyError):
        sdks.stripe.v1.products.update(product.id, {"name": "A"}, {"idempotency_key": key})


def test_decline_is_replayed_without_a_new_charge(sdks: Sdks) -> None:
    intent = sdks.stripe.v1.payment_intents.create(INTENT)
    path = f"/v1/payment_intents/{intent.id}/confirm"
    key = uuid.uuid4().hex
    first = post(sdks, path, key, payment_method="pm_card_chargeDeclined")
    again = post(sdks, path, key, payment_method="pm_card_chargeDeclined")

    assert (first.status_code, again.status_code) == (402, 402)
    assert first.content == again.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(sdks.stripe.v1.charges.list({"payment_intent": intent.id}).data) == 1


def test_invalid_request_is_not_stored_under_the_key(sdks: Sdks) -> None:
    key = uuid.uuid4().hex
    assert post(sdks, "/v1/products", key, colour="red").status_code == 400
    assert post(sdks, "/v1/products", key, name="A").status_code == 200
    assert post(sdks, "/v1/products", "k" * 256, name="A").status_code == 400


def test_key_in_use_is_refused_with_409(sdks: Sdks, fault: Callable[..., Any]) -> None:
    key = uuid.uuid4().hex
    fault("stripe", latency_ms=6000, times=1)
    answers: list[requests.Response] = []
    first = threading.Thread(target=lambda: answers.append(post(sdks, "/v1/products", key, name="Slow")))
    first.start()
    try:
        # The first call holds the key as soon as it has used the single fault.
        deadline = time.monotonic() + 60
        while not sdks.get("/sandbox/faults/stripe").json()["hits"]:
            assert time.monotonic() < deadline
        second = post(sdks, "/v1/products", key, name="Slow")
    finally:
        first.join(timeout=60)

    assert second.status_code == 409
    assert second.json()["error"]["code"] == "idempotency_key_in_use"
    assert second.headers["Stripe-Should-Retry"] == "true"
    [slow] = answers
    assert slow.status_code == 200
    third = post(sdks, "/v1/products", key, name="Slow")
    assert third.content == slow.content
    assert third.headers["Idempotent-Replayed"] == "true"


def test_payment_with_a_lost_answer_is_made_once(sdks: Sdks, fault: Callable[..., Any]) -> None:
    intent = sdks.stripe.v1.payment_intents.create(INTENT)
    fault("stripe", lose_answer_rate=1, times=1, path="/v1/payment_intents/*/confirm")

    paid = sdks.stripe.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})

    assert paid.status == "succeeded"
    assert sdks.get("/sandbox/faults/stripe").json()["hits"] == 1
    assert [charge.paid for charge in sdks.stripe.v1.charges.list({"payment_intent": intent.id}).data] == [True]
