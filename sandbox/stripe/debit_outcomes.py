"""How the debit of a bank account ends: it succeeds, it fails, or it is canceled while it is `processing`."""

from __future__ import annotations

from sandbox.ids import alphanumeric
from sandbox.later import forget
from sandbox.stripe.bank_accounts import DECLINES, account_of
from sandbox.stripe.cards import Decline
from sandbox.stripe.confirm import set_back
from sandbox.stripe.endpoint import Desk, Parameters
from sandbox.stripe.errors import StripeFailure


def settle_debit(desk: Desk, intent_id: str, result: str, reason: str | None = None) -> Parameters:
    """Let the debit of a PaymentIntent "succeed" or "fail" now; return the intent.

    reason: one of DECLINES; None: the account's own. StripeFailure when there is no such intent (404), or when it is
    not `processing` (400).
    """
    intent = desk.state.get("payment_intent", intent_id)
    if intent is None:
        raise StripeFailure(f"No such payment_intent: '{intent_id}'", status=404)
    if intent["status"] != "processing":
        raise StripeFailure(f"this payment cannot {result}: it is {intent['status']}")
    charge = _end(desk, intent)
    if result == "succeed":
        charge |= {"status": "succeeded", "paid": True, "balance_transaction": alphanumeric("txn_", 24)}
        desk.state.put("charge", charge["id"], charge)
        intent |= {"status": "succeeded", "amount_received": intent["amount"]}
        desk.state.put("payment_intent", intent_id, intent)
        return intent
    payment_method = desk.state.get("payment_method", intent["payment_method"])
    assert payment_method is not None
    own = account_of(payment_method).decline or DECLINES["insufficient_funds"]
    decline = own if reason is None else DECLINES[reason]
    _fail(desk, charge, decline)
    set_back(desk, intent, payment_method, decline, charge["id"])
    return intent


def cancel_debit(desk: Desk, intent: Parameters) -> None:
    """Let the debit of a canceled PaymentIntent fail.

    Stripe does not document the charge of a canceled debit; the sandbox assumes that it fails.
    """
    _fail(desk, _end(desk, intent), Decline("processing_error", None, "The payment was canceled."))


def _end(desk: Desk, intent: Parameters) -> Parameters:
    forget(desk.state, "payment_intent", intent["id"])
    charge = desk.state.get("charge", intent["latest_charge"])
    assert charge is not None
    return charge


def _fail(desk: Desk, charge: Parameters, decline: Decline) -> None:
    charge["outcome"] |= {"reason": decline.code, "seller_message": decline.message, "type": "issuer_declined"}
    charge["outcome"]["network_status"] = "declined_by_network"
    charge |= {
        "status": "failed",
        "amount_captured": 0,
        "failure_code": decline.code,
        "failure_message": decline.message,
    }
    desk.state.put("charge", charge["id"], charge)
