"""Following the parcels: an order is fulfilled when the carrier has all its parcels."""

from __future__ import annotations

from functools import partial

from cart.deliveries.following import Entry, Follower
from cart.rules.order import FULFILLED
from chassis.logs import log

MOVING = ("TRANSIT", "DELIVERED")


class Parcels(Follower):
    """Follows the shipping service's ``movements``."""

    name = "parcels"

    def read(self, after: int, limit: int) -> list[Entry]:
        moves: list[Entry] = self.service.movements(after, limit)
        return moves

    def apply(self, entries: list[Entry]) -> None:
        """Mark the orders whose parcels are on their way as fulfilled. A returned order records its parcel, too."""
        # A shipping service of the previous release knows of one parcel per shipment.
        moved = [each["shipment_id"] for each in entries if each["status"] in MOVING and each.get("whole", True)]
        for order in self.store.orders.settled_with(moved):
            order.arrive(int(self.clock()))
            self.store.orders.save(order)
            if order.status == FULFILLED:
                self.store.database.after_commit(partial(log.info, "order fulfilled", order_id=order.id))
