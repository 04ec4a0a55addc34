"""What labels cost in the end is read from the carriers' invoices. The databases are real; the carrier is a stub."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from chassis.db.engine import Database
from contracts.errors import Unavailable
from shipping.labels.costs import OVERLAP_S, READ_INTERVAL_S, SPAN_S, LabelCosts
from shipping.rules.charges import Charge
from shipping.store.shipments import ShippingStore
from tests.integration.shipping.test_label import Shop

LATER = Charge("item-1", "transaction-1", "LABEL_SURCHARGE", 120, "USD", 0.0)


@dataclass
class Invoices:
    """The items of a carrier's invoices, and the spans that were asked for."""

    items: list[Charge] = field(default_factory=list)
    asked: list[tuple[float, float]] = field(default_factory=list)
    trouble: Exception | None = None

    def charges(self, since: float, until: float) -> list[Charge]:
        self.asked.append((since, until))
        if self.trouble is not None and len(self.asked) > 1:
            raise self.trouble
        return [each for each in self.items if since <= each.created < until]


class Interrupted(Invoices):
    """A reading during which another copy completes its own; then the provider is away."""

    def __init__(self, other: Callable[[], None]) -> None:
        super().__init__()
        self.other = other

    def charges(self, since: float, until: float) -> list[Charge]:
        if self.asked:
            raise Unavailable("away")
        self.other()
        return super().charges(since, until)


@pytest.fixture
def shop(database: Callable[[str], Database]) -> Shop:
    return Shop(database("shipping"))


def test_items_are_recorded_once_and_added_to_the_price(shop: Shop) -> None:
    shop.buy()
    began = shop.clock.now
    paid = replace(LATER, id="item-0", kind="LABEL_PAYMENT", amount=346, created=began)
    invoices = Invoices([paid, replace(LATER, created=began + 20 * 86400)])
    costs = LabelCosts(shop.store, invoices, shop.clock)
    assert (costs.of(shop.shipment)["price"], costs.of(shop.shipment)["cost"]) == (346, 346)  # before any invoice
    shop.clock.now += 21 * 86400
    for _ in range(2):
        costs.read()
    found = costs.of(shop.shipment)
    assert (found["price"], found["cost"], found["currency"], len(found["items"])) == (346, 466, "USD", 2)
    [later] = shop.store.charges.later(10)
    assert (later["order_id"], later["shipment_id"], later["price"], later["amount"]) == ("or_1", "ship", 346, 120)


def test_interrupted_reading_continues_where_it_was(shop: Shop) -> None:
    shop.buy()
    began = shop.clock.now
    items = [replace(LATER, id=f"item-{day}", created=began + day * 86400) for day in (1, 9)]
    invoices = Invoices(items, trouble=Unavailable("away"))
    costs = LabelCosts(shop.store, invoices, shop.clock)
    shop.clock.now += 10 * 86400
    with pytest.raises(Unavailable):
        costs.read()
    assert [each["id"] for each in shop.store.charges.of(["transaction-1"])] == ["item-1"]
    invoices.trouble = None
    costs.read()
    assert [each["id"] for each in shop.store.charges.of(["transaction-1"])] == ["item-1", "item-9"]
    assert all(until - since == SPAN_S for since, until in invoices.asked)


def test_item_of_a_wrong_clock_does_not_end_the_reading(shop: Shop) -> None:
    invoices = Invoices([replace(LATER, created=shop.clock.now + 1e9)])
    costs = LabelCosts(shop.store, invoices, shop.clock)
    shop.clock.now += 1e9
    costs.read()
    shop.clock.now -= 1e9
    for number in range(2):
        shop.clock.now += 86400
        invoices.items = [replace(LATER, id=f"next-{number}", created=shop.clock.now)]
        costs.read()
    assert len(shop.store.charges.of(["transaction-1"])) == 3
    assert shop.store.charges.position() == shop.clock.now


def test_reading_begins_where_any_copy_has_ended(shop: Shop) -> None:
    shop.buy()
    shop.clock.now += 100 * 86400
    invoices = Invoices()
    copies = [LabelCosts(ShippingStore(shop.database), invoices, shop.clock) for _ in range(2)]
    copies[0].read()
    assert len(invoices.asked) > 10
    invoices.asked.clear()
    shop.clock.now += 3600
    copies[1].read()
    assert invoices.asked == [(shop.clock.now - 3600 - OVERLAP_S, shop.clock.now - 3600 - OVERLAP_S + SPAN_S)]


def test_slower_copy_does_not_set_the_position_back(shop: Shop) -> None:
    invoices = Invoices()
    quick = LabelCosts(shop.store, invoices, shop.clock)
    slow = LabelCosts(shop.store, Interrupted(quick.read), shop.clock)
    shop.buy()
    shop.clock.now += 30 * 86400
    with pytest.raises(Unavailable):
        slow.read()
    assert shop.store.charges.position() == shop.clock.now


def test_one_of_several_copies_reads_in_an_hour(shop: Shop) -> None:
    invoices = Invoices()
    copies = [LabelCosts(ShippingStore(shop.database), invoices, shop.clock) for _ in range(2)]
    reads = []
    for _ in range(3):
        for copy in copies:
            copy.read_in_turn()
            reads.append(len(invoices.asked))
        shop.clock.now += READ_INTERVAL_S - 1.0
    assert reads == [1, 1, 2, 2, 3, 3]


def test_reading_that_failed_is_repeated_by_the_next_copy(shop: Shop) -> None:
    invoices = Invoices(asked=[(0.0, 0.0)], trouble=Unavailable("away"))
    copies = [LabelCosts(ShippingStore(shop.database), invoices, shop.clock) for _ in range(2)]
    for copy in copies:
        with pytest.raises(Unavailable):
            copy.read_in_turn()
    assert len(invoices.asked) == 3
