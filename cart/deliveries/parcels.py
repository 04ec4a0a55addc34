"""Following the parcels: an order is fulfilled when the carrier has all its parcels.

The shipping service lists the shipments that have moved, in sequence. The position in that list is stored in the
transaction that moves the orders, so that none is missed, and any number of copies may follow.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from cart.rules.order import FULFILLED
from cart.store.unit_of_work import CartStore
from chassis.clock import now as clock_now
from chassis.db.engine import once_more
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
        clock: Unix seconds; another one in tests.
    """

    def __init__(self, store: CartStore, shipping: Any, clock: Callable[[], float] = clock_now) -> None:
        self.store = store
        self.shipping = shipping
        self.clock = clock

    def follow(self) -> None:
        """Read on. Raises errors of the service, and Unavailable; the next sweep then reads the same part."""
        for _ in range(MAX_PAGES):
            after = self.store.positions.get(CURSOR)
            moves = self.shipping.movements(after, PAGE)
            if not moves:
                return
            # A shipping service of the previous release knows of one parcel per shipment.
            moved = [each["shipment_id"] for each in moves if each["status"] in MOVING and each.get("whole", True)]
            for order_id in self.fulfill(after, moves[-1]["seq"], moved):
                log.info("order fulfilled", order_id=order_id)
            if len(moves) < PAGE:
                return

    @once_more
    def fulfill(self, after: int, seen: int, shipments: Collection[str]) -> list[str]:
        """Record that the list was read from `after` to `seen`, and that these shipments are on their way.

        Returns the orders that become fulfilled; none when another copy has read that part.
        """
        with self.store.write():
            if not self.store.positions.advance(CURSOR, after, seen):
                return []
            orders = self.store.orders.paid_with(shipments)
            for order in orders:
                order.become(FULFILLED, int(self.clock()))
                self.store.orders.save(order)
        return [order.id for order in orders]
