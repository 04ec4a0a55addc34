"""What a card's bank does to a dispute: it opens one, escalates an inquiry to a chargeback, and decides.

A chargeback withdraws the amount and a fee at once; an inquiry moves no money
(https://docs.stripe.com/disputes/how-disputes-work). A win gives back both, as "Test your application" says
(https://docs.stripe.com/testing#evidence).
"""

from __future__ import annotations

from typing import Any

from sandbox.ids import alphanumeric
from sandbox.later import forget, plan
from sandbox.stripe.endpoint import Desk, Parameters
from sandbox.stripe.errors import StripeFailure
from sandbox.stripe.fraud_warnings import update_warnings
from sandbox.stripe.refund_outcomes import settle_refund

# What a cardholder claims, and the reason and the code of Visa for it (https://docs.stripe.com/disputes/categories).
CLAIMS = {
    "fraudulent": ("fraudulent", "10.4"),
    "product_not_received": ("product_not_received", "13.1"),
    "inquiry": ("fraudulent", "10"),
}
EVIDENCE_TEXTS = (
    *("access_activity_log", "billing_address", "cancellation_policy_disclosure", "cancellation_rebuttal"),
    *("customer_email_address", "customer_name", "customer_purchase_ip", "duplicate_charge_explanation"),
    *("duplicate_charge_id", "product_description", "refund_policy_disclosure", "refund_refusal_explanation"),
    *("service_date", "shipping_address", "shipping_carrier", "shipping_date", "shipping_tracking_number"),
    "uncategorized_text",
)
EVIDENCE_FILES = (
    *("cancellation_policy", "customer_communication", "customer_signature", "duplicate_charge_documentation"),
    *("receipt", "refund_policy", "service_documentation", "shipping_documentation", "uncategorized_file"),
)
CLOSED = ("won", "lost", "warning_closed")
RESULTS = ("won", "lost", "escalated")
# The fee of a dispute, in the smallest unit of the currency; evidence is due after this many days.
FEE = 1500
DAYS_TO_RESPOND = 8
_DAY_S = 86400


def open_dispute(desk: Desk, charge_id: str, claim: str, amount: int | None = None) -> Parameters:
    """Dispute a captured charge with one of CLAIMS; return the dispute as stored.

    amount: the disputed part in the smallest unit of the currency (None: all that was captured).
    """
    reason, code = CLAIMS[claim]
    inquiry = claim == "inquiry"
    if not inquiry:
        _fail_pending_refunds(desk, charge_id)
    charge = desk.state.get("charge", charge_id)
    assert charge is not None
    card = charge["payment_method_details"]["card"]
    dispute: dict[str, Any] = {
        "id": alphanumeric("du_", 24),
        "object": "dispute",
        "amount": charge["amount_captured"] if amount is None else amount,
        "balance_transactions": [],
        "charge": charge_id,
        "created": desk.now(),
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys(sorted(EVIDENCE_TEXTS + EVIDENCE_FILES)), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": None,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "intended_submission_method": None,
        "is_charge_refundable": inquiry,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": card["brand"],
                "case_type": "inquiry" if inquiry else "chargeback",
                "network": card["network"],
                "network_reason_code": code,
            },
            "type": "card",
        },
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
        "_orders": desk.state.values("charge", charge_id, "order_id"),
    }
    if not inquiry:
        _withdraw(desk, dispute)
    desk.state.put("charge", charge_id, {**charge, "disputed": True})
    _ask_for_evidence(desk, dispute)
    desk.state.put("dispute", dispute["id"], dispute)
    update_warnings(desk, charge_id)
    return dispute


def decide(desk: Desk, dispute: Parameters, result: str) -> Parameters:
    """Let the bank decide an open dispute with one of RESULTS; return the dispute as stored.

    An inquiry that is won or lost is closed without a chargeback. A chargeback cannot escalate: it stays as it is.
    """
    inquiry = dispute["status"].startswith("warning_")
    charge = desk.state.get("charge", dispute["charge"])
    assert charge is not None
    if inquiry and (result != "escalated" or charge["refunded"]):
        # A fully refunded inquiry withdraws nothing any more, the reference of `is_charge_refundable` says.
        dispute["status"] = "warning_closed"
    elif result == "escalated":
        if not inquiry:
            return dispute
        dispute |= {"status": "needs_response", "is_charge_refundable": False}
        dispute["payment_method_details"]["card"] |= {"case_type": "chargeback", "network_reason_code": "10.4"}
        _ask_for_evidence(desk, dispute)
        _fail_pending_refunds(desk, dispute["charge"])
        _withdraw(desk, dispute)
    elif result == "won":
        dispute |= {"status": "won", "is_charge_refundable": True}
        _reinstate(desk, dispute)
    else:
        dispute |= {"status": "lost", "is_charge_refundable": False}
        _reinstate_refunded(desk, dispute, charge)
    if dispute["status"] in CLOSED:
        forget(desk.state, "dispute", dispute["id"])
    desk.state.put("dispute", dispute["id"], dispute)
    return dispute


def settle_overdue(desk: Desk, dispute_id: str) -> None:
    """Let the bank close a dispute whose time to answer is over: the shop has lost a chargeback then.

    Source: "Respond to disputes", https://docs.stripe.com/disputes/responding. An inquiry is only closed.
    """
    dispute = desk.state.get("dispute", dispute_id)
    assert dispute is not None
    if dispute["status"] in ("needs_response", "warning_needs_response"):
        decide(desk, dispute, "lost")


def disputes_of(desk: Desk, charge_id: str) -> list[Parameters]:
    """Return the disputes of a charge, newest first."""
    return desk.state.find("dispute", {"charge": charge_id})


def check_refundable(desk: Desk, charge: Parameters) -> None:
    """StripeFailure (400) for a charge that was charged back: it cannot be refunded unless the dispute is won."""
    if charge["disputed"] and not all(each["is_charge_refundable"] for each in disputes_of(desk, charge["id"])):
        raise StripeFailure(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed"
        )


def _ask_for_evidence(desk: Desk, dispute: Parameters) -> None:
    """Give the shop until the last second of a day in UTC to answer."""
    due = (desk.now() // _DAY_S + DAYS_TO_RESPOND + 1) * _DAY_S - 1
    dispute["evidence_details"]["due_by"] = due
    plan(desk.state, "dispute", dispute["id"], due, "unanswered")


def _fail_pending_refunds(desk: Desk, charge_id: str) -> None:
    """Let refunds that are pending fail, because the chargeback gives the money back."""
    for refund in desk.state.find("refund", {"charge": charge_id}):
        if refund["status"] == "pending":
            settle_refund(desk, refund["id"], "fail", "charge_for_pending_refund_disputed")


def _withdraw(desk: Desk, dispute: Parameters) -> None:
    description = f"Chargeback withdrawal for {dispute['charge']}"
    _book(desk, dispute, -dispute["amount"], FEE, "dispute", description, "Dispute fee")


def _reinstate(desk: Desk, dispute: Parameters) -> None:
    description = f"Chargeback reversal for {dispute['charge']}"
    _book(desk, dispute, dispute["amount"], -FEE, "dispute_reversal", description, "Dispute fee refund")


def _reinstate_refunded(desk: Desk, dispute: Parameters, charge: Parameters) -> None:
    """Give back what was both refunded and withdrawn. The fee of a lost dispute stays withdrawn.

    Source: https://support.stripe.com/questions/dispute-for-full-charge-amount-after-a-partial-refund-was-issued.
    """
    twice = dispute["amount"] + charge["amount_refunded"] - charge["amount_captured"]
    if twice > 0:
        description = f"Chargeback reversal for {charge['id']}"
        _book(desk, dispute, twice, 0, "dispute_reversal", description, "Dispute fee refund")


def _book(
    desk: Desk, dispute: Parameters, amount: int, fee: int, category: str, description: str, fee_description: str
) -> None:
    """Add a balance transaction of an amount and a fee, in the smallest unit of the currency."""
    dispute["balance_transactions"].append(
        {
            "id": alphanumeric("txn_", 24),
            "object": "balance_transaction",
            "amount": amount,
            "available_on": desk.now(),
            "balance_type": "payments",
            "created": desk.now(),
            "currency": dispute["currency"],
            "description": description,
            "exchange_rate": None,
            "fee": fee,
            "fee_details": [
                {
                    "amount": fee,
                    "application": None,
                    "currency": dispute["currency"],
                    "description": fee_description,
                    "type": "stripe_fee",
                }
            ]
            if fee
            else [],
            "net": amount - fee,
            "reporting_category": category,
            "source": dispute["id"],
            "status": "pending",
            "type": "adjustment",
        }
    )
