"""What stands still is taken up side by side: nothing that is slow holds up anything else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest

from cart import completer
from cart.completer import Lane, sweep
from cart.order import FULFILLED, PAID, RETURNED
from cart.parcels import Parcels
from chassis import deadline, fair_scheduling
from chassis.fair_scheduling import FairScheduling
from contracts.errors import OutcomeUnknown, Unavailable
from tests.integration.cart.till import Shop


class Work:
    """Things to be done, each once, by `how`."""

    def __init__(self, how: Callable[[str], Any], *keys: str) -> None:
        self.left = list(keys)
        self.done: list[str] = []
        self.most = 0
        self.now: set[str] = set()
        self.how = how
        self.limits: dict[str, float | None] = {}

    def due(self, limit: int) -> list[str]:
        return self.left[:limit]

    def work(self, key: str) -> None:
        self.now.add(key)
        self.most = max(self.most, len(self.now))
        self.limits[key] = deadline.remaining()
        try:
            self.how(key)
            self.left.remove(key)
            self.done.append(key)
        finally:
            self.now.discard(key)

    def lane(self, name: str, places: int) -> Lane:
        return Lane(name, self.due, self.work, places, lambda _key: 30.0)


def going_on() -> bool:
    return False


def test_everything_is_done_side_by_side_within_its_places() -> None:
    four = threading.Barrier(4, timeout=60)  # nobody is done before four are at it
    work = Work(lambda _key: four.wait(), *(f"k{number}" for number in range(20)))
    sweep([work.lane("any", 4)], going_on)
    assert sorted(work.done) == sorted(f"k{number}" for number in range(20))
    assert work.most == 4
    assert all(limit is not None and 20.0 < limit <= 30.0 for limit in work.limits.values())


def test_what_is_worked_on_takes_its_turns_as_the_sweep_does() -> None:
    class Counted(FairScheduling):
        """Turns that are counted and never waited for."""

        taken = 0

        def take(self) -> None:
            self.taken += 1

    counted = Counted()

    def sweeping() -> None:
        fair_scheduling.begin(counted, quick=False)
        sweep([Work(lambda _key: fair_scheduling.pause(), "k1", "k2").lane("any", 4)], going_on)

    copy_context().run(sweeping)
    assert counted.taken == 3


def test_a_lane_that_hangs_holds_up_no_other() -> None:
    answer = threading.Event()
    hung = Work(lambda _key: answer.wait(60), "h1", "h2", "h3")
    quick = Work(lambda _key: None, "q1")

    def sweeps() -> None:
        sweep([hung.lane("hung", 2), quick.lane("quick", 2)], going_on)

    thread = threading.Thread(target=sweeps)
    thread.start()
    for number in range(2, 5):
        time.sleep(0.1)
        quick.left.append(f"q{number}")
    try:
        until(lambda: len(quick.done) == 4)
        assert hung.done == []
    finally:
        answer.set()
        thread.join(60)
    assert sorted(hung.done) == ["h1", "h2", "h3"]


def test_a_failure_or_a_bug_stops_nothing_and_is_not_tried_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def fails(key: str) -> None:
        tried.append(key)
        if key == "f":
            raise OutcomeUnknown("no answer")
        if key == "b":
            raise KeyError("a bug")
        time.sleep(0.3)

    # So long is rested after a try that this sweep is over by then.
    monkeypatch.setattr(completer, "REST_S", 600.0)
    work = Work(fails, "f", "b", "w1", "w2")
    monkeypatch.setattr(completer, "LOOK_INTERVAL_S", 0.05)
    sweep([work.lane("any", 2)], going_on)
    assert sorted(work.done) == ["w1", "w2"]  # they end side by side
    assert sorted(tried) == ["b", "f", "w1", "w2"]


def test_a_sweep_ends_though_there_is_always_more() -> None:
    def again(key: str) -> None:
        work.left.append(f"{key}+")

    work = Work(again, "k")
    sweep([work.lane("any", 1)], going_on, lasts=0.3)
    assert work.left


def test_nothing_new_is_taken_up_when_the_service_stops() -> None:
    stopping = threading.Event()
    work = Work(lambda _key: stopping.set(), "k1", "k2", "k3")
    sweep([work.lane("any", 1)], stopping.is_set)
    assert work.done == ["k1"]


def test_a_database_that_is_away_puts_the_sweep_off() -> None:
    def away(_limit: int) -> list[str]:
        raise Unavailable("no database")

    sweep([Lane("any", away, away, 1, lambda _key: 1.0)], going_on)  # type: ignore[arg-type]


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 50
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)


# Following the parcels


class Feed:
    """What the shipping service tells of its parcels."""

    def __init__(self, *moves: tuple[str, str]) -> None:
        self.moves: list[dict[str, Any]] = [
            {"seq": 10 * number, "shipment_id": shipment, "status": status}
            for number, (shipment, status) in enumerate(moves, start=1)
        ]

    def moved(self, after: int, limit: int) -> list[dict[str, Any]]:
        return [move for move in self.moves if move["seq"] > after][:limit]


@pytest.mark.parametrize(
    ("status", "then"),
    [("TRANSIT", FULFILLED), ("DELIVERED", FULFILLED), ("PRE_TRANSIT", PAID), ("FAILURE", PAID), ("UNKNOWN", PAID)],
)
def test_an_order_is_fulfilled_when_the_carrier_has_its_parcel(shop: Shop, status: str, then: str) -> None:
    shop.pay()
    Parcels(shop.store, Feed(("shp_other", "TRANSIT"), ("shp", status))).follow()
    assert shop.order.status == then
    assert shop.order.document["status_transitions"]["fulfiled"] == (1000 if then == FULFILLED else None)


def test_what_was_followed_is_not_followed_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.pay()
    feed = Feed(*[("shp_other", "TRANSIT")] * 150, ("shp", "TRANSIT"))
    Parcels(shop.store, feed).follow()
    assert (shop.order.status, shop.store.cursor("parcels")) == (FULFILLED, 1510)
    assert shop.store.follow("parcels", 100, 2000, ["shp"]) == []  # a copy that read it from where it was before
    assert shop.store.cursor("parcels") == 1510
    assert shop.store.follow("parcels", 1510, 1520, ["shp"]) == []
    shop.refunds.refund("or_1", None, "k")
    assert shop.order.status == RETURNED


def test_an_order_that_was_given_back_is_not_fulfilled_any_more(shop: Shop) -> None:
    shop.pay()
    shop.refunds.refund("or_1", None, "k")
    Parcels(shop.store, Feed(("shp", "TRANSIT"))).follow()
    assert shop.order.status == RETURNED
