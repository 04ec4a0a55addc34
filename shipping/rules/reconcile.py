"""Rules that compare our labels with the carrier's list; they make no requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from contracts.differences import Difference

# What the carrier reports about a label that was requested from it.
SOLD, REFUNDED, PENDING, KEPT, FAILED, QUEUED = (
    "bought",
    "refunded",
    "refund pending",
    "refund refused",
    "failed",
    "queued",
)
# The repairs that `ShippingService.mend` can do.
RECORD = "record"

REFUND_BY_HAND = "refund it at Shippo, if it is nobody's"


@dataclass(frozen=True)
class Sold:
    """A label in the carrier's list.

    Attributes:
        id: the transaction's; rate_id: what was bought; reference: our reference, the order's id.
        state: one of the constants above.
        tracking_number, label_url: if it has them.
        created: Unix seconds.
    """

    id: str
    rate_id: str
    reference: str
    state: str
    tracking_number: str | None = None
    label_url: str | None = None
    created: float = 0.0

    def __str__(self) -> str:
        number = f", {self.tracking_number}" if self.tracking_number else ""
        return f"{self.state}{number} ({self.id})"


@dataclass(frozen=True)
class Rate:
    """The rate that a label was bought at: its shipment, and its carrier ("USPS")."""

    shipment_id: str
    carrier: str


@dataclass(frozen=True)
class Kept:
    """Our record of a shipment's label.

    Attributes:
        shipment_id, order_id: the shipment and order it belongs to.
        state: the progress of its purchase: ``bought``, ``began``, … or ``not asked for``.
        transaction_id: the carrier's id of it, once it is bought.
        voided: whether a refund was requested; refund: the outcome of that.
        touched: when it was last changed (Unix seconds).
    """

    shipment_id: str
    order_id: str
    state: str
    transaction_id: str | None = None
    voided: bool = False
    refund: str | None = None
    touched: float = 0.0

    def __str__(self) -> str:
        back = f", given back: {self.refund or 'not known yet'}" if self.voided else ""
        return f"{self.state}{f' ({self.transaction_id})' if self.transaction_id else ''}{back}"


def compare_labels(
    sold: Iterable[Sold], ours: Mapping[str, Kept], wanted: Mapping[str, Kept], until: float
) -> list[Difference]:
    """Return the differences between a page of the carrier's labels and ours.

    Args:
        sold: the page.
        ours: our records of those labels, by the carrier's id.
        wanted: for labels without a record of ours: the shipment that they must have been bought for, by the carrier's
            id of the label.
        until: labels younger than this (Unix seconds) may still be in progress.
    """
    found = []
    for each in sold:
        kept = ours.get(each.id)
        shipment = kept or wanted.get(each.id)
        if each.created > until or (shipment is not None and shipment.touched > until):
            continue
        difference = _known(each, kept) if kept is not None else _unknown(each, shipment)
        if difference is not None:
            found.append(difference)
    return found


def compare_missing(kept: Iterable[Kept]) -> list[Difference]:
    """Return the differences for labels that the carrier does not know."""
    return [
        Difference(
            "label unknown at Shippo",
            each.order_id or each.shipment_id,
            str(each),
            f"Shippo says: no such label ({each.transaction_id})",
            advice="is this the key of the account that bought it?",
        )
        for each in kept
    ]


def _known(sold: Sold, kept: Kept) -> Difference | None:
    if sold.state == FAILED:
        kind, advice = "label bought here, not at Shippo", "ask Shippo; no other is bought for this shipment"
    elif sold.state in (REFUNDED, PENDING) and not kept.voided:
        kind, advice = "label given back at Shippo, not here", "refund the order, or send the parcel by another label"
    elif sold.state == SOLD and kept.refund == "refunded":
        kind, advice = "label given back here, not at Shippo", "refund it at Shippo"
    else:
        return None
    return Difference(kind, kept.order_id or kept.shipment_id, str(kept), f"Shippo says: {sold}", advice=advice)


def _unknown(sold: Sold, shipment: Kept | None) -> Difference | None:
    if sold.state != SOLD:
        return None  # nothing was bought, or its money was refunded
    theirs = f"Shippo says: {sold}"
    if shipment is None:
        return Difference("label without a shipment", sold.id, "no such shipment", theirs, advice=REFUND_BY_HAND)
    subject = shipment.order_id or shipment.shipment_id
    if shipment.transaction_id is not None:
        return Difference("two labels for one shipment", subject, str(shipment), theirs, advice=REFUND_BY_HAND)
    if shipment.voided:
        return Difference(
            "label of a shipment that was given up", subject, str(shipment), theirs, advice=REFUND_BY_HAND
        )
    fix = {"do": RECORD, "shipment": shipment.shipment_id, "label": sold.id}
    return Difference("label unknown here", subject, str(shipment), theirs, "record it", fix=fix)
