"""Following the parcels: an order is fulfilled when the carrier has its parcel.

The shipping service lists the shipments that have moved, in sequence. The position in that list is stored in the
transaction that moves the orders, so that none is missed, and any number of copies may follow.
"""

from __future__ import annotations

from typing import Any

from cart.store.unit_of_work import CartStore
from chassis.logs import log

# How often to ask for moved shipments (seconds), and how many at once.
FOLLOW_INTERVAL_S = 2.0
PAGE = 100
# A sweep reads at most this many pages; the rest waits for the next.
MAX_PAGES = 20

CURSOR = "parcels"
MOVING = ("TRANSIT", "DELIVERED")


class Parcels:
    """Follows the parcels.

    Args:
        store: stores orders, and the position.
        shipping: the shipping service: ``movements(after, limit)``.
    """

    def __init__(self, store: CartStore, shipping: Any) -> None:
        self.store = store
        self.shipping = shipping

    def follow(self) -> None:
        """Read on. Raises errors of the service, and Unavailable; the next sweep then reads the same part."""
        for _ in range(MAX_PAGES):
            after = self.store.cursor(CURSOR)
            moves = self.shipping.movements(after, PAGE)
            if not moves:
                return
            moved = [move["shipment_id"] for move in moves if move["status"] in MOVING]
            for order_id in self.store.follow(CURSOR, after, moves[-1]["seq"], moved):
                log.info("order fulfilled", order_id=order_id)
            if len(moves) < PAGE:
                return
