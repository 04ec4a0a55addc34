"""Buying a label: recorded before it is asked for, bought once, and never again before the carrier was asked."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Protocol

from contracts.errors import Conflict, OutcomeUnknown, Refused, ShopError, Unavailable
from shipping.carriers import Carriers, Label
from shipping.shipment import Shipment

# A claim outlives the longest call to the carrier by this much, and is renewed before the purchase: who finds it run
# out may take over from a buyer that died.
CLAIM_MARGIN_SECONDS = 4.0
# A purchase that got no answer may still be under way at the carrier. Only when it does not know of a label so long
# after the attempt ended is there none.
SETTLE_SECONDS = 5.0
# How long a second buyer waits for the first one's label, and how often it looks.
WAIT_SECONDS = 10.0
LOOK_SECONDS = 0.2
# Shippo sells no rate that is older than seven days; a day less, so that none runs out while it is being bought.
RATE_SECONDS = 6 * 24 * 3600


class State(str, Enum):
    """How far the purchase of a shipment's label has come."""

    NEW = "new"  # claimed; nothing asked yet
    BEGAN = "began"  # the carrier is being asked, or its buyer died
    UNKNOWN = "unknown"  # it was asked, and did not say
    FAILED = "failed"  # it was asked, and nothing was bought
    BOUGHT = "bought"


@dataclass(frozen=True)
class Purchase:
    """The record of a shipment's label.

    Attributes:
        shipment_id: what it is for.
        state: see `State`.
        rate_id: the rate that was chosen at the last attempt; None before the first.
        asked_rate_id: the rate that the carrier was asked for: the chosen one, or its like in a fresh quote.
        carrier: who carries it ("USPS").
        tried: Unix seconds at which the last attempt began, or ended without an answer.
        label: when bought.
    """

    shipment_id: str
    state: State
    rate_id: str | None = None
    asked_rate_id: str | None = None
    carrier: str | None = None
    tried: float = 0.0
    label: Label | None = None

    def public(self) -> dict[str, Any]:
        """The label as other services see it. Raises Conflict while none is bought."""
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
    """Where purchases are recorded. A claim is a random word; once it was taken over, it changes nothing any more."""

    def claim(self, shipment_id: str, claim: str, now: float, until: float) -> Purchase | None:
        """Take the purchase for this claim until then, and answer it as it stands. One that is bought is answered and
        not taken; None when another claim holds it."""
        ...

    def begin(self, claim: str, asked: Purchase, key: str, until: float) -> bool:
        """Record what the carrier is about to be asked, and renew the claim. False when it was taken over."""
        ...

    def end(self, shipment_id: str, claim: str, state: State, tried: float | None = None) -> None:
        """Record how far it came, and let the claim go."""
        ...

    def record(self, purchase: Purchase, now: float) -> Purchase:
        """Record a label that is bought, whoever holds the claim. The first one stays, and is answered."""
        ...


class LabelDesk:
    """Buys labels.

    Args:
        purchases: where they are recorded.
        carriers: who sells them.
        bounded: cuts a number of seconds to what the caller still has.
        clock: Unix seconds.
        sleep: how to wait.
    """

    def __init__(
        self,
        purchases: Purchases,
        carriers: Carriers,
        bounded: Callable[[float], float],
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._purchases = purchases
        self._carriers = carriers
        self._claim_seconds = carriers.longest_call + CLAIM_MARGIN_SECONDS
        self._bounded = bounded
        self._clock = clock
        self._sleep = sleep

    def buy(self, shipment: Shipment, rate_id: str, key: str) -> dict[str, Any]:
        """Buy the label of `rate_id`, or answer the one that is bought already.

        Raises:
            NotFound: the rate is not one of the shipment's.
            Conflict: the shipment's label is bought at another rate.
            Refused: the carrier will not have it; nothing was bought.
            OutcomeUnknown: it was asked and did not say; the same call, later, finds out.
            Unavailable: the carrier cannot be reached, or another call is buying; repeat later.
        """
        rate = shipment.rate(rate_id)
        claim = secrets.token_hex(16)
        purchase = self._claimed(shipment.object_id, claim)
        if purchase.state in (State.BEGAN, State.UNKNOWN):
            purchase = self._resolved(purchase, claim)
        if purchase.state is not State.BOUGHT:
            purchase = self._bought(shipment, rate, key, claim)
        if purchase.rate_id != rate_id:
            raise Conflict(f"The label of shipment {shipment.object_id} is bought already, at another rate.")
        return purchase.public()

    def _claimed(self, shipment_id: str, claim: str) -> Purchase:
        """The purchase, when it is ours or done; waits for another buyer, within bounds."""
        end = self._clock() + self._bounded(WAIT_SECONDS)
        while True:
            now = self._clock()
            purchase = self._purchases.claim(shipment_id, claim, now, now + self._claim_seconds)
            if purchase is not None:
                return purchase
            if now + LOOK_SECONDS >= end:
                raise Unavailable("The label is being bought by another call.", {"retry_after": 2})
            self._sleep(LOOK_SECONDS)

    def _resolved(self, purchase: Purchase, claim: str) -> Purchase:
        """What became of an attempt that nobody saw the end of; asks, and never buys."""
        try:
            label = self._carriers.bought(purchase.asked_rate_id or "")
        except ShopError:
            self._purchases.end(purchase.shipment_id, claim, State.UNKNOWN)
            raise
        if label is not None:
            return self._purchases.record(replace(purchase, label=label), self._clock())
        left = purchase.tried + SETTLE_SECONDS - self._clock()
        if left > 0:
            self._purchases.end(purchase.shipment_id, claim, State.UNKNOWN)
            raise OutcomeUnknown("It is not known yet whether the label was bought.", {"retry_after": int(left) + 1})
        return replace(purchase, state=State.FAILED)

    def _bought(self, shipment: Shipment, rate: dict[str, Any], key: str, claim: str) -> Purchase:
        """Record the attempt, make it, record its end."""
        try:
            asked_rate_id = self._sellable(shipment, rate)
        except ShopError:
            self._purchases.end(shipment.object_id, claim, State.FAILED)
            raise
        now = self._clock()
        purchase = Purchase(
            shipment.object_id, State.BEGAN, rate["object_id"], asked_rate_id, rate["provider"], tried=now
        )
        if not self._purchases.begin(claim, purchase, key, now + self._claim_seconds):
            raise Unavailable("The label is being bought by another call.", {"retry_after": 2})
        try:
            label = self._carriers.buy(asked_rate_id, shipment.order_id)
        except OutcomeUnknown as unknown:
            label = self._asked_after(purchase, claim, unknown)
        except ShopError:
            self._purchases.end(shipment.object_id, claim, State.FAILED)
            raise
        return self._purchases.record(replace(purchase, label=label), self._clock())

    def _asked_after(self, purchase: Purchase, claim: str, unknown: OutcomeUnknown) -> Label:
        """The label, when the carrier knows of it although it did not say so at once."""
        label, certain = None, bool(unknown.facts.get("answered"))
        try:
            label = self._carriers.bought(str(purchase.asked_rate_id))
        except ShopError:
            certain = False
        if label is not None:
            return label
        if certain:
            self._purchases.end(purchase.shipment_id, claim, State.FAILED)
            raise Unavailable(unknown.detail, {"retry_after": 2}) from unknown
        self._purchases.end(purchase.shipment_id, claim, State.UNKNOWN, tried=self._clock())
        raise OutcomeUnknown(unknown.detail, {"retry_after": int(SETTLE_SECONDS) + 1}) from unknown

    def _sellable(self, shipment: Shipment, rate: dict[str, Any]) -> str:
        """The id of the rate to buy: the chosen one or, when that is too old, the same service in a fresh quote."""
        if self._clock() < shipment.created + RATE_SECONDS:
            return str(rate["object_id"])
        quote = self._carriers.quote(shipment.address, shipment.parcels, shipment.contents, shipment.order_id)
        for fresh in quote.rates:
            if (fresh["provider"], fresh["servicelevel"]) == (rate["provider"], rate["servicelevel"]):
                return str(fresh["object_id"])
        gone = f"{rate['servicelevel']['name']} is no longer offered to this address."
        raise Refused(gone, {"errors": {"rate_id": [gone]}})
