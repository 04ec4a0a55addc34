"""The shopper's bank: the page that a 3-D Secure payment redirects the shopper to, and the shopper's answer."""

from __future__ import annotations

import html
import re
import secrets
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from sandbox.context import Context
from sandbox.control import json_object, json_response, refusal
from sandbox.stripe.confirm import answer_bank
from sandbox.stripe.currencies import spelled
from sandbox.stripe.errors import StripeFailure
from sandbox.stripe.payment_intents import stored_intent

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{title} - Sandbox Bank</title>
<link rel="icon" href="/sandbox/page/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/sandbox/page/bank.css"></head>
<body><header><p class="bank">Sandbox Bank</p></header>
<main class="{tone}"><h1>{title}</h1>{content}</main>
<footer><p>The sandbox plays this bank. No money moves.</p></footer></body></html>"""
_FACTS = """<p class="amount">{amount}</p><dl>{facts}</dl>"""
_BUTTONS = """<p>Are you making this payment?</p>
<form method="post"><button class="yes" name="result" value="succeed">Yes, confirm</button>
<button name="result" value="fail">No, refuse</button></form>"""
_BACK = "<p>Close this tab and go back to the shop's page.</p>"
# What the answers mean, by the payment's status: the tone, the title and a sentence.
_RESULTS = {
    "succeeded": ("good", "Payment confirmed", "Your card is charged. The shop is being informed."),
    "requires_capture": ("good", "Payment confirmed", "The amount is reserved on your card."),
    "requires_payment_method": ("bad", "Payment not made", "Nothing was charged. The shop lets you pay again."),
    "canceled": ("bad", "Payment canceled", "The shop canceled this payment. Nothing was charged."),
}
# What Stripe calls the end of a redirect; a payment that is neither paid nor pending has failed.
_REDIRECT_STATUS = {"succeeded": "succeeded", "requires_capture": "succeeded", "processing": "pending"}
_ANY_SHOP, _NOBODY = "http: https:", "'none'"
_ORIGIN = re.compile(r"https?://[\w.:\[\]-]+", re.ASCII)


def add_bank_routes(application: web.Application, sandbox: Context) -> None:
    """Add GET and POST /sandbox/3ds/{payment intent} to the application."""
    bank = _Bank(sandbox)
    application.router.add_get("/sandbox/3ds/{intent}", bank.ask)
    application.router.add_post("/sandbox/3ds/{intent}", bank.answer)


class _Bank:
    def __init__(self, sandbox: Context) -> None:
        self.sandbox = sandbox

    async def ask(self, request: web.Request) -> web.Response:
        try:
            intent = stored_intent(self.sandbox.desk(), request.match_info["intent"])
        except StripeFailure as failure:
            return _page("bad", "Unknown payment", f"<p>{html.escape(str(failure))}</p>", status=failure.status)
        if intent["status"] != "requires_action":
            status = html.escape(intent["status"])
            return _result(intent, f"<p>Nothing to confirm: the payment's status is <code>{status}</code>.</p>")
        redirect = (intent["next_action"] or {}).get("redirect_to_url") or {}
        return _page(
            "",
            "Confirm a payment",
            self._facts(intent) + _BUTTONS,
            form_goes_to=redirect.get("return_url"),
            framed=_is_framed(request, intent),
        )

    def _facts(self, intent: dict[str, Any]) -> str:
        method = self.sandbox.state.get("payment_method", intent["payment_method"]) or {}
        card = method.get("card") or {}
        facts = {
            "Card": f"{card['brand'].capitalize()} ending in {card['last4']}" if card else None,
            "Order": (intent["metadata"] or {}).get("order_id"),
        }
        rows = "".join(f"<dt>{name}</dt><dd>{html.escape(text)}</dd>" for name, text in facts.items() if text)
        return _FACTS.format(amount=html.escape(_amount(intent)), facts=rows)

    async def answer(self, request: web.Request) -> web.Response:
        """Accept {"result": "succeed" or "fail"} as the shopper's answer, as JSON or as a form. A form redirects to
        return_url, and without one shows a page with the result; in a frame it informs Stripe.js."""
        by_form = "form" in request.content_type
        body: dict[str, Any] = dict(await request.post()) if by_form else await json_object(request)
        if body.get("result") not in ("succeed", "fail"):
            return refusal(400, 'the body is {"result": "succeed" or "fail"}')
        try:
            if by_form and _is_framed(request, stored_intent(self.sandbox.desk(), request.match_info["intent"])):
                return self._answer_frame(request, succeed=body["result"] == "succeed")
            with self.sandbox.state.transaction():
                intent = stored_intent(self.sandbox.desk(), request.match_info["intent"])
                asked = intent["next_action"] or {}
                intent = answer_bank(self.sandbox.desk(), intent, succeed=body["result"] == "succeed")
        except StripeFailure as failure:
            status = 409 if failure.status == 400 else failure.status
            if by_form:
                return _page("bad", "Nothing to confirm", f"<p>{html.escape(str(failure))}</p>{_BACK}", status=status)
            return refusal(status, str(failure))
        if not by_form:
            return json_response(intent)
        return_url = asked.get("redirect_to_url", {}).get("return_url")
        if return_url and return_url.startswith(("http://", "https://")):
            return web.Response(status=303, headers={"Location": returning(return_url, intent)})
        if body["result"] == "succeed" and intent["last_payment_error"]:
            return _result(intent, f"<p>{html.escape(intent['last_payment_error']['message'])}</p>")
        return _result(intent)

    def _answer_frame(self, request: web.Request, *, succeed: bool) -> web.Response:
        """Answer in the frame that Stripe.js has opened; it asks for the payment's status itself."""
        with suppress(StripeFailure), self.sandbox.state.transaction():
            intent = stored_intent(self.sandbox.desk(), request.match_info["intent"])
            answer_bank(self.sandbox.desk(), intent, succeed=succeed)
        return web.Response(status=303, headers={"Location": "/sandbox/js/answered.html"})


def returning(return_url: str, intent: dict[str, Any]) -> str:
    """Return the URL to which Stripe sends the shopper back, with the three parameters that it appends.

    https://docs.stripe.com/payments/payment-intents/verifying-status
    """
    parts = urlsplit(return_url)
    added = urlencode(
        {
            "payment_intent": intent["id"],
            "payment_intent_client_secret": intent["client_secret"],
            "redirect_status": _REDIRECT_STATUS.get(intent["status"], "failed"),
        }
    )
    return parts._replace(query=f"{parts.query}&{added}" if parts.query else added).geturl()


def _is_framed(request: web.Request, intent: dict[str, Any]) -> bool:
    """Whether Stripe.js shows the page in a frame: only who knows the `client_secret` may do so."""
    secret = request.query.get("client_secret", "")
    return secrets.compare_digest(secret.encode(), intent["client_secret"].encode())


def _amount(intent: dict[str, Any]) -> str:
    return f"{spelled(intent['amount'], intent['currency'])} {intent['currency'].upper()}"


def _result(intent: dict[str, Any], more: str = "") -> web.Response:
    unknown = ("", "Nothing to confirm", "The shop has not asked for a confirmation.")
    tone, title, meaning = _RESULTS.get(intent["status"], unknown)
    return _page(tone, title, f'<p class="amount">{html.escape(_amount(intent))}</p><p>{meaning}</p>{more}{_BACK}')


def _page(
    tone: str, title: str, content: str, *, status: int = 200, form_goes_to: str | None = None, framed: bool = False
) -> web.Response:
    """A page of the bank.

    Args:
        tone: the class of its content, `good`, `bad` or none.
        content: HTML.
        form_goes_to: the URL to which the answer of the page's form redirects; browsers check it, too.
        framed: whether the page of a shop may show it in a frame.
    """
    origin = _ORIGIN.match(form_goes_to or "")
    policy = (
        f"default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' {origin[0] if origin else ''}; "
        f"base-uri 'none'; frame-ancestors {_ANY_SHOP if framed else _NOBODY}"
    )
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
    text = _PAGE.format(tone=tone, title=title, content=content)
    return web.Response(status=status, text=text, content_type="text/html", headers=headers)
