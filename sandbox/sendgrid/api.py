"""SendGrid in the sandbox: /v3/mail/send, which validates a mail as SendGrid does and stores it for the ledger, and the
key that verifies its webhooks."""

from __future__ import annotations

from itertools import islice

import orjson

from sandbox import settings
from sandbox.ids import alphanumeric
from sandbox.provider import Answer, Call, Provider, json_answer
from sandbox.recipients import UNVERIFIED, recipient
from sandbox.sendgrid.checks import Problem, problems, recipients
from sandbox.sendgrid.delivery import bypassed, send
from sandbox.sendgrid.event_key import mail_public_key
from sandbox.sendgrid.rate_limit import RateLimit
from sandbox.state import State

_MAX_BYTES = 30 * 1024 * 1024
_MAX_PROBLEMS = 100  # in one answer
_HELP = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html#message"

# SendGrid's answer in https://github.com/sendgrid/sendgrid-ruby/pull/489; every sender is verified unless marked.
_UNVERIFIED = (
    "The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved. "
    "Visit https://sendgrid.com/docs/for-developers/sending-email/sender-identity/ to see "
    "the Sender Identity requirements"
)


class SendGrid(Provider):
    """SendGrid's mail sending."""

    name = "sendgrid"

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._limit = RateLimit()

    def routes(self) -> list[tuple[str, str]]:
        return [("POST", "/v3/mail/send"), ("GET", "/v3/user/webhooks/event/settings/signed")]

    def refuse(self, call: Call) -> Answer | None:
        scheme, _, key = call.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and key.strip() == settings.SENDGRID_KEY:
            return None
        if not key:
            return _refusal(401, Problem("Permission denied, wrong credentials", None))
        return _refusal(401, Problem("The provided authorization grant is invalid, expired, or revoked", None))

    def answer(self, call: Call) -> Answer:
        return self._limit.counted(self._answer(call))

    def _answer(self, call: Call) -> Answer:
        if call.path == "/v3/user/webhooks/event/settings/signed" and call.method == "GET":
            return json_answer(200, {"public_key": mail_public_key(self.state)})
        if call.path != "/v3/mail/send":
            return _refusal(404, Problem("not found", None))
        if call.method != "POST":
            return _refusal(405, Problem("method not allowed", None))
        if len(call.body) > _MAX_BYTES:
            return _refusal(413, Problem("The request body is too large.", None))
        if "json" not in call.headers.get("Content-Type", "application/json"):
            return _refusal(415, Problem("Content-Type should be application/json.", None))
        try:
            mail = orjson.loads(call.body)
        except orjson.JSONDecodeError:
            return _refusal(400, Problem("Bad Request", None))
        found = list(islice(problems(mail), _MAX_PROBLEMS))
        if found:
            return _refusal(400, *found)
        if recipient(self.state, mail["from"]["email"])["outcome"] == UNVERIFIED:
            return _refusal(403, Problem(_UNVERIFIED, "from"), help_page=None)
        message_id = alphanumeric("", 22)
        headers = {"X-Message-Id": message_id, "Content-Type": "text/plain"}
        sandbox_mode = (mail.get("mail_settings") or {}).get("sandbox_mode") or {}
        if sandbox_mode.get("enable") is True:
            return Answer(200, b"", headers)
        stored = {"id": message_id, "created": self.state.now(), "recipients": recipients(mail), "request": mail}
        with self.state.transaction():
            stored["outcomes"] = {address: send(self.state, address, bypassed(mail)) for address in recipients(mail)}
            self.state.put("mail", message_id, stored)
        return Answer(202, b"", headers)

    def failure(self, status: int, message: str) -> Answer:
        return self._limit.counted(_refusal(status, Problem("too many requests" if status == 429 else message, None)))


def _refusal(status: int, *problems: Problem, help_page: str | None = _HELP) -> Answer:
    errors = [{"message": message, "field": where, "help": help_page if where else None} for message, where in problems]
    return json_answer(status, {"errors": errors})
