"""Refunds that fail after they succeeded, and refunds that are pending first.

The test cards are those of "Simulate an asynchronous refund", https://docs.stripe.com/testing#refunds: a refund of
4000000000005126 succeeds, then fails and sends `refund.failed`; one of 4000000000007726 is `pending`, then succeeds and
sends `refund.updated`. The fields are those of https://docs.stripe.com/api/refunds/object.

Stripe does not document the charge meanwhile. The sandbox assumes that a pending refund counts in `amount_refunded`,
so that nothing can be refunded twice, and that a failed one counts no longer.
"""

from __future__ import annotations

from sandbox.ids import alphanumeric
from sandbox.later import forget, plan
from sandbox.stripe.endpoint import Desk, Parameters
from sandbox.stripe.errors import StripeFailure
from sandbox.stripe.fraud_warnings import update_warnings
from sandbox.stripe.options import StripeOptions
from sandbox.stripe.payment_methods import card_of

FAILURE_REASONS = (
    *("lost_or_stolen_card", "expired_or_canceled_card", "charge_for_pending_refund_disputed", "insufficient_funds"),
    *("declined", "merchant_request", "unknown"),
)
DEFAULT_REASON = "expired_or_canceled_card"


def begin_refund(desk: Desk, refund: Parameters, charge: Parameters) -> None:
    """Let a new refund, which is not stored yet, be pending or fail later, if its card or an option asks for it."""
    options = StripeOptions.of(desk.state)
    behaviour = _card_behaviour(desk, charge)
    if behaviour is None and (options.refund_fail_rate or options.refund_pending_rate):
        drawn = options.draw(desk.state)
        if drawn < options.refund_fail_rate:
            behaviour = "fail"
        elif drawn < options.refund_fail_rate + options.refund_pending_rate:
            behaviour = "pend"
    if behaviour == "pend":
        refund |= {"status": "pending", "pending_reason": "processing", "balance_transaction": None}
    if behaviour is not None:
        outcome = "succeed" if behaviour == "pend" else "fail"
        plan(desk.state, "refund", refund["id"], desk.state.now() + options.settle_after_s, outcome)


def settle_refund(desk: Desk, refund_id: str, result: str, reason: str = DEFAULT_REASON) -> Parameters:
    """Let a refund "succeed" or "fail" now; return it.

    reason: one of FAILURE_REASONS. StripeFailure when there is no such refund (404), or when it cannot get there (400).
    """
    refund = desk.state.get("refund", refund_id)
    if refund is None:
        raise StripeFailure(f"No such refund: '{refund_id}'", status=404)
    if refund["status"] not in (("pending",) if result == "succeed" else ("pending", "succeeded")):
        raise StripeFailure(f"this refund cannot {result}: it is {refund['status']}")
    forget(desk.state, "refund", refund_id)
    refund.pop("pending_reason", None)
    if result == "succeed":
        refund |= {"status": "succeeded", "balance_transaction": alphanumeric("txn_", 24)}
        desk.state.put("refund", refund_id, refund)
        return refund
    refund |= {"status": "failed", "failure_reason": reason}
    if refund["balance_transaction"]:  # what left the balance comes back
        refund["failure_balance_transaction"] = alphanumeric("txn_", 24)
    desk.state.put("refund", refund_id, refund)
    charge = desk.state.get("charge", refund["charge"])
    assert charge is not None
    charge |= {"amount_refunded": charge["amount_refunded"] - refund["amount"], "refunded": False}
    desk.state.put("charge", charge["id"], charge)
    update_warnings(desk, charge["id"])
    return refund


def _card_behaviour(desk: Desk, charge: Parameters) -> str | None:
    payment_method = desk.state.get("payment_method", charge["payment_method"])
    return card_of(payment_method).refunds if payment_method and payment_method["type"] == "card" else None
