"""The sandbox's webhooks: each has the provider's format and signature."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import stripe
from sendgrid.helpers.eventwebhook import EventWebhook
from shippo.models import components
from twilio.request_validator import RequestValidator

from tests.integration.providers.sandbox.gateways import (
    ALL_EVENTS,
    CALLBACK,
    SHIPPO_SECRET,
    STRIPE_SECRET,
    Gateway,
    counts,
    switch,
    until,
)
from tests.integration.providers.sandbox.parcels import buy, ship
from tests.integration.providers.sandbox.process import SandboxProcess, Sdks
from tests.integration.providers.sandbox.shapes import body_problems


def intent(webhook_sdks: Sdks, card: str | None = "pm_card_visa", amount: int = 500) -> stripe.PaymentIntent:
    made = webhook_sdks.stripe.v1.payment_intents.create(
        {
            "amount": amount,
            "currency": "usd",
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            "metadata": {"order_id": "or_told"},
        }
    )
    if card is not None:
        made = webhook_sdks.stripe.v1.payment_intents.confirm(made.id, {"payment_method": card})
    return made


def test_payment_event_has_stripe_format_and_signature(webhook_sdks: Sdks, received: Gateway) -> None:
    paid = intent(webhook_sdks)
    arrival = until(lambda: received.of("stripe"))[0]
    assert arrival.headers["content-type"] == "application/json; charset=utf-8"
    event = stripe.Webhook.construct_event(arrival.body, arrival.headers["stripe-signature"], STRIPE_SECRET)
    assert (event.type, event.data.object["id"]) == ("payment_intent.succeeded", paid.id)
    assert list(body_problems(arrival.json, stripe.Event)) == []
    assert list(body_problems(arrival.json["data"]["object"], stripe.PaymentIntent)) == []
    assert event.data.object["amount_received"] == 500
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(arrival.body, arrival.headers["stripe-signature"], "another")


def test_each_change_sends_its_event_with_the_full_object(webhook_sdks: Sdks, received: Gateway) -> None:
    switch(webhook_sdks, "stripe", events=ALL_EVENTS)
    paid = intent(webhook_sdks)
    webhook_sdks.stripe.v1.refunds.create({"payment_intent": paid.id, "amount": 100})
    until(lambda: len(received.of("stripe")) == 5)
    assert sorted(received.kinds()) == [
        "charge.refunded",
        "charge.succeeded",
        "payment_intent.created",
        "payment_intent.succeeded",
        "refund.created",
    ]
    received.arrived.clear()
    with pytest.raises(stripe.CardError):
        intent(webhook_sdks, "pm_card_chargeDeclined")
    left = intent(webhook_sdks, "pm_card_threeDSecure2Required")
    webhook_sdks.stripe.v1.payment_intents.cancel(left.id)
    asked = intent(webhook_sdks, "pm_card_threeDSecure2Required")
    webhook_sdks.post(f"/sandbox/3ds/{asked.id}", json={"result": "fail"})
    expected = {
        *("payment_intent.created", "charge.failed", "payment_intent.payment_failed"),
        *("payment_intent.requires_action", "payment_intent.canceled"),
    }
    until(lambda: len(received.of("stripe")) == 9)
    assert set(received.kinds()) == expected
    received.arrived.clear()
    product = webhook_sdks.stripe.v1.products.create({"name": "Created"})
    webhook_sdks.stripe.v1.products.update(product.id, {"name": "Changed"})
    price = webhook_sdks.stripe.v1.prices.create({"product": product.id, "currency": "usd", "unit_amount": 50})
    webhook_sdks.stripe.v1.prices.update(price.id, {"nickname": "cheap"})
    bare = webhook_sdks.stripe.v1.products.create({"name": "Bare"})
    webhook_sdks.stripe.v1.products.delete(bare.id)
    until(lambda: len(received.of("stripe")) == 6)
    assert sorted(received.kinds()) == sorted(
        [*["product.created"] * 2, "product.updated", "product.deleted", "price.created", "price.updated"]
    )
    changed = next(one.json for one in received.of("stripe") if one.json["type"] == "product.updated")
    assert changed["data"]["previous_attributes"]["name"] == "Created"
    assert changed["data"]["object"]["name"] == "Changed"
    classes = {"product": stripe.Product, "price": stripe.Price}
    for one in received.of("stripe"):
        assert list(body_problems(one.json, stripe.Event)) == []
        subject = one.json["data"]["object"]
        assert list(body_problems(subject, classes[subject["object"]])) == []
    assert len({one.json["id"] for one in received.of("stripe")}) == 6


def test_replayed_and_failed_calls_send_no_event(webhook_sdks: Sdks, received: Gateway) -> None:
    for _ in range(3):
        webhook_sdks.stripe.v1.products.create({"name": "Once"}, {"idempotency_key": "sent once"})
    with pytest.raises(stripe.InvalidRequestError):
        webhook_sdks.stripe.v1.products.create({"name": "No", "default_price_data": {"currency": "usd"}})
    webhook_sdks.stripe.v1.products.create({"name": "Last"})
    until(lambda: len(received.of("stripe")) == 2)
    time.sleep(0.2)
    # Exactly two events, in any order: like Stripe, the sandbox sends both at once.
    assert sorted(one.json["data"]["object"]["name"] for one in received.of("stripe")) == ["Last", "Once"]


def test_label_and_tracking_events_have_shippo_format(webhook_sdks: Sdks, received: Gateway) -> None:
    label = buy(webhook_sdks, ship(webhook_sdks))
    webhook_sdks.post(f"/sandbox/tracks/{label.tracking_number}", json={"status": "TRANSIT"})
    until(lambda: len(received.of("shippo")) == 2)
    # In any order: the sandbox sends both at once.
    by_event = {one.json["event"]: one.json for one in received.of("shippo")}
    assert sorted(by_event) == ["track_updated", "transaction_created"]
    bought, moved = by_event["transaction_created"], by_event["track_updated"]
    assert components.Transaction.from_dict(bought["data"]).object_id == label.object_id
    assert bought["data"]["status"] == "SUCCESS"
    track = components.Track.from_dict(moved["data"])
    assert (track.tracking_number, track.tracking_status.status.value) == (label.tracking_number, "TRANSIT")
    assert (moved["carrier"], moved["test"]) == ("usps", True)
    webhook_sdks.shippo.refunds.create(str(label.object_id))
    changed = until(lambda: received.of("shippo")[2:])[0].json
    assert (changed["event"], changed["data"]["status"]) == ("transaction_updated", "REFUNDREJECTED")
    for one in received.of("shippo"):
        # Shippo signs in Stripe's format: t=…,v1=… over "t.body".
        assert stripe.WebhookSignature.verify_header(one.body, one.headers["shippo-auth-signature"], SHIPPO_SECRET, 300)


@pytest.mark.parametrize("outcome", ["SUCCESS", "ERROR"])
def test_purchase_that_ends_later_sends_its_end(webhook_sdks: Sdks, received: Gateway, outcome: str) -> None:
    webhook_sdks.put("/sandbox/options/shippo", json={"purchase_seconds": None})
    label = buy(webhook_sdks, ship(webhook_sdks))
    webhook_sdks.delete("/sandbox/options/shippo")
    [created] = until(lambda: received.of("shippo"))
    assert (created.json["event"], created.json["data"]["status"]) == ("transaction_created", "QUEUED")
    webhook_sdks.post(f"/sandbox/transactions/{label.object_id}", json={"status": outcome})
    updated = until(lambda: received.of("shippo")[1:])[0].json
    assert (updated["event"], updated["data"]["status"]) == ("transaction_updated", outcome)
    assert counts(webhook_sdks, "shippo")["noted"] == 2
    ended = components.Transaction.from_dict(updated["data"])
    assert (ended.object_id, bool(ended.label_url), bool(ended.messages)) == (
        label.object_id, outcome == "SUCCESS", outcome == "ERROR",
    )  # fmt: skip


def test_asynchronous_purchase_sends_its_end_by_itself(webhook_sdks: Sdks, received: Gateway) -> None:
    buy(webhook_sdks, ship(webhook_sdks), async_=True)
    until(lambda: len(received.of("shippo")) == 2)
    assert sorted((one.json["event"], one.json["data"]["status"]) for one in received.of("shippo")) == [
        ("transaction_created", "QUEUED"), ("transaction_updated", "SUCCESS"),
    ]  # fmt: skip


def test_refund_that_ends_later_sends_each_status(webhook_sdks: Sdks, received: Gateway) -> None:
    label = buy(webhook_sdks, ship(webhook_sdks))
    webhook_sdks.put("/sandbox/options/shippo", json={"refund_seconds": 0.2})
    webhook_sdks.shippo.refunds.create(str(label.object_id), async_=False)
    webhook_sdks.delete("/sandbox/options/shippo")
    # Without a further request: the sandbox ends the refund itself.
    until(lambda: len(received.of("shippo")) == 3)
    assert sorted((one.json["event"], one.json["data"]["status"]) for one in received.of("shippo")) == [
        ("transaction_created", "SUCCESS"), ("transaction_updated", "REFUNDED"),
        ("transaction_updated", "REFUNDPENDING"),
    ]  # fmt: skip


def test_sms_status_is_sent_to_its_callback_url(webhook_sdks: Sdks, received: Gateway) -> None:
    number = {"to": "+14155550123", "from_": "+15005550006"}
    webhook_sdks.twilio.messages.create(body="Quiet", **number)
    message = webhook_sdks.twilio.messages.create(body="Created", status_callback=CALLBACK, **number)
    arrivals = until(lambda: len(received.of("twilio")) == 2 and received.of("twilio"))
    validator = RequestValidator("sandbox")
    forms = [dict(parse_qsl(arrival.body.decode())) for arrival in arrivals]
    # The order may change: the second status can become due before the first is sent.
    assert sorted(form["MessageStatus"] for form in forms) == ["delivered", "sent"]
    for arrival, form in zip(arrivals, forms, strict=True):
        assert arrival.headers["content-type"] == "application/x-www-form-urlencoded"
        assert (form["MessageSid"], form["To"]) == (message.sid, "+14155550123")
        proof = arrival.headers["x-twilio-signature"]
        assert validator.validate(CALLBACK, form, proof)
        assert not validator.validate(CALLBACK, {**form, "MessageStatus": "failed"}, proof)
    assert counts(webhook_sdks, "twilio")["noted"] == 2


@pytest.mark.parametrize(("outcome", "statuses"), [("undelivered", ["sent", "undelivered"]), ("failed", ["failed"])])
def test_lost_sms_is_reported_in_order_with_its_error(
    webhook_sdks: Sdks, received: Gateway, outcome: str, statuses: list[str]
) -> None:
    number = "+14155550188"
    webhook_sdks.put(f"/sandbox/recipients/{number}", json={"outcome": outcome, "error_code": 30005})
    message = webhook_sdks.twilio.messages.create(
        to=number, from_="+15005550006", body="Lost", status_callback=CALLBACK
    )
    arrivals = until(lambda: len(received.of("twilio")) == len(statuses) and received.of("twilio"))
    forms = {form["MessageStatus"]: form for form in (dict(parse_qsl(one.body.decode())) for one in arrivals)}
    for arrival in arrivals:
        form, proof = dict(parse_qsl(arrival.body.decode())), arrival.headers["x-twilio-signature"]
        assert RequestValidator("sandbox").validate(CALLBACK, form, proof)
    assert {form["MessageSid"] for form in forms.values()} == {message.sid}
    assert {status: form.get("ErrorCode") for status, form in forms.items()} == {
        **dict.fromkeys(statuses), outcome: "30005"
    }  # fmt: skip
    # The order in which they happened; on the way they may overtake each other.
    listed = webhook_sdks.get("/sandbox/feed?kind=webhook").json()["entries"]
    assert [one["event"] for one in listed if one["provider"] == "twilio"][: len(statuses)] == statuses[::-1]
    webhook_sdks.delete(f"/sandbox/recipients/{number}")


def test_messaging_service_reports_each_status_after_the_first(tmp_path: Path, gateway: Gateway) -> None:
    with SandboxProcess(tmp_path, WEBHOOK_URL=gateway.url) as process:
        sdks = Sdks(process.url)
        service = {"messaging_service_sid": "MG" + "0" * 32, "to": "+14155550123", "status_callback": CALLBACK}
        sdks.twilio.messages.create(body="Now", **service)
        until(lambda: len(gateway.of("twilio")) == 3)
        later = {"schedule_type": "fixed", "send_at": datetime.now(UTC) + timedelta(minutes=10)}
        sdks.twilio.messages.create(body="Later", **service, **later)
        sdks.post("/sandbox/clock", json={"advance_seconds": 700})
        arrivals = until(lambda: len(gateway.of("twilio")) == 7 and gateway.of("twilio"))
        forms = [dict(parse_qsl(one.body.decode())) for one in arrivals]
        assert sorted(form["MessageStatus"] for form in forms[:3]) == ["delivered", "queued", "sent"]
        assert sorted(form["MessageStatus"] for form in forms[3:]) == ["accepted", "delivered", "queued", "sent"]
        assert {form["MessagingServiceSid"] for form in forms} == {service["messaging_service_sid"]}
    gateway.arrived.clear()


def test_inbound_message_is_sent_to_the_shop_signed(webhook_sdks: Sdks, received: Gateway) -> None:
    number = "+14155550177"
    webhook_sdks.twilio.messages.create(to=number, from_="+15005550006", body="Hello", status_callback=CALLBACK)
    sent = webhook_sdks.post("/sandbox/sms", json={"from": number, "body": "Stop"}).json()
    [arrival] = until(lambda: [one for one in received.of("twilio") if b"SmsStatus=received" in one.body])
    form = dict(parse_qsl(arrival.body.decode()))
    assert RequestValidator("sandbox").validate(CALLBACK, form, arrival.headers["x-twilio-signature"])
    assert (form["MessageSid"], form["From"], form["To"], form["Body"]) == (
        sent["sid"], number, "+15005550006", "Stop",
    )  # fmt: skip
    assert "MessageStatus" not in form
    until(lambda: len(received.of("twilio")) == 3)
    webhook_sdks.delete(f"/sandbox/recipients/{number}")


def test_mail_events_have_sendgrid_format_and_signature(webhook_sdks: Sdks, received: Gateway) -> None:
    mail = {
        "from": {"email": "shop@example.com"},
        "personalizations": [{"to": [{"email": "a@example.com"}], "custom_args": {"message": "m1"}}],
        "subject": "Created",
        "content": [{"type": "text/plain", "value": "Hello"}],
    }
    answer = webhook_sdks.sendgrid.client.mail.send.post(request_body=mail)
    key = webhook_sdks.sendgrid.client.user.webhooks.event.settings.signed.get()
    public_key = json.loads(key.body)["public_key"]
    verifier = EventWebhook(public_key)
    until(lambda: sum(len(one.json) for one in received.of("sendgrid")) == 2)
    events = [event for one in received.of("sendgrid") for event in one.json]
    assert sorted(event["event"] for event in events) == ["delivered", "processed"]
    for event in events:
        assert event["sg_message_id"].split(".")[0] == answer.headers["X-Message-Id"]
        assert (event["email"], event["message"]) == ("a@example.com", "m1")
    assert len({event["sg_event_id"] for event in events}) == 2
    prefix = "x-twilio-email-event-webhook-"
    for one in received.of("sendgrid"):
        proof, moment = one.headers[f"{prefix}signature"], one.headers[f"{prefix}timestamp"]
        assert verifier.verify_signature(one.body.decode(), proof, moment)
        assert not verifier.verify_signature(one.body.decode() + " ", proof, moment)
        assert abs(int(moment) - time.time()) < 120


@pytest.mark.parametrize(
    ("outcome", "kinds", "fields", "drop"),
    [
        ("bounce", ["processed", "bounce"], {"type": "bounce", "status": "5.1.1"}, "Bounced Address"),
        ("blocked", ["processed", "bounce"], {"type": "blocked", "status": "5.7.1"}, None),
        ("deferred", ["processed", "deferred", "delivered"], {"response": "250 OK"}, None),
        ("spamreport", ["processed", "delivered", "spamreport"], {}, "Spam Reporting Address"),
        ("unsubscribe", ["processed", "delivered", "unsubscribe"], {}, "Unsubscribed Address"),
    ],
)
def test_mail_to_a_marked_address_reports_its_outcome(
    webhook_sdks: Sdks, received: Gateway, outcome: str, kinds: list[str], fields: dict[str, str], drop: str | None
) -> None:
    address = f"{outcome}@example.com"

    def events_of(message: str, count: int, **settings: Any) -> list[dict[str, Any]]:
        webhook_sdks.sendgrid.client.mail.send.post(
            request_body={
                "from": {"email": "shop@example.com"},
                "personalizations": [{"to": [{"email": address}], "custom_args": {"message": message}}],
                "subject": "Marked",
                "content": [{"type": "text/plain", "value": "Hello"}],
                "mail_settings": {name: {"enable": True} for name in settings},
            }
        )

        def arrived() -> list[dict[str, Any]]:
            events = [event for one in received.of("sendgrid") for event in one.json if event["message"] == message]
            return events if len(events) == count else []

        found: list[dict[str, Any]] = until(arrived)
        return sorted(found, key=lambda event: event["timestamp"])

    marked = webhook_sdks.put(f"/sandbox/recipients/{address}", json={"outcome": outcome})
    assert marked.status_code == 200, marked.text
    events = events_of("first", len(kinds))
    assert [event["event"] for event in events] == kinds
    assert {name: events[-1][name] for name in fields} == fields
    assert all(event["email"] == address for event in events)
    assert bool(events[-1].get("reason")) == (events[-1]["event"] == "bounce")
    if drop is not None:
        [dropped] = events_of("second", 1)
        assert (dropped["event"], dropped["reason"], dropped["status"]) == ("dropped", drop, "5.0.0")
        bypasses = {
            "Bounced Address": "bypass_bounce_management",
            "Spam Reporting Address": "bypass_spam_management",
            "Unsubscribed Address": "bypass_unsubscribe_management",
        }
        for reason, bypass in bypasses.items():
            count = len(kinds) if reason == drop else 1
            assert len(events_of(bypass, count, **{bypass: True})) == count
    key = json.loads(webhook_sdks.sendgrid.client.user.webhooks.event.settings.signed.get().body)["public_key"]
    prefix = "x-twilio-email-event-webhook-"
    for one in received.of("sendgrid"):
        proof = (one.headers[f"{prefix}signature"], one.headers[f"{prefix}timestamp"])
        assert EventWebhook(key).verify_signature(one.body.decode(), *proof)
    webhook_sdks.put(f"/sandbox/recipients/{address}", json={"outcome": None})
    assert [event["event"] for event in events_of("third", 2)] == ["processed", "delivered"]
    webhook_sdks.delete(f"/sandbox/recipients/{address}")
