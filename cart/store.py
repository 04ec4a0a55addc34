"""What the cart service keeps: carts, orders, the steps and attempts of payments, refunds, and what is still owed."""

from __future__ import annotations

from cart.card_attempts import CardAttempts
from cart.cart_store import Carts
from cart.order_store import Orders
from cart.owed_store import OwedThings
from cart.refund_store import RefundRows
from cart.tables import ClaimLost

__all__ = ["CartStore", "ClaimLost"]


class CartStore(Carts, Orders, OwedThings, RefundRows, CardAttempts):
    """All of it, in the service's one database, so that what belongs together is written together."""
