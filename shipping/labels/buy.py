"""Buying the labels of a shipment: one per parcel, each once, by the rules of `chassis.work.ask_once`."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from chassis.crash_points import crash_point
from chassis.logs import log
from chassis.work.ask_once import AskOnce, TraceableRequest
from contracts.errors import Conflict, Refused, ShopError
from shipping.composite import all_answers
from shipping.rules.carriers import Carriers, Label, Quote
from shipping.rules.purchase import LabelPurchase, State, given_back, public
from shipping.rules.shipment import Shipment, price_of, same_service, summed
from shipping.rules.terms import AS_QUOTED, Terms
from shipping.store.shipments import ShippingStore

POINTS = ("label:buy:begun", "label:buy:asked", "label:buy:done", "label:resolve:asked")

# Shippo sells no rate older than seven days (seconds). One day less, so that none expires during the purchase.
RATE_AGE_S = 6 * 24 * 3600

# One per parcel; None for one that was never requested.
Purchases = Sequence[LabelPurchase | None]


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
        quoted_again: whether a fresh quote was asked for, because the chosen rate cannot be bought.
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
        self.quoted_again = False
        self._wanted: tuple[Shipment, dict[str, Any], str, Terms] | None = None
        self._refusal: str | None = None

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

    def bought(self, shipment: Shipment, rate: dict[str, Any], key: str, terms: Terms = AS_QUOTED) -> LabelPurchase:
        """The purchase, after the label was found or bought. Raises as `AskOnce.answer` does."""
        self._wanted = (shipment, rate, key, terms)
        self._ask_once.answer(self, self.purchase)
        return self.purchase

    def prepare(self) -> None:
        assert self._wanted is not None
        shipment, rate, _, terms = self._wanted
        asked = rate
        if self._is_unsellable(shipment, rate, terms):
            self.quoted_again = True
            asked = terms.choose(rate, quoted_again(self._carriers, shipment, rate).rates)
        price, currency = price_of(asked)
        self.purchase = LabelPurchase(
            shipment.object_id,
            State.BEGAN,
            rate_id=str(rate["object_id"]),
            asked_rate_id=str(asked["object_id"]),
            carrier=str(asked["provider"]),
            price=price,
            price_currency=currency,
        )

    def begin(self, now: float, until: float) -> bool:
        assert self._wanted is not None
        self.purchase = replace(self.purchase, tried=now)
        return self._purchases.begin(self.claim, self.purchase, self._wanted[2], until)

    def alive(self) -> bool:
        return self._purchases.alive()

    def ask(self) -> Label:
        assert self._wanted is not None
        try:
            return self._carriers.buy(str(self.purchase.asked_rate_id), self._wanted[0].order_id)
        except Refused as refused:
            self._refusal = refused.detail
            raise

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
        self._purchases.end(self.purchase.shipment_id, self.claim, state, settled=settled, refusal=self._refusal)

    def passes(self, moment: str) -> None:
        crash_point(f"label:{moment}")

    def _is_unsellable(self, shipment: Shipment, rate: dict[str, Any], terms: Terms) -> bool:
        """Whether the chosen rate need not be asked for: it is too old, or another parcel's, or was refused before, or
        an operator has set other terms."""
        refused = self.purchase.refusal is not None and self.purchase.rate_id == rate["object_id"]
        old = self._ask_once.clock() >= shipment.created + RATE_AGE_S
        return old or refused or shipment.twin_of is not None or terms != AS_QUOTED


def quoted_again(carriers: Carriers, shipment: Shipment, rate: Mapping[str, Any]) -> Quote:
    """Return a fresh quote for a shipment's parcel. Raises as `Carriers.quote` does."""
    address, parcels, contents = shipment.address, shipment.parcels, shipment.contents
    return carriers.quote(address, parcels, contents, shipment.order_id, str(rate["currency"]))


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

    def buy(self, shipment: Shipment, rate_id: str, key: str, terms: Terms = AS_QUOTED) -> dict[str, Any]:
        """Buy the labels of `rate_id`'s service, one per parcel, or return those that were already bought. If one
        fails, the others are kept, and the same call goes on later. No label is bought if the missing ones cost more
        together than an operator's limit.

        Args:
            terms: what a label may cost that is quoted again.

        Raises:
            NotFound: the rate is not one of the shipment's.
            Conflict: the shipment's label was bought at another rate, or was refunded.
            Refused: the carrier rejects it, or asks more than the terms allow; this label was not bought.
            OutcomeUnknown: the carrier was asked and its answer is unknown; the same call finds out later.
            Unavailable: the carrier cannot be reached, or another call is buying; retry later.
        """
        chosen, spent = shipment.rate(rate_id), 0
        parts, purchases = self._purchases.parts(shipment), []
        before: Purchases = self._purchases.purchases(parts)
        if terms.most is not None and len(parts) > 1:
            before = self._settled(parts, before)
            self._check_total(parts, before, chosen, terms)
        for part, known in zip(parts, before, strict=True):
            rate = chosen if part is shipment else part.rate_like(chosen)
            done = known is not None and _is_done(known)
            purchase = known if known is not None and done else self._bought(part, rate, key, terms.after(spent))
            if purchase.closed:
                raise given_back(shipment.object_id)
            if purchase.rate_id != rate["object_id"]:
                raise Conflict(f"The label of shipment {shipment.object_id} is bought already, at another rate.")
            purchases.append(purchase)
            spent += purchase.price or 0
        return public(shipment.object_id, purchases)

    def found(self, shipment: Shipment) -> dict[str, Any]:
        """Return the labels that were bought, after finding out the outcome of interrupted purchases. Buys nothing.

        Raises:
            Conflict: one is not bought, or they were given back.
            OutcomeUnknown: it is not known yet whether one was bought.
            Unavailable, ProviderFailure: the carrier cannot be asked, or another call is buying it right now.
        """
        parts = self._purchases.parts(shipment)
        return public(shipment.object_id, self._settled(parts, self._purchases.purchases(parts)))

    def offers(self, shipment: Shipment) -> dict[str, Any]:
        """Return what the missing labels of a shipment would cost now; see `ShippingService.requote`."""
        parts = self._purchases.parts(shipment)
        purchases = self._purchases.purchases(parts)
        left = [part for part, each in zip(parts, purchases, strict=True) if each is None or each.label is None]
        counts = Counter(part.kind for part in left)
        samples = {part.kind: part for part in left}.values()
        before = summed([(counts[each.kind], each.rates) for each in samples])
        fresh = [(counts[each.kind], quoted_again(self._carriers, each, each.rates[0]).rates) for each in samples]
        offered = []
        for rate in summed(fresh):
            (price, currency), old = price_of(rate), same_service(before, rate)
            offered.append(
                {
                    "service": rate["servicelevel"]["token"],
                    "description": rate["servicelevel"]["name"],
                    "carrier": rate["provider"],
                    "amount": price,
                    "currency": currency,
                    "quoted": None if old is None else price_of(old)[0],
                }
            )
        bought = [each for each in purchases if each is not None and each.label is not None]
        return {
            "object_id": shipment.object_id,
            "parcels": len(parts),
            "bought": len(bought),
            "spent": sum(each.price or 0 for each in bought),
            "refusals": [each.refusal for each in purchases if each is not None and each.refusal and not each.label],
            "offers": offered,
        }

    def _settled(self, parts: Sequence[Shipment], known: Purchases) -> Purchases:
        """The purchases of parcels, after finding out the outcome of those that were interrupted."""
        found = zip(parts, known, strict=True)
        return [self._found(part) if each is not None and each.unresolved else each for part, each in found]

    def _check_total(self, parts: Sequence[Shipment], known: Purchases, chosen: dict[str, Any], terms: Terms) -> None:
        """Refuse to buy the first of the missing labels if together they cost more than an operator's limit. Equal
        parcels are quoted once, all at the same time."""
        bought = [each for each in known if each is not None and each.state is State.BOUGHT]
        missing = [part for part, each in zip(parts, known, strict=True) if each is None or not _is_done(each)]
        if not missing:
            return

        def price(part: Shipment) -> tuple[int, str]:
            rate = part.rate_like(chosen)
            return price_of(terms.offered(rate, quoted_again(self._carriers, part, rate).rates))

        kinds = {part.kind: part for part in missing}
        found = all_answers([partial(price, part) for part in kinds.values()])
        prices = dict(zip(kinds, found, strict=True))
        spent = sum(each.price or 0 for each in bought)
        terms.check_total(spent, len(bought), [prices[part.kind] for part in missing])

    def _found(self, part: Shipment) -> LabelPurchase:
        request = self.request(part.object_id)
        purchase = request.claimed()
        if _is_done(purchase):
            return purchase
        if purchase.unresolved:
            purchase = request.resolved()
        if purchase.label is None:
            request.end(unknown=False)
        return purchase

    def _bought(self, part: Shipment, rate: dict[str, Any], key: str, terms: Terms) -> LabelPurchase:
        """The purchase of one parcel's label. A rate that the carrier refuses is quoted again, once."""
        for last in (False, True):
            request = self.request(part.object_id)
            purchase = request.claimed()
            if _is_done(purchase):
                return purchase
            try:
                return request.bought(part, rate, key, terms)
            except Refused as refused:
                if last or request.quoted_again:
                    raise
                log.warning("rate refused, quoted again", shipment=part.object_id, said=refused.detail)
        raise AssertionError("the second round ends above")


def _is_done(purchase: LabelPurchase) -> bool:
    """Whether nothing is left to buy: the label is bought, or was given back."""
    return purchase.closed or purchase.state is State.BOUGHT
