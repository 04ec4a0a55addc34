"""Webhooks: every service answers malformed ones with 400, and unsigned ones cost little."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson
import pytest
from twilio.request_validator import RequestValidator

from cart.stripe.webhooks import StripeWebhooks
from chassis.documents import Unbounded, read_document
from contracts.errors import InvalidRequest
from contracts.webhooks import Handling
from notifications.sendgrid import webhooks as sendgrid_events
from notifications.sendgrid.webhooks import SendGridWebhooks
from notifications.twilio.webhooks import PATH, TwilioWebhooks
from shipping.shippo import webhooks as shippo_webhook
from shipping.shippo.webhooks import ShippoWebhooks
from tests.signing import key_text, sign

SECRET, URL = "a secret of the tests", "https://shop.example"
MIB = 1024 * 1024
GARBAGE: dict[str, bytes] = {
    "opened lists": b"[" * 100_000,
    "opened objects": b'{"a":' * 100_000,
    "closed lists": b"[" * 100_000 + b"]" * 100_000,
    "a deep list": b"[" * 900 + b"]" * 900,
    "many values": b"[" + b"1," * 300_000 + b"1]",
    "many names": b"{" + b",".join(b'"%d":1' % number for number in range(90_000)) + b"}",
    "quotes": b'"' * MIB,
    "a long integer": b"1" * 100_000,
    "beyond a double": b"1e400",
    "NaN": b"NaN",
    "a NUL": b'{"id": "a\\u0000b", "event": "track_updated", "data": {"tracking_number": "\\u0000"}}',
    "a lone surrogate": b'"\\ud800"',
    "bad UTF-8": b'"\xff\xfe"',
    "null": b"null",
    "a text": b'"event"',
    "nothing": b"",
}
NO_IDS: list[Any] = [None, {}, {"$ne": 1}, [], ["a"], 5, 1e300, True, "", "x" * 300, "x" * 100_000, "a\x1b[31m", "a\nb"]


def stripe_signed(payload: bytes, signature: str) -> None:
    source = StripeWebhooks(SECRET, None)  # type: ignore[arg-type]
    source.verify(payload, {"stripe-signature": signature})
    source.parse(payload)


def stripe(payload: bytes, signed: bool = True) -> None:
    moment = str(int(time.time()))
    mac = hmac.new(SECRET.encode(), moment.encode() + b"." + payload, hashlib.sha256).hexdigest()
    stripe_signed(payload, f"t={moment},v1={mac if signed else '0' * 64}")


def shippo_signed(payload: bytes, signature: str) -> None:
    source = ShippoWebhooks(SECRET, None)  # type: ignore[arg-type]
    source.verify(payload, {"shippo-auth-signature": signature})
    source.parse(payload)


def shippo(payload: bytes, signed: bool = True) -> None:
    shippo_signed(payload, shippo_webhook.sign(SECRET if signed else "another", payload, time.time()))


def sendgrid_signed(payload: bytes, signature: str, moment: str) -> list[Any]:
    source = SendGridWebhooks(key_text(), lambda: "", None)  # type: ignore[arg-type]
    prefix = "x-twilio-email-event-webhook"
    source.verify(payload, {f"{prefix}-signature": signature, f"{prefix}-timestamp": moment})
    return source.parse(payload)


def sendgrid(payload: bytes, signed: bool = True) -> list[Any]:
    now = str(int(time.time()))
    return sendgrid_signed(payload, sign(payload if signed else b"another", now), now)


def twilio_signed(payload: bytes, signature: str) -> None:
    source = TwilioWebhooks(SECRET, URL, None, None)  # type: ignore[arg-type]
    source.verify(payload, {"x-twilio-signature": signature})
    source.parse(payload)


def twilio(payload: bytes, signed: bool = True) -> None:
    form = dict(parse_qsl(payload.decode("latin-1"), keep_blank_values=True))
    signature = RequestValidator(SECRET if signed else "another").compute_signature(URL + PATH, form)
    twilio_signed(payload, signature)


PROVIDERS = [stripe, shippo, sendgrid, twilio]


@pytest.mark.parametrize("payload", GARBAGE.values(), ids=GARBAGE.keys())
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("signed", [True, False])
def test_malformed_event_is_refused(provider: Callable[..., Any], payload: bytes, signed: bool) -> None:
    with pytest.raises(InvalidRequest):
        provider(payload, signed)


def event(kind: str, subject: Any) -> bytes:
    return json.dumps({"object": "event", "id": "evt_1", "type": kind, "data": {"object": subject}}).encode()


@pytest.mark.parametrize("no_id", NO_IDS, ids=lambda value: repr(value)[:20])
def test_stripe_event_without_an_id_is_refused(no_id: Any) -> None:
    stripe(event("product.updated", {"id": "prod_1"}))
    for kind, field in (
        ("product.updated", "id"),
        ("payment_intent.succeeded", "id"),
        ("price.updated", "product"),
        ("refund.updated", "payment_intent"),
    ):
        if kind == "refund.updated" and no_id is None:
            stripe(event(kind, {field: None}))  # a refund of a charge that no PaymentIntent made
            continue
        with pytest.raises(InvalidRequest):
            stripe(event(kind, {field: no_id}))
        with pytest.raises(InvalidRequest):
            stripe(event(kind, {}))


@pytest.mark.parametrize("no_id", NO_IDS, ids=lambda value: repr(value)[:20])
def test_shippo_event_without_an_id_is_refused(no_id: Any) -> None:
    for kind, field in (("track_updated", "tracking_number"), ("transaction_updated", "object_id")):
        shippo(json.dumps({"event": kind, "data": {field: "1"}}).encode())
        with pytest.raises(InvalidRequest):
            shippo(json.dumps({"event": kind, "data": {field: no_id}}).encode())


@pytest.mark.parametrize("no_id", NO_IDS, ids=lambda value: repr(value)[:20])
def test_sendgrid_event_without_a_key_names_no_mail(no_id: Any) -> None:
    (read,) = sendgrid(
        json.dumps([{"sg_event_id": "e", "event": "bounce", "message_key": no_id, "reason": "x" * 9_999}]).encode()
    )
    assert (read.body["message_key"], read.handling) == ("", Handling.NEVER)
    assert len(read.body["error"]) == sendgrid_events.LONGEST_ERROR


def test_batch_of_too_many_sendgrid_events_is_refused() -> None:
    batch = [{"sg_event_id": str(number)} for number in range(10_000)]
    with pytest.raises(InvalidRequest):
        sendgrid(json.dumps(batch).encode())
    assert len(sendgrid(json.dumps(batch[:2_000]).encode())) == 2_000


@pytest.mark.parametrize(
    "form",
    [
        {"MessageSid": "x" * 65, "MessageStatus": "sent"},
        {"MessageSid": "SM1", "MessageStatus": "s" * 65},
        {"MessageSid": "SM1", "MessageStatus": "sent", "ErrorCode": "3" * 65},
        {"MessageSid": "SM\0", "MessageStatus": "sent"},
        {"MessageSid": "SM1", "MessageStatus": "a\nb"},
        {"MessageSid": "SM1"},
        {"MessageStatus": "sent"},
        {"MessageSid": "SM1", "MessageStatus": "sent", **{f"x{number}": "" for number in range(100)}},
    ],
)
def test_twilio_form_that_does_not_fit_is_refused(form: dict[str, str]) -> None:
    twilio(urlencode({"MessageSid": "SM1", "MessageStatus": "sent"}).encode())
    with pytest.raises(InvalidRequest):
        twilio(urlencode(form).encode())


@pytest.mark.parametrize("signature", ["", "t=" + "9" * 400 + ",v1=a", "t=1,v1=" + "a" * 70_000, "t=1", ",=" * 30_000])
def test_unreadable_signature_is_refused(signature: str) -> None:
    with pytest.raises(InvalidRequest):
        shippo_signed(b"{}", signature)
    with pytest.raises(InvalidRequest):
        stripe_signed(b"{}", signature)
    for moment in (signature, "nan", "inf", "1e400"):
        with pytest.raises(InvalidRequest):
            sendgrid_signed(b"{}", signature, moment)
    with pytest.raises(InvalidRequest):
        twilio_signed(b"MessageSid=1", signature)


def shortest_time_s(work: Callable[[], Any]) -> float:
    least = float("inf")
    for _ in range(5):
        began = time.thread_time()
        work()
        least = min(least, time.thread_time() - began)
    return least


def refused_by(provider: Callable[..., Any], payload: bytes) -> Callable[[], None]:
    def ask() -> None:
        with pytest.raises(InvalidRequest):
            provider(payload)

    return ask


@pytest.mark.no_cover
def test_signed_event_costs_no_more_than_its_size() -> None:
    whole = orjson.dumps([{"a": "b", "c": number} for number in range(50_000)])
    parse_time_s = shortest_time_s(lambda: orjson.loads(whole))
    for name in ("many values", "many names", "quotes", "opened lists"):
        for provider in (stripe, shippo, sendgrid):
            assert shortest_time_s(refused_by(provider, GARBAGE[name])) < 3 * parse_time_s, (provider, name)


def test_values_are_counted_before_they_are_read() -> None:
    assert read_document(b'{"a": [1, {"b": ",:[{"}]}', 20) == {"a": [1, {"b": ",:[{"}]}
    with pytest.raises(Unbounded):
        read_document(b"[" + b"1," * 20 + b"not JSON", 20)
