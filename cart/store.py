"""The data of the cart service: carts, orders, the steps and attempts of payments, refunds, and owed work."""

from __future__ import annotations

from cart.card_attempts import CardAttempts
from cart.cart_store import Carts
from cart.order_store import Orders
from cart.refund_store import RefundRows
from chassis.db.claims import ClaimLost

__all__ = ["CartStore", "ClaimLost"]


class CartStore(Carts, Orders, RefundRows, CardAttempts):
    """All of it, in the service's one database, so that related data is written in one transaction."""
