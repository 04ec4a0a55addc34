"""A label is given back once, and none is bought after that. The record is real; the carrier is a stub."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from chassis.db.engine import Database
from chassis.work.ask_once import AskOnce
from contracts.errors import Conflict, OutcomeUnknown, Refused, Unavailable
from shipping.carriers import Label
from shipping.label import LabelDesk
from shipping.purchase import Purchase, Refund, State
from shipping.shipment import Shipment
from shipping.tables import labels
from shipping.tracker import ABANDONED_AFTER_S, Tracker
from shipping.void import VoidDesk
from shipping.whereabouts import Whereabouts
from tests.integration.shipping.test_label import Killed, Shop
from tests.processes import die

NONE, REFUNDED = {"object_id": "ship", "status": "none"}, {"object_id": "ship", "status": "refunded"}


class Counter(Shop):
    """A shop that takes labels back."""

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

    @property
    def refund(self) -> Refund | None:
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
    assert shop.give_back() == REFUNDED  # that is known, and not asked again
    assert shop.carriers.refunds == ["transaction-1"]
    with pytest.raises(Conflict, match="given back") as conflict:
        shop.buy()
    assert conflict.value.facts == {"voided": True}
    assert shop.carriers.purchases == ["first"]


def test_where_there_is_no_label_none_is_bought_afterwards(shop: Counter) -> None:
    assert shop.give_back() == NONE
    assert shop.give_back() == NONE
    with pytest.raises(Conflict, match="given back"):
        shop.buy()
    assert (shop.carriers.purchases, shop.carriers.refunds) == ([], [])


def test_a_purchase_that_nobody_saw_the_end_of_is_looked_for_and_given_back(shop: Counter) -> None:
    shop.carriers.trouble, shop.carriers.sells_anyway, shop.carriers.blind = [OutcomeUnknown("lost")], True, 2
    with pytest.raises(OutcomeUnknown):
        shop.buy()
    with pytest.raises(OutcomeUnknown, match="not known yet"):
        shop.give_back()
    with pytest.raises(Conflict, match="given back"):
        shop.buy()
    assert shop.give_back() == REFUNDED
    assert (shop.carriers.purchases, shop.carriers.refunds) == (["first"], ["transaction-1"])


def test_a_buyer_in_the_middle_is_waited_for(shop: Counter) -> None:
    now = shop.clock.now
    assert shop.store.claim("ship", "buyer", now, now + 15) is not None
    with pytest.raises(Unavailable, match="another call"):
        shop.give_back(patience=1.0)
    asked = Purchase("ship", State.BEGAN, "first", "first", "USPS", now, label=Label("t", "https://l", "1"))
    shop.clock.on_sleep = lambda: shop.store.record(asked, shop.clock.now) and None
    assert shop.give_back() == REFUNDED


def test_a_buyer_that_was_overtaken_before_it_asked_does_not_buy(shop: Counter) -> None:
    now = shop.clock.now
    assert shop.store.claim("ship", "slow", now, now + 1) is not None
    shop.clock.now += 2
    assert shop.give_back() == NONE
    assert not shop.store.begin("slow", Purchase("ship", State.BEGAN, "first", "first"), "key", now + 20)


def test_one_that_was_killed_in_the_middle_is_taken_over(shop: Counter) -> None:
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


def test_a_carrier_that_takes_its_time_is_asked_again(shop: Counter) -> None:
    shop.buy()
    shop.carriers.refund_answer = "pending"
    assert shop.give_back()["status"] == "pending"
    assert shop.give_back()["status"] == "pending"
    shop.carriers.given_back["transaction-1"] = "refunded"
    shop.clock.now += 901
    shop.tracker().poll(900)
    kept = shop.store.purchase("ship")
    assert kept is not None
    assert kept.refund is Refund.REFUNDED
    assert shop.carriers.refunds == ["transaction-1"]
    assert shop.store.moves.due(shop.clock.now * 2, 900, 10) == []


def test_a_pending_return_is_asked_about_also_when_its_label_has_no_tracking_number(shop: Counter) -> None:
    untracked = Purchase("ship", State.BEGAN, "first", "first", "USPS", label=Label("bare", "https://l", None))
    shop.store.claim("ship", "buyer", shop.clock.now, shop.clock.now + 15)
    shop.store.record(untracked, shop.clock.now)
    shop.carriers.refund_answer = "pending"
    assert shop.give_back()["status"] == "pending"
    shop.carriers.given_back["bare"] = "refunded"
    shop.clock.now += 800
    shop.tracker().poll(900)
    assert shop.refund is Refund.PENDING  # at the pace of the parcels
    shop.clock.now += 101
    shop.tracker().poll(900)
    assert shop.refund is Refund.REFUNDED
    assert shop.store.moves.due(shop.clock.now * 2, 900, 10) == []


def test_a_pending_return_whose_parcel_arrives_after_all_is_settled(shop: Counter) -> None:
    shop.buy()
    shop.carriers.refund_answer = "pending"
    shop.give_back()
    shop.store.moves.record("94001", Whereabouts("DELIVERED", 5.0), shop.clock.now)
    shop.clock.now += 901
    shop.tracker().poll(900)
    assert shop.refund is Refund.USED
    assert shop.store.moves.due(shop.clock.now * 2, 900, 10) == []
    assert shop.store.voids(shop.clock.now * 2, 10) == []


def test_what_shippo_never_tells_of_does_not_stand_before_the_rest(shop: Counter) -> None:
    row = {"state": State.BOUGHT.value, "claimed_until": 0.0, "tried": 0.0}
    for number in range(12):
        shop.store.add(Shipment(f"ship_{number}", f"key {number}", "or_1", shop.clock.now, {}, [], [], [], []))
        with shop.database.write() as connection:
            connection.execute(labels.insert().values(shipment_id=f"ship_{number}", voided=float(number), **row))
    looked_at = {each for _ in range(60) for each in shop.store.voids(100.0, 4)}
    assert looked_at == {f"ship_{number}" for number in range(12)}


def test_a_pending_return_that_shippo_will_not_take_twice_stays_pending(shop: Counter) -> None:
    shop.buy()
    shop.carriers.refund_answer = "pending"
    shop.give_back()
    shop.carriers.given_back.clear()  # Shippo's label does not show it yet
    shop.carriers.refund_trouble = [Refused("asked before")]
    assert shop.give_back()["status"] == "pending"
    shop.carriers.given_back["transaction-1"] = "refunded"
    assert shop.give_back() == REFUNDED


def test_a_refusal_means_that_somebody_was_faster_or_that_the_money_stays(shop: Counter) -> None:
    shop.buy()
    shop.carriers.refund_trouble = [Refused("too old")]
    assert shop.give_back()["status"] == "used"


def test_a_carrier_that_is_away_is_asked_again_later(shop: Counter) -> None:
    shop.buy()
    shop.carriers.deaf = Unavailable("away")
    with pytest.raises(Unavailable, match="away"):
        shop.give_back()
    shop.carriers.deaf = None
    assert shop.give_back() == REFUNDED  # at once: the claim was let go


def test_a_label_that_turns_up_late_is_given_back_by_the_timer(shop: Counter) -> None:
    assert shop.give_back() == NONE
    late = Purchase("ship", State.BEGAN, "first", "first", "USPS", label=Label("late", "https://l", "1"))
    shop.store.record(late, shop.clock.now)
    shop.tracker().poll(900)
    assert shop.carriers.refunds == []  # whoever asked for it may still be at it
    shop.clock.now += ABANDONED_AFTER_S + 1
    shop.tracker().poll(900)
    assert shop.carriers.refunds == ["late"]
    assert shop.give_back() == REFUNDED


def test_shippo_s_word_of_a_refund_makes_us_ask(shop: Counter) -> None:
    shop.buy()
    shop.carriers.refund_answer = "pending"
    shop.give_back()
    shop.carriers.given_back["transaction-1"] = "refunded"
    tracker = shop.tracker()
    tracker.keep("e1", "transaction_updated", {"object_id": "another's", "status": "REFUNDED"})
    tracker.keep("e2", "transaction_updated", {"object_id": "transaction-1", "status": "ERROR"})
    tracker.handle_due(time.monotonic() + 10)
    kept = shop.store.purchase("ship")
    assert kept is not None
    assert kept.refund is Refund.REFUNDED
