"""Buying a label: recorded before the purchase, bought once, and never retried before the carrier was asked."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from chassis.clock import now as clock_now
from chassis.clock import settled_at
from chassis.crash_points import crash_point
from chassis.logs import log
from chassis.providers.http_session import last_look
from contracts.errors import Conflict, OutcomeUnknown, Refused, ShopError, Unavailable
from shipping.carriers import Carriers, Label
from shipping.purchase import Purchase, Purchases, State
from shipping.shipment import Shipment

POINTS = ("label:buy:begun", "label:buy:asked", "label:buy:done", "label:resolve:asked")

# A claim outlives the longest call to the carrier by this much, and is renewed before the purchase. A caller that finds
# it expired may take over from a buyer that hangs. The claim of a crashed buyer is void within seconds.
CLAIM_MARGIN_SECONDS = 4.0
# A purchase whose outcome nobody saw may still be in progress at the carrier. This lasts as long as the carrier may
# take to answer, counted from its beginning, plus this long after its buyer gave up. Only if the carrier knows no label
# after that is it certain that none was bought.
SETTLE_SECONDS = 2.0
# How long one call waits for that, how often it asks the carrier meanwhile, and how much of the caller's time must be
# left to buy. A caller with less time is asked to retry later.
PATIENCE_SECONDS = 4.0
ASK_SECONDS = 1.0
RESERVE_SECONDS = 1.5
# How long a second buyer waits for the first one's label, and how often it looks. This is longer than it takes to
# detect that the first one crashed.
WAIT_SECONDS = 6.0
LOOK_SECONDS = 0.2
# Shippo sells no rate older than seven days. One day less, so that none expires during the purchase.
RATE_SECONDS = 6 * 24 * 3600

Claim = Callable[[str, str, float, float], "Purchase | None"]


class LabelDesk:
    """Buys labels.

    Args:
        purchases: where they are recorded.
        carriers: sells them.
        bounded: limits a number of seconds to the caller's remaining time.
        clock: Unix seconds.
        sleep: waits for the given number of seconds.
        timer: measures waits (monotonic seconds).
    """

    def __init__(
        self,
        purchases: Purchases,
        carriers: Carriers,
        bounded: Callable[[float], float],
        clock: Callable[[], float] = clock_now,
        sleep: Callable[[float], None] = time.sleep,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._purchases = purchases
        self._carriers = carriers
        self._claim_seconds = carriers.longest_call + CLAIM_MARGIN_SECONDS
        self._bounded = bounded
        self._clock = clock
        self._sleep = sleep
        self._timer = timer

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
        claim = secrets.token_hex(16)
        purchase = self.claimed(shipment.object_id, claim, self._purchases.claim)
        if not purchase.closed:
            if purchase.unresolved:
                purchase = self.resolved(purchase, claim)
            if purchase.state is not State.BOUGHT:
                purchase = self._bought(shipment, rate, key, claim)
            if purchase.rate_id != rate_id:
                raise Conflict(f"The label of shipment {shipment.object_id} is bought already, at another rate.")
        return purchase.public()

    def claimed(self, shipment_id: str, claim: str, take: Claim) -> Purchase:
        """Return the purchase when we hold it or it is finished; wait a limited time for another buyer.

        Raises Unavailable when the other buyer takes longer.
        """
        end = self._timer() + self._bounded(WAIT_SECONDS)
        while True:
            now = self._clock()
            purchase = take(shipment_id, claim, now, now + self._claim_seconds)
            if purchase is not None:
                return purchase
            if self._timer() + LOOK_SECONDS >= end:
                raise Unavailable("The label is being bought by another call.", {"retry_after": 2})
            self._sleep(LOOK_SECONDS)

    def resolved(self, purchase: Purchase, claim: str) -> Purchase:
        """Find out the result of an attempt whose end nobody saw. Asks and waits briefly, and never buys.

        Raises:
            OutcomeUnknown: it cannot be known yet; Unavailable, ProviderFailure: the carrier cannot be asked. The claim
                is then released.
        """
        longest = self._carriers.longest_answer + SETTLE_SECONDS
        tried_until = purchase.tried + self._carriers.longest_answer
        settled = settled_at(tried_until, purchase.settled, self._clock(), longest)
        patience = min(PATIENCE_SECONDS, self._bounded(PATIENCE_SECONDS + RESERVE_SECONDS) - RESERVE_SECONDS)
        end = self._timer() + patience
        while True:
            began, asked = self._clock(), self._timer()
            try:
                label = self._carriers.bought(purchase.asked_rate_id or "")
            except ShopError:
                self._purchases.end(purchase.shipment_id, claim, State.UNKNOWN)
                raise
            crash_point("label:resolve:asked")
            if label is not None:
                return self._recorded(purchase, label, claim)
            if began >= settled:
                return replace(purchase, state=State.FAILED)
            if asked + settled - began > end:
                self._purchases.end(purchase.shipment_id, claim, State.UNKNOWN, settled=settled)
                facts = {"retry_after": max(1, math.ceil(settled - self._clock()))}
                raise OutcomeUnknown("It is not known yet whether the label was bought.", facts)
            self._sleep(min(ASK_SECONDS, max(LOOK_SECONDS, settled - self._clock())))

    def _bought(self, shipment: Shipment, rate: dict[str, Any], key: str, claim: str) -> Purchase:
        """Record the attempt, make it, and record its end."""
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
        crash_point("label:buy:begun")
        if not self._purchases.alive():
            # This process stalled for so long that another copy may be about to buy it.
            self._purchases.end(shipment.object_id, claim, State.FAILED)
            raise Unavailable("The label is left to another copy of the service.", {"retry_after": 2})

        def still_ours() -> bool:
            # The carrier's time to answer starts here, after any wait for a free slot and a connection.
            nonlocal purchase
            now = self._clock()
            purchase = replace(purchase, tried=now)
            begun = self._purchases.begin(claim, purchase, key, now + self._claim_seconds)
            return begun and self._purchases.alive()

        try:
            with last_look(still_ours):
                label = self._carriers.buy(asked_rate_id, shipment.order_id)
        except OutcomeUnknown as unknown:
            label = self._asked_after(purchase, claim, unknown)
        except ShopError:
            self._purchases.end(shipment.object_id, claim, State.FAILED)
            raise
        crash_point("label:buy:asked")
        purchase = self._recorded(purchase, label, claim)
        crash_point("label:buy:done")
        return purchase

    def _recorded(self, purchase: Purchase, label: Label, claim: str) -> Purchase:
        """Return the purchase as recorded: the first label stays, a second one is refunded at once."""
        kept = self._purchases.record(replace(purchase, label=label), self._clock(), claim)
        if kept.label and kept.label.transaction_id != label.transaction_id:
            facts = {"shipment": purchase.shipment_id, "second": label.transaction_id}
            log.error("two labels for one shipment", **facts)
            try:
                self._carriers.refund(label.transaction_id)
            except ShopError as error:
                log.error("a second label is not given back", error=f"{type(error).__name__}: {error}", **facts)
        return kept

    def _asked_after(self, purchase: Purchase, claim: str, unknown: OutcomeUnknown) -> Label:
        """Return the label, if the carrier has it although its first answer did not say so."""
        label, certain = None, bool(unknown.facts.get("answered"))
        ended = self._clock()
        try:
            label = self._carriers.bought(str(purchase.asked_rate_id))
        except ShopError:
            certain = False
        if label is not None:
            return label
        if certain:
            self._purchases.end(purchase.shipment_id, claim, State.FAILED)
            raise Unavailable(unknown.detail, {"retry_after": 2}) from unknown
        settled = max(purchase.tried + self._carriers.longest_answer, ended + SETTLE_SECONDS)
        self._purchases.end(purchase.shipment_id, claim, State.UNKNOWN, settled=settled)
        facts = {"retry_after": max(1, math.ceil(settled - self._clock()))}
        raise OutcomeUnknown(unknown.detail, facts) from unknown

    def _sellable(self, shipment: Shipment, rate: dict[str, Any]) -> str:
        """Return the id of the rate to buy: the chosen one or, if that is too old, the same service in a fresh
        quote."""
        if self._clock() < shipment.created + RATE_SECONDS:
            return str(rate["object_id"])
        quote = self._carriers.quote(
            shipment.address, shipment.parcels, shipment.contents, shipment.order_id, str(rate["currency"])
        )
        for fresh in quote.rates:
            if (fresh["provider"], fresh["servicelevel"]) == (rate["provider"], rate["servicelevel"]):
                return str(fresh["object_id"])
        gone = f"{rate['servicelevel']['name']} is no longer offered to this address."
        raise Refused(gone, {"errors": {"rate_id": [gone]}})
