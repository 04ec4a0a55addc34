"""The events of Twilio and SendGrid are verified and read."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from twilio.request_validator import RequestValidator

from contracts.errors import InvalidRequest, Unavailable
from contracts.webhooks import Event, Handling
from notifications.rules.progress import News
from notifications.sendgrid import webhooks as sendgrid_events
from notifications.sendgrid.webhooks import FETCH_SECONDS, RETRY_SECONDS, SendGridWebhooks
from notifications.twilio import webhooks as twilio_events
from tests.signing import SIGNER, key_text, sign

NOW = 1_000_000.0
TOKEN, URL = "twilio's token", "https://shop.example"


def no_news(kind: str, found_by: Mapping[str, str], news: News | None) -> None:
    raise NotImplementedError


def no_wish(number: str, wanted: bool, at: float) -> None:
    raise NotImplementedError


def twilio(raw: str, signature: str, token: str, url: str) -> Event:
    source, body = twilio_events.TwilioWebhooks(token, url, no_news, no_wish, lambda: NOW), raw.encode("latin-1")
    source.verify(body, {"x-twilio-signature": signature})
    (event,) = source.parse(body)
    return event


def sendgrid(source: SendGridWebhooks, body: bytes, signature: str, moment: str) -> list[Event]:
    signed = "x-twilio-email-event-webhook"
    source.verify(body, {f"{signed}-signature": signature, f"{signed}-timestamp": moment})
    return source.parse(body)


def test_only_a_signed_twilio_form_is_read() -> None:
    form = {"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": "30005", "Body": "ü", "To": "+1"}
    signature = RequestValidator(TOKEN).compute_signature(f"{URL}/api/webhooks/twilio/", form)
    event = twilio(urlencode(form), signature, TOKEN, URL)
    assert event.id == "SM1:undelivered"
    assert event.body == {"sid": "SM1", "status": "undelivered", "error": "30005", "at": NOW}
    for raw, sent, token, url in (
        (urlencode({**form, "MessageStatus": "sent"}), signature, TOKEN, URL),
        (urlencode(form), signature, "another", URL),
        (urlencode(form), signature, TOKEN, "https://another.example"),
        (urlencode(form), "", TOKEN, URL),
        (urlencode(form), "ü", TOKEN, URL),
        ("\xff", signature, TOKEN, URL),
    ):
        with pytest.raises(InvalidRequest) as refused:
            twilio(raw, sent, token, url)
        assert list(refused.value.facts["errors"]) == ["X-Twilio-Signature"]
        assert refused.value.facts["unsigned"]
    empty = RequestValidator(TOKEN).compute_signature(f"{URL}/api/webhooks/twilio/", {"MessageSid": "SM1"})
    with pytest.raises(InvalidRequest, match="no message") as unread:
        twilio("MessageSid=SM1", empty, TOKEN, URL)
    assert "unsigned" not in unread.value.facts


def test_long_twilio_form_is_not_parsed() -> None:
    form = {"MessageSid": "SM1", "MessageStatus": "sent", "Body": "x" * twilio_events.MAX_BYTES}
    signature = RequestValidator(TOKEN).compute_signature(f"{URL}/api/webhooks/twilio/", form)
    with pytest.raises(InvalidRequest) as refused:
        twilio(urlencode(form), signature, TOKEN, URL)
    assert refused.value.facts["unsigned"]
    shorter = {**form, "Body": "x" * (twilio_events.MAX_BYTES // 2)}
    signed = RequestValidator(TOKEN).compute_signature(f"{URL}/api/webhooks/twilio/", shorter)
    assert twilio(urlencode(shorter), signed, TOKEN, URL).id == "SM1:sent"


def test_longest_reply_of_a_shopper_is_read() -> None:
    form = {"MessageSid": "SM1", "SmsStatus": "received", "From": "+15005550006", "Body": "\u738b" * 1600}
    signature = RequestValidator(TOKEN).compute_signature(f"{URL}/api/webhooks/twilio/", form)
    event = twilio(urlencode(form), signature, TOKEN, URL)
    assert (event.id, event.handling, event.body) == ("SM1:received", Handling.NEVER, {})
    with pytest.raises(InvalidRequest, match="no message"):
        twilio_events.TwilioWebhooks(TOKEN, URL, no_news, no_wish).parse(b"SmsStatus=received&From=%2B15005550006")


@pytest.mark.parametrize(
    ("url", "live", "callback"),
    [
        (URL, True, f"{URL}/api/webhooks/twilio/"),
        ("http://127.0.0.1:8000", False, "http://127.0.0.1:8000/api/webhooks/twilio/"),
        ("http://127.0.0.1:8000", True, None),
        ("http://localhost", True, None),
        ("", False, None),
    ],
)
def test_twilio_gets_only_a_reachable_callback_url(url: str, live: bool, callback: str | None) -> None:
    assert twilio_events.callback_url(url, live) == callback


def events(key: str = key_text(), fetch: Callable[[], str] = lambda: "", now: float = NOW) -> SendGridWebhooks:
    return SendGridWebhooks(key, fetch, no_news, lambda: now)


def test_sendgrid_event_list_is_read() -> None:
    sent = [
        {
            **{"event": "bounce", "sg_event_id": "e1", "sg_message_id": "m1.x-1", "message_key": "k"},
            **{"reason": "550 ü", "timestamp": int(NOW) - 60},
        },
        {"event": "delivered", "sg_event_id": "e2", "sg_message_id": "m2", "response": "250 OK"},
        {"event": "processed"},
    ]
    body = json.dumps(sent, ensure_ascii=False).encode()
    first, second = sendgrid(events(), body, sign(body, "1000000"), "1000000")
    assert first.id == "e1"
    assert first.body == {
        **{"event": "bounce", "message_key": "k", "message_id": "m1", "error": "550 ü"},
        "at": NOW - 59,
    }
    handled = (Handling.AT_ONCE, Handling.NEVER)
    assert ((first.handling, second.handling), second.body["error"]) == (handled, "")


@pytest.mark.parametrize("timestamp", [None, True, "1000", -1, int(NOW) + 5, 2**62, int(NOW)])
def test_event_without_a_usable_time_happened_at_arrival(timestamp: Any) -> None:
    body = json.dumps([{"event": "spamreport", "sg_event_id": "e1", "timestamp": timestamp}]).encode()
    (event,) = events().parse(body)
    assert event.body["at"] == NOW


@pytest.mark.parametrize(
    ("body", "signature", "moment", "now"),
    [
        (b"[] ", sign(b"[]", "1000000"), "1000000", NOW),
        (b"[]", sign(b"[]", "1000000"), "1000001", NOW),
        (b"[]", sign(b"[]", "1000000", ec.generate_private_key(ec.SECP256R1())), "1000000", NOW),
        (b"[]", sign(b"[]", "1000000"), "1000000", NOW + 301),
        (b"[]", "", "1000000", NOW),
        (b"[]", "no base64 at all", "1000000", NOW),
        (b"[]", sign(b"[]", "soon"), "soon", NOW),
        (b"\xff", sign(b"\xff", "1000000"), "1000000", NOW),
    ],
    ids=["changed", "other time", "forged", "old", "none", "garbage", "no time", "no text"],
)
def test_event_not_signed_by_sendgrid_is_refused(body: bytes, signature: str, moment: str, now: float) -> None:
    with pytest.raises(InvalidRequest) as refused:
        sendgrid(events(now=now), body, signature, moment)
    assert list(refused.value.facts["errors"]) == ["X-Twilio-Email-Event-Webhook-Signature"]
    assert refused.value.facts["unsigned"]


@pytest.mark.parametrize("body", [b"{}", b"", b"null"])
def test_signed_body_that_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="no events") as refused:
        sendgrid(events(), body, sign(body, "1000000"), "1000000")
    assert "unsigned" not in refused.value.facts


def test_missing_key_is_fetched_once_and_after_a_mismatch() -> None:
    clock = [NOW]
    keys = [key_text(ec.generate_private_key(ec.SECP256R1())), key_text()]
    asked: list[float] = []

    def fetch() -> str:
        asked.append(clock[0])
        return keys[min(len(asked), 2) - 1]

    reader = SendGridWebhooks("", fetch, no_news, lambda: clock[0])
    for _ in range(3):
        with pytest.raises(InvalidRequest):
            sendgrid(reader, b"[]", sign(b"[]", "1000000"), "1000000")
    assert asked == [NOW]
    clock[0] += 61  # SendGrid has changed its key
    for _ in range(3):
        assert sendgrid(reader, b"[]", sign(b"[]", "1000000"), "1000000") == []
    assert asked == [NOW, NOW + 61]


def test_configured_key_replaces_the_fetch() -> None:
    def fetch() -> str:
        raise AssertionError("asked")

    with pytest.raises(InvalidRequest):
        sendgrid(events("nonsense", fetch), b"[]", sign(b"[]", "1000000"), "1000000")


class KeySource:
    """A reader of events that fetches its key from these answers, in turn: a key or an error."""

    def __init__(self, *answers: str | Exception) -> None:
        self.now = NOW
        self.answers = list(answers)
        self.asked: list[float] = []
        self.reader = SendGridWebhooks("", self.fetch, no_news, lambda: self.now)

    def fetch(self) -> str:
        self.asked.append(self.now)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def event(self, signer: ec.EllipticCurvePrivateKey = SIGNER) -> str:
        """The outcome for the sender of an event that is signed with this key."""
        moment = str(self.now)
        try:
            sendgrid(self.reader, b"[]", sign(b"[]", moment, signer), moment)
        except (InvalidRequest, Unavailable) as error:
            return type(error).__name__
        return "taken"


def test_events_are_put_off_until_the_key_is_fetched() -> None:
    source = KeySource(Unavailable("away"), key_text())
    assert [source.event() for _ in range(3)] == ["Unavailable"] * 3
    assert source.asked == [NOW], "a failed fetch is not repeated for each event"
    source.now += RETRY_SECONDS
    assert source.event() == "taken"


def test_changed_key_is_fetched_before_events_are_refused() -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    source = KeySource(key_text(ec.generate_private_key(ec.SECP256R1())), Unavailable("away"), key_text())
    assert source.event() == "InvalidRequest"
    source.now += FETCH_SECONDS  # SendGrid has changed its key, and fetching it fails
    for _ in range(3):
        assert source.event() == "Unavailable"
        assert source.event(stranger) == "Unavailable"
    source.now += RETRY_SECONDS
    assert source.event() == "taken"
    assert [source.event(stranger) for _ in range(50)] == ["InvalidRequest"] * 50
    assert len(source.asked) == 3


def test_known_key_still_accepts_if_fetching_fails() -> None:
    source = KeySource(key_text(), Unavailable("away"))
    assert source.event() == "taken"
    source.now += FETCH_SECONDS
    assert source.event(ec.generate_private_key(ec.SECP256R1())) == "Unavailable"
    assert source.event() == "taken"


def test_event_waits_for_a_running_key_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    source = KeySource(key_text())
    asked, answered = threading.Event(), threading.Event()

    def slow() -> str:
        asked.set()
        assert answered.wait(30)
        return source.fetch()

    source.reader = SendGridWebhooks("", slow, no_news, lambda: source.now)
    with ThreadPoolExecutor(5) as pool:
        try:
            first = pool.submit(source.event)
            assert asked.wait(30)
            with monkeypatch.context() as short_wait:
                short_wait.setattr(sendgrid_events, "FETCH_WAIT_S", 0.01)
                assert source.event() == "Unavailable", "the wait is limited"
            monkeypatch.setattr(sendgrid_events, "FETCH_WAIT_S", 30.0)
            others = [pool.submit(source.event) for _ in range(3)]
        finally:
            answered.set()
        assert [each.result(30) for each in (first, *others)] == ["taken"] * 4
    assert len(source.asked) == 1


def test_few_events_wait_for_the_key_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sendgrid_events, "MAX_WAITING_FOR_KEY", 1)
    monkeypatch.setattr(sendgrid_events, "FETCH_WAIT_S", 30.0)
    source = KeySource(key_text())
    asked, answered = threading.Event(), threading.Event()

    def slow() -> str:
        asked.set()
        assert answered.wait(30)
        return source.fetch()

    source.reader = SendGridWebhooks("", slow, no_news, lambda: source.now)
    with ThreadPoolExecutor(2) as pool:
        try:
            first = pool.submit(source.event)
            assert asked.wait(30)
            assert pool.submit(source.event).result(10) == "Unavailable"
        finally:
            answered.set()
        assert first.result(30) == "taken"


def test_one_bad_sendgrid_event_does_not_lose_the_others() -> None:
    good = {"sg_event_id": "evt_1", "event": "delivered", "message_key": "k"}
    bad = [5, None, {}, {"sg_event_id": 5}, {"sg_event_id": "x" * 256}, {"sg_event_id": "a\nb"}]
    body = json.dumps([*bad, good, {**good, "sg_event_id": "evt_2", "reason": {"deep": []}}]).encode()
    moment = str(int(NOW))
    events = SendGridWebhooks(key_text(), lambda: "", no_news, clock=lambda: NOW)
    found = sendgrid(events, body, sign(body, moment), moment)
    assert [each.id for each in found] == ["evt_1", "evt_2"]
