"""The webhooks in the sandbox's feed: attempts, repetitions, and how long they are kept."""

from __future__ import annotations

from pathlib import Path

import stripe

from tests.integration.providers.sandbox.feeds import (
    entries,
    feed,
)
from tests.integration.providers.sandbox.gateways import Gateway, until
from tests.integration.providers.sandbox.process import SandboxProcess, Sdks
from tests.integration.providers.sandbox.streams import Stream


def test_webhook_shows_its_attempts(tmp_path: Path, gateway: Gateway) -> None:
    gateway.answers += [503]
    with SandboxProcess(tmp_path, WEBHOOK_URL=gateway.url) as process:
        sdks = Sdks(process.url)
        with Stream(process.url) as stream:
            sdks.stripe.v1.products.create({"name": "Wally"})
            failed = stream.entry(kind="webhook", state="waiting", tries=1)
            assert (failed["last_status"], failed["event"], failed["due"] > 0) == (503, "product.created", True)
            delivered = stream.entry(kind="webhook", state="delivered")
            assert (delivered["tries"], delivered["deliveries"], delivered["last_status"]) == (2, 1, 200)
        shown = sdks.get(f"/sandbox/feed/{delivered['key']}").json()["object"]
        assert [attempt["status"] for attempt in shown["attempts"]] == [503, 200]
        assert shown["body"] == gateway.of("stripe")[0].json


def test_unreachable_gateway_is_the_reason_shown(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path) as process, Stream(process.url) as stream:
        Sdks(process.url).stripe.v1.products.create({"name": "Wally"})
        assert stream.entry(kind="webhook", tries=1)["last_error"] == "nobody answers there"


def test_repeated_webhook_arrives_again_and_signed(tmp_path: Path, gateway: Gateway) -> None:
    with SandboxProcess(tmp_path, WEBHOOK_URL=gateway.url) as process:
        sdks = Sdks(process.url)
        sdks.stripe.v1.products.create({"name": "Wally"})
        with Stream(process.url, after=feed(sdks)["position"]) as stream:
            until(lambda: entries(sdks, kind="webhook") and entries(sdks, kind="webhook")[0]["state"] == "delivered")
            webhook = entries(sdks, kind="webhook")[0]
            answer = sdks.post(f"/sandbox/feed/{webhook['key']}/repeat", json={"times": 2})
            assert answer.json()["state"] == "waiting"
            stream.entry(key=webhook["key"], deliveries=3, state="delivered")
    bodies = {one.body for one in gateway.of("stripe")}
    assert (len(gateway.of("stripe")), len(bodies)) == (3, 1)
    for one in gateway.of("stripe"):
        stripe.Webhook.construct_event(
            one.body, one.headers["stripe-signature"], "_".join(("whsec", "sandbox", "stripe"))
        )


def test_bad_repetition_is_refused(sdks: Sdks) -> None:
    for body in ({}, {"times": 0}, {"times": 11}, {"times": True}, {"times": 2, "to": "x"}):
        answer = sdks.post("/sandbox/feed/webhook/wh_unknown/repeat", json=body)
        assert answer.status_code == 400
        assert "times" in answer.json()["error"]
    assert sdks.post("/sandbox/feed/webhook/wh_unknown/repeat", json={"times": 1}).status_code == 404


def test_lost_webhook_is_shown_as_lost(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path) as process:
        sdks = Sdks(process.url)
        sdks.put("/sandbox/webhooks/stripe", json={"loss_rate": 1})
        sdks.stripe.v1.products.create({"name": "Wally"})
        assert [(one["state"], one["tries"]) for one in entries(sdks, kind="webhook")] == [("lost", 0)]


def test_duplicated_webhook_is_one_entry(tmp_path: Path, gateway: Gateway) -> None:
    with SandboxProcess(tmp_path, WEBHOOK_URL=gateway.url) as process:
        sdks = Sdks(process.url)
        with Stream(process.url) as stream:
            sdks.put("/sandbox/webhooks/stripe", json={"duplicate_rate": 1})
            sdks.stripe.v1.products.create({"name": "Wally"})
            sdks.post("/sandbox/webhooks/stripe/flush")
            stream.entry(kind="webhook", state="delivered", deliveries=2)
        assert len(entries(sdks, kind="webhook")) == 1


def test_records_of_webhooks_are_bounded(tmp_path: Path, gateway: Gateway) -> None:
    constants = {"sandbox.webhooks.waiting.RECORDS_KEPT": 3, "sandbox.webhooks.waiting.PRUNE_INTERVAL": 1}
    with SandboxProcess(tmp_path, constants=constants, WEBHOOK_URL=gateway.url) as process:
        sdks = Sdks(process.url)
        for number in range(8):
            sdks.stripe.v1.products.create({"name": f"Wally {number}"})
            until(lambda sent=number: len(gateway.of("stripe")) == sent + 1)
            until(lambda: all(one["state"] == "delivered" for one in entries(sdks, kind="webhook")))
        sdks.stripe.v1.products.create({"name": "Last"})
        assert len(entries(sdks, kind="webhook")) <= 4


def test_waiting_webhooks_keep_their_records(tmp_path: Path) -> None:
    constants = {"sandbox.webhooks.waiting.RECORDS_KEPT": 1, "sandbox.webhooks.waiting.PRUNE_INTERVAL": 1}
    with SandboxProcess(tmp_path, constants=constants) as process:
        sdks = Sdks(process.url)
        for number in range(5):
            sdks.stripe.v1.products.create({"name": f"Wally {number}"})
        assert len(entries(sdks, kind="webhook")) == 5
