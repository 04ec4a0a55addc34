"""A label is given back once, and no label is bought after that. The databases are real; the carrier is a stub."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chassis.db.engine import Database
from chassis.work.ask_once import AskOnce
from chassis.work.webhooks import Webhooks
from contracts.errors import Conflict, OutcomeUnknown, Refused, Unavailable
from shipping.labels.buy import LabelDesk
from shipping.labels.refund import VoidDesk
from shipping.rules.carriers import Label
from shipping.rules.purchase import LabelPurchase, LabelRefund, State
from shipping.rules.shipment import Shipment
from shipping.rules.whereabouts import Whereabouts
from shipping.shippo.webhooks import ShippoWebhooks
from shipping.store.tables import labels
from shipping.tracker import ABANDONED_AFTER_S, Tracker
from tests.integration.shipping.test_label import Killed, Shop
from tests.processes import die

NONE, REFUNDED = {"object_id": "ship", "status": "none"}, {"object_id": "ship", "status": "refunded"}


class Counter(Shop):
    """A shop that also gives labels back to the carrier."""

    def give_back(self, patience: float = 10.0) -> dict[str, Any]:
        return self.voids(patience).give_back("ship")

    def voids(self, patience: float = 10.0) -> VoidDesk:
        desk = LabelDesk(
            self.store,
            self.carriers,
            AskOnce(lambda wait: min(wait, patience), self.clock, self.clock.sleep, self.clock),
        )
        return VoidDesk(desk, self.store, self.carriers)

    def tracker(self) -> Tracker:
        return Tracker(self.store, self.carriers, self.voids(), self.clock)

    def webhooks(self) -> Webhooks:
        return Webhooks(self.store.inbox, {"shippo": ShippoWebhooks("", self.tracker())})

    @property
    def refund(self) -> LabelRefund | None:
        kept = self.store.purchase("ship")
        assert kept is not None
        return kept.refund


@pytest.fixture
def shop(database: Callable[[str], Database]) -> Counter:
    return Counter(database("shipping"))


def test_a_label_is_given_back_once(shop: Counter) -> None:
    shop.buy()
    assert shop.give_back() == REFUNDED
    shop.carriers.deaf = Unavailable("away")
    assert shop.give_back() == REFUNDED  # the answer is stored, and the carrier is not asked again
    assert shop.carriers.refunds == ["transaction-1"]
    with pytest.raises(Conflict, match="given back") as conflict:
        shop.buy()
    assert conflict.value.facts == {"voided": True}
    assert shop.carriers.purchases == ["first"]


def test_refund_without_a_label_blocks_later_purchases(shop: Counter) -> None:
    assert shop.give_back() == NONE
    assert shop.give_back() == NONE
    with pytest.raises(Conflict, match="given back"):
        shop.buy()
    assert (shop.carriers.purchases, shop.carriers.refunds) == ([], [])


def test_unresolved_purchase_is_looked_up_and_given_back(shop: Counter) -> None:
    shop.carriers.trouble, shop.carriers.sells_anyway, shop.carriers.blind = [OutcomeUnknown("lost")], True, 2
    with pytest.raises(OutcomeUnknown):
        shop.buy()
    with pytest.raises(OutcomeUnknown, match="not known yet"):
        shop.give_back()
    with pytest.raises(Conflict, match="given back"):
        shop.buy()
    assert shop.give_back() == REFUNDED
    assert shop.refund is LabelRefund.REFUNDED
    assert (shop.carriers.purchases, shop.carriers.refunds) == (["first"], ["transaction-1"])


def test_refund_waits_for_a_purchase_in_progress(shop: Counter) -> None:
    now = shop.clock.now
    assert shop.store.claim("ship", "buyer", now, now + 15) is not None
    with pytest.raises(Unavailable, match="another call"):
        shop.give_back(patience=1.0)
    asked = LabelPurchase("ship", State.BEGAN, "first", "first", "USPS", now, label=Label("t", "https://l", "1"))
    shop.clock.on_sleep = lambda: shop.store.record(asked, shop.clock.now) and None
    assert shop.give_back() == REFUNDED
    assert shop.refund is LabelRefund.REFUNDED


def test_buyer_overtaken_by_a_refund_does_not_buy(shop: Counter) -> None:
    now = shop.clock.now
    assert shop.store.claim("ship", "slow", now, now + 1) is not None
    shop.clock.now += 2
    assert shop.give_back() == NONE
    assert not shop.store.begin("slow", LabelPurchase("ship", State.BEGAN, "first", "first"), "key", now + 20)


def test_killed_refund_is_taken_over(shop: Counter) -> None:
    shop.buy()
    shop.carriers.refund_trouble, shop.carriers.sells_anyway = [Killed()], True  # type: ignore[list-item]
    with pytest.raises(Killed):
        shop.give_back()
    die(shop.database)
    assert shop.give_back() == REFUNDED
    assert shop.carriers.refunds == ["transaction-1"]


def test_a_parcel_that_has_moved_keeps_its_label(shop: Counter) -> None:
    bought = shop.buy()
    shop.store.moves.record("94001", Whereabouts("TRANSIT", 5.0), shop.clock.now)
    assert shop.give_back() == {"object_id": "ship", "status": "used"}
    assert shop.carriers.refunds == []
    assert shop.buy() == bought


def test_status_of_each_parcel_is_answered(shop: Counter) -> None:
    second = replace(shop.shipment, object_id="ship-2", key="key 2", part_of="whole", part=2)
    whole = shop.store.add(replace(shop.shipment, object_id="whole", key="whole"), second)
    shop.buy(shipment=whole)
    shop.store.moves.record("94001", Whereabouts("TRANSIT", 5.0), shop.clock.now)
    moved, other = ({"tracking_number": f"9400{place}"} for place in (1, 2))
    each = [{**moved, "status": "used"}, {**other, "status": "refunded"}]
    answer = {"object_id": "whole", "status": "used", "labels": each}
    assert [shop.voids().give_back_all(whole) for _ in range(2)] == [answer, answer]
    assert shop.carriers.refunds == ["transaction-2"]


def test_pending_refund_is_polled_until_it_ends(shop: Counter) -> None:
    shop.buy()
    shop.carriers.refund_answer = "pending"
    assert shop.give_back()["status"] == "pending"
    assert shop.give_back()["status"] == "pending"
    shop.carriers.given_back["transaction-1"] = "refunded"
    shop.clock.now += 901
    shop.tracker().poll(900)
    kept = shop.store.purchase("ship")
    assert kept is not None
    assert kept.refund is LabelRefund.REFUNDED
    assert shop.carriers.refunds == ["transaction-1"]
    assert shop.store.moves.due(shop.clock.now * 2, 900, 10) == []


def test_pending_refund_of_an_untracked_label_is_polled(shop: Counter) -> None:
    untracked = LabelPurchase("ship", State.BEGAN, "first", "first", "USPS", label=Label("bare", "https://l", None))
    shop.store.claim("ship", "buyer", shop.clock.now, shop.clock.now + 15)
    shop.store.record(untracked, shop.clock.now)
    shop.carriers.refund_answer = "pending"
    assert shop.give_back()["status"] == "pending"
    shop.carriers.given_back["bare"] = "refunded"
    shop.clock.now += 800
    shop.tracker().poll(900)
    assert shop.refund is LabelRefund.PENDING  # refunds are polled at the interval of the parcels
    shop.clock.now += 101
    shop.tracker().poll(900)
    assert shop.refund is LabelRefund.REFUNDED
    assert shop.store.moves.due(shop.clock.now * 2, 900, 10) == []


def test_pending_refund_of_a_delivered_parcel_is_settled(shop: Counter) -> None:
    shop.buy()
    shop.carriers.refund_answer = "pending"
    shop.give_back()
    shop.store.moves.record("94001", Whereabouts("DELIVERED", 5.0), shop.clock.now)
    shop.clock.now += 901
    shop.tracker().poll(900)
    assert shop.refund is LabelRefund.USED
    assert shop.store.moves.due(shop.clock.now * 2, 900, 10) == []
    assert shop.store.voids(shop.clock.now * 2, 10) == []


def test_unanswered_refunds_do_not_starve_the_others(shop: Counter) -> None:
    row = {"state": State.BOUGHT.value, "claimed_until": 0.0, "tried": 0.0}
    for number in range(12):
        shop.store.add(Shipment(f"ship_{number}", f"key {number}", "or_1", shop.clock.now, {}, [], [], [], []))
        with shop.database.write() as connection:
            connection.execute(labels.insert().values(shipment_id=f"ship_{number}", voided=float(number), **row))
    looked_at = {each for _ in range(60) for each in shop.store.voids(100.0, 4)}
    assert looked_at == {f"ship_{number}" for number in range(12)}


def test_refused_repetition_keeps_the_refund_pending(shop: Counter) -> None:
    shop.buy()
    shop.carriers.refund_answer = "pending"
    shop.give_back()
    shop.carriers.given_back.clear()  # Shippo's label does not show the refund yet
    shop.carriers.refund_trouble = [Refused("asked before")]
    assert shop.give_back()["status"] == "pending"
    shop.carriers.given_back["transaction-1"] = "refunded"
    assert shop.give_back() == REFUNDED


def test_refused_refund_counts_the_label_as_used(shop: Counter) -> None:
    shop.buy()
    shop.carriers.refund_trouble = [Refused("too old")]
    assert shop.give_back()["status"] == "used"


def test_unreachable_carrier_is_asked_again_later(shop: Counter) -> None:
    shop.buy()
    shop.carriers.deaf = Unavailable("away")
    with pytest.raises(Unavailable, match="away"):
        shop.give_back()
    shop.carriers.deaf = None
    assert shop.give_back() == REFUNDED  # at once, since the failure released the claim


def test_timer_gives_back_a_late_label(shop: Counter) -> None:
    assert shop.give_back() == NONE
    late = LabelPurchase("ship", State.BEGAN, "first", "first", "USPS", label=Label("late", "https://l", "1"))
    shop.store.record(late, shop.clock.now)
    shop.tracker().poll(900)
    assert shop.carriers.refunds == []  # the caller that asked for the refund may still be working on it
    shop.clock.now += ABANDONED_AFTER_S + 1
    shop.tracker().poll(900)
    assert shop.carriers.refunds == ["late"]
    assert shop.give_back() == REFUNDED


def test_refund_event_makes_the_tracker_ask_shippo(shop: Counter) -> None:
    shop.buy()
    shop.carriers.refund_answer = "pending"
    shop.give_back()
    shop.carriers.given_back["transaction-1"] = "refunded"
    webhooks = shop.webhooks()
    for label, status in (("another's", "REFUNDED"), ("transaction-1", "ERROR")):
        body = json.dumps({"event": "transaction_updated", "data": {"object_id": label, "status": status}})
        webhooks.keep(ShippoWebhooks("", shop.tracker()).parse(body.encode()))
    assert len(shop.store.inbox.tasks.rows(state="waiting")) == 2, "asking Shippo is left to the timer"
    webhooks.sweep(time.monotonic() + 10)
    kept = shop.store.purchase("ship")
    assert kept is not None
    assert kept.refund is LabelRefund.REFUNDED
