"""The data of the cart service: carts, orders, the steps and attempts of payments, refunds, and owed work."""

from __future__ import annotations

from cart.store.card_attempts import CardAttempts
from cart.store.carts import Carts
from cart.store.orders import Orders
from cart.store.refunds import RefundRows
from chassis.db.claims import ClaimLost

__all__ = ["CartStore", "ClaimLost"]


class CartStore(Carts, Orders, RefundRows, CardAttempts):
    """All of it, in the service's one database, so that related data is written in one transaction."""
