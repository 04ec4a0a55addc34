"""Payments that settle later: a bank account is debited, and the PaymentIntent stays `processing` for days.

ACH Direct Debit is a delayed notification method: https://docs.stripe.com/payments/payment-methods#payment-notification
The statuses are those of https://docs.stripe.com/payments/paymentintents/lifecycle: a debit that fails sets the
PaymentIntent back to `requires_payment_method`.
"""

from __future__ import annotations

from sandbox.later import plan
from sandbox.stripe.bank_accounts import BANK_ACCOUNT, account_of
from sandbox.stripe.charges import make_charge
from sandbox.stripe.endpoint import Desk, Parameters
from sandbox.stripe.errors import StripeFailure
from sandbox.stripe.options import StripeOptions
from sandbox.stripe.payment_methods import spend

CURRENCY = "usd"


def begin_debit(desk: Desk, intent: Parameters, payment_method: Parameters) -> Parameters:
    """Debit the bank account of a PaymentIntent; return the intent, which is `processing`, as stored.

    StripeFailure (400) when the intent does not allow bank accounts, is in another currency, or is to be captured
    later.
    """
    allowed = intent["allowed_payment_method_types"]
    if allowed is not None and BANK_ACCOUNT not in allowed:
        raise StripeFailure(
            f"The PaymentMethod provided ({BANK_ACCOUNT}) is not allowed for this PaymentIntent. Please attach a "
            f"PaymentMethod of one of the following types: {', '.join(allowed)}.",
            param="payment_method",
        )
    if intent["currency"] != CURRENCY:
        raise StripeFailure(
            f"The currency provided ({intent['currency']}) is invalid. Payments with {BANK_ACCOUNT} support the "
            f"following currencies: {CURRENCY}.",
            param="currency",
        )
    if intent["capture_method"] == "manual":
        raise StripeFailure(f"{BANK_ACCOUNT} does not support manual capture.", param="capture_method")
    charge = make_charge(desk, intent, payment_method, None, capture=True)
    spend(desk, payment_method["id"])
    intent |= {
        "latest_charge": charge["id"],
        "last_payment_error": None,
        "next_action": None,
        "payment_method_types": allowed or ["card", BANK_ACCOUNT],
        "status": "processing",
    }
    desk.state.put("payment_intent", intent["id"], intent)
    account = account_of(payment_method)
    if account.settles:
        due = desk.state.now() + StripeOptions.of(desk.state).settle_after_s
        plan(desk.state, "payment_intent", intent["id"], due, "fail" if account.decline else "succeed")
    return intent
