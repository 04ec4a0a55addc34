"""Carts are shown from what is stored, and their summary with current prices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from cart.discounts.codes import DiscountCodes
from cart.showing import Showing
from cart.store.tables import items
from cart.store.unit_of_work import CartStore
from chassis.db.engine import Database
from contracts.errors import ShopError, Unavailable
from tests.databases import migrated

STOCK = {"type": "finite", "quantity": 10, "value": None}


class Products:
    """The products service: SKUs at a price, or none of them on sale any more.

    Attributes:
        asked: the number of calls.
    """

    def __init__(self) -> None:
        self.prices = {"sku_a": 50, "sku_b": 20}
        self.gone: set[str] = set()
        self.failing: ShopError | None = None
        self.asked = 0

    def offer(self, sku: str) -> dict[str, Any]:
        shown = {"name": f"Bone {sku}", "image": None, "attributes": {}, "currency": "usd"}
        return {"sku": sku, "price": self.prices[sku], "inventory": STOCK, **shown}

    def show(self, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.asked += 1
        if self.failing is not None:
            raise self.failing
        return [
            {"parent": each["parent"], "product": "prod_1", "detail": f"{each['parent']} is not on sale."}
            if each["parent"] in self.gone
            else {**self.offer(each["parent"]), "parent": each["parent"], "product": "prod_1", "detail": None}
            for each in asked
        ]


@pytest.fixture
def products() -> Products:
    return Products()


@pytest.fixture
def showing(products: Products) -> Iterator[Showing]:
    database = Database("sqlite://", "cart")
    migrated(database)
    store = CartStore(database)
    for sku in ("sku_a", "sku_b"):
        store.carts.add("cart_1", f"prod_{sku}", products.offer(sku), 2, sku)
    yield Showing(store, products, DiscountCodes(store, None))
    database.dispose()


def test_cart_is_shown_without_asking_products(showing: Showing, products: Products) -> None:
    assert [(each["name"], each["amount"]) for each in showing.items("cart_1")] == [
        ("Bone sku_a", 100),
        ("Bone sku_b", 40),
    ]
    assert showing.items("cart_none") == []
    assert products.asked == 0


def test_summary_has_the_current_prices_and_stores_them(showing: Showing, products: Products) -> None:
    products.prices["sku_a"] = 70
    assert showing.summary("cart_1")["total"] == 180
    assert [each["price"] for each in showing.items("cart_1")] == [70, 20]
    assert products.asked == 1


def test_summary_names_what_is_gone(showing: Showing, products: Products) -> None:
    products.gone = {"sku_a"}
    found = showing.summary("cart_1")
    assert found["problems"] == [{"parent": "sku_a", "detail": "sku_a is not on sale."}]
    assert (found["item_count"], found["total"]) == (4, 40)
    assert [(each["name"], each["available"]) for each in found["items"]] == [
        ("Bone sku_a", False),
        ("Bone sku_b", True),
    ]


def test_summary_of_an_empty_cart_asks_nobody(showing: Showing, products: Products) -> None:
    products.failing = Unavailable("away")
    assert showing.summary("cart_none")["items"] == []


def test_summary_without_products_is_unavailable(showing: Showing, products: Products) -> None:
    products.failing = Unavailable("away")
    with pytest.raises(Unavailable):
        showing.summary("cart_1")
    assert len(showing.items("cart_1")) == 2


def test_item_of_an_old_copy_is_looked_up_once(showing: Showing, products: Products) -> None:
    with showing.store.database.write() as connection:
        connection.execute(sa.update(items).values(shown=None))
    products.failing = Unavailable("away")
    assert [(each["parent"], each["name"]) for each in showing.items("cart_1")] == [("sku_a", None), ("sku_b", None)]
    products.failing = None
    for _ in range(2):
        assert [each["name"] for each in showing.items("cart_1")] == ["Bone sku_a", "Bone sku_b"]
    assert products.asked == 2
