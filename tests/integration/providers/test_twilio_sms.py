"""Text messages through Twilio's SDK, against the sandbox and against scripted failures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs

import pytest

from chassis import deadline
from chassis.settings import SANDBOX_KEYS, SANDBOX_TWILIO_TOKEN
from contracts.errors import OutcomeUnknown, ProviderFailure, Refused, Unavailable
from notifications.rules.messages import Sms
from notifications.rules.progress import News, Progress
from notifications.twilio.texter import TwilioTexter
from tests.running_sandbox import RunningSandbox, free_port
from tests.scripted_server import Scripted, ScriptedServer

SENDER = "+15005550006"


def texter(base: str, token: str = SANDBOX_TWILIO_TOKEN, sender: str = SENDER, read: float = 20.0) -> TwilioTexter:
    return TwilioTexter(SANDBOX_KEYS["twilio"], token, base, sender, connect=5.0, read=read)


@pytest.fixture
def twilio(providers: RunningSandbox) -> TwilioTexter:
    return texter(f"{providers.url}/twilio")


def sms(number: str, body: str = "Your order is ready!") -> Sms:
    return Sms("key", number, body)


def test_sent_text_is_found_by_its_content(twilio: TwilioTexter, providers: RunningSandbox) -> None:
    started = time.time()
    text = sms("+79994410001", "Ваш заказ готов & <paid>")
    sent = twilio.send(text)
    assert sent.sid.startswith("SM")
    assert sent.status == "queued"
    (arrived,) = providers.ledger(to=text.number)["sms"]
    assert (arrived["sid"], arrived["body"], arrived["from"]) == (sent.sid, text.body, SENDER)
    assert [each.sid for each in twilio.sent(text, started)] == [sent.sid]


def test_search_finds_only_equal_texts_to_the_same_number(twilio: TwilioTexter) -> None:
    text = sms("+79994410002")
    sids = [twilio.send(text).sid for _ in range(2)]
    twilio.send(sms("+79994410002", "Something else"))
    twilio.send(sms("+79994410003"))
    assert [each.sid for each in twilio.sent(text, time.time())] == sids
    an_hour_fast = time.time() + 3600
    assert [each.sid for each in twilio.sent(text, an_hour_fast)] == sids
    assert twilio.sent(text, time.time() + 3 * 3600) == []


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("+15005550001", 21211),
        ("+15005550002", 21612),
        ("+15005550003", 21408),
        ("+15005550004", 21610),
        ("+15005550009", 21614),
    ],
)
def test_invalid_number_is_refused_with_the_field_name(twilio: TwilioTexter, number: str, code: int) -> None:
    with pytest.raises(Refused) as refused:
        twilio.send(sms(number))
    assert list(refused.value.facts["errors"]) == ["number"]
    assert refused.value.facts["code"] == code
    assert refused.value.facts.get("unwanted") == ("opted out" if code == 21610 else None)
    assert refused.value.permanent
    assert number not in refused.value.detail
    assert "Unable to create" not in refused.value.detail


def test_too_long_text_is_refused_with_the_field_name(twilio: TwilioTexter) -> None:
    with pytest.raises(Refused) as refused:
        twilio.send(sms("+79994410004", "x" * 1601))
    assert list(refused.value.facts["errors"]) == ["content"]


@pytest.mark.parametrize("sender", ["+15005550001", "+15005550007", "+15005550008", "+15005551234"])
def test_invalid_sender_is_the_shops_own_fault(providers: RunningSandbox, sender: str) -> None:
    with pytest.raises(ProviderFailure, match="refuses the shop") as refused:
        texter(f"{providers.url}/twilio", sender=sender).send(sms("+79994410005"))
    assert refused.value.facts == {"ours": True}


@pytest.mark.parametrize("code", [21265, 21266, 21635])
def test_number_that_takes_no_texts_is_refused_for_good(scripted: ScriptedServer, code: int) -> None:
    body = {"code": code, "message": "'To' number cannot be a landline", "status": 400}
    scripted.answers = [Scripted(400, json.dumps(body).encode())]
    with pytest.raises(Refused) as refused:
        texter(scripted.url).send(sms("+79994410010"))
    assert (list(refused.value.facts["errors"]), refused.value.permanent) == (["number"], True)


def test_wrong_credentials_are_a_provider_failure(providers: RunningSandbox) -> None:
    wrong_texter = texter(f"{providers.url}/twilio", token="wrong")
    with pytest.raises(ProviderFailure) as refused:
        wrong_texter.send(sms("+79994410006"))
    assert refused.value.facts == {"ours": True}
    with pytest.raises(ProviderFailure):
        wrong_texter.sent(sms("+79994410006"), 0)


def test_messaging_service_sends_a_text(providers: RunningSandbox) -> None:
    service = "MG" + "0" * 32
    texter(f"{providers.url}/twilio", sender=service).send(sms("+79994410007"))
    (arrived,) = providers.ledger(to="+79994410007")["sms"]
    assert (arrived["messaging_service_sid"], arrived["from"]) == (service, None)


def test_text_is_found_after_a_lost_answer(twilio: TwilioTexter, providers: RunningSandbox) -> None:
    text, started = sms("+79994410008"), time.time()
    providers.fault("twilio", lose_answer_rate=1, method="POST")
    with pytest.raises(OutcomeUnknown) as unknown:
        twilio.send(text)
    assert "answered" not in unknown.value.facts
    assert len(twilio.sent(text, started)) == 1


def test_hanging_twilio_times_out(providers: RunningSandbox) -> None:
    twilio = texter(f"{providers.url}/twilio", read=0.5)
    providers.fault("twilio", hang_rate=1)
    started = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        twilio.send(sms("+79994410009"))
    with pytest.raises(Unavailable):
        twilio.sent(sms("+79994410009"), 0)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(("status", "done"), [(500, True), (503, True), (502, False), (504, False)])
def test_twilio_server_error_leaves_the_outcome_unknown(
    twilio: TwilioTexter, providers: RunningSandbox, status: int, done: bool
) -> None:
    providers.fault("twilio", error_rate=1, error_status=status)
    with pytest.raises(OutcomeUnknown) as unknown:
        twilio.send(sms("+79994410010"))
    assert unknown.value.facts["answered"] is done
    with pytest.raises(Unavailable):
        twilio.sent(sms("+79994410010"), 0)


def test_rate_limited_twilio_is_unavailable(twilio: TwilioTexter, providers: RunningSandbox) -> None:
    providers.fault("twilio", error_rate=1, error_status=429)
    with pytest.raises(Unavailable):
        twilio.send(sms("+79994410011"))
    with pytest.raises(Unavailable):
        twilio.sent(sms("+79994410011"), 0)


def test_unreachable_twilio_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        texter(f"http://127.0.0.1:{free_port()}").send(sms("+79994410012"))


@pytest.mark.parametrize(
    "answer",
    [
        Scripted(201, b"{}"),
        Scripted(201, b""),
        Scripted(201, b"not json"),
        Scripted(201, b"[]"),
        Scripted(201, b'{"sid": null}'),
        Scripted(201, b'{"sid": "SM1", "error_code": "x"}', cut=True),
        Scripted(drop=True),
    ],
    ids=lambda answer: f"{answer.body!r}",
)
def test_unreadable_answer_leaves_the_outcome_unknown(scripted: ScriptedServer, answer: Scripted) -> None:
    scripted.answers = [answer]
    with pytest.raises(OutcomeUnknown):
        texter(scripted.url).send(sms("+79994410013"))


@pytest.mark.parametrize("body", [b"not json", b"{}", b'{"messages": [{"sid": "SM1", "to": "+1", "date_created": 5}]}'])
def test_unreadable_list_is_a_provider_failure(scripted: ScriptedServer, body: bytes) -> None:
    scripted.answers = [Scripted(200, body)]
    with pytest.raises(ProviderFailure):
        texter(scripted.url).sent(sms("+1"), 0)


def test_a_redirect_is_not_followed(scripted: ScriptedServer) -> None:
    scripted.answers = [Scripted(302, b"", {"Location": f"{scripted.url}/elsewhere"})]
    with pytest.raises(ProviderFailure):
        texter(scripted.url).send(sms("+79994410014"))
    assert len(scripted.asked) == 1


def test_error_in_the_newer_format_is_read(scripted: ScriptedServer) -> None:
    body = b'{"type": "about:blank", "title": "Invalid", "status": 400, "code": 21211, "detail": "Invalid number"}'
    scripted.answers = [Scripted(400, body)]
    with pytest.raises(Refused, match="Invalid number"):
        texter(scripted.url).send(sms("+79994410015"))


def test_region_variables_do_not_change_the_url(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_REGION", "ie1")
    monkeypatch.setenv("TWILIO_EDGE", "dublin")
    scripted.answers = [Scripted(201, b'{"sid": "SM1", "status": "queued"}')]
    assert texter(scripted.url).send(sms("+79994410016")).sid == "SM1"
    method, path, _headers, body = scripted.asked[0]
    assert (method, path) == ("POST", f"/2010-04-01/Accounts/{SANDBOX_KEYS['twilio']}/Messages.json")
    assert parse_qs(body.decode()) == {"To": ["+79994410016"], "From": [SENDER], "Body": ["Your order is ready!"]}


def test_text_with_a_trial_account_prefix_is_found(scripted: ScriptedServer) -> None:
    scripted.answers = [
        Scripted(
            200,
            b'{"messages": [{"sid": "SM1", "to": "+1",'
            b' "body": "Sent from your Twilio trial account - Your order is ready!",'
            b' "date_created": "Thu, 24 Aug 2023 05:01:45 +0000", "status": "sent"},'
            b' {"sid": "SM0", "to": "+1", "body": "Your order is ready!", "date_created": null}]}',
        )
    ]
    assert [each.sid for each in texter(scripted.url).sent(sms("+1"), 0)] == ["SM1"]


def test_twilio_is_not_called_without_time_left(scripted: ScriptedServer, deadline_in: Callable[[float], None]) -> None:
    deadline_in(0.1)
    with pytest.raises(Unavailable):
        texter(scripted.url).send(sms("+79994410017"))
    assert scripted.asked == []


def test_delivery_status_of_a_text_is_read(twilio: TwilioTexter, providers: RunningSandbox) -> None:
    sent = twilio.send(sms("+79994410018"))
    # The sandbox delivers after two seconds. A busy machine may ask later, so any of these states is right.
    news = twilio.news(sent.sid)
    assert news is not None
    assert (news.progress, news.error) in [(each, "") for each in (Progress.QUEUED, Progress.SENT, Progress.DELIVERED)]
    assert news.at is not None
    assert twilio.news("SM" + "0" * 32) is None
    providers.fault("twilio", error_rate=1, error_status=503)
    with pytest.raises(Unavailable):
        twilio.news(sent.sid)


@pytest.mark.parametrize(
    ("status", "code", "news"),
    [
        ("delivered", "null", News(Progress.DELIVERED, at=1692853305.0)),
        ("undelivered", "30005", News(Progress.FAILED, "Twilio error 30005", at=1692853305.0)),
        ("dreaming", "null", None),
    ],
)
def test_twilio_status_maps_to_the_shop_status(
    scripted: ScriptedServer, status: str, code: str, news: News | None
) -> None:
    changed = '"date_updated": "Thu, 24 Aug 2023 05:01:45 +0000"'
    answer = f'{{"sid": "SM1", "status": "{status}", "error_code": {code}, {changed}}}'
    scripted.answers = [Scripted(200, answer.encode())]
    assert texter(scripted.url).news("SM1") == news


def test_send_request_contains_the_status_callback(scripted: ScriptedServer) -> None:
    scripted.answers = [Scripted(201, b'{"sid": "SM1", "status": "queued"}')]
    callback = "https://shop.example/api/webhooks/twilio/"
    key, token = SANDBOX_KEYS["twilio"], SANDBOX_TWILIO_TOKEN
    TwilioTexter(key, token, scripted.url, SENDER, 2.0, 8.0, callback).send(sms("+79994410019"))
    assert parse_qs(scripted.asked[0][3].decode())["StatusCallback"] == [callback]


@pytest.fixture
def deadline_in() -> Iterator[Callable[[float], None]]:
    """Return ``deadline_in(2)``, which sets the caller's deadline two seconds from now."""
    yield lambda seconds: deadline.begin(time.monotonic() + seconds)
    deadline.begin(None)
