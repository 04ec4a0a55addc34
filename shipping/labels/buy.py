"""Buying a label: once, by the rules of `chassis.work.ask_once`."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

from chassis.crash_points import crash_point
from chassis.logs import log
from chassis.work.ask_once import AskOnce, TraceableRequest
from contracts.errors import Conflict, Refused, ShopError
from shipping.rules.carriers import Carriers, Label, carrier_of
from shipping.rules.purchase import LabelPurchase, State
from shipping.rules.shipment import Shipment
from shipping.store.shipments import ShippingStore

POINTS = ("label:buy:begun", "label:buy:asked", "label:buy:done", "label:resolve:asked")

# Shippo sells no rate older than seven days (seconds). One day less, so that none expires during the purchase.
RATE_AGE_S = 6 * 24 * 3600


class LabelRequest(TraceableRequest[Label]):
    """The purchase of one shipment's label.

    Args:
        purchases: where it is recorded.
        carriers: sells it.
        shipment_id: the shipment.
        ask_once: makes the request.

    Attributes:
        claim: the token of this caller's claim.
        purchase: the record, as this caller knows it.
    """

    doing, done, verb = "The label is being bought", "the label was bought", "buy"

    def __init__(self, purchases: ShippingStore, carriers: Carriers, shipment_id: str, ask_once: AskOnce) -> None:
        self._purchases = purchases
        self._carriers = carriers
        self._ask_once = ask_once
        self.longest_call = carriers.longest_call
        self.longest_answer = carriers.longest_answer
        self.claim = secrets.token_hex(16)
        self.purchase = LabelPurchase(shipment_id, State.NEW)
        self._wanted: tuple[Shipment, dict[str, Any], str] | None = None

    def claimed(self, to_void: bool = False) -> LabelPurchase:
        """Claim the purchase, for buying the label or for returning it. Raises as `AskOnce.claimed` does."""
        take = self._purchases.claim_void if to_void else self._purchases.claim
        shipment_id = self.purchase.shipment_id
        self.purchase = self._ask_once.claimed(self, lambda now, until: take(shipment_id, self.claim, now, until))
        return self.purchase

    def resolved(self) -> LabelPurchase:
        """The purchase, after its unknown outcome was found out. Raises as `AskOnce.resolved` does."""
        if self._ask_once.resolved(self, self.purchase) is None:
            self.purchase = replace(self.purchase, state=State.FAILED)
        return self.purchase

    def bought(self, shipment: Shipment, rate: dict[str, Any], key: str) -> LabelPurchase:
        """The purchase, after the label was found or bought. Raises as `AskOnce.answer` does."""
        self._wanted = (shipment, rate, key)
        self._ask_once.answer(self, self.purchase)
        return self.purchase

    def prepare(self) -> None:
        assert self._wanted is not None
        shipment, rate, _ = self._wanted
        asked = self._sellable(shipment, rate)
        self.purchase = LabelPurchase(
            shipment.object_id,
            State.BEGAN,
            rate_id=str(rate["object_id"]),
            asked_rate_id=asked,
            carrier=str(rate["provider"]),
        )

    def begin(self, now: float, until: float) -> bool:
        assert self._wanted is not None
        self.purchase = replace(self.purchase, tried=now)
        return self._purchases.begin(self.claim, self.purchase, self._wanted[2], until)

    def alive(self) -> bool:
        return self._purchases.alive()

    def ask(self) -> Label:
        assert self._wanted is not None
        return self._carriers.buy(str(self.purchase.asked_rate_id), self._wanted[0].order_id)

    def find(self, since: float) -> Label | None:
        return self._carriers.bought(self.purchase.asked_rate_id or "")

    def record(self, answer: Label) -> Label:
        """Record the label. The first one stays; a second one is refunded at once."""
        self.purchase = self._purchases.record(replace(self.purchase, label=answer), self._ask_once.clock(), self.claim)
        kept = self.purchase.label
        if kept is None or kept.transaction_id == answer.transaction_id:
            return answer
        facts = {"shipment": self.purchase.shipment_id, "second": answer.transaction_id}
        log.error("two labels for one shipment", **facts)
        try:
            self._carriers.refund(answer.transaction_id)
        except ShopError as error:
            log.error("second label not refunded", error=f"{type(error).__name__}: {error}", **facts)
        return kept

    def end(self, unknown: bool, settled: float | None = None) -> None:
        state = State.UNKNOWN if unknown else State.FAILED
        self._purchases.end(self.purchase.shipment_id, self.claim, state, settled=settled)

    def passes(self, moment: str) -> None:
        crash_point(f"label:{moment}")

    def _sellable(self, shipment: Shipment, rate: dict[str, Any]) -> str:
        """Return the id of the rate to buy: the chosen one or, if that is too old, the same service in a fresh
        quote."""
        if self._ask_once.clock() < shipment.created + RATE_AGE_S:
            return str(rate["object_id"])
        quote = self._carriers.quote(
            shipment.address, shipment.parcels, shipment.contents, shipment.order_id, str(rate["currency"])
        )
        for fresh in quote.rates:
            if _service(fresh) == _service(rate):
                return str(fresh["object_id"])
        gone = f"{rate['servicelevel']['name']} is no longer offered to this address."
        raise Refused(gone, {"errors": {"rate_id": [gone]}})


def _service(rate: dict[str, Any]) -> tuple[Any, ...]:
    return carrier_of(str(rate["object_id"])), rate["provider"], rate["servicelevel"]


class LabelDesk:
    """Buys labels.

    Args:
        purchases: where they are recorded.
        carriers: sells them.
        ask_once: makes the requests.
    """

    def __init__(self, purchases: ShippingStore, carriers: Carriers, ask_once: AskOnce) -> None:
        self._purchases = purchases
        self._carriers = carriers
        self._ask_once = ask_once

    def request(self, shipment_id: str) -> LabelRequest:
        """The purchase of a shipment's label, which is not claimed yet."""
        return LabelRequest(self._purchases, self._carriers, shipment_id, self._ask_once)

    def buy(self, shipment: Shipment, rate_id: str, key: str) -> dict[str, Any]:
        """Buy the label of `rate_id`, or return the one that was already bought.

        Raises:
            NotFound: the rate is not one of the shipment's.
            Conflict: the shipment's label was bought at another rate, or was refunded.
            Refused: the carrier rejects it; nothing was bought.
            OutcomeUnknown: the carrier was asked and its answer is unknown; the same call finds out later.
            Unavailable: the carrier cannot be reached, or another call is buying; retry later.
        """
        rate = shipment.rate(rate_id)
        request = self.request(shipment.object_id)
        purchase = request.claimed()
        if not purchase.closed:
            if purchase.state is not State.BOUGHT:
                purchase = request.bought(shipment, rate, key)
            if purchase.rate_id != rate_id:
                raise Conflict(f"The label of shipment {shipment.object_id} is bought already, at another rate.")
        return purchase.public()
