"""Tracks the parcels: from the carriers' events, and by polling, because events may be lost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from chassis.clock import now as clock_now
from chassis.logs import log
from chassis.work.sweep import polled
from contracts.errors import NotFound, ShopError
from shipping.labels.refund import VoidDesk
from shipping.rules.carriers import Carriers
from shipping.rules.purchase import LabelRefund
from shipping.rules.whereabouts import whereabouts
from shipping.store.lookups import tracking_key
from shipping.store.shipments import ShippingStore

# How many labels are polled in one run.
BATCH = 20
# After this long, a requested refund without an outcome is taken up again (seconds).
ABANDONED_AFTER_S = 15.0


class Tracker:
    """Records what events report, and polls.

    Args:
        store: where positions are recorded.
        carriers: the port to poll.
        voids: refunds labels.
        clock: Unix seconds.
    """

    def __init__(
        self, store: ShippingStore, carriers: Carriers, voids: VoidDesk, clock: Callable[[], float] = clock_now
    ) -> None:
        self._store = store
        self._carriers = carriers
        self._voids = voids
        self._clock = clock

    def label_changed(self, transaction_id: str) -> None:
        """See `shipping.rules.carriers.ParcelNews`."""
        shipment_id = self._store.voided(transaction_id)
        if shipment_id is not None:
            self._voids.give_back(shipment_id)

    def record_status(self, tracking_number: str, track: dict[str, Any], outdate: bool = True) -> None:
        """Record the carrier's position of a parcel: ``track["tracking_status"]``.

        Args:
            outdate: whether cached answers about the parcel are older than this and must be dropped.
        """
        where = whereabouts(track.get("tracking_status"))
        if not tracking_number or where is None:
            return
        if self._store.moves.record(tracking_number, where, self._clock()) and outdate:
            self._store.lookups.outdated(tracking_key(tracking_number))

    def ask(self, carrier: str, tracking_number: str, transaction_id: str, outdate: bool = True) -> dict[str, Any]:
        """Ask the carrier where a parcel is, and record it. Returns as `Carriers.track`; a null status if unknown."""
        where: dict[str, Any] = {"tracking_status": None, "tracking_history": []}
        with suppress(NotFound):  # the carrier learns of a label some time after its purchase
            where = self._carriers.track(carrier, tracking_number, transaction_id)
            self.record_status(tracking_number, where, outdate)
        return where

    def poll(self, every: float) -> None:
        """Poll labels that were not asked about for this many seconds, and finish refunds that were left undone."""
        for shipment_id in self._store.voids(self._clock() - ABANDONED_AFTER_S, BATCH):
            self._given_back(shipment_id)
        due = [(each["shipment_id"], each) for each in self._store.moves.due(self._clock(), every, BATCH)]
        polled("parcel", due, self._look, self._store.moves.put_back)

    def _look(self, label: dict[str, Any]) -> None:
        if label["refund"] == LabelRefund.PENDING.value:
            self._voids.give_back(label["shipment_id"])
        else:
            self.ask(label["carrier"], label["tracking_number"], label["transaction_id"])

    def _given_back(self, shipment_id: str) -> None:
        try:
            self._voids.give_back(shipment_id)
        except ShopError as error:
            log.warning("label not refunded yet", shipment=shipment_id, error=str(error))
