"""The sandbox's own routes: health, faults, ledger, tax rates, clock, tracking and label files."""

from __future__ import annotations

import sqlite3
from typing import Any

import orjson
from aiohttp import web

from sandbox.context import Context
from sandbox.faults import PROVIDERS, BadFault, Fault
from sandbox.ledger import KINDS, MAX_PAGE, ledger
from sandbox.shippo.label import label_pdf
from sandbox.shippo.tracks import STATUSES, move
from sandbox.stripe.tax_rates import printed_table


def add_control_routes(application: web.Application, sandbox: Context) -> None:
    """Add these routes to the application."""
    control = _Control(sandbox)
    application.router.add_routes(
        [
            web.get("/sandbox/health", control.health),
            web.get("/sandbox/ledger", control.ledger),
            web.get("/sandbox/faults", control.all_faults),
            web.get("/sandbox/faults/{provider}", control.get_fault),
            web.put("/sandbox/faults/{provider}", control.put_fault),
            web.delete("/sandbox/faults/{provider}", control.delete_fault),
            web.get("/sandbox/tax", control.tax),
            web.get("/sandbox/clock", control.get_clock),
            web.post("/sandbox/clock", control.post_clock),
            web.post("/sandbox/tracks/{number}", control.post_track),
            web.get("/sandbox/labels/{transaction}.pdf", control.label),
        ]
    )


def json_response(body: Any, status: int = 200) -> web.Response:
    """Return a response with a JSON body."""
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")


def refusal(status: int, message: str) -> web.Response:
    """Return an error of the sandbox itself: {"error": message}."""
    return json_response({"error": message}, status)


class _Control:
    def __init__(self, sandbox: Context) -> None:
        self.sandbox = sandbox
        self.state = sandbox.state

    async def health(self, request: web.Request) -> web.Response:
        try:
            self.state.ping()
        except sqlite3.Error as error:
            return json_response({"status": "error", "database": str(error)}, 503)
        return json_response({"status": "ok", "database": "ok", "providers": list(PROVIDERS)})

    async def ledger(self, request: web.Request) -> web.Response:
        query = request.query
        known = ("to", "order_id", "limit", "offset", "kind")
        unknown = sorted(set(query) - set(known))
        if unknown:
            return refusal(400, f"unknown filter: {', '.join(unknown)}; known: {', '.join(known)}")
        limit, offset, kind = query.get("limit", str(MAX_PAGE)), query.get("offset", "0"), query.get("kind")
        if not limit.isdigit() or not offset.isdigit():
            return refusal(400, "limit and offset must be whole numbers")
        if kind not in (None, *KINDS):
            return refusal(400, f"kind must be one of {', '.join(KINDS)}")
        # An unquoted "+" of a telephone number arrives as a space.
        to = query.get("to")
        if to is not None and to.startswith(" "):
            to = "+" + to.strip()
        return json_response(ledger(self.state, to, query.get("order_id"), int(limit), int(offset), kind))

    async def all_faults(self, request: web.Request) -> web.Response:
        return json_response({provider: self.sandbox.faults.describe(provider) for provider in PROVIDERS})

    async def get_fault(self, request: web.Request) -> web.Response:
        provider = request.match_info["provider"]
        if provider not in PROVIDERS:
            return refusal(404, f"no such provider; there are {', '.join(PROVIDERS)}")
        return json_response(self.sandbox.faults.describe(provider))

    async def put_fault(self, request: web.Request) -> web.Response:
        provider = request.match_info["provider"]
        if provider not in PROVIDERS:
            return refusal(404, f"no such provider; there are {', '.join(PROVIDERS)}")
        try:
            self.sandbox.faults.set(provider, Fault.from_json(orjson.loads(await request.read())))
        except (orjson.JSONDecodeError, BadFault) as error:
            return refusal(400, str(error))
        self.sandbox.feed.wake()
        return json_response(self.sandbox.faults.describe(provider))

    async def delete_fault(self, request: web.Request) -> web.Response:
        provider = request.match_info["provider"]
        if provider not in PROVIDERS:
            return refusal(404, f"no such provider; there are {', '.join(PROVIDERS)}")
        self.sandbox.faults.clear(provider)
        self.sandbox.feed.wake()
        return json_response(self.sandbox.faults.describe(provider))

    async def tax(self, request: web.Request) -> web.Response:
        """Answer the tax rates of the sandbox."""
        return json_response(printed_table())

    async def get_clock(self, request: web.Request) -> web.Response:
        return json_response({"now": self.state.now()})

    async def post_clock(self, request: web.Request) -> web.Response:
        """Accept {"advance_seconds": n}, to simulate what takes days, such as the expiry of a rate or of the time to
        answer a dispute."""
        body = await json_object(request)
        seconds = body.get("advance_seconds")
        if set(body) != {"advance_seconds"} or not isinstance(seconds, int | float) or not 0 <= seconds <= 10**9:
            return refusal(400, 'the body is {"advance_seconds": a number, 0 or more}')
        with self.state.transaction():
            self.state.advance_clock(float(seconds))
        self.sandbox.later.carry_out()
        return json_response({"now": self.state.now()})

    async def post_track(self, request: web.Request) -> web.Response:
        """Accept {"status": "TRANSIT"} to change the tracking status of a bought label's parcel."""
        body = await json_object(request)
        status = body.get("status")
        if set(body) != {"status"} or status not in STATUSES:
            return refusal(400, f'the body is {{"status": one of {", ".join(STATUSES)}}}')
        with self.state.transaction():
            track = move(self.state, request.match_info["number"], status)
        return refusal(404, "no label has this tracking number") if track is None else json_response(track)

    async def label(self, request: web.Request) -> web.Response:
        transaction = self.state.get("transaction", request.match_info["transaction"])
        if transaction is None or not transaction["label_url"]:
            return refusal(404, "no such label")
        rate = self.state.get("rate", transaction["rate"])
        shipment = self.state.get("shipment", rate["shipment"]) if rate else None
        if rate is None or shipment is None:
            return refusal(404, "no such label")
        return web.Response(body=label_pdf(transaction, rate, shipment), content_type="application/pdf")


async def json_object(request: web.Request) -> dict[str, Any]:
    """Return the JSON object of the request; an empty one without a body. Raises HTTPBadRequest for anything else."""
    raw = await request.read()
    try:
        body = orjson.loads(raw) if raw else {}
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        text = orjson.dumps({"error": "the body is a JSON object"}).decode()
        raise web.HTTPBadRequest(text=text, content_type="application/json")
    return body
