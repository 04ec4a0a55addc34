"""What labels cost in the end: carriers charge more later, such as for a parcel that is heavier than declared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chassis.clock import now as clock_now
from chassis.logs import log
from contracts.errors import ShopError
from shipping.rules.charges import PAYMENT, REFUND
from shipping.rules.shipment import Shipment, price_text
from shipping.store.shipments import ShippingStore

# How often the invoices are read (seconds). Carriers charge days or weeks later.
READ_INTERVAL_S = 3600.0
# Less than this after a copy began to read, no other copy reads (seconds). Timers are not exact.
TURN_S = READ_INTERVAL_S / 2
# One reading asks for this many seconds of the invoices at a time, and begins so many before the end of the last one,
# because items may appear late.
SPAN_S, OVERLAP_S = 7 * 86400.0, 86400.0


class LabelCosts:
    """Reads the carriers' invoices, and shows what labels cost.

    Args:
        store: where items are recorded.
        lists: the carriers'; see `shipping.rules.carriers.Carrier`.
        clock: Unix seconds.
    """

    def __init__(self, store: ShippingStore, lists: Any, clock: Callable[[], float] = clock_now) -> None:
        self._store = store
        self._lists = lists
        self._clock = clock

    def read_in_turn(self) -> None:
        """Record new items, unless another copy has just done so. Raises as `read` does."""
        if not self._store.charges.begin(self._clock(), TURN_S):
            return
        try:
            self.read()
        except ShopError:
            self._store.charges.give_up()
            raise

    def read(self) -> None:
        """Record the items since the last reading, by whichever copy. Repeating is safe.

        Raises Unavailable, ProviderFailure; the next reading continues.
        """
        now, position = self._clock(), self._store.charges.position()
        since, end = min(now, now if position is None else position) - OVERLAP_S, now + OVERLAP_S
        known = {each["id"] for each in self._store.charges.since(since)}
        while since < end:
            items = self._lists.charges(since, since + SPAN_S)
            self._store.charges.add(items)
            for each in items:
                if each.id not in known and each.kind not in (PAYMENT, REFUND):
                    price = price_text(each.amount, each.currency)
                    log.warning("label charged later", label=each.transaction_id, kind=each.kind, amount=price)
            since += SPAN_S
            self._store.charges.reached(min(since, now), now)

    def of(self, shipment: Shipment) -> dict[str, Any]:
        """Return what the labels of a shipment cost; see `ShippingService.costs`."""
        purchases = self._store.purchases(self._store.parts(shipment))
        bought = [each for each in purchases if each is not None and each.label is not None]
        items = self._store.charges.of([each.label.transaction_id for each in bought if each.label is not None])
        paid = {item["transaction_id"] for item in items if item["kind"] == PAYMENT}
        # Until the invoice shows its payment, a label costs its rate.
        expected = sum(each.price or 0 for each in bought if each.label and each.label.transaction_id not in paid)
        return {
            "object_id": shipment.object_id,
            "price": sum(each.price or 0 for each in bought),
            "cost": expected + sum(item["amount"] for item in items),
            "currency": next((each.price_currency for each in bought if each.price_currency), None),
            "items": [{name: item[name] for name in ("kind", "amount", "currency", "created")} for item in items],
        }
