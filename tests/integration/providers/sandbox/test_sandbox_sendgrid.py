"""SendGrid in the sandbox through SendGrid's own SDK: accepted and refused mail."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from python_http_client import exceptions
from sendgrid.helpers.mail import Mail

from tests.integration.providers.sandbox.process import Sdks

MAIL: dict[str, Any] = {
    "from": {"email": "shop@example.com", "name": "The shop"},
    "subject": "Your order",
    "personalizations": [{"to": [{"email": "chloe@example.com"}]}],
    "content": [{"type": "text/plain", "value": "Hello"}, {"type": "text/html", "value": "<b>Hello</b>"}],
}


def send(sdks: Sdks, mail: Any) -> Any:
    return sdks.sendgrid.client.mail.send.post(request_body=mail)


def test_a_mail_is_accepted_with_an_empty_body_and_an_id(sdks: Sdks) -> None:
    answer = sdks.sendgrid.send(Mail("shop@example.com", "chloe@example.com", "Your order", "Hello", "<b>Hello</b>"))
    assert (answer.status_code, answer.body) == (202, b"")
    assert len(answer.headers["X-Message-Id"]) == 22


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("subject",), {"a": 1}, "string"),
        (("send_at",), "soon", "integer"),
        (("send_at",), True, "integer"),
        (("categories", 0), 1, "string"),
        (("headers",), "x", "object"),
        (("from", "name"), 1, "string"),
        (("reply_to_list",), "a@example.com", "array"),
        (("personalizations", 0, "to", 0, "name"), 1, "string"),
        (("personalizations", 0, "dynamic_template_data"), [], "object"),
        (("mail_settings", "footer", "enable"), "yes", "boolean"),
        (("tracking_settings", "ganalytics", "utm_source"), 1, "string"),
        (("attachments", 0, "disposition"), 1, "string"),
    ],
)
def test_member_of_another_type_is_refused(sdks: Sdks, path: tuple[Any, ...], value: Any, expected: str) -> None:
    mail = {**copy.deepcopy(MAIL), "categories": ["a"], "attachments": [{"content": "YQ==", "filename": "a"}]}
    node: Any = mail
    for step in path[:-1]:
        node = node[step] if isinstance(step, int) else node.setdefault(step, {})
    node[path[-1]] = value

    with pytest.raises(exceptions.BadRequestsError) as refused:
        send(sdks, mail)
    (error,) = json.loads(refused.value.body)["errors"]
    assert error["field"] == ".".join(map(str, path))
    assert f"Expected: {expected}" in error["message"]


def test_sandbox_mode_checks_and_sends_nothing(sdks: Sdks) -> None:
    to = "nobody@example.com"
    mail = {**MAIL, "personalizations": [{"to": [{"email": to}]}], "mail_settings": {"sandbox_mode": {"enable": True}}}
    assert send(sdks, mail).status_code == 200
    assert sdks.get("/sandbox/ledger", params={"to": to}).json()["emails"] == []


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in MAIL.items() if key != name}


@pytest.mark.parametrize(
    ("mail", "field"),
    [
        (without("from"), "from"),
        (without("personalizations"), "personalizations"),
        (without("content"), "content"),
        (without("subject"), "subject"),
        ({**MAIL, "personalizations": []}, "personalizations"),
        ({**MAIL, "personalizations": [{}]}, "personalizations.0.to"),
        ({**MAIL, "personalizations": [{"to": [{"email": "chloe"}]}]}, "personalizations.0.to.0.email"),
        ({**MAIL, "personalizations": [{"to": [{"email": "a@b.co, c@d.co"}]}]}, "personalizations.0.to.0.email"),
        ({**MAIL, "personalizations": [{"to": [{"email": "a@b.co"}, {"email": "A@b.co"}]}]}, "personalizations.0"),
        ({**MAIL, "from": {"email": "nobody"}}, "from.email"),
        ({**MAIL, "content": MAIL["content"][::-1]}, "content"),
        ({**MAIL, "content": [{"type": "text/plain", "value": ""}]}, "content.0.value"),
        ({**MAIL, "colour": "red"}, "colour"),
        ({**MAIL, "from": {"email": "shop@example.com", "colour": "red"}}, "from.colour"),
        ({**MAIL, "attachments": [{"filename": "a.pdf"}]}, "attachments.0.content"),
        ({**MAIL, "attachments": "a.pdf"}, "attachments"),
        ({**MAIL, "custom_args": "message=m1"}, "custom_args"),
        ({**MAIL, "custom_args": {"message": 7}}, "custom_args.message"),
        ({**MAIL, "mail_settings": "sandbox"}, "mail_settings"),
        ({**MAIL, "mail_settings": {"sandbox_mode": True}}, "mail_settings.sandbox_mode"),
        ({**MAIL, "mail_settings": {"bypass_spam_management": True}}, "mail_settings.bypass_spam_management"),
        (
            {**MAIL, "mail_settings": {f"bypass_{name}_management": {"enable": True} for name in ("list", "spam")}},
            "mail_settings.bypass_list_management",
        ),
        (
            {**MAIL, "personalizations": [{"to": [{"email": "a@b.co"}], "custom_args": "m1"}]},
            "personalizations.0.custom_args",
        ),
    ],
)
def test_invalid_mail_is_refused_with_its_field(sdks: Sdks, mail: Any, field: str) -> None:
    with pytest.raises(exceptions.BadRequestsError) as refusal:
        send(sdks, copy.deepcopy(mail))
    [error] = json.loads(refusal.value.body)["errors"]
    assert set(error) == {"message", "field", "help"}
    assert (error["field"], bool(error["message"])) == (field, True)


def test_all_errors_of_a_mail_are_named_at_once(sdks: Sdks) -> None:
    mail = {**without("subject"), "from": {"email": "nobody"}, "personalizations": [{"to": [{"email": "chloe"}]}]}
    with pytest.raises(exceptions.BadRequestsError) as refusal:
        send(sdks, {**mail, "content": [], "colour": "red"})
    fields = [error["field"] for error in json.loads(refusal.value.body)["errors"]]
    assert sorted(fields) == ["colour", "content", "from.email", "personalizations.0.to.0.email", "subject"]


def test_errors_of_a_mail_are_limited(sdks: Sdks) -> None:
    with pytest.raises(exceptions.BadRequestsError) as refusal:
        send(sdks, {**MAIL, "personalizations": [{"to": [{"email": "x" * 1000}] * 500}]})
    errors = json.loads(refusal.value.body)["errors"]
    assert len(errors) == 100
    assert all(len(error["message"]) < 400 for error in errors)


def test_mail_from_an_unverified_sender_is_refused(sdks: Sdks) -> None:
    sender = "unverified@example.com"
    mail = {**MAIL, "from": {"email": "Unverified@example.com"}}
    assert send(sdks, mail).status_code == 202
    assert sdks.put(f"/sandbox/recipients/{sender}", json={"outcome": "unverified"}).status_code == 200
    with pytest.raises(exceptions.ForbiddenError) as refusal:
        send(sdks, mail)
    [error] = json.loads(refusal.value.body)["errors"]
    assert (error["field"], error["help"]) == ("from", None)
    assert "verified Sender Identity" in error["message"]
    to_sender = {**MAIL, "personalizations": [{"to": [{"email": sender}]}]}
    assert send(sdks, to_sender).status_code == 202
    sdks.delete(f"/sandbox/recipients/{sender}")
    assert send(sdks, mail).status_code == 202


def test_answers_say_how_many_calls_are_left(sdks: Sdks, fault: Callable[..., dict[str, Any]]) -> None:
    def limits(headers: Any) -> tuple[int, int, int]:
        limit, left, reset = (int(headers[f"X-RateLimit-{name}"]) for name in ("Limit", "Remaining", "Reset"))
        return limit, left, reset

    first, before = limits(send(sdks, MAIL).headers), time.time()
    second = limits(send(sdks, MAIL).headers)
    assert first[0] == second[0] > first[1]
    assert second[1] < first[1] or second[2] > first[2]  # a new period may have begun between them
    assert int(before) < second[2] <= time.time() + 60
    fault("sendgrid", error_rate=1, error_status=429)
    with pytest.raises(exceptions.TooManyRequestsError) as refusal:
        send(sdks, MAIL)
    assert limits(refusal.value.headers)[1] == 0


def test_unusable_request_is_refused_with_its_status(sdks: Sdks) -> None:
    with pytest.raises(exceptions.UnauthorizedError) as refusal:
        sdks.sendgrid_with("SG.wrong").send(Mail("a@b.co", "c@d.co", "s", "t"))
    assert json.loads(refusal.value.body)["errors"][0]["field"] is None
    assert sdks.post("/sendgrid/v3/mail/send", json=MAIL).status_code == 401
    key = {"Authorization": "Bearer SG.sandbox"}
    assert sdks.get("/sendgrid/v3/mail/send", headers=key).status_code == 405
    assert sdks.post("/sendgrid/v3/mail/later", json=MAIL, headers=key).status_code == 404
    assert sdks.post("/sendgrid/v3/mail/send", data="{", headers=key).status_code == 400
    assert (
        sdks.post("/sendgrid/v3/mail/send", data="a=b", headers={**key, "Content-Type": "text/plain"}).status_code
        == 415
    )
    large = {**MAIL, "content": [{"type": "text/plain", "value": "x" * (31 * 1024 * 1024)}]}
    assert sdks.post("/sendgrid/v3/mail/send", json=large, headers=key).status_code == 413
