"""A reader of the feed of parcel steps skips no step, in whichever order the steps are committed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import sqlalchemy as sa

from chassis.db.engine import Database
from shipping.rules.carriers import Label
from shipping.rules.purchase import LabelPurchase, State
from shipping.rules.shipment import Shipment
from shipping.rules.whereabouts import Whereabouts
from shipping.store.shipments import ShippingStore
from shipping.store.tables import labels, move_counter

NOW = 1_000_000.0


def sell(store: ShippingStore, *numbers: str, at: float = NOW) -> None:
    """Record labels with these tracking numbers, each for the shipment ``ship-<number>``."""
    for number in numbers:
        shipment = f"ship-{number}"
        store.add(Shipment(shipment, f"key-{number}", "or_1", at, {}, [], [], [], []))
        store.claim(shipment, "claim", at, at + 15)
        label = Label(f"transaction-{number}", "https://label", number)
        store.record(LabelPurchase(shipment, State.BEGAN, "rate", "rate", "USPS", label=label), at)


def test_feed_continues_in_order_after_the_last_step(store: ShippingStore) -> None:
    sell(store, "1", "2")
    assert store.moves.record("1", Whereabouts("TRANSIT", 5.5), NOW)
    assert store.moves.record("2", Whereabouts("DELIVERED", None), NOW)
    assert store.moves.record("1", Whereabouts("DELIVERED", 9.0), NOW)
    first, second, third = store.moves.after(0, 100)
    moved = {"seq": 1, "shipment_id": "ship-1", "tracking_number": "1", "status": "TRANSIT", "at": 5.5}
    assert first == {**moved, "whole": True}
    assert (second["seq"], second["status"], second["at"]) == (2, "DELIVERED", NOW)
    assert store.moves.after(1, 1) == [second]
    assert store.moves.after(2, 100) == [third]
    assert store.moves.after(3, 100) == []
    kept = store.purchase("ship-1")
    assert kept is not None
    assert kept.tracking_status == "DELIVERED"


def test_old_statuses_and_foreign_parcels_add_no_step(store: ShippingStore) -> None:
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
    recorded: list[bool] = []
    second = threading.Thread(target=lambda: recorded.append(store.moves.record("2", Whereabouts("TRANSIT", 2.0), NOW)))
    reader = ThreadPoolExecutor(1)
    with reader, here.write() as connection:  # another copy is in the middle of recording a step
        connection.execute(sa.update(move_counter).values(last=move_counter.c.last + 1))
        connection.execute(
            sa.text(
                "INSERT INTO moves (seq, shipment_id, tracking_number, status, at) VALUES (1, 's', 't', 'TRANSIT', 1)"
            )
        )
        second.start()
        time.sleep(0.3)
        # A reader must not see the later step while an earlier one may still be committed.
        assert reader.submit(store.moves.after, 0, 100).result(timeout=60) == []
        assert recorded == []
    second.join(timeout=60)
    assert recorded == [True]
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


def test_labels_polled_longest_ago_are_due_first(store: ShippingStore) -> None:
    for age, number in enumerate(("3", "2", "1")):
        sell(store, number, at=NOW + age)
    taken = store.moves.due(NOW + 900, every=900, limit=2)
    assert [label["tracking_number"] for label in taken] == ["3"]
    facts = {"carrier": "USPS", "tracking_number": "3", "transaction_id": "transaction-3", "refund": None}
    assert taken[0] == {"shipment_id": "ship-3", **facts}
    assert sorted(each["tracking_number"] for each in store.moves.due(NOW + 905, 900, 2)) == ["1", "2"]
    assert store.moves.due(NOW + 1799, 900, 10) == []
    assert len(store.moves.due(NOW + 1900, 900, 2)) == 2
    store.moves.put_back(["ship-3", "ship-2", "ship-1"])
    assert len(store.moves.due(NOW + 1900, 900, 10)) == 3


def test_delivered_and_long_lost_parcels_are_not_polled(store: ShippingStore) -> None:
    sell(store, "1", "2", "3")
    store.moves.record("1", Whereabouts("DELIVERED", 5.0), NOW)
    store.moves.record("2", Whereabouts("TRANSIT", 5.0), NOW)
    later = NOW + 100 * 86400
    assert {label["tracking_number"] for label in store.moves.due(later, 900, 10)} == {"2", "3"}  # one last time
    assert store.moves.due(later * 2, 900, 10) == []


def test_concurrent_polls_take_each_label_once(database: Callable[[str], Database]) -> None:
    here = database("shipping")
    store = ShippingStore(here)
    sell(store, *(str(number) for number in range(20)))
    start = threading.Barrier(4)
    taken: list[str] = []

    def poll() -> None:
        start.wait(timeout=30)
        for _ in range(5):
            taken.extend(label["shipment_id"] for label in store.moves.due(NOW + 901, 900, 3))

    pollers = [threading.Thread(target=poll) for _ in range(4)]
    for poller in pollers:
        poller.start()
    for poller in pollers:
        poller.join(timeout=60)
    assert sorted(taken) == sorted(set(taken))
    with here.read() as connection:
        left = connection.execute(sa.select(sa.func.count()).where(labels.c.polled == NOW)).scalar_one()
    assert len(taken) + left == 20


def test_shipment_is_whole_once_its_last_parcel_moves(store: ShippingStore) -> None:
    parts = [Shipment("ship", "key", "or_1", NOW, {}, [], [], [], [])]
    for number in (2, 3):
        parts.append(replace(parts[0], object_id=f"ship.{number}", key=f"key#{number}", part_of="ship", part=number))
    store.add(*parts)
    assert [each.object_id for each in store.parts(parts[0])] == ["ship", "ship.2", "ship.3"]
    assert [each.object_id for each in store.page("created", False, 10, None)[0]] == ["ship"]

    def feed() -> list[tuple[str, str, bool]]:
        return [(each["shipment_id"], each["tracking_number"], each["whole"]) for each in store.moves.after(0, 100)]

    for part in parts[:2]:
        label = Label(f"transaction-{part.object_id}", "https://label", f"number-{part.object_id}")
        store.claim(part.object_id, "claim", NOW, NOW + 15)
        store.record(LabelPurchase(part.object_id, State.BEGAN, "rate", "rate", "USPS", label=label), NOW)
        store.moves.record(f"number-{part.object_id}", Whereabouts("TRANSIT", None), NOW)
    assert feed() == [("ship", "number-ship", False), ("ship", "number-ship.2", False)]  # the third has no label yet
    label = Label("transaction-3", "https://label", "number-3")
    store.claim("ship.3", "claim", NOW, NOW + 15)
    store.record(LabelPurchase("ship.3", State.BEGAN, "rate", "rate", "USPS", label=label), NOW)
    assert {whole for _, _, whole in feed()} == {False}
    store.moves.record("number-3", Whereabouts("TRANSIT", None), NOW)
    assert feed()[2:] == [("ship", "number-3", True)]
