"""Mail through SendGrid's SDK, against the sandbox and against scripted failures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import requests

from chassis import deadline
from chassis.settings import SANDBOX_KEYS
from contracts.errors import OutcomeUnknown, ProviderFailure, Refused, Unavailable
from notifications.rules.messages import Mail
from notifications.sendgrid.mailer import SendGridMailer
from tests.running_sandbox import RunningSandbox, free_port
from tests.scripted_server import Scripted, ScriptedServer

ACCEPTED = Scripted(202, b"", {"X-Message-Id": "abc"})


def mailer(base: str, key: str = SANDBOX_KEYS["sendgrid"], timeout: float = 20.0) -> SendGridMailer:
    return SendGridMailer(key, base, timeout)


@pytest.fixture
def sendgrid(providers: RunningSandbox) -> SendGridMailer:
    return mailer(f"{providers.url}/sendgrid")


def mail(to: str, text: str | None = "plain", html: str | None = "<p>rich</p>", subject: str = "Söhne & Co") -> Mail:
    return Mail("key:" + to, to, "shop@example.com", subject, text, html)


def test_mail_arrives_complete_with_its_key(sendgrid: SendGridMailer, providers: RunningSandbox) -> None:
    message_id = sendgrid.send(mail("whole@example.com"))
    (arrived,) = providers.ledger(to="whole@example.com")["emails"]
    assert arrived["message_id"] == message_id
    assert (arrived["subject"], arrived["from"]) == ("Söhne & Co", "shop@example.com")
    assert arrived["to"] == ["whole@example.com"]
    assert (arrived["text"], arrived["html"]) == ("plain", "<p>rich</p>")
    assert arrived["request"]["personalizations"][0]["custom_args"] == {"message_key": "key:whole@example.com"}


def test_mail_goes_to_the_ascii_domain(sendgrid: SendGridMailer, providers: RunningSandbox) -> None:
    sendgrid.send(mail("chloe@m\u00fcnchen.de"))
    (arrived,) = providers.ledger(to="chloe@xn--mnchen-3ya.de")["emails"]
    assert arrived["to"] == ["chloe@xn--mnchen-3ya.de"]


def test_a_mail_may_be_text_or_html_alone(sendgrid: SendGridMailer, providers: RunningSandbox) -> None:
    sendgrid.send(mail("text@example.com", html=None))
    sendgrid.send(mail("html@example.com", text=None))
    (text,) = providers.ledger(to="text@example.com")["emails"]
    (html,) = providers.ledger(to="html@example.com")["emails"]
    assert (text["text"], text["html"]) == ("plain", None)
    assert (html["text"], html["html"]) == (None, "<p>rich</p>")


def test_invalid_mail_is_refused_with_the_field_name(sendgrid: SendGridMailer) -> None:
    with pytest.raises(Refused) as refused:
        sendgrid.send(mail("not an address"))
    assert list(refused.value.facts["errors"]) == ["to_email"]
    assert refused.value.permanent
    with pytest.raises(Refused) as refused:
        sendgrid.send(mail("a@example.com", subject=""))
    assert list(refused.value.facts["errors"]) == ["subject"]
    with pytest.raises(Refused) as refused:
        sendgrid.send(mail("a@example.com", text=None, html=None))
    assert list(refused.value.facts["errors"]) == ["content"]


def test_wrong_api_key_is_the_shops_own_fault(providers: RunningSandbox) -> None:
    with pytest.raises(ProviderFailure, match="refuses the shop") as refused:
        mailer(f"{providers.url}/sendgrid", key="SG." + "wrong").send(mail("a@example.com"))
    assert refused.value.facts == {"ours": True}


def test_unverified_sender_is_the_shops_own_fault(sendgrid: SendGridMailer, providers: RunningSandbox) -> None:
    url = f"{providers.url}/sandbox/recipients/unverified@example.com"
    requests.put(url, json={"outcome": "unverified"}, timeout=20).raise_for_status()
    with pytest.raises(ProviderFailure, match="not match a verified Sender Identity") as refused:
        sendgrid.send(replace(mail("a@example.com"), sender="unverified@example.com"))
    assert refused.value.facts == {"ours": True}


def test_receipt_bypasses_spam_reports_and_unsubscribes(sendgrid: SendGridMailer, providers: RunningSandbox) -> None:
    sendgrid.send(mail("news@example.com"))
    sendgrid.send(replace(mail("receipt@example.com"), receipt=True))
    (news,) = providers.ledger(to="news@example.com")["emails"]
    (receipt,) = providers.ledger(to="receipt@example.com")["emails"]
    assert "mail_settings" not in news["request"]
    assert receipt["request"]["mail_settings"] == {
        "bypass_spam_management": {"enable": True},
        "bypass_unsubscribe_management": {"enable": True},
    }


@pytest.mark.parametrize("status", [403, 404, 405])
def test_unexpected_client_error_is_a_provider_failure(
    sendgrid: SendGridMailer, providers: RunningSandbox, status: int
) -> None:
    providers.fault("sendgrid", error_rate=1, error_status=status)
    with pytest.raises(ProviderFailure):
        sendgrid.send(mail("a@example.com"))


@pytest.mark.parametrize("status", [500, 502, 504])
def test_sendgrid_server_error_leaves_the_outcome_unknown(
    sendgrid: SendGridMailer, providers: RunningSandbox, status: int
) -> None:
    providers.fault("sendgrid", error_rate=1, error_status=status)
    with pytest.raises(OutcomeUnknown):
        sendgrid.send(mail("failed@example.com"))


@pytest.mark.parametrize("status", [429, 503])
def test_overloaded_sendgrid_is_unavailable(sendgrid: SendGridMailer, providers: RunningSandbox, status: int) -> None:
    providers.fault("sendgrid", error_rate=1, error_status=status)
    with pytest.raises(Unavailable) as unavailable:
        sendgrid.send(mail("unwell@example.com"))
    assert unavailable.value.facts["retry_after"] == 5
    providers.heal()
    assert providers.ledger(to="unwell@example.com")["emails"] == []


def test_retry_after_header_sets_the_retry_delay(scripted: ScriptedServer) -> None:
    scripted.answers = [Scripted(429, b'{"errors": []}', {"Retry-After": "30"})]
    with pytest.raises(Unavailable) as unavailable:
        mailer(scripted.url).send(mail("a@example.com"))
    assert unavailable.value.facts["retry_after"] == 30


def test_unreachable_sendgrid_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        mailer(f"http://127.0.0.1:{free_port()}").send(mail("a@example.com"))
    with pytest.raises(Unavailable):
        mailer("http://nowhere.invalid").send(mail("a@example.com"))


def test_a_lost_answer_leaves_the_outcome_unknown(sendgrid: SendGridMailer, providers: RunningSandbox) -> None:
    providers.fault("sendgrid", lose_answer_rate=1)
    with pytest.raises(OutcomeUnknown):
        sendgrid.send(mail("lost@example.com"))
    assert len(providers.ledger(to="lost@example.com")["emails"]) == 1


def test_hanging_sendgrid_times_out_with_unknown_outcome(providers: RunningSandbox) -> None:
    providers.fault("sendgrid", hang_rate=1)
    started = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        mailer(f"{providers.url}/sendgrid", timeout=0.5).send(mail("a@example.com"))
    assert time.monotonic() - started < 30


def test_caller_deadline_ends_the_wait(providers: RunningSandbox, deadline_in: Callable[[float], None]) -> None:
    providers.fault("sendgrid", hang_rate=1)
    deadline_in(3.0)
    started = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        mailer(f"{providers.url}/sendgrid", timeout=60.0).send(mail("a@example.com"))
    assert time.monotonic() - started < 30
    with pytest.raises(Unavailable, match="No time"):
        mailer(f"{providers.url}/sendgrid").send(mail("a@example.com"))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(scripted: ScriptedServer, status: int) -> None:
    elsewhere = ScriptedServer()
    try:
        elsewhere.answers = [ACCEPTED]
        scripted.answers = [Scripted(status, b"", {"Location": f"{elsewhere.url}/v3/mail/send"})]
        with pytest.raises(ProviderFailure):
            mailer(scripted.url).send(mail("a@example.com"))
        assert elsewhere.asked == []
    finally:
        elsewhere.stop()


@pytest.mark.parametrize("answer", [Scripted(200, b""), Scripted(204, b"")], ids=["200", "204"])
def test_only_202_is_an_acceptance(scripted: ScriptedServer, answer: Scripted) -> None:
    scripted.answers = [answer]
    with pytest.raises(ProviderFailure):
        mailer(scripted.url).send(mail("a@example.com"))


def test_truncated_answer_leaves_the_outcome_unknown(scripted: ScriptedServer) -> None:
    scripted.answers = [Scripted(202, b"x", {"X-Message-Id": "abc"}, cut=True)]
    with pytest.raises(OutcomeUnknown):
        mailer(scripted.url).send(mail("a@example.com"))


def test_malformed_error_body_is_still_a_refusal(scripted: ScriptedServer) -> None:
    for body in (b"", b"[]", b'{"errors": [5]}', b"\xff"):
        scripted.answers = [Scripted(400, body)]
        with pytest.raises(Refused, match="SendGrid refuses"):
            mailer(scripted.url).send(mail("a@example.com"))


def test_second_mail_carries_no_data_of_the_first(scripted: ScriptedServer) -> None:
    scripted.answers = [ACCEPTED]
    sendgrid = mailer(scripted.url)
    sendgrid.send(mail("a@example.com"))
    sendgrid.send(mail("b@example.com", html=None))
    first, second = scripted.asked
    assert {**first[2], "Content-Length": ""} == {**second[2], "Content-Length": ""}
    assert json.loads(second[3]) == {
        "from": {"email": "shop@example.com"},
        "subject": "Söhne & Co",
        "personalizations": [
            {
                "to": [{"email": "b@example.com"}],
                "custom_args": {"message_key": "key:b@example.com"},
                "headers": {"X-Shop-Message": "key:b@example.com"},
            }
        ],
        "content": [{"type": "text/plain", "value": "plain"}],
    }


@pytest.fixture
def deadline_in() -> Iterator[Callable[[float], None]]:
    """Return ``deadline_in(2)``, which sets the caller's deadline two seconds from now."""
    yield lambda seconds: deadline.begin(time.monotonic() + seconds)
    deadline.begin(None)


def test_any_message_key_makes_a_valid_header(scripted: ScriptedServer) -> None:
    scripted.answers = [ACCEPTED]
    mailer(scripted.url).send(Mail("заказ\r\nBcc: x@y.z", "a@example.com", "shop@example.com", "Hello", "text", None))
    (personalization,) = json.loads(scripted.asked[0][3])["personalizations"]
    header = personalization["headers"]["X-Shop-Message"]
    assert header.isascii()
    assert not set(header) & set("\r\n ")
