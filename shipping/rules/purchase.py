"""The record of a shipment's label: the progress of its purchase, and its refund."""

from __future__ import annotations

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

    @property
    def unresolved(self) -> bool:
        """Whether the outcome of the last attempt is unknown."""
        return self.state in (State.BEGAN, State.UNKNOWN)

    @property
    def closed(self) -> bool:
        """Whether a refund was requested and not rejected, so that no label exists or will be bought."""
        return self.voided and self.refund is not LabelRefund.USED

    def public(self) -> dict[str, Any]:
        """Return the label as other services see it. Raises Conflict while none is bought, and when `closed`."""
        if self.closed:
            raise Conflict(f"The label of shipment {self.shipment_id} was given back.", {"voided": True})
        if self.label is None:
            raise self.missing(self.shipment_id)
        label = {"label_url": self.label.label_url, "tracking_number": self.label.tracking_number}
        return {"object_id": self.shipment_id, **label, "carrier": self.carrier, "labels": [label]}

    @staticmethod
    def missing(shipment_id: str) -> Conflict:
        """Return the error for a request that needs a label when none is bought."""
        return Conflict(f"The label of shipment {shipment_id} is not bought yet.")
