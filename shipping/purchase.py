"""The record of a shipment's label: how far its purchase has come, and whether it was given back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from contracts.errors import Conflict
from shipping.carriers import Label


class State(StrEnum):
    """How far the purchase of a shipment's label has come."""

    NEW = "new"  # claimed; nothing asked yet
    BEGAN = "began"  # the carrier is being asked, or its buyer died
    UNKNOWN = "unknown"  # it was asked, and did not say
    FAILED = "failed"  # it was asked, and nothing was bought
    BOUGHT = "bought"


class Refund(StrEnum):
    """What came of giving a label back."""

    NONE = "none"  # there was no label
    PENDING = "pending"  # the carrier looks into it, which may take days
    REFUNDED = "refunded"
    USED = "used"  # the parcel has moved, or the carrier keeps the money: the label stays


@dataclass(frozen=True)
class Purchase:
    """The record of a shipment's label.

    Attributes:
        shipment_id: what it is for.
        state: see `State`.
        rate_id: the rate that was chosen at the last attempt; None before the first.
        asked_rate_id: the rate that the carrier was asked for: the chosen one, or its like in a fresh quote.
        carrier: who carries it ("USPS").
        tried: Unix seconds at which the last attempt began.
        settled: Unix seconds until which a request that ended without an answer may still be under way.
        label: when bought.
        voided: whether it was to be given back: from then on none is bought.
        refund: what came of that; None while it is not known.
        tracking_status: where the parcel is, in the carrier's word; None while nothing is known.
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
    refund: Refund | None = None
    tracking_status: str | None = None

    @property
    def unresolved(self) -> bool:
        """Whether nobody saw how the last attempt ended."""
        return self.state in (State.BEGAN, State.UNKNOWN)

    @property
    def closed(self) -> bool:
        """Whether it was given back, so that there is no label and there will be none."""
        return self.voided and self.refund is not Refund.USED

    def public(self) -> dict[str, Any]:
        """The label as other services see it. Raises Conflict while none is bought, and when it was given back."""
        if self.closed:
            raise Conflict(f"The label of shipment {self.shipment_id} was given back.", {"voided": True})
        if self.label is None:
            raise self.missing(self.shipment_id)
        return {
            "object_id": self.shipment_id,
            "label_url": self.label.label_url,
            "carrier": self.carrier,
            "tracking_number": self.label.tracking_number,
        }

    @staticmethod
    def missing(shipment_id: str) -> Conflict:
        """What to raise where a label is wanted that nobody has bought."""
        return Conflict(f"The label of shipment {shipment_id} is not bought yet.")


class Purchases(Protocol):
    """Where purchases are recorded.

    A claim is a random word, taken for this process until a moment: it is void when that is past or the process has
    gone. Once it was taken over, it changes nothing any more.
    """

    def claim(self, shipment_id: str, claim: str, now: float, until: float) -> Purchase | None:
        """Take the purchase for this claim until then, and answer it as it stands. One that is bought or closed is
        answered and not taken; None when another claim holds it."""
        ...

    def claim_void(self, shipment_id: str, claim: str, now: float, until: float) -> Purchase | None:
        """As `claim`, to give the label back, which is noted: from then on it is closed. One that is bought is taken,
        too, unless it is known what came of giving it back."""
        ...

    def begin(self, claim: str, asked: Purchase, key: str, until: float) -> bool:
        """Record what the carrier is about to be asked, and renew the claim. False when it was taken over.

        Raises Unavailable; the claim is let go of then, and the carrier must not be asked.
        """
        ...

    def alive(self) -> bool:
        """Whether others still take this process for alive: asked before what no key protects."""
        ...

    def end(self, shipment_id: str, claim: str, state: State, settled: float | None = None) -> None:
        """Record how far it came, and let the claim go; soon, when that cannot be written now."""
        ...

    def record(self, purchase: Purchase, now: float, claim: str | None = None) -> Purchase:
        """Record a label that is bought, whoever holds the claim. The first one stays, and is answered.

        Raises Unavailable; what cannot be written now is written soon, if `claim` holds it still.
        """
        ...

    def refunded(self, shipment_id: str, claim: str, refund: Refund | None) -> None:
        """Record what came of giving the label back (None: nothing yet), and let the claim go; soon, when that cannot
        be written now."""
        ...
