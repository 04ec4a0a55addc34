"""Asynchronous capture: a payment succeeds before its balance transaction exists.

Stripe sends `charge.updated` with the balance transaction within an hour, and does so for every PaymentIntent whose
`capture_method` is `automatic_async`: https://docs.stripe.com/payments/payment-intents/asynchronous-capture
In the sandbox it is an option.
"""

from __future__ import annotations

from sandbox.ids import alphanumeric
from sandbox.later import plan
from sandbox.stripe.endpoint import Desk, Parameters
from sandbox.stripe.options import StripeOptions


def capture_later(desk: Desk, intent: Parameters, charge: Parameters) -> None:
    """Leave the balance transaction of a new charge, which is not stored yet, for later if the option is on."""
    options = StripeOptions.of(desk.state)
    is_async = options.asynchronous_capture and intent["capture_method"] == "automatic_async"
    if is_async and charge["balance_transaction"] is not None:
        charge["balance_transaction"] = None
        plan(desk.state, "charge", charge["id"], desk.state.now() + options.settle_after_s, "captured")


def book_capture(desk: Desk, charge_id: str) -> None:
    """Give a charge the balance transaction that was left for later."""
    charge = desk.state.get("charge", charge_id)
    assert charge is not None
    charge["balance_transaction"] = alphanumeric("txn_", 24)
    desk.state.put("charge", charge_id, charge)
