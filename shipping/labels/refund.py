"""Refunding a label. Once a refund is recorded, no label is bought for the shipment, and a label that appears late is
refunded, too."""

from __future__ import annotations

from typing import Any

from chassis.crash_points import crash_point
from chassis.logs import log
from contracts.errors import Refused, ShopError
from shipping.labels.buy import LabelDesk
from shipping.rules.carriers import Carriers
from shipping.rules.purchase import LabelPurchase, LabelRefund
from shipping.rules.shipment import Shipment
from shipping.rules.whereabouts import PRE_TRANSIT, UNKNOWN
from shipping.store.shipments import ShippingStore

POINTS = ("void:refund:begun", "void:refund:asked", "void:refund:done")

FINAL = (LabelRefund.REFUNDED, LabelRefund.USED)
# The outcome for several labels is the first of these that one of them has.
WORST = (LabelRefund.USED, LabelRefund.PENDING, LabelRefund.REFUNDED, LabelRefund.NONE)


class VoidDesk:
    """Refunds labels.

    Args:
        desk: buys labels, and finds out the outcome of an interrupted purchase.
        purchases: where labels are recorded.
        carriers: the port to the carriers that sold them.
    """

    def __init__(self, desk: LabelDesk, purchases: ShippingStore, carriers: Carriers) -> None:
        self._desk = desk
        self._purchases = purchases
        self._carriers = carriers

    def give_back_all(self, shipment: Shipment) -> dict[str, Any]:
        """Refund the labels of all parcels of a shipment, as `give_back` does with one. If one fails, the others are
        refunded all the same.

        Returns:
            ``{"object_id", "status", "labels": [{"tracking_number", "status"}]}``: the status of each label; of all
            together it is "used" if any label was used, else "pending" if any refund is, else "refunded".
        """
        found, errors = [], []
        for part in self._purchases.parts(shipment):
            try:
                found.append(self._given_back(part.object_id))
            except ShopError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        labels = [
            {"tracking_number": purchase.label.tracking_number, "status": status.value}
            for purchase, status in found
            if purchase.label is not None
        ]
        statuses = {status for _, status in found}
        worst = next(each for each in WORST if each in statuses)
        return {"object_id": shipment.object_id, "status": worst.value, "labels": labels}

    def give_back(self, shipment_id: str) -> dict[str, Any]:
        """Refund one parcel's label, unless its parcel has moved. Repeating is safe, and returns the current status.

        Returns:
            ``{"object_id": shipment_id, "status"}``, one of `shipping.rules.purchase.LabelRefund`.

        Raises:
            OutcomeUnknown: it is not known yet whether a label exists.
            Unavailable, ProviderFailure: the carrier cannot be asked, or another call is buying it right now.
        """
        purchase, refund = self._given_back(shipment_id)
        return {"object_id": purchase.shipment_id, "status": refund.value}

    def _given_back(self, shipment_id: str) -> tuple[LabelPurchase, LabelRefund]:
        request = self._desk.request(shipment_id)
        purchase = request.claimed(to_void=True)
        if purchase.refund in FINAL:
            return purchase, purchase.refund
        crash_point("void:refund:begun")
        if purchase.unresolved:
            purchase = request.resolved()
        if purchase.label is None:
            request.end(unknown=False)
            return purchase, LabelRefund.NONE
        refund = None
        try:
            refund = self._refunded(purchase, purchase.label.transaction_id)
            crash_point("void:refund:asked")
        finally:
            self._purchases.refunded(shipment_id, request.claim, refund)
        crash_point("void:refund:done")
        return purchase, refund

    def _refunded(self, purchase: LabelPurchase, transaction_id: str) -> LabelRefund:
        if purchase.tracking_status not in (None, UNKNOWN, PRE_TRANSIT):
            return LabelRefund.USED
        status = self._carriers.refund_status(transaction_id)
        if status is None:
            try:
                status = self._carriers.refund(transaction_id)
            except Refused as refused:
                # Another caller was faster, or the parcel has just moved, or the label is too old.
                status = self._carriers.refund_status(transaction_id)
                if status is None and purchase.refund is LabelRefund.PENDING:
                    status = LabelRefund.PENDING  # requested before, and only the carrier's answer to that counts
                elif status is None:
                    log.warning("label refund refused", shipment=purchase.shipment_id, said=refused.detail)
                    status = LabelRefund.USED
        return LabelRefund(status)
