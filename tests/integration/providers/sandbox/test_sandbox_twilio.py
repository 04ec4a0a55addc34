"""Twilio in the sandbox through Twilio's own SDK: magic numbers, statuses, lists."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.rest.api.v2010.account.message import MessageInstance

from tests.integration.providers.sandbox.process import SandboxProcess, Sdks

FROM = "+15005550006"
TO = "+79994413746"
SERVICE = "MG" + "0" * 32
FINAL = ("delivered", "undelivered", "failed", "received")


def new_number() -> str:
    return f"+1415{2 * 10**6 + uuid.uuid4().int % (8 * 10**6)}"


def test_a_message_goes_from_queued_to_delivered(sdks: Sdks) -> None:
    text = f"Your order is ready! {uuid.uuid4().hex}"
    message = sdks.twilio.messages.create(to=TO, from_=FROM, body=text)
    assert message.sid is not None
    assert (message.sid[:2], len(message.sid)) == ("SM", 34)
    assert (message.status, message.to, message.from_, message.body) == ("queued", TO, FROM, text)
    assert (message.date_sent, message.price, message.error_code, message.direction) == (
        None,
        None,
        None,
        "outbound-api",
    )
    assert message.date_created is not None
    assert abs((datetime.now(UTC) - message.date_created).total_seconds()) < 60

    deadline = time.monotonic() + 60
    while (fetched := sdks.twilio.messages(message.sid).fetch()).status != "delivered":
        assert fetched.status in ("queued", "sent")
        assert time.monotonic() < deadline
        time.sleep(0.2)

    assert fetched.date_sent is not None
    assert fetched.price == "-0.0079"


@pytest.mark.parametrize(
    ("to", "sender", "code"),
    [
        ("+15005550001", FROM, 21211),
        ("+15005550002", FROM, 21612),
        ("+15005550003", FROM, 21408),
        ("+15005550004", FROM, 21610),
        ("+15005550009", FROM, 21614),
        ("12345", FROM, 21211),
        ("+0123456789", FROM, 21211),
        (TO, "+15005550001", 21212),
        (TO, "+15005550007", 21606),
        (TO, "+15005550008", 21611),
        (TO, "+14155552671", 21606),
    ],
)
def test_magic_numbers_give_their_error_codes(sdks: Sdks, to: str, sender: str, code: int) -> None:
    with pytest.raises(TwilioRestException) as refusal:
        sdks.twilio.messages.create(to=to, from_=sender, body="hello")
    assert (refusal.value.status, refusal.value.code) == (400, code)


def eventually(sdks: Sdks, sid: str | None, status: str) -> MessageInstance:
    """Return the message once it has this status."""
    assert sid is not None
    deadline = time.monotonic() + 60
    while (fetched := sdks.twilio.messages(sid).fetch()).status != status:
        assert fetched.status not in FINAL, fetched.status
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return fetched


def test_messaging_service_accepts_before_it_queues(sdks: Sdks) -> None:
    message = sdks.twilio.messages.create(to=new_number(), messaging_service_sid=SERVICE, body="hello")
    assert (message.status, message.num_segments, message.messaging_service_sid) == ("accepted", "0", SERVICE)
    assert eventually(sdks, message.sid, "delivered").num_segments == "1"


def test_scheduled_message_waits_for_its_time(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path) as process:
        sdks = Sdks(process.url)
        message = sdks.twilio.messages.create(
            to=TO, messaging_service_sid=SERVICE, body="hello",
            schedule_type="fixed", send_at=datetime.now(UTC) + timedelta(hours=1),
        )  # fmt: skip
        assert message.sid is not None
        assert (message.status, message.date_sent) == ("scheduled", None)
        sdks.post("/sandbox/clock", json={"advance_seconds": 3500})
        assert sdks.twilio.messages(message.sid).fetch().status == "scheduled"
        sdks.post("/sandbox/clock", json={"advance_seconds": 200})
        fetched = sdks.twilio.messages(message.sid).fetch()
        assert fetched.status == "delivered"
        assert fetched.date_sent is not None
        assert fetched.date_created is not None
        assert 3500 < (fetched.date_sent - fetched.date_created).total_seconds() < 3610


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"schedule_type": "later"}, 35126),
        ({"messaging_service_sid": None}, 35118),
        ({"send_at": None}, 35111),
        ({"send_at": "tomorrow"}, 35114),
        ({"send_at": datetime.now(UTC) + timedelta(minutes=4)}, 35114),
        ({"send_at": datetime.now(UTC) + timedelta(days=36)}, 35114),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
def test_unusable_schedule_is_refused(sdks: Sdks, more: dict[str, Any], code: int) -> None:
    usable = {
        "messaging_service_sid": SERVICE,
        "schedule_type": "fixed",
        "send_at": datetime.now(UTC) + timedelta(hours=1),
    }
    with pytest.raises(TwilioRestException) as refusal:
        sdks.twilio.messages.create(to=TO, from_=FROM, body="hello", **{**usable, **more})
    assert (refusal.value.status, refusal.value.code) == (400, code)


@pytest.mark.parametrize(
    ("outcome", "code", "expected", "price"),
    [
        ("undelivered", None, 30003, "-0.0079"),
        ("undelivered", 30005, 30005, "-0.0079"),
        ("failed", None, 30001, None),
    ],
)
def test_marked_number_never_gets_its_message(
    sdks: Sdks, outcome: str, code: int | None, expected: int, price: str | None
) -> None:
    to = new_number()
    body = {"outcome": outcome, **({"error_code": code} if code else {})}
    marked = sdks.put(f"/sandbox/recipients/{to}", json=body).json()
    assert (marked["outcome"], marked["error_code"]) == (outcome, expected)

    message = sdks.twilio.messages.create(to=to, from_=FROM, body="hello")
    assert (message.status, message.error_code) == ("queued", None)
    lost = eventually(sdks, message.sid, outcome)

    assert (lost.error_code, bool(lost.error_message), lost.price) == (expected, True, price)
    assert (lost.date_sent is None) == (outcome == "failed")
    assert sdks.delete(f"/sandbox/recipients/{to}").json()["outcome"] is None
    eventually(sdks, sdks.twilio.messages.create(to=to, from_=FROM, body="hello again").sid, "delivered")


def test_stop_refuses_messages_until_start(sdks: Sdks) -> None:
    to = new_number()

    def refused() -> int | None:
        try:
            sdks.twilio.messages.create(to=to, from_=FROM, body="hello")
        except TwilioRestException as refusal:
            return refusal.code
        return None

    for text, code in (
        ("stop it", None),
        (" stop\n", 21610),
        ("hello", 21610),
        ("START", None),
        ("Unsubscribe", 21610),
        ("unstop", None),
        ("OptOut", 21610),
    ):
        answer = sdks.post("/sandbox/sms", json={"from": to, "body": text})
        assert answer.status_code == 201, answer.text
        assert refused() == code, text
        assert sdks.get(f"/sandbox/recipients/{to}").json()["opted_out"] == (code is not None)
    inbound = sdks.twilio.messages(answer.json()["sid"]).fetch()
    assert (inbound.direction, inbound.status, inbound.from_, inbound.to) == ("inbound", "received", to, FROM)
    assert inbound.sid in [message.sid for message in sdks.twilio.messages.list(from_=to)]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"from": "chloe", "body": "STOP"},
        {"from": TO, "body": ""},
        {"from": TO},
        {"from": TO, "body": "x" * 1601},
    ],
)
def test_unusable_inbound_message_is_refused(sdks: Sdks, body: dict[str, str]) -> None:
    assert sdks.post("/sandbox/sms", json=body).status_code == 400


@pytest.mark.parametrize(
    "body", [{"outcome": "lost"}, {"outcome": "failed", "error_code": 1}, {"error_code": 30003}, {"colour": "red"}, {}]
)
def test_unusable_mark_is_refused(sdks: Sdks, body: dict[str, object]) -> None:
    to = new_number()
    assert sdks.put(f"/sandbox/recipients/{to}", json=body).status_code == 400
    assert to not in [one["address"] for one in sdks.get("/sandbox/recipients").json()["recipients"]]


def test_only_a_number_or_an_address_is_marked(sdks: Sdks) -> None:
    answer = sdks.put("/sandbox/recipients/chloe", json={"outcome": "failed"})
    assert (answer.status_code, "neither a mail address nor" in answer.json()["error"]) == (400, True)


def test_recipients_are_limited(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path, constants={"sandbox.recipient_control.MAX_RECIPIENTS": 1}) as process:
        sdks = Sdks(process.url)
        first, second = new_number(), new_number()
        for _ in range(2):
            assert sdks.put(f"/sandbox/recipients/{first}", json={"outcome": "failed"}).status_code == 200
        assert sdks.put(f"/sandbox/recipients/{second}", json={"outcome": "failed"}).status_code == 409
        assert sdks.post("/sandbox/sms", json={"from": second, "body": "STOP"}).status_code == 409
        sdks.delete(f"/sandbox/recipients/{first}")
        assert sdks.put(f"/sandbox/recipients/{second}", json={"outcome": "failed"}).status_code == 200


def test_mark_of_a_number_survives_a_restart(tmp_path: Path) -> None:
    to = new_number()
    with SandboxProcess(tmp_path) as process:
        assert Sdks(process.url).put(f"/sandbox/recipients/{to}", json={"outcome": "failed"}).status_code == 200
        assert Sdks(process.url).post("/sandbox/sms", json={"from": to, "body": "STOP"}).status_code == 201
        process.kill()
    with SandboxProcess(tmp_path) as process:
        kept = Sdks(process.url).get(f"/sandbox/recipients/{to}").json()
        assert (kept["outcome"], kept["opted_out"]) == ("failed", True)


def test_invalid_message_parameters_are_refused(sdks: Sdks) -> None:
    def send(**form: str) -> tuple[int, int]:
        answer = sdks.post(
            f"/twilio/2010-04-01/Accounts/AC{'0' * 32}/Messages.json", data=form, auth=("AC" + "0" * 32, "sandbox")
        )
        body = answer.json()
        assert set(body) == {"code", "message", "more_info", "status"}
        assert body["status"] == answer.status_code
        assert body["more_info"].endswith(f"/{body['code']}")
        return answer.status_code, body["code"]

    assert send(From=FROM, Body="x") == (400, 21604)
    assert send(To=TO, Body="x") == (400, 21603)
    assert send(To=TO, From=FROM) == (400, 21602)
    assert send(To=TO, From=FROM, Body="x" * 1601) == (400, 21617)
    assert send(To=TO, From=FROM, Body="x", Colour="red") == (400, 20001)


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        *[("a" * 160, "1"), ("a" * 161, "2"), ("ж" * 70, "1"), ("ж" * 71, "2"), ("ж" * 135, "3")],
        # Two places each: the extension of the GSM alphabet, and an emoji.
        *[("€" * 80, "1"), ("€" * 80 + "a", "2"), ("[" * 153, "3"), ("a" * 152 + "€" + "a" * 152, "3")],
        *[("😀" * 35, "1"), ("😀" * 36, "2"), ("😀" * 67, "3"), ("ж" * 66 + "😀" + "ж" * 66, "3")],
    ],
)
def test_long_texts_take_several_segments(sdks: Sdks, text: str, segments: str) -> None:
    assert sdks.twilio.messages.create(to=TO, from_=FROM, body=text).num_segments == segments


def test_messages_are_listed_and_filtered(sdks: Sdks) -> None:
    to = new_number()
    sids = [sdks.twilio.messages.create(to=to, from_=FROM, body=str(number)).sid for number in range(3)][::-1]

    assert [message.sid for message in sdks.twilio.messages.list(to=to)] == sids
    assert [message.sid for message in sdks.twilio.messages.list(to=to, page_size=2)] == sids
    assert [message.sid for message in sdks.twilio.messages.list(to=to, limit=1)] == sids[:1]
    assert sdks.twilio.messages.list(to=to, from_="+15005550001") == []
    now = datetime.now(UTC)
    assert len(sdks.twilio.messages.list(to=to, date_sent_after=now - timedelta(hours=1))) == 3
    assert sdks.twilio.messages.list(to=to, date_sent_after=now + timedelta(hours=1)) == []
    assert sdks.twilio.messages.list(to=to, date_sent_before=now - timedelta(hours=1)) == []


def test_wrong_account_and_unknown_message_are_refused(sdks: Sdks) -> None:
    with pytest.raises(TwilioRestException) as refusal:
        sdks.twilio_with("wrong").messages.create(to=TO, from_=FROM, body="hello")
    assert (refusal.value.status, refusal.value.code) == (401, 20003)
    with pytest.raises(TwilioException, match="20003"):  # for a list, the SDK raises the base class
        sdks.twilio_with("wrong").messages.list(limit=1)
    assert sdks.get(f"/twilio/2010-04-01/Accounts/AC{'0' * 32}/Messages.json").status_code == 401
    with pytest.raises(TwilioRestException) as refusal:
        sdks.twilio.messages("SM" + "0" * 32).fetch()
    assert (refusal.value.status, refusal.value.code) == (404, 20404)
    with pytest.raises(TwilioRestException) as refusal:
        sdks.twilio.api.v2010.accounts("AC" + "1" * 32).messages("SM" + "0" * 32).fetch()
    assert refusal.value.status == 404
