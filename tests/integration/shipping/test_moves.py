"""The feed of the parcels' steps: nobody who follows it skips one, whoever commits first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import sqlalchemy as sa

from chassis.db.engine import Database
from shipping.carriers import Label
from shipping.purchase import Purchase, State
from shipping.shipment import Shipment
from shipping.store import ShippingStore
from shipping.tables import labels, move_counter
from shipping.whereabouts import Whereabouts

NOW = 1_000_000.0


def sell(store: ShippingStore, *numbers: str, at: float = NOW) -> None:
    """Labels with these tracking numbers, each of the shipment ``ship-<number>``."""
    for number in numbers:
        shipment = f"ship-{number}"
        store.add(Shipment(shipment, f"key-{number}", "or_1", at, {}, [], [], [], []))
        store.claim(shipment, "claim", at, at + 15)
        label = Label(f"transaction-{number}", "https://label", number)
        store.record(Purchase(shipment, State.BEGAN, "rate", "rate", "USPS", label=label), at)


def test_steps_are_told_in_their_order_from_where_one_left_off(store: ShippingStore) -> None:
    sell(store, "1", "2")
    assert store.moves.record("1", Whereabouts("TRANSIT", 5.5), NOW)
    assert store.moves.record("2", Whereabouts("DELIVERED", None), NOW)
    assert store.moves.record("1", Whereabouts("DELIVERED", 9.0), NOW)
    first, second, third = store.moves.after(0, 100)
    assert first == {"seq": 1, "shipment_id": "ship-1", "tracking_number": "1", "status": "TRANSIT", "at": 5.5}
    assert (second["seq"], second["status"], second["at"]) == (2, "DELIVERED", NOW)
    assert store.moves.after(1, 1) == [second]
    assert store.moves.after(2, 100) == [third]
    assert store.moves.after(3, 100) == []
    kept = store.purchase("ship-1")
    assert kept is not None
    assert kept.tracking_status == "DELIVERED"


def test_what_is_no_news_or_nobody_s_parcel_is_no_step(store: ShippingStore) -> None:
    sell(store, "1")
    assert store.moves.record("1", Whereabouts("DELIVERED", 5.0), NOW)
    for status, at in (("DELIVERED", 6.0), ("TRANSIT", 7.0), ("PRE_TRANSIT", 1.0)):
        assert not store.moves.record("1", Whereabouts(status, at), NOW)
    assert not store.moves.record("another's", Whereabouts("TRANSIT", 5.0), NOW)
    assert len(store.moves.after(0, 100)) == 1


def test_a_step_that_is_committed_late_is_not_skipped(database: Callable[[str], Database]) -> None:
    here = database("shipping")
    store = ShippingStore(here)
    sell(store, "1", "2")
    told: list[bool] = []
    second = threading.Thread(target=lambda: told.append(store.moves.record("2", Whereabouts("TRANSIT", 2.0), NOW)))
    with here.write() as connection:  # another copy is in the middle of recording a step
        connection.execute(sa.update(move_counter).values(last=move_counter.c.last + 1))
        connection.execute(
            sa.text(
                "INSERT INTO moves (seq, shipment_id, tracking_number, status, at) VALUES (1, 's', 't', 'TRANSIT', 1)"
            )
        )
        second.start()
        time.sleep(0.3)
        # Nobody sees a later number while a smaller one may still come.
        assert store.moves.after(0, 100) == []
        assert told == []
    second.join(timeout=60)
    assert told == [True]
    assert [step["seq"] for step in store.moves.after(0, 100)] == [1, 2]


def test_a_reader_sees_every_step_once_while_many_write(store: ShippingStore) -> None:
    numbers = [str(number) for number in range(12)]
    sell(store, *numbers)

    def move(mine: list[str]) -> None:
        for number in mine:
            for at, status in enumerate(("TRANSIT", "DELIVERED")):
                store.moves.record(number, Whereabouts(status, float(at)), NOW)

    writers = [threading.Thread(target=move, args=(numbers[each::4],)) for each in range(4)]
    for writer in writers:
        writer.start()
    seen: list[tuple[str, str]] = []
    cursor, end = 0, time.monotonic() + 90
    while len(seen) < 24 and time.monotonic() < end:
        for step in store.moves.after(cursor, 5):
            assert step["seq"] == cursor + 1
            cursor = step["seq"]
            seen.append((step["tracking_number"], step["status"]))
    for writer in writers:
        writer.join(timeout=60)
    assert sorted(seen) == sorted((number, status) for number in numbers for status in ("TRANSIT", "DELIVERED"))


def test_labels_are_asked_about_the_longest_ago_first_and_each_by_one(store: ShippingStore) -> None:
    for age, number in enumerate(("3", "2", "1")):
        sell(store, number, at=NOW + age)
    taken = store.moves.due(NOW + 900, every=900, limit=2)
    assert [label["tracking_number"] for label in taken] == ["3"]
    assert taken[0] == {"shipment_id": "ship-3", "carrier": "USPS", "tracking_number": "3", "refund": None}
    assert sorted(each["tracking_number"] for each in store.moves.due(NOW + 905, 900, 2)) == ["1", "2"]
    assert store.moves.due(NOW + 1799, 900, 10) == []
    assert len(store.moves.due(NOW + 1900, 900, 2)) == 2
    store.moves.put_back(["ship-3", "ship-2", "ship-1"])
    assert len(store.moves.due(NOW + 1900, 900, 10)) == 3


def test_what_has_arrived_or_is_long_lost_is_not_asked_about(store: ShippingStore) -> None:
    sell(store, "1", "2", "3")
    store.moves.record("1", Whereabouts("DELIVERED", 5.0), NOW)
    store.moves.record("2", Whereabouts("TRANSIT", 5.0), NOW)
    later = NOW + 100 * 86400
    assert {label["tracking_number"] for label in store.moves.due(later, 900, 10)} == {"2", "3"}  # for the last time
    assert store.moves.due(later * 2, 900, 10) == []


def test_many_ask_at_once_and_each_label_is_taken_by_one(database: Callable[[str], Database]) -> None:
    here = database("shipping")
    store = ShippingStore(here)
    sell(store, *(str(number) for number in range(20)))
    start = threading.Barrier(4)
    taken: list[str] = []

    def ask() -> None:
        start.wait(timeout=30)
        for _ in range(5):
            taken.extend(label["shipment_id"] for label in store.moves.due(NOW + 901, 900, 3))

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(timeout=60)
    assert sorted(taken) == sorted(set(taken))
    with here.read() as connection:
        left = connection.execute(sa.select(sa.func.count()).where(labels.c.polled == NOW)).scalar_one()
    assert len(taken) + left == 20
