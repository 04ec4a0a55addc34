"""The record of a shipment's label: the progress of its purchase, and its refund."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from contracts.errors import Conflict
from shipping.rules.carriers import Label


class State(StrEnum):
    """The progress of the purchase of a shipment's label."""

    NEW = "new"  # claimed; the carrier was not asked yet
    BEGAN = "began"  # the carrier is being asked, or the buyer crashed
    UNKNOWN = "unknown"  # the carrier was asked, and its answer is unknown
    FAILED = "failed"  # the carrier was asked, and nothing was bought
    BOUGHT = "bought"


class LabelRefund(StrEnum):
    """The outcome of refunding a label."""

    NONE = "none"  # there was no label
    PENDING = "pending"  # the carrier is reviewing it, which may take days
    REFUNDED = "refunded"
    USED = "used"  # the parcel has moved, or the carrier keeps the money: the label stays


@dataclass(frozen=True)
class LabelPurchase:
    """The record of a shipment's label.

    Attributes:
        shipment_id: the shipment that the label is for.
        state: see `State`.
        rate_id: the rate chosen in the last attempt; None before the first.
        asked_rate_id: the rate that was requested from the carrier: the chosen one, or its equivalent in a fresh quote.
        carrier: the carrier ("USPS").
        price, price_currency: what the requested rate costs, in the currency's smallest unit; None before the first
            attempt, and for labels of the previous release.
        refusal: why the carrier refused to sell the requested rate; None when it did not.
        tried: Unix seconds at which the last attempt began.
        settled: Unix seconds until which a request that ended without an answer may still be in progress.
        label: the label, once bought.
        voided: whether a refund was requested; from then on no label is bought.
        refund: the outcome of the refund; None while it is unknown.
        tracking_status: where the parcel is, in the carrier's term; None while unknown.
    """

    shipment_id: str
    state: State
    rate_id: str | None = None
    asked_rate_id: str | None = None
    carrier: str | None = None
    tried: float = 0.0
    settled: float = 0.0
    label: Label | None = None
    voided: bool = False
    refund: LabelRefund | None = None
    tracking_status: str | None = None
    price: int | None = None
    price_currency: str | None = None
    refusal: str | None = None

    @property
    def unresolved(self) -> bool:
        """Whether the outcome of the last attempt is unknown."""
        return self.state in (State.BEGAN, State.UNKNOWN)

    @property
    def closed(self) -> bool:
        """Whether a refund was requested and not rejected, so that no label exists or will be bought."""
        return self.voided and self.refund is not LabelRefund.USED


def public(shipment_id: str, purchases: Sequence[LabelPurchase | None]) -> dict[str, Any]:
    """Return a shipment's labels as other services see them: ``{"object_id", "label_url", "tracking_number", "carrier",
    "parcels", "labels"}``, see `ShippingService.buy_label`.

    Args:
        purchases: one per parcel, the first parcel's first; None for one that was never requested.

    Raises:
        Conflict: one is not bought yet; or they were given back (fact ``voided``).
    """
    kept = [each for each in purchases if each is not None and each.label is not None and not each.closed]
    if any(each is not None and each.closed for each in purchases):
        if not kept:
            raise given_back(shipment_id)
    elif len(kept) < len(purchases):
        raise missing(shipment_id)
    labels = [
        {"label_url": each.label.label_url, "tracking_number": each.label.tracking_number}
        for each in kept
        if each.label is not None
    ]
    first, whole = {**labels[0], "carrier": kept[0].carrier}, len(purchases)
    return {"object_id": shipment_id, **first, "parcels": whole, "labels": labels}


def given_back(shipment_id: str) -> Conflict:
    """Return the error for a request that needs a label after its refund."""
    return Conflict(f"The label of shipment {shipment_id} was given back.", {"voided": True})


def missing(shipment_id: str) -> Conflict:
    """Return the error for a request that needs a label when none is bought."""
    return Conflict(f"The label of shipment {shipment_id} is not bought yet.")
