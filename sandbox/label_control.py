"""The sandbox's own routes for labels: what happens to them after their purchase."""

from __future__ import annotations

import re
from decimal import Decimal

from aiohttp import web

from sandbox.context import Context
from sandbox.control import json_object, json_response, refusal
from sandbox.faults import is_number
from sandbox.shippo.invoices import ADJUSTMENTS, add_item
from sandbox.shippo.refunds import OPEN, STATUSES, change_refund, refund_with
from sandbox.shippo.shipments import age_rate
from sandbox.shippo.transactions import OUTCOMES, end_purchase
from sandbox.state import without_private

# Shippo keeps a shipment's rates this long: https://docs.goshippo.com/docs/Shipments/Shipments
MAX_RATE_AGE_DAYS = 390

_AMOUNT = re.compile(r"-?\d{1,6}(\.\d{1,2})?")


def add_label_routes(application: web.Application, sandbox: Context) -> None:
    """Add POST /sandbox/{transactions,label-refunds,rates}/{id} and /sandbox/transactions/{id}/adjustments."""
    control = _Control(sandbox)
    application.router.add_routes(
        [
            web.post("/sandbox/transactions/{id}", control.post_transaction),
            web.post("/sandbox/transactions/{id}/adjustments", control.post_adjustment),
            web.post("/sandbox/label-refunds/{id}", control.post_refund),
            web.post("/sandbox/rates/{id}", control.post_rate),
        ]
    )


class _Control:
    def __init__(self, sandbox: Context) -> None:
        self.state = sandbox.state

    async def post_transaction(self, request: web.Request) -> web.Response:
        """Accept {"status": "SUCCESS" or "ERROR"} as the end of a queued purchase."""
        body = await json_object(request)
        if set(body) != {"status"} or body["status"] not in OUTCOMES:
            return refusal(400, f'the body is {{"status": one of {", ".join(OUTCOMES)}}}')
        transaction = self.state.get("transaction", request.match_info["id"])
        if transaction is None:
            return refusal(404, "no such transaction")
        if transaction["status"] != "QUEUED":
            return refusal(409, f"this purchase has ended: {transaction['status']}")
        with self.state.transaction():
            return json_response(without_private(end_purchase(self.state, transaction, body["status"])))

    async def post_adjustment(self, request: web.Request) -> web.Response:
        """Accept {"amount": "1.20", "type": "LABEL_SURCHARGE"} as what the carrier charges later; a negative amount is
        given back."""
        body = await json_object(request)
        kind, amount = body.get("type", ADJUSTMENTS[0]), body.get("amount")
        if set(body) - {"amount", "type"} or kind not in ADJUSTMENTS or not _AMOUNT.fullmatch(str(amount)):
            return refusal(400, f'the body is {{"amount": "1.20", "type": one of {", ".join(ADJUSTMENTS)}}}')
        transaction = self.state.get("transaction", request.match_info["id"])
        if transaction is None:
            return refusal(404, "no such transaction")
        if not transaction["label_url"]:
            return refusal(409, "this transaction has no label")
        with self.state.transaction():
            return json_response(without_private(add_item(self.state, kind, transaction, Decimal(str(amount)))))

    async def post_refund(self, request: web.Request) -> web.Response:
        """Accept {"status": "SUCCESS"} as the carrier's decision about a refund, by its id or its transaction's."""
        body = await json_object(request)
        if set(body) != {"status"} or body["status"] not in STATUSES:
            return refusal(400, f'the body is {{"status": one of {", ".join(STATUSES)}}}')
        refund = refund_with(self.state, request.match_info["id"])
        if refund is None:
            return refusal(404, "no such refund")
        if refund["status"] not in OPEN:
            return refusal(409, f"this refund has ended: {refund['status']}")
        with self.state.transaction():
            return json_response(without_private(change_refund(self.state, refund, body["status"])))

    async def post_rate(self, request: web.Request) -> web.Response:
        """Accept {"age_days": 7} to make a rate that old: it cannot be bought any more."""
        body = await json_object(request)
        days = body.get("age_days")
        if set(body) != {"age_days"} or not is_number(days) or not 0 <= days <= MAX_RATE_AGE_DAYS:
            return refusal(400, f'the body is {{"age_days": a number from 0 to {MAX_RATE_AGE_DAYS}}}')
        with self.state.transaction():
            rate = age_rate(self.state, request.match_info["id"], days)
        return refusal(404, "no such rate") if rate is None else json_response(rate)
