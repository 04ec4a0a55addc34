"""A 500 that Stripe saves under its idempotency key and replays, and `Stripe-Should-Retry`, in the sandbox."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.integration.providers.sandbox.process import SandboxProcess, Sdks
from tests.integration.providers.sandbox.test_sandbox_stripe_protocol import INTENT, KEY, post

Fault = Callable[..., dict[str, Any]]
RETRY = "Stripe-Should-Retry"


def url() -> str:
    return f"https://{uuid.uuid4().hex}.example"


@pytest.mark.parametrize(("field", "made"), [("saved_error_rate", 0), ("saved_error_done_rate", 1)])
def test_saved_500_is_replayed_to_its_key(sdks: Sdks, fault: Fault, field: str, made: int) -> None:
    key, mark = uuid.uuid4().hex, url()
    fault("stripe", times=1, **{field: 1})
    first = post(sdks, "/v1/products", key, name="A", url=mark)
    again = post(sdks, "/v1/products", key, name="A", url=mark)

    assert (first.status_code, again.status_code) == (500, 500)
    assert first.json()["error"]["type"] == "api_error"
    assert first.content == again.content
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"]
    assert (first.headers[RETRY], again.headers[RETRY]) == ("false", "false")
    assert len(sdks.stripe.v1.products.list({"url": mark}).data) == made
    assert post(sdks, "/v1/products", uuid.uuid4().hex, name="A", url=mark).status_code == 200


def test_sdk_does_not_repeat_a_saved_500(sdks: Sdks, fault: Fault) -> None:
    intent = sdks.stripe.v1.payment_intents.create(INTENT)
    fault("stripe", saved_error_done_rate=1, path="/v1/payment_intents/*/confirm")
    with pytest.raises(stripe.APIError) as saved:
        sdks.stripe.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert saved.value.http_status == 500
    assert sdks.get("/sandbox/faults/stripe").json()["hits"] == 1
    assert sdks.stripe.v1.payment_intents.retrieve(intent.id).status == "succeeded"


def test_decline_behind_a_saved_500_stays(sdks: Sdks, fault: Fault) -> None:
    intent = sdks.stripe.v1.payment_intents.create(INTENT)
    fault("stripe", saved_error_done_rate=1, times=1, method="POST")
    answer = post(
        sdks, f"/v1/payment_intents/{intent.id}/confirm", uuid.uuid4().hex, payment_method="pm_card_chargeDeclined"
    )
    assert answer.status_code == 500
    assert [one.paid for one in sdks.stripe.v1.charges.list({"payment_intent": intent.id}).data] == [False]


def test_invalid_request_is_refused_before_the_endpoint_breaks(sdks: Sdks, fault: Fault) -> None:
    for field in ("saved_error_rate", "saved_error_done_rate"):
        fault("stripe", **{field: 1})
        assert post(sdks, "/v1/products", uuid.uuid4().hex, colour="red").status_code == 400


def test_key_with_an_answer_is_not_broken_later(sdks: Sdks, fault: Fault) -> None:
    key = uuid.uuid4().hex
    first = post(sdks, "/v1/products", key, name="A")
    fault("stripe", saved_error_rate=1)
    assert post(sdks, "/v1/products", key, name="A").content == first.content
    unkeyed = post(sdks, "/v1/products", name="A")
    read = sdks.get("/stripe/v1/products", headers=KEY)
    assert [(one.status_code, RETRY in one.headers) for one in (unkeyed, read)] == [(500, False), (500, False)]


def test_saved_500_lasts_24_hours_and_a_restart(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path) as process:
        sdks = Sdks(process.url)
        sdks.put("/sandbox/faults/stripe", json={"saved_error_rate": 1, "times": 1})
        assert post(sdks, "/v1/products", "key", name="A").status_code == 500
        process.kill()
    with SandboxProcess(tmp_path) as process:
        sdks = Sdks(process.url)
        sdks.post("/sandbox/clock", json={"advance_seconds": 86_000})
        assert post(sdks, "/v1/products", "key", name="A").status_code == 500
        sdks.post("/sandbox/clock", json={"advance_seconds": 500})
        assert post(sdks, "/v1/products", "key", name="A").status_code == 200


def test_other_provider_does_the_work_behind_a_500(sdks: Sdks, fault: Fault) -> None:
    number = f"+1415{2 * 10**6 + uuid.uuid4().int % (8 * 10**6)}"
    for field, sent in {"saved_error_rate": 0, "saved_error_done_rate": 1}.items():
        fault("twilio", **{field: 1})
        answer = sdks.post(
            f"/twilio/2010-04-01/Accounts/AC{'0' * 32}/Messages.json",
            data={"To": number, "From": "+15005550006", "Body": "hello"},
            auth=("AC" + "0" * 32, "sandbox"),
        )
        assert answer.status_code == 500
        assert len(sdks.get("/sandbox/ledger", params={"to": number}).json()["sms"]) == sent


def test_saved_errors_leave_the_series_of_a_seed_as_it_is(sdks: Sdks, fault: Fault) -> None:
    def series(**more: Any) -> list[bool]:
        fault("stripe", seed=7, error_rate=0.5, error_status=503, **more)
        return [sdks.get("/stripe/v1/products", headers=KEY).status_code == 503 for _ in range(16)]

    dice = random.Random(7)  # a hang, an error and a lost answer are drawn for each call
    expected = [[dice.random() for _ in range(3)][1] < 0.5 for _ in range(16)]
    assert set(expected) == {True, False}
    assert series() == series(saved_error_rate=0.5) == expected


@pytest.mark.parametrize("rate", [-1, 2, "often", True])
def test_bad_rate_of_saved_errors_is_refused(sdks: Sdks, rate: Any) -> None:
    for field in ("saved_error_rate", "saved_error_done_rate"):
        answer = sdks.put("/sandbox/faults/stripe", json={field: rate})
        assert (answer.status_code, field in answer.json()["error"]) == (400, True)


def test_header_says_what_a_repetition_would_bring(sdks: Sdks, fault: Fault) -> None:
    intent = sdks.stripe.v1.payment_intents.create(INTENT)
    path, card = f"/v1/payment_intents/{intent.id}/confirm", "pm_card_chargeDeclined"
    declined = post(sdks, path, uuid.uuid4().hex, payment_method=card)
    assert (declined.status_code, declined.headers[RETRY]) == (402, "false")
    invalid = post(sdks, "/v1/products", uuid.uuid4().hex, colour="red")
    paid = post(sdks, "/v1/products", uuid.uuid4().hex, name="A")
    assert (RETRY in invalid.headers, RETRY in paid.headers) == (False, False)
    for status, header in {500: "true", 503: "true", 429: None, 400: None}.items():
        fault("stripe", error_rate=1, error_status=status)
        assert post(sdks, "/v1/products", uuid.uuid4().hex, name="A").headers.get(RETRY) == header
