"""What follows a captured charge of some test cards: a dispute, an inquiry, or an early fraud warning.

Stripe reports it between `charge.succeeded` and `payment_intent.succeeded`, and so does the sandbox. A card that is
only authorized is disputed after its capture.
"""

from __future__ import annotations

from sandbox.stripe.cards import Card
from sandbox.stripe.dispute_cases import open_dispute
from sandbox.stripe.endpoint import Desk
from sandbox.stripe.fraud_warnings import warn


def follow_up(desk: Desk, charge_id: str, card: Card) -> None:
    """Do what the card's bank does after a captured charge; nothing for most cards."""
    if card.aftermath == "fraud_warning":
        warn(desk, charge_id)
    elif card.aftermath is not None:
        open_dispute(desk, charge_id, card.aftermath)
