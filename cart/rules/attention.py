"""Why an order needs a person: the kinds of entries in the operator's list, and the mail about each."""

from __future__ import annotations

DISPUTE = "dispute"  # the cardholder disputes the charge
FRAUD_WARNING = "fraud_warning"  # the card's bank suspects fraud
REFUND = "refund"  # the money did not reach the shopper
PAYMENT = "payment"  # money was taken, and its order is not paid by it
MESSAGE = "message"  # a mail or text did not arrive

WORDS = {
    DISPUTE: "The charge is disputed",
    FRAUD_WARNING: "The card's bank warns of fraud",
    REFUND: "A refund failed",
    PAYMENT: "A payment was taken, and its order is not paid by it",
    MESSAGE: "A message did not arrive",
}


def subject(order_id: str, kind: str) -> str:
    """The subject of the operator's mail about an entry of that kind."""
    return f"{WORDS[kind]}: order {order_id}"


def text(order_id: str, about: str, detail: str) -> str:
    """The text of that mail; `about` is the id of what it is about."""
    return (
        f"Order {order_id} needs your attention ({about}).\n\n{detail}\n\n"
        "`./install_run_project failed` lists all orders that need a person. "
        "What to do: docs/operating/attention.md\n"
    )
