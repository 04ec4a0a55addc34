"""The sandbox's own routes for recipients: what becomes of messages to them, and what they answer."""

from __future__ import annotations

from aiohttp import web

from sandbox.context import Context
from sandbox.control import json_object, json_response, refusal
from sandbox.recipients import KIND, BadRecipient, mark, recipient
from sandbox.twilio.api import E164, MAX_CHARACTERS, shown
from sandbox.twilio.inbound import receive

MAX_RECIPIENTS = 1000
_TOO_MANY = f"at most {MAX_RECIPIENTS} recipients are kept; DELETE one first"


def add_recipient_routes(application: web.Application, sandbox: Context) -> None:
    """Add GET /sandbox/recipients, and GET, PUT, DELETE /sandbox/recipients/{address}, and POST /sandbox/sms."""
    control = _Control(sandbox)
    application.router.add_routes(
        [
            web.get("/sandbox/recipients", control.get_all),
            web.get("/sandbox/recipients/{address}", control.get),
            web.put("/sandbox/recipients/{address}", control.put),
            web.delete("/sandbox/recipients/{address}", control.delete),
            web.post("/sandbox/sms", control.post_sms),
        ]
    )


class _Control:
    def __init__(self, sandbox: Context) -> None:
        self.sandbox = sandbox
        self.state = sandbox.state

    async def get_all(self, request: web.Request) -> web.Response:
        return json_response({"recipients": self.state.find(KIND)})

    async def get(self, request: web.Request) -> web.Response:
        return json_response(recipient(self.state, request.match_info["address"]))

    async def put(self, request: web.Request) -> web.Response:
        """Accept {"outcome": …, "error_code": …}, and answer what is known of the recipient."""
        body, address = await json_object(request), request.match_info["address"]
        if "@" not in address and not E164.fullmatch(address):
            return refusal(400, f"{address} is neither a mail address nor a phone number, such as +14155550123")
        if self._is_one_too_many(address):
            return refusal(409, _TOO_MANY)
        try:
            return json_response(mark(self.state, address, body))
        except BadRecipient as problem:
            return refusal(400, str(problem))

    async def delete(self, request: web.Request) -> web.Response:
        """Forget everything about the recipient, so that messages to it arrive again."""
        address = request.match_info["address"].lower()
        with self.state.transaction():
            self.state.delete(KIND, address)
        return json_response(recipient(self.state, address))

    async def post_sms(self, request: web.Request) -> web.Response:
        """Accept {"from": a number, "body": a text}: a shopper's message to the shop, such as STOP."""
        body = await json_object(request)
        sender, text = body.get("from"), body.get("body")
        if set(body) != {"from", "body"} or not isinstance(sender, str) or not isinstance(text, str) or not text:
            return refusal(400, 'the body is {"from": a phone number, "body": a text}')
        if not E164.fullmatch(sender):
            return refusal(400, f"{sender} is no phone number, such as +14155550123")
        if len(text) > MAX_CHARACTERS:
            return refusal(400, f"a message has at most {MAX_CHARACTERS} characters")
        if self._is_one_too_many(sender):
            return refusal(409, _TOO_MANY)
        url = f"{self.sandbox.settings.webhook_url}/api/webhooks/twilio/"
        return json_response(shown(receive(self.state, sender, text, url), self.state.now()), 201)

    def _is_one_too_many(self, address: str) -> bool:
        return self.state.get(KIND, address.lower()) is None and self.state.count(KIND) >= MAX_RECIPIENTS
