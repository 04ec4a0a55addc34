"""The sandbox's own routes for what Stripe settles later: its switches, and the result of one refund or debit now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import orjson
from aiohttp import web

from sandbox.context import Context
from sandbox.control import json_object, json_response, refusal
from sandbox.faults import BadFault
from sandbox.state import without_private
from sandbox.stripe.bank_accounts import DECLINES
from sandbox.stripe.debit_outcomes import settle_debit
from sandbox.stripe.endpoint import Desk
from sandbox.stripe.errors import StripeFailure
from sandbox.stripe.refund_outcomes import DEFAULT_REASON, FAILURE_REASONS, settle_refund
from sandbox.stripe.switches import StripeSwitches, set_switches, switches_of

RESULTS = ("succeed", "fail")


def add_settlement_routes(application: web.Application, sandbox: Context) -> None:
    """Add these routes to the application."""
    control = _Control(sandbox)
    application.router.add_routes(
        [
            web.get("/sandbox/stripe", control.get_switches),
            web.put("/sandbox/stripe", control.put_switches),
            web.delete("/sandbox/stripe", control.delete_switches),
            web.post("/sandbox/refunds/{refund}", control.refund),
            web.post("/sandbox/payments/{intent}", control.payment),
        ]
    )


class _Control:
    def __init__(self, sandbox: Context) -> None:
        self.sandbox = sandbox
        self.state = sandbox.state

    async def get_switches(self, request: web.Request) -> web.Response:
        return json_response(asdict(switches_of(self.state)))

    async def put_switches(self, request: web.Request) -> web.Response:
        """Accept switches, those that are left out at their defaults; see `StripeSwitches`."""
        try:
            switches = StripeSwitches.from_json(orjson.loads(await request.read()))
        except (orjson.JSONDecodeError, BadFault) as error:
            return refusal(400, str(error))
        return self._set(switches)

    async def delete_switches(self, request: web.Request) -> web.Response:
        return self._set(StripeSwitches())

    def _set(self, switches: StripeSwitches) -> web.Response:
        with self.state.transaction():
            return json_response(set_switches(self.state, switches))

    async def refund(self, request: web.Request) -> web.Response:
        """Accept {"result": "succeed" or "fail", "reason": why it fails}: the refund settles now."""
        body = await json_object(request)
        result, reason = body.get("result"), body.get("reason", DEFAULT_REASON)
        if not set(body) <= {"result", "reason"} or result not in RESULTS or reason not in FAILURE_REASONS:
            reasons = ", ".join(FAILURE_REASONS)
            return refusal(400, f'the body is {{"result": "succeed" or "fail", "reason": one of {reasons}}}')
        return self._settle(lambda desk: settle_refund(desk, request.match_info["refund"], result, reason))

    async def payment(self, request: web.Request) -> web.Response:
        """Accept {"result": "succeed" or "fail", "reason": why it fails}: a `processing` payment settles now."""
        body = await json_object(request)
        result, reason = body.get("result"), body.get("reason")
        if not set(body) <= {"result", "reason"} or result not in RESULTS or reason not in (None, *DECLINES):
            return refusal(
                400, f'the body is {{"result": "succeed" or "fail", "reason": one of {", ".join(DECLINES)}}}'
            )
        return self._settle(lambda desk: settle_debit(desk, request.match_info["intent"], result, reason))

    def _settle(self, settle: Callable[[Desk], dict[str, Any]]) -> web.Response:
        try:
            with self.state.transaction():
                settled = settle(Desk(self.state, self.sandbox.public_url))
        except StripeFailure as failure:
            return refusal(409 if failure.status == 400 else failure.status, str(failure))
        return json_response(without_private(settled))
