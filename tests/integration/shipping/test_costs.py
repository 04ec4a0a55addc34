"""What labels cost in the end is read from the carriers' invoices. The databases are real; the carrier is a stub."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from chassis.db.engine import Database
from contracts.errors import Unavailable
from shipping.labels.costs import SPAN_S, LabelCosts
from shipping.rules.charges import Charge
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
    shop.store.charges.add([replace(LATER, created=shop.clock.now + 1e9)])
    invoices = Invoices([replace(LATER, id="item-2", created=shop.clock.now)])
    LabelCosts(shop.store, invoices, shop.clock).read()
    assert len(shop.store.charges.of(["transaction-1"])) == 2
