"""SendGrid in the sandbox: /v3/mail/send, which validates a mail as SendGrid does and stores it for the ledger, and the
key that verifies its webhooks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

from sandbox import settings
from sandbox.ids import alphanumeric
from sandbox.provider import Answer, Call, Provider, json_answer
from sandbox.sendgrid.delivery import send
from sandbox.sendgrid.event_key import mail_public_key
from sandbox.state import State

_MAIL = frozenset(
    """
    asm attachments batch_id categories content custom_args from headers ip_pool_name mail_settings
    personalizations reply_to reply_to_list sections send_at subject template_id tracking_settings
    """.split()  # noqa: SIM905 - a list of names reads better so
)
_PERSONALIZATION = frozenset(
    [
        "bcc",
        "cc",
        "custom_args",
        "dynamic_template_data",
        "from",
        "headers",
        "send_at",
        "subject",
        "substitutions",
        "to",
    ]
)
_ADDRESS = re.compile(r"[^@\s<>(),;:\"\[\]]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\.[A-Za-z0-9-]{2,}")
_MAX_RECIPIENTS = 1000
_MAX_BYTES = 30 * 1024 * 1024
_HELP = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html#message"


class Problem(Exception):
    """One error in a mail: a sentence, and the field it is about."""

    def __init__(self, message: str, where: str | None) -> None:
        super().__init__(message)
        self.where = where


class SendGrid(Provider):
    """SendGrid's mail sending."""

    name = "sendgrid"

    def __init__(self, state: State) -> None:
        super().__init__(state)

    def refuse(self, call: Call) -> Answer | None:
        scheme, _, key = call.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and key.strip() == settings.SENDGRID_KEY:
            return None
        if not key:
            return _refusal(401, "Permission denied, wrong credentials")
        return _refusal(401, "The provided authorization grant is invalid, expired, or revoked")

    def answer(self, call: Call) -> Answer:
        if call.path == "/v3/user/webhooks/event/settings/signed" and call.method == "GET":
            return json_answer(200, {"public_key": mail_public_key(self.state)})
        if call.path != "/v3/mail/send":
            return _refusal(404, "not found")
        if call.method != "POST":
            return _refusal(405, "method not allowed")
        if len(call.body) > _MAX_BYTES:
            return _refusal(413, "The request body is too large.")
        if "json" not in call.headers.get("Content-Type", "application/json"):
            return _refusal(415, "Content-Type should be application/json.")
        try:
            mail = orjson.loads(call.body)
        except orjson.JSONDecodeError:
            return _refusal(400, "Bad Request")
        try:
            recipients = list(_checked(mail))
        except Problem as problem:
            return _refusal(400, str(problem), problem.where)
        message_id = alphanumeric("", 22)
        headers = {"X-Message-Id": message_id, "Content-Type": "text/plain"}
        sandbox_mode = (mail.get("mail_settings") or {}).get("sandbox_mode") or {}
        if sandbox_mode.get("enable") is True:
            return Answer(200, b"", headers)
        stored = {"id": message_id, "created": self.state.now(), "recipients": recipients, "request": mail}
        with self.state.transaction():
            stored["outcomes"] = {address: send(self.state, address) for address in recipients}
            self.state.put("mail", message_id, stored)
        return Answer(202, b"", headers)

    def failure(self, status: int, message: str) -> Answer:
        return _refusal(status, "too many requests" if status == 429 else message)


def _refusal(status: int, message: str, where: str | None = None) -> Answer:
    help_page = _HELP if where else None
    return json_answer(status, {"errors": [{"message": message, "field": where, "help": help_page}]})


def _checked(mail: Any) -> Iterator[str]:
    """Return the addresses that a mail goes to; Problem when SendGrid would reject it."""
    if not isinstance(mail, dict):
        raise Problem("Bad Request", None)
    _known(mail, _MAIL, "")
    for name in ("personalizations", "from"):
        if not mail.get(name):
            raise Problem(
                "The from object must be provided for every email send."
                if name == "from"
                else "The personalizations field is required and must have at least one personalization.",
                name,
            )
    _address(mail["from"], "from")
    if mail.get("reply_to") is not None:
        _address(mail["reply_to"], "reply_to")
    personalizations = mail["personalizations"]
    if not isinstance(personalizations, list) or len(personalizations) > _MAX_RECIPIENTS:
        raise Problem("The personalizations field must be an array of at most 1000 objects.", "personalizations")
    recipients = [address for index, one in enumerate(personalizations) for address in _recipients(one, index, mail)]
    if len(recipients) > _MAX_RECIPIENTS:
        raise Problem("A mail may have at most 1000 recipients.", "personalizations")
    if not mail.get("template_id"):
        _content(mail.get("content"))
    for index, attachment in enumerate(mail.get("attachments") or []):
        for name in ("content", "filename"):
            if not isinstance(attachment, dict) or not attachment.get(name):
                raise Problem(f"The attachment {name} is required.", f"attachments.{index}.{name}")
    return iter(recipients)


def _recipients(personalization: Any, index: int, mail: dict[str, Any]) -> Iterator[str]:
    where = f"personalizations.{index}"
    if not isinstance(personalization, dict):
        raise Problem("A personalization must be an object.", where)
    _known(personalization, _PERSONALIZATION, f"{where}.")
    if not personalization.get("to"):
        raise Problem(
            "The to array is required for all personalization objects, and must have at least one email "
            "object with a valid email address.",
            f"{where}.to",
        )
    seen: set[str] = set()
    for name in ("to", "cc", "bcc"):
        entries = personalization.get(name) or []
        if not isinstance(entries, list):
            raise Problem(f"The {name} field must be an array.", f"{where}.{name}")
        for position, entry in enumerate(entries):
            address = _address(entry, f"{where}.{name}.{position}")
            if address.lower() in seen:
                raise Problem(
                    "Each email address in the personalization block should be unique between to, cc, and bcc. We "
                    f"found the first duplicate instance of [{address}] in the {where}.{name} field.",
                    where,
                )
            seen.add(address.lower())
            yield address
    if not mail.get("template_id") and not (personalization.get("subject") or mail.get("subject")):
        raise Problem(
            "The subject is required. You can get around this requirement if you use a template with a "
            "subject defined or if every personalization has a subject defined.",
            "subject",
        )


def _content(content: Any) -> None:
    if not isinstance(content, list) or not content:
        raise Problem(
            "Unless a valid template_id is provided, the content parameter is required. There must be at "
            "least one defined content block.",
            "content",
        )
    kinds = []
    for index, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str) or "/" not in part["type"]:
            raise Problem("The content type must be a MIME type.", f"content.{index}.type")
        _known(part, frozenset(("type", "value")), f"content.{index}.")
        if not isinstance(part.get("value"), str) or not part["value"]:
            raise Problem(
                "The content value must be a string at least one character in length.", f"content.{index}.value"
            )
        kinds.append(part["type"].split(";")[0].strip().lower())
    rank = {"text/plain": 0, "text/x-amp-html": 1, "text/html": 2}
    ranks = [rank.get(kind, 3) for kind in kinds]
    if ranks != sorted(ranks):
        raise Problem(
            "If present, text/plain and text/html may only be provided once, text/plain must be first, "
            "followed by text/x-amp-html and text/html.",
            "content",
        )


def _address(entry: Any, where: str) -> str:
    address = entry.get("email") if isinstance(entry, dict) else None
    if not isinstance(address, str) or not _ADDRESS.fullmatch(address) or len(address) > 320:
        raise Problem(f"Does not contain a valid address: {address}.", f"{where}.email")
    _known(entry, frozenset(("email", "name")), f"{where}.")
    return address


def _known(given: dict[str, Any], names: frozenset[str], within: str) -> None:
    for name in given:
        if name not in names:
            raise Problem(f"Additional property {name} is not allowed", f"{within}{name}")
