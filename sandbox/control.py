"""The sandbox's own routes: health, faults, ledger, clock, tracking, label files, and the bank's 3-D Secure page."""

from __future__ import annotations

import html
import sqlite3
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from sandbox.faults import PROVIDERS, BadFault, Fault
from sandbox.label import label_pdf
from sandbox.ledger import MOST, ledger
from sandbox.shippo_tracks import STATUSES, move
from sandbox.stripe_confirm import answer_bank
from sandbox.stripe_endpoint import Desk
from sandbox.stripe_errors import StripeFailure
from sandbox.stripe_payment_intents import stored_intent

if TYPE_CHECKING:
    from sandbox.server import Sandbox


def add_control_routes(application: web.Application, sandbox: Sandbox) -> None:
    """Adds the routes below /sandbox/ to the application."""
    control = _Control(sandbox)
    application.router.add_routes(
        [
            web.get("/sandbox/health", control.health),
            web.get("/sandbox/ledger", control.ledger),
            web.get("/sandbox/faults", control.all_faults),
            web.get("/sandbox/faults/{provider}", control.get_fault),
            web.put("/sandbox/faults/{provider}", control.put_fault),
            web.delete("/sandbox/faults/{provider}", control.delete_fault),
            web.get("/sandbox/clock", control.get_clock),
            web.post("/sandbox/clock", control.post_clock),
            web.post("/sandbox/tracks/{number}", control.post_track),
            web.get("/sandbox/labels/{transaction}.pdf", control.label),
            web.get("/sandbox/3ds/{intent}", control.bank_page),
            web.post("/sandbox/3ds/{intent}", control.bank_answer),
        ]
    )


def _json(body: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")


def _refusal(status: int, message: str) -> web.Response:
    return _json({"error": message}, status)


class _Control:
    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.state = sandbox.state

    async def health(self, request: web.Request) -> web.Response:
        try:
            self.state.ping()
        except sqlite3.Error as error:
            return _json({"status": "error", "database": str(error)}, 503)
        return _json({"status": "ok", "database": "ok", "providers": list(PROVIDERS)})

    async def ledger(self, request: web.Request) -> web.Response:
        query = request.query
        unknown = sorted(set(query) - {"to", "order_id", "limit"})
        if unknown:
            return _refusal(400, f"unknown filter: {', '.join(unknown)}; known: to, order_id, limit")
        limit = query.get("limit", str(MOST))
        if not limit.isdigit():
            return _refusal(400, "limit must be a whole number")
        # An unquoted "+" of a telephone number arrives as a space.
        to = query.get("to")
        if to is not None and to.startswith(" "):
            to = "+" + to.strip()
        return _json(ledger(self.state, to, query.get("order_id"), int(limit)))

    async def all_faults(self, request: web.Request) -> web.Response:
        return _json({provider: self.sandbox.faults.describe(provider) for provider in PROVIDERS})

    async def get_fault(self, request: web.Request) -> web.Response:
        provider = request.match_info["provider"]
        if provider not in PROVIDERS:
            return _refusal(404, f"no such provider; there are {', '.join(PROVIDERS)}")
        return _json(self.sandbox.faults.describe(provider))

    async def put_fault(self, request: web.Request) -> web.Response:
        provider = request.match_info["provider"]
        if provider not in PROVIDERS:
            return _refusal(404, f"no such provider; there are {', '.join(PROVIDERS)}")
        try:
            self.sandbox.faults.set(provider, Fault.from_json(orjson.loads(await request.read())))
        except (orjson.JSONDecodeError, BadFault) as error:
            return _refusal(400, str(error))
        return _json(self.sandbox.faults.describe(provider))

    async def delete_fault(self, request: web.Request) -> web.Response:
        provider = request.match_info["provider"]
        if provider not in PROVIDERS:
            return _refusal(404, f"no such provider; there are {', '.join(PROVIDERS)}")
        self.sandbox.faults.clear(provider)
        return _json(self.sandbox.faults.describe(provider))

    async def get_clock(self, request: web.Request) -> web.Response:
        return _json({"now": self.state.now()})

    async def post_clock(self, request: web.Request) -> web.Response:
        """{"advance_seconds": n}: for what takes days, as a rate that expires."""
        body = await _body(request)
        seconds = body.get("advance_seconds")
        if set(body) != {"advance_seconds"} or not isinstance(seconds, int | float) or not 0 <= seconds <= 10**9:
            return _refusal(400, 'the body is {"advance_seconds": a number, 0 or more}')
        with self.state.transaction():
            self.state.advance_clock(float(seconds))
        return _json({"now": self.state.now()})

    async def post_track(self, request: web.Request) -> web.Response:
        """{"status": "TRANSIT"}: moves the parcel of a bought label on."""
        body = await _body(request)
        status = body.get("status")
        if set(body) != {"status"} or status not in STATUSES:
            return _refusal(400, f'the body is {{"status": one of {", ".join(STATUSES)}}}')
        with self.state.transaction():
            track = move(self.state, request.match_info["number"], status)
        return _refusal(404, "no label has this tracking number") if track is None else _json(track)

    async def label(self, request: web.Request) -> web.Response:
        transaction = self.state.get("transaction", request.match_info["transaction"])
        if transaction is None or transaction["status"] == "ERROR":
            return _refusal(404, "no such label")
        rate = self.state.get("rate", transaction["rate"])
        shipment = self.state.get("shipment", rate["shipment"]) if rate else None
        if rate is None or shipment is None:
            return _refusal(404, "no such label")
        return web.Response(body=label_pdf(transaction, rate, shipment), content_type="application/pdf")

    async def bank_page(self, request: web.Request) -> web.Response:
        try:
            intent = stored_intent(Desk(self.state, self.sandbox.public_url), request.match_info["intent"])
        except StripeFailure as failure:
            return _refusal(failure.status, str(failure))
        amount = html.escape(f"{intent['amount']} {intent['currency']}")
        buttons = (
            '<button name="result" value="succeed">It is me: pay</button> '
            '<button name="result" value="fail">It is not me</button>'
        )
        if intent["status"] != "requires_action":
            buttons = f"Nothing to confirm: the payment's status is {html.escape(intent['status'])}."
        page = (
            "<!doctype html><meta charset=utf-8><title>Your bank</title><h1>Your bank asks</h1>"
            f"<p>A payment of {amount} (smallest unit).</p><form method=post>{buttons}</form>"
        )
        return web.Response(text=page, content_type="text/html")

    async def bank_answer(self, request: web.Request) -> web.Response:
        """{"result": "succeed" or "fail"} as JSON or form plays the shopper; a form goes on to the return_url."""
        by_form = "form" in request.content_type
        body: dict[str, Any] = dict(await request.post()) if by_form else await _body(request)
        if body.get("result") not in ("succeed", "fail"):
            return _refusal(400, 'the body is {"result": "succeed" or "fail"}')
        desk = Desk(self.state, self.sandbox.public_url)
        try:
            with self.state.transaction():
                intent = stored_intent(desk, request.match_info["intent"])
                action = intent["next_action"] or {}
                intent = answer_bank(desk, intent, succeed=body["result"] == "succeed")
        except StripeFailure as failure:
            return _refusal(409 if failure.status == 400 else failure.status, str(failure))
        return_url = action.get("redirect_to_url", {}).get("return_url")
        if by_form and return_url and return_url.startswith(("http://", "https://")):
            raise web.HTTPSeeOther(return_url)
        if by_form:
            return web.Response(text=f"The payment's status is {intent['status']}.", content_type="text/plain")
        return _json(intent)


async def _body(request: web.Request) -> dict[str, Any]:
    """The JSON object of the request; an empty one when it has none."""
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}
