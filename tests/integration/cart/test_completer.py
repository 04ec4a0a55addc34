"""The completer resumes stalled work in parallel: slow work does not delay other work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest
import sqlalchemy as sa

from cart import completer
from cart.completer import Lane, sweep
from cart.deliveries.parcels import Parcels
from cart.rules.order import FULFILLED, PAID, RETURNED
from chassis import deadline, fair_scheduling
from chassis.fair_scheduling import FairScheduling
from contracts.errors import OutcomeUnknown, Unavailable
from tests.integration.cart.till import Shop


class Work:
    """A queue of keys; `action` processes each key once."""

    def __init__(self, action: Callable[[str], Any], *keys: str) -> None:
        self.left = list(keys)
        self.done: list[str] = []
        self.peak = 0
        self.running: set[str] = set()
        self.action = action
        self.limits: dict[str, float | None] = {}

    def due(self, limit: int) -> list[str]:
        return self.left[:limit]

    def work(self, key: str) -> None:
        self.running.add(key)
        self.peak = max(self.peak, len(self.running))
        self.limits[key] = deadline.remaining()
        try:
            self.action(key)
            self.left.remove(key)
            self.done.append(key)
        finally:
            self.running.discard(key)

    def lane(self, name: str, places: int) -> Lane:
        return Lane(name, self.due, self.work, places, lambda _key: 30.0)


def never_stopping() -> bool:
    return False


def test_lane_works_in_parallel_up_to_its_limit() -> None:
    four = threading.Barrier(4, timeout=60)  # no action ends before four are in progress
    work = Work(lambda _key: four.wait(), *(f"k{number}" for number in range(20)))
    sweep([work.lane("any", 4)], never_stopping)
    assert sorted(work.done) == sorted(f"k{number}" for number in range(20))
    assert work.peak == 4
    assert all(limit is not None and 20.0 < limit <= 30.0 for limit in work.limits.values())


def test_work_takes_turns_like_its_sweep() -> None:
    class Counted(FairScheduling):
        """Fair scheduling that counts turns and never waits."""

        taken = 0

        def take(self) -> None:
            self.taken += 1

    counted = Counted()

    def sweeping() -> None:
        fair_scheduling.begin(counted, quick=False)
        sweep([Work(lambda _key: fair_scheduling.pause(), "k1", "k2").lane("any", 4)], never_stopping)

    copy_context().run(sweeping)
    assert counted.taken == 3


def test_hanging_lane_does_not_delay_another() -> None:
    answer = threading.Event()
    hung = Work(lambda _key: answer.wait(60), "h1", "h2", "h3")
    quick = Work(lambda _key: None, "q1")

    def sweeps() -> None:
        sweep([hung.lane("hung", 2), quick.lane("quick", 2)], never_stopping)

    thread = threading.Thread(target=sweeps)
    thread.start()
    for number in range(2, 5):
        time.sleep(0.1)
        quick.left.append(f"q{number}")
    try:
        wait_until(lambda: len(quick.done) == 4)
        assert hung.done == []
    finally:
        answer.set()
        thread.join(60)
    assert sorted(hung.done) == ["h1", "h2", "h3"]


def test_failed_work_is_not_retried_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def fails(key: str) -> None:
        tried.append(key)
        if key == "f":
            raise OutcomeUnknown("no answer")
        if key == "b":
            raise KeyError("a bug")
        time.sleep(0.3)

    # The rest after a failure is longer than this sweep.
    monkeypatch.setattr(completer, "REST_S", 600.0)
    work = Work(fails, "f", "b", "w1", "w2")
    monkeypatch.setattr(completer, "LOOK_INTERVAL_S", 0.05)
    sweep([work.lane("any", 2)], never_stopping)
    assert sorted(work.done) == ["w1", "w2"]  # they finish in parallel
    assert sorted(tried) == ["b", "f", "w1", "w2"]


def test_sweep_ends_although_work_remains() -> None:
    def again(key: str) -> None:
        work.left.append(f"{key}+")

    work = Work(again, "k")
    sweep([work.lane("any", 1)], never_stopping, lasts=0.3)
    assert work.left


def test_stopping_service_starts_no_new_work() -> None:
    stopping = threading.Event()
    work = Work(lambda _key: stopping.set(), "k1", "k2", "k3")
    sweep([work.lane("any", 1)], stopping.is_set)
    assert work.done == ["k1"]


def test_unreachable_database_ends_the_sweep() -> None:
    def away(_limit: int) -> list[str]:
        raise Unavailable("no database")

    sweep([Lane("any", away, away, 1, lambda _key: 1.0)], never_stopping)  # type: ignore[arg-type]


def test_idle_copy_looks_for_all_kinds_of_work_in_one_transaction(shop: Shop) -> None:
    begun = []
    sa.event.listen(shop.database.engine, "begin", begun.append)
    dues = shop.store.orders.stalled, shop.store.refunds.stalled, shop.store.deliveries.due
    lanes = [Lane("any", due, never_stopping, 1, lambda _key: 1.0) for due in dues]  # type: ignore[arg-type]
    sweep(lanes, never_stopping, reading=shop.database.read)
    assert len(begun) == 1


def test_lanes_of_one_table_ask_once_whether_any_is_due(shop: Shop) -> None:
    asked: list[str] = []
    found: list[str] = []

    def any_due() -> list[str]:
        asked.append("any")
        return found

    def due(name: str) -> list[str]:
        asked.append(name)
        return []

    lanes = [Lane(name, lambda _, name=name: due(name), str, 1, lambda _: 1.0, any_due=any_due) for name in "ab"]  # type: ignore[misc]
    sweep(lanes, never_stopping)
    assert asked == ["any"]
    found.append("k1")
    sweep(lanes, never_stopping)
    assert asked[1:] == ["any", "a", "b"]


def wait_until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 50
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)


# Parcels: orders follow the moves that the carrier reports.


class Feed:
    """The moves of parcels that the shipping service reports."""

    def __init__(self, *moves: tuple[str, str]) -> None:
        self.moves: list[dict[str, Any]] = [
            {"seq": 10 * number, "shipment_id": shipment, "status": status}
            for number, (shipment, status) in enumerate(moves, start=1)
        ]

    def movements(self, after: int, limit: int) -> list[dict[str, Any]]:
        return [move for move in self.moves if move["seq"] > after][:limit]


@pytest.mark.parametrize(
    ("status", "then"),
    [("TRANSIT", FULFILLED), ("DELIVERED", FULFILLED), ("PRE_TRANSIT", PAID), ("FAILURE", PAID), ("UNKNOWN", PAID)],
)
def test_an_order_is_fulfilled_when_the_carrier_has_its_parcel(shop: Shop, status: str, then: str) -> None:
    shop.pay()
    Parcels(shop.store, Feed(("shp_other", "TRANSIT"), ("shp", status)), shop.clock).follow()
    assert shop.order.status == then
    assert shop.order.times.get(FULFILLED) == (1000 if then == FULFILLED else None)


def test_parcel_move_is_followed_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.pay()
    feed = Feed(*[("shp_other", "TRANSIT")] * 150, ("shp", "TRANSIT"))
    Parcels(shop.store, feed).follow()
    assert (shop.order.status, shop.store.positions.get("parcels")) == (FULFILLED, 1510)
    assert not shop.store.positions.advance("parcels", 100, 2000)  # a copy with an old cursor
    assert shop.store.positions.get("parcels") == 1510
    assert shop.store.orders.settled_with(["shp"]) == []
    shop.refunds.refund("or_1", None, "k")
    assert shop.order.status == RETURNED


def test_returned_order_is_not_fulfilled(shop: Shop) -> None:
    shop.pay()
    shop.refunds.refund("or_1", None, "k")
    Parcels(shop.store, Feed(("shp", "TRANSIT"))).follow()
    assert shop.order.status == RETURNED
