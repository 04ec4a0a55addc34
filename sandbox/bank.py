"""The shopper's bank: the page that a 3-D Secure payment redirects the shopper to, and the shopper's answer."""

from __future__ import annotations

import html
from typing import Any

from aiohttp import web

from sandbox.context import Context
from sandbox.control import json_object, json_response, refusal
from sandbox.stripe.confirm import answer_bank
from sandbox.stripe.currencies import spelled
from sandbox.stripe.endpoint import Desk
from sandbox.stripe.errors import StripeFailure
from sandbox.stripe.payment_intents import stored_intent

_BUTTONS = """<form method="post">
<button name="result" value="succeed">It is me: pay</button>
<button name="result" value="fail">It is not me</button>
</form>"""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Your bank</title></head>
<body><h1>Your bank asks</h1><p>A payment of {amount} {currency}.</p>{rest}</body></html>"""


def add_bank_routes(application: web.Application, sandbox: Context) -> None:
    """Add GET and POST /sandbox/3ds/{payment intent} to the application."""
    bank = _Bank(sandbox)
    application.router.add_get("/sandbox/3ds/{intent}", bank.ask)
    application.router.add_post("/sandbox/3ds/{intent}", bank.answer)


class _Bank:
    def __init__(self, sandbox: Context) -> None:
        self.sandbox = sandbox

    def desk(self) -> Desk:
        return Desk(self.sandbox.state, self.sandbox.public_url)

    async def ask(self, request: web.Request) -> web.Response:
        try:
            intent = stored_intent(self.desk(), request.match_info["intent"])
        except StripeFailure as failure:
            return refusal(failure.status, str(failure))
        status = html.escape(intent["status"])
        rest = _BUTTONS if status == "requires_action" else f"<p>Nothing to confirm: its status is {status}.</p>"
        amount = spelled(intent["amount"], intent["currency"])
        page = _PAGE.format(amount=html.escape(amount), currency=html.escape(intent["currency"]), rest=rest)
        return web.Response(text=page, content_type="text/html")

    async def answer(self, request: web.Request) -> web.Response:
        """Accept {"result": "succeed" or "fail"} as the shopper's answer, as JSON or as a form; a form redirects to
        return_url."""
        by_form = "form" in request.content_type
        body: dict[str, Any] = dict(await request.post()) if by_form else await json_object(request)
        if body.get("result") not in ("succeed", "fail"):
            return refusal(400, 'the body is {"result": "succeed" or "fail"}')
        try:
            with self.sandbox.state.transaction():
                intent = stored_intent(self.desk(), request.match_info["intent"])
                asked = intent["next_action"] or {}
                intent = answer_bank(self.desk(), intent, succeed=body["result"] == "succeed")
        except StripeFailure as failure:
            return refusal(409 if failure.status == 400 else failure.status, str(failure))
        if not by_form:
            return json_response(intent)
        return_url = asked.get("redirect_to_url", {}).get("return_url")
        if return_url and return_url.startswith(("http://", "https://")):
            return web.Response(status=303, headers={"Location": return_url})
        return web.Response(text=f"The payment's status is {intent['status']}.", content_type="text/plain")
