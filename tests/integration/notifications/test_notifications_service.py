"""The running notifications service, with its broker, its database and the sandbox as provider."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from twilio.request_validator import RequestValidator

from contracts.errors import Conflict, InvalidRequest, NotFound, OutcomeUnknown, Refused, ShopError, Unavailable
from tests.rabbit_node import RabbitNode
from tests.running_sandbox import RunningSandbox
from tests.running_service import RunningService
from tests.signing import key_text, sign
from tests.unit.notifications.orders import LABEL, order


@pytest.fixture(scope="module")
def service(
    rabbit: RabbitNode, _module_sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """The service in two copies, over SQLite."""
    settings = {
        "AMQP_URI": rabbit.uri,
        "SANDBOX_URL": _module_sandbox.url,
        "DATABASE_URL": "",
        "PROVIDER_TIMEOUT": "2",
        "MAIL_FROM": "orders@example.com",
        "TWILIO_REGION": "ie1",  # the service must ignore it
        "MESSAGES_POLL": "1",
        "PUBLIC_URL": "http://127.0.0.1:9",
        "SENDGRID_WEBHOOK_PUBLIC_KEY": key_text(),
    }
    running = RunningService("notifications", tmp_path_factory.mktemp("notifications"), settings, copies=2)
    yield running
    running.stop()


@pytest.fixture
def notifications(service: RunningService, providers: RunningSandbox) -> RunningService:
    return service


def until(ask: Callable[[], Any], seconds: float = 90.0) -> Any:
    """Repeat `ask` until it does not raise ShopError, and return its answer."""
    end = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except ShopError:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)


def at_once(ask: Callable[[], Any], times: int = 16) -> list[Any]:
    """Return the answers of `times` concurrent callers."""
    answers: list[Any] = []
    # On a busy machine a caller may get an error after its wait, and repeats the call.
    callers = [threading.Thread(target=lambda: answers.append(until(ask))) for _ in range(times)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=90)
    assert len(answers) == times
    return answers


def test_a_mail_is_sent_as_the_seed_shows(notifications: RunningService, providers: RunningSandbox) -> None:
    to = "tamara.malysheva@saritasa.com"
    answer = notifications.call("send_email", to, "blabla", "content", "test@example.com", "mail:seed")
    assert set(answer) == {"status code", "message_id"}
    assert answer["status code"] == "202"
    (mail,) = providers.ledger(to=to)["emails"]
    assert (mail["message_id"], mail["subject"], mail["text"]) == (answer["message_id"], "blabla", "content")
    assert (mail["from"], mail["html"]) == ("test@example.com", None)


def test_mail_defaults_to_the_shop_sender_and_detects_html(
    notifications: RunningService, providers: RunningSandbox
) -> None:
    notifications.call("send_email", "html@example.com", "Hello", "<p>Hi</p>", None, "mail:html")
    (mail,) = providers.ledger(to="html@example.com")["emails"]
    assert (mail["from"], mail["html"], mail["text"]) == ("orders@example.com", "<p>Hi</p>", None)


def test_a_text_is_sent_as_the_seed_shows(notifications: RunningService, providers: RunningSandbox) -> None:
    answer = notifications.call("send_sms", "+79994413746", "Your order is ready!", "sms:seed")
    assert (answer["status code"], answer["status"]) == ("201", "queued")
    (sms,) = providers.ledger(to="+79994413746")["sms"]
    assert (sms["sid"], sms["body"]) == (answer["sid"], "Your order is ready!")


def test_the_same_key_answers_the_same_and_sends_once(notifications: RunningService, providers: RunningSandbox) -> None:
    def mail() -> Any:
        return notifications.call("send_email", "once@example.com", "Hello", "text", None, "mail:once")

    def sms() -> Any:
        return notifications.call("send_sms", "+79994420001", "Hello", "sms:once")

    for send, kind, to in ((mail, "emails", "once@example.com"), (sms, "sms", "+79994420001")):
        answers = at_once(send)
        assert all(answer == answers[0] for answer in answers)
        assert send() == answers[0]
        assert len(providers.ledger(to=to)[kind]) == 1


def test_key_of_another_message_is_a_conflict(notifications: RunningService) -> None:
    notifications.call("send_sms", "+79994420002", "Hello", "sms:key")
    with pytest.raises(Conflict):
        notifications.call("send_sms", "+79994420003", "Hello", "sms:key")


def test_invalid_message_names_its_fields(notifications: RunningService) -> None:
    with pytest.raises(InvalidRequest) as invalid:
        notifications.call("send_email", "a@b.co, c@d.co", "", "", "nobody", "mail:invalid")
    assert sorted(invalid.value.facts["errors"]) == ["content", "from_email", "subject", "to_email"]
    with pytest.raises(InvalidRequest) as invalid:
        notifications.call("send_sms", "79994413746", "", "sms:invalid")
    assert sorted(invalid.value.facts["errors"]) == ["content", "number"]
    with pytest.raises(Refused) as refused:
        notifications.call("send_sms", "+15005550001", "Hello", "sms:refused")
    assert list(refused.value.facts["errors"]) == ["number"]


def test_refused_message_is_tried_again_by_the_next_call(notifications: RunningService) -> None:
    for _ in range(2):
        with pytest.raises(Refused):
            notifications.call("send_sms", "+15005550009", "Hello", "sms:refused twice")


def test_paid_order_sends_a_mail_and_a_text(notifications: RunningService, providers: RunningSandbox) -> None:
    paid = order(phone="+79994420004", name="<b>Chloe</b>")
    answer = notifications.call("order_paid_email", paid, LABEL, "or_1:email")
    assert answer["status code"] == "202"
    (mail,) = providers.ledger(to=paid["email"])["emails"]
    assert mail["subject"] == "Your order or_1AyepaBqraFdOKT2ahMQkRsd is paid"
    for part in ("Wally pick", "$1.00", "Taxes (included)", "$3.46", "$4.46", LABEL["tracking_number"]):
        assert part in mail["text"]
        assert part in mail["html"]
    assert LABEL["label_url"] in mail["text"]
    assert "https://labels.example.com/1.pdf?a=1&amp;b=2" in mail["html"]
    assert "<b>Chloe" not in mail["html"]
    assert "&lt;b&gt;Chloe" in mail["html"]
    assert mail["request"]["personalizations"][0]["custom_args"] == {"message_key": "or_1:email"}
    texted = notifications.call("order_paid_sms", paid, "or_1:sms")
    assert texted["status code"] == "201"
    (sms,) = providers.ledger(to="+79994420004")["sms"]
    assert sms["body"] == "Your order or_1AyepaBqraFdOKT2ahMQkRsd is paid: $4.46."
    assert sms["num_segments"] == "1"


def test_unsupported_number_answers_not_sent(notifications: RunningService, providers: RunningSandbox) -> None:
    for number in ("+882161234567", "+447012345678"):
        answer = notifications.call("order_paid_sms", order(phone=number), f"or:{number}:sms")
        assert answer["status code"] == "not sent"
        assert providers.ledger(to=number)["sms"] == []
        with pytest.raises(InvalidRequest):
            notifications.call("send_sms", number, "Hello", f"{number}:sms")


def test_mail_without_a_label_says_that_it_follows(notifications: RunningService, providers: RunningSandbox) -> None:
    waiting = {**order(), "email": "waiting@example.com"}
    notifications.call("order_paid_email", waiting, None, "or_2:email")
    (mail,) = providers.ledger(to="waiting@example.com")["emails"]
    assert "Your label follows" in mail["text"]
    assert "Your label follows" in mail["html"]


def test_order_without_a_recipient_is_invalid(notifications: RunningService) -> None:
    with pytest.raises(InvalidRequest):
        notifications.call("order_paid_sms", order(), "or_3:sms")
    with pytest.raises(InvalidRequest):
        notifications.call("order_paid_email", {**order(), "email": None}, None, "or_3:email")
    with pytest.raises(InvalidRequest):
        notifications.call("order_paid_email", {}, None, "or_4:email")


def test_a_lost_answer_sends_one_text(notifications: RunningService, providers: RunningSandbox) -> None:
    providers.fault("twilio", lose_answer_rate=1, method="POST")
    answer = notifications.call("send_sms", "+79994420005", "Hello", "sms:lost")
    (sms,) = providers.ledger(to="+79994420005")["sms"]
    assert answer["sid"] == sms["sid"]


def test_text_is_sent_once_although_twilio_never_answers(
    notifications: RunningService, providers: RunningSandbox
) -> None:
    providers.fault("twilio", lose_answer_rate=1)
    with pytest.raises(OutcomeUnknown):
        notifications.call("send_sms", "+79994420006", "Hello", "sms:deaf")
    providers.heal()
    notifications.call("send_sms", "+79994420006", "Hello", "sms:deaf")
    assert len(providers.ledger(to="+79994420006")["sms"]) == 1


def test_hung_text_is_sent_once_after_the_settle_time(notifications: RunningService, providers: RunningSandbox) -> None:
    providers.fault("twilio", hang_rate=1, times=1, method="POST")
    with pytest.raises(OutcomeUnknown):
        notifications.call("send_sms", "+79994420007", "Hello", "sms:hung")
    until(lambda: notifications.call("send_sms", "+79994420007", "Hello", "sms:hung"))
    assert len(providers.ledger(to="+79994420007")["sms"]) == 1


def test_sending_works_again_after_a_provider_outage(notifications: RunningService, providers: RunningSandbox) -> None:
    providers.fault("twilio", error_rate=1, error_status=500)
    providers.fault("sendgrid", error_rate=1, error_status=503)
    with pytest.raises((Unavailable, OutcomeUnknown)):
        notifications.call("send_sms", "+79994420008", "Hello", "sms:outage")
    with pytest.raises(Unavailable):
        notifications.call("send_email", "outage@example.com", "Hello", "text", None, "mail:outage")
    providers.heal()
    notifications.call("send_email", "outage@example.com", "Hello", "text", None, "mail:outage")
    until(lambda: notifications.call("send_sms", "+79994420008", "Hello", "sms:outage"))
    arrived = (providers.ledger(to="+79994420008")["sms"], providers.ledger(to="outage@example.com")["emails"])
    assert [len(each) for each in arrived] == [1, 1]


def test_mail_with_a_lost_answer_is_resent_with_the_same_key(
    notifications: RunningService, providers: RunningSandbox
) -> None:
    providers.fault("sendgrid", lose_answer_rate=1, times=1)
    with pytest.raises(OutcomeUnknown):
        notifications.call("send_email", "twice@example.com", "Hello", "text", None, "mail:twice")
    notifications.call("send_email", "twice@example.com", "Hello", "text", None, "mail:twice")
    mails = providers.ledger(to="twice@example.com")["emails"]
    keys = [mail["request"]["personalizations"][0]["custom_args"]["message_key"] for mail in mails]
    assert keys == ["mail:twice", "mail:twice"]
    (message,) = [each for each in notifications.call("messages") if each["key"] == "mail:twice"]
    assert (message["uncertain"], message["state"]) == (1, "sent")


def status(notifications: RunningService, key: str) -> str | None:
    """Return the delivery status of a message."""
    (found,) = [message for message in notifications.call("messages") if message["key"] == key]
    return None if found["status"] is None else str(found["status"])


def test_twilio_events_update_the_status_of_a_text(notifications: RunningService, providers: RunningSandbox) -> None:
    # The service polls Twilio each second. The fault blocks the poll, so only events can change the status.
    providers.fault("twilio", error_rate=1, error_status=429, method="GET")
    sent = notifications.call("send_sms", "+79994420010", "Hello", "sms:reported")
    form = {"MessageSid": sent["sid"], "MessageStatus": "undelivered", "ErrorCode": "30003"}
    signature = RequestValidator("sandbox").compute_signature("http://127.0.0.1:9/api/webhooks/twilio/", form)
    raw = urlencode(form)
    assert notifications.call("twilio_event", raw, signature) == {"received": True, "duplicate": False}
    assert notifications.call("twilio_event", raw, signature) == {"received": True, "duplicate": True}
    with pytest.raises(InvalidRequest):
        notifications.call("twilio_event", raw + "&x=1", signature)
    assert [message["key"] for message in notifications.call("messages", "failed")] == ["sms:reported"]
    with pytest.raises(InvalidRequest):
        notifications.call("messages", "lost")
    assert notifications.call("tasks", "failed") == []
    with pytest.raises(NotFound):
        notifications.call("replay", "nobody's")


def test_text_without_events_is_polled(notifications: RunningService) -> None:
    notifications.call("send_sms", "+79994420011", "Hello", "sms:asked")
    end = time.monotonic() + 60
    while status(notifications, "sms:asked") != "delivered":  # the sandbox delivers after two seconds
        assert time.monotonic() < end
        time.sleep(0.2)


def test_sendgrid_events_update_the_status_of_a_mail(notifications: RunningService) -> None:
    notifications.call("send_email", "bounced@example.com", "Hello", "text", None, "mail:bounced")
    event = {"event": "bounce", "sg_event_id": "e1", "message_key": "mail:bounced", "reason": "550 no such mailbox"}
    body, moment = json.dumps([event]).encode(), str(int(time.time()))
    raw, signature = body.decode("latin-1"), sign(body, moment)
    assert notifications.call("sendgrid_event", raw, signature, moment) == {"received": True, "duplicate": False}
    assert notifications.call("sendgrid_event", raw, signature, moment) == {"received": True, "duplicate": True}
    with pytest.raises(InvalidRequest):
        notifications.call("sendgrid_event", raw, signature, str(int(moment) - 1))
    (bounced,) = notifications.call("messages", "bounced")
    assert (bounced["key"], bounced["error"]) == ("mail:bounced", "550 no such mailbox")


def test_customer_data_are_not_logged(notifications: RunningService) -> None:
    notifications.call("send_sms", "+79994420009", "a private word", "sms:private")
    notifications.call("send_email", "private@example.com", "Hello", "a private word", None, "mail:private")
    assert "send_sms" in notifications.log
    assert "private word" not in notifications.log
    assert "private@example.com" not in notifications.log
