"""The sandbox's own routes that play the card's bank: dispute any charge, decide a dispute, report a fraud."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from sandbox.context import Context
from sandbox.control import json_object, json_response, refusal
from sandbox.state import without_private
from sandbox.stripe.dispute_cases import CLAIMS, CLOSED, RESULTS, decide, open_dispute
from sandbox.stripe.fraud_warnings import FRAUD_TYPES, warn


def add_dispute_routes(application: web.Application, sandbox: Context) -> None:
    """Add these routes to the application."""
    control = _Control(sandbox)
    application.router.add_routes(
        [
            web.post("/sandbox/charges/{charge}/dispute", control.dispute),
            web.post("/sandbox/charges/{charge}/fraud_warning", control.warn),
            web.post("/sandbox/disputes/{dispute}", control.decide),
        ]
    )


class _Control:
    def __init__(self, sandbox: Context) -> None:
        self.sandbox = sandbox
        self.state = sandbox.state

    async def dispute(self, request: web.Request) -> web.Response:
        """Accept {"claim": one of CLAIMS, "amount": a part of the charge}; both are optional."""
        body = await json_object(request)
        claim, amount = body.get("claim", "fraudulent"), body.get("amount")
        if not set(body) <= {"claim", "amount"} or claim not in tuple(CLAIMS) or type(amount) not in (int, type(None)):
            return refusal(400, f'the body is {{"claim": one of {", ".join(CLAIMS)}, "amount": a whole number}}')
        with self.state.transaction():
            charge = self._charge(request)
            if isinstance(charge, web.Response):
                return charge
            if charge["disputed"]:
                return refusal(409, "this charge is disputed already")
            if amount is not None and not 1 <= amount <= charge["amount_captured"]:
                return refusal(400, f"amount must be from 1 to {charge['amount_captured']}")
            dispute = open_dispute(self.sandbox.desk(), charge["id"], claim, amount)
        return json_response(without_private(dispute))

    async def warn(self, request: web.Request) -> web.Response:
        """Accept {"fraud_type": one of FRAUD_TYPES}, which is optional."""
        body = await json_object(request)
        fraud_type = body.get("fraud_type", "misc")
        if not set(body) <= {"fraud_type"} or fraud_type not in FRAUD_TYPES:
            return refusal(400, f'the body is {{"fraud_type": one of {", ".join(FRAUD_TYPES)}}}')
        with self.state.transaction():
            charge = self._charge(request)
            if isinstance(charge, web.Response):
                return charge
            warning = warn(self.sandbox.desk(), charge["id"], fraud_type)
        return json_response(without_private(warning))

    async def decide(self, request: web.Request) -> web.Response:
        """Accept {"result": one of RESULTS} as the bank's decision."""
        body = await json_object(request)
        result = body.get("result")
        if set(body) != {"result"} or result not in RESULTS:
            return refusal(400, f'the body is {{"result": one of {", ".join(RESULTS)}}}')
        with self.state.transaction():
            dispute = self.state.get("dispute", request.match_info["dispute"])
            if dispute is None:
                return refusal(404, "no such dispute")
            if dispute["status"] in CLOSED:
                return refusal(409, f"this dispute is closed: {dispute['status']}")
            if result == "escalated" and not dispute["status"].startswith("warning_"):
                return refusal(409, "only an inquiry can escalate")
            decided = decide(self.sandbox.desk(), dispute, result)
        return json_response(without_private(decided))

    def _charge(self, request: web.Request) -> dict[str, Any] | web.Response:
        """Return the charge that the path names, or the refusal when the bank has no say about it."""
        charge = self.state.get("charge", request.match_info["charge"])
        if charge is None:
            return refusal(404, "no such charge")
        if charge["payment_method_details"]["type"] != "card":
            return refusal(409, "only charges of cards are disputed here")
        return charge if charge["captured"] and charge["paid"] else refusal(409, "nothing was captured of this charge")
