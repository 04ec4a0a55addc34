"""The sandbox's own routes that settle one refund or one debit now instead of later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from sandbox.context import Context
from sandbox.control import json_object, json_response, refusal
from sandbox.state import without_private
from sandbox.stripe.bank_accounts import DECLINES
from sandbox.stripe.debit_outcomes import settle_debit
from sandbox.stripe.endpoint import Desk
from sandbox.stripe.errors import StripeFailure
from sandbox.stripe.refund_outcomes import DEFAULT_REASON, FAILURE_REASONS, settle_refund

RESULTS = ("succeed", "fail")


def add_settlement_routes(application: web.Application, sandbox: Context) -> None:
    """Add these routes to the application."""
    control = _Control(sandbox)
    application.router.add_routes(
        [
            web.post("/sandbox/refunds/{refund}", control.refund),
            web.post("/sandbox/payments/{intent}", control.payment),
        ]
    )


class _Control:
    def __init__(self, sandbox: Context) -> None:
        self.sandbox = sandbox
        self.state = sandbox.state

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
                settled = settle(self.sandbox.desk())
        except StripeFailure as failure:
            return refusal(409 if failure.status == 400 else failure.status, str(failure))
        return json_response(without_private(settled))
