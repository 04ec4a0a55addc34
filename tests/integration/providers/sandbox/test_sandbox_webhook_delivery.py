"""The delivery of the sandbox's webhooks: when it is faulty, when the shop is away, and after a restart."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import requests
import stripe

from tests.integration.providers.sandbox.gateways import (
    CALLBACK,
    STRIPE_SECRET,
    Gateway,
    counts,
    switch,
    until,
)
from tests.integration.providers.sandbox.process import SandboxProcess, Sdks
from tests.running_sandbox import free_port


def test_faults_duplicate_and_reorder_all_events(webhook_sdks: Sdks, received: Gateway) -> None:
    switch(webhook_sdks, "stripe", duplicate_rate=1, reorder_rate=1, seed=7)
    made = [webhook_sdks.stripe.v1.products.create({"name": f"Number {number}"}).id for number in range(12)]
    until(lambda: len(received.of("stripe")) == 24)
    arrived = [one.json for one in received.of("stripe")]
    assert len({event["id"] for event in arrived}) == 12
    order = list(dict.fromkeys(event["data"]["object"]["id"] for event in arrived))
    assert sorted(order) == sorted(made)
    assert order != made
    # The sandbox counts the last delivery shortly after it arrives.
    until(lambda: counts(webhook_sdks, "stripe")["waiting"] == 0)
    assert counts(webhook_sdks, "stripe") == {
        **{"noted": 12, "lost": 0, "duplicated": 12, "sent": 24, "delivered": 24, "failed": 0, "given_up": 0},
        "waiting": 0,
    }


def test_same_seed_loses_the_same_events(webhook_sdks: Sdks, received: Gateway) -> None:
    lost = []
    for _ in range(2):
        received.arrived.clear()
        switch(webhook_sdks, "stripe", loss_rate=0.5, seed=11)
        for number in range(16):
            webhook_sdks.stripe.v1.products.create({"name": str(number)})
        seen = counts(webhook_sdks, "stripe")
        assert 0 < seen["lost"] < 16
        until(lambda wanted=16 - seen["lost"]: len(received.of("stripe")) == wanted)
        lost.append({str(n) for n in range(16)} - {one.json["data"]["object"]["name"] for one in received.of("stripe")})
    assert lost[0] == lost[1]


def test_flush_sends_delayed_events(webhook_sdks: Sdks, received: Gateway, tmp_path: Path) -> None:
    switch(webhook_sdks, "stripe", delay_ms=3_600_000)
    webhook_sdks.stripe.v1.products.create({"name": "Held"})
    time.sleep(0.3)
    assert received.of("stripe") == []
    assert counts(webhook_sdks, "stripe")["waiting"] == 1
    flushed = webhook_sdks.post("/sandbox/webhooks/stripe/flush").json()
    assert (flushed["flushed"], flushed["counts"]["delivered"]) == (1, 1)
    assert [one.json["data"]["object"]["name"] for one in received.of("stripe")] == ["Held"]
    late = dict.fromkeys(("sandbox.twilio.delivery.SENT_AFTER", "sandbox.twilio.delivery.DELIVERED_AFTER"), 600.0)
    with SandboxProcess(tmp_path, constants=late, WEBHOOK_URL=received.url) as slow:
        sdks = Sdks(slow.url)
        sdks.twilio.messages.create(body="x", to="+14155550123", from_="+15005550006", status_callback=CALLBACK)
        assert counts(sdks, "twilio")["waiting"] == 2
        assert sdks.post("/sandbox/webhooks/twilio/flush").json()["flushed"] == 0
        time.sleep(0.2)
        assert received.of("twilio") == [], "an event that has not happened is not sent"


def test_events_while_disabled_are_never_sent(webhook_sdks: Sdks, received: Gateway) -> None:
    switch(webhook_sdks, "stripe", enabled=False)
    webhook_sdks.stripe.v1.products.create({"name": "Silent"})
    switch(webhook_sdks, "stripe")
    webhook_sdks.stripe.v1.products.create({"name": "Loud"})
    until(lambda: received.of("stripe"))
    time.sleep(0.1)
    assert [one.json["data"]["object"]["name"] for one in received.of("stripe")] == ["Loud"]


def test_refused_event_is_resent_with_a_valid_signature(webhook_sdks: Sdks, received: Gateway) -> None:
    received.answers += [503, 302]
    webhook_sdks.stripe.v1.products.create({"name": "Patient"})
    arrived = until(lambda: len(received.of("stripe")) == 3 and received.of("stripe"))
    assert len({one.body for one in arrived}) == 1
    for one in arrived:
        stripe.WebhookSignature.verify_header(one.body, one.headers["stripe-signature"], STRIPE_SECRET, 300)
    until(lambda: counts(webhook_sdks, "stripe")["delivered"] == 1)
    assert counts(webhook_sdks, "stripe")["failed"] == 2


def test_last_accepted_event_can_be_replayed_with_curl(webhook_sdks: Sdks, received: Gateway) -> None:
    webhook_sdks.stripe.v1.products.create({"name": 'With "quotes", a \\ and\na line'})
    until(lambda: counts(webhook_sdks, "stripe")["waiting"] == 0)
    config = webhook_sdks.get("/sandbox/webhooks/stripe/last").text
    subprocess.run(["curl", "-s", "-K", "-", f"{received.url}/api/webhooks/stripe/"], input=config.encode(), timeout=20)
    first, again = received.of("stripe")
    assert again.body == first.body
    assert again.headers["stripe-signature"] == first.headers["stripe-signature"]


@pytest.mark.parametrize(
    "body",
    [
        *(
            {name: value}
            for name in ("loss_rate", "duplicate_rate", "reorder_rate")
            for value in (-0.1, 1.1, "1", True)
        ),
        *({"delay_ms": value} for value in (-1, "5", None)),
        *({"enabled": 1}, {"seed": 1.5}, {"events": "x"}, {"events": [1]}, {"surprise": 1}, [], 5),
    ],
)
def test_invalid_webhook_switches_are_refused(webhook_sdks: Sdks, body: Any) -> None:
    assert webhook_sdks.put("/sandbox/webhooks/stripe", json=body).status_code == 400
    assert counts(webhook_sdks, "stripe")["waiting"] == 0


def test_unknown_providers_have_no_webhooks(webhook_sdks: Sdks) -> None:
    for ask in (webhook_sdks.get, webhook_sdks.delete):
        assert ask("/sandbox/webhooks/paypal").status_code == 404
    assert webhook_sdks.get("/sandbox/webhooks/paypal/last").status_code == 404
    assert webhook_sdks.put("/sandbox/webhooks/paypal", json={}).status_code == 404
    assert webhook_sdks.post("/sandbox/webhooks/paypal/flush").status_code == 404
    assert set(webhook_sdks.get("/sandbox/webhooks").json()) == {"stripe", "shippo", "twilio", "sendgrid"}


# Unreachable gateway and restart


def test_undelivered_events_survive_a_kill(tmp_path: Path) -> None:
    port = free_port()
    with SandboxProcess(tmp_path, WEBHOOK_URL=f"http://127.0.0.1:{port}") as process:
        sdks = Sdks(process.url)
        switch(sdks, "stripe", delay_ms=3_600_000)
        for number in range(20):
            sdks.stripe.v1.products.create({"name": str(number)})
        key = json.loads(sdks.sendgrid.client.user.webhooks.event.settings.signed.get().body)
        with pytest.raises(requests.ReadTimeout):  # the flush waits until each event was tried
            requests.post(f"{process.url}/sandbox/webhooks/stripe/flush", timeout=0.2)  # now all events are due at once
        # The concurrent attempts fail together; then single attempts follow, after short delays at first.
        until(lambda: counts(sdks, "stripe")["failed"] >= 9)
        time.sleep(1.0)
        assert counts(sdks, "stripe")["failed"] <= 12  # the next attempt is twelve seconds after the first
        process.kill()
    reopened = Gateway(port)
    try:
        with SandboxProcess(tmp_path, WEBHOOK_URL=f"http://127.0.0.1:{port}") as process:
            sdks = Sdks(process.url)
            until(lambda: len({one.json["data"]["object"]["name"] for one in reopened.of("stripe")}) == 20)
            assert json.loads(sdks.sendgrid.client.user.webhooks.event.settings.signed.get().body) == key
            status, _ = process.terminate()
            assert status == 0
    finally:
        reopened.close()


def test_returning_gateway_receives_waiting_events(tmp_path: Path) -> None:
    port = free_port()
    with SandboxProcess(tmp_path, WEBHOOK_URL=f"http://127.0.0.1:{port}") as process:
        sdks = Sdks(process.url)
        sdks.stripe.v1.products.create({"name": "Early"})
        until(lambda: counts(sdks, "stripe")["failed"])
        reopened = Gateway(port)
        try:
            sdks.stripe.v1.products.create({"name": "Late"})
            until(lambda: {one.json["data"]["object"]["name"] for one in reopened.of("stripe")} == {"Early", "Late"})
            until(lambda: counts(sdks, "stripe")["delivered"] == 2)
        finally:
            reopened.close()
        process.process.terminate()
        _, said = process.process.communicate(timeout=30)
        assert said.count("nobody takes webhooks") == 1
        assert said.count("taken again") == 1


def test_configured_secret_signs_the_webhooks(tmp_path: Path, gateway: Gateway) -> None:
    own = {"STRIPE_WEBHOOK_SECRET": "my-own-stripe", "SHIPPO_WEBHOOK_SECRET": "my-own-shippo"}
    with SandboxProcess(tmp_path, WEBHOOK_URL=gateway.url, **own) as process:
        Sdks(process.url).stripe.v1.products.create({"name": "Own"})
        arrival = until(lambda: [one for one in gateway.of("stripe") if b'"Own"' in one.body])[0]
    assert stripe.WebhookSignature.verify_header(
        arrival.body, arrival.headers["stripe-signature"], "my-own-stripe", 300
    )
