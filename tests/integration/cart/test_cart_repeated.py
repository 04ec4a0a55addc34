"""A cart verb that is repeated under its idempotency key after a crash gives its first answer."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from nameko.testing.services import worker_factory

from cart.rules.order import CANCELED, CANCELING, CONFIRMING, PAID, PAYING
from cart.rules.public_order import render
from cart.service import CartService
from cart.store.orders import Orders
from cart.store.unit_of_work import CartStore
from chassis.db.engine import Database
from contracts.errors import Conflict, NotFound, Unavailable

CUSTOMER = {"email": "a@b.co", "phone": "+14155550100", "name": "Chloe Taylor", "address": {"country": "US"}}


class Products:
    """The products service; a test can delete its products."""

    def __init__(self) -> None:
        self.deleted = False
        same: dict[str, Any] = {"description": "A", "price": 50, "currency": "usd", "package_dimensions": {}}
        self.line = {**same, "product": "a", "shippable": True}

    def offer(
        self, product_id: str, sku: str | None = None, attributes: dict[str, str] | None = None
    ) -> dict[str, Any]:
        if self.deleted:
            raise NotFound("It is gone.")
        endless = {"type": "infinite", "quantity": None, "value": None}
        shown = {"name": product_id, "image": None, "attributes": attributes or {}, "price": 50, "currency": "usd"}
        return {"sku": sku or f"sku_{product_id}", **shown, "inventory": endless}

    def price(self, items: list[dict[str, Any]], check_stock: bool = True) -> list[dict[str, Any]]:
        return [{**self.line, **item} for item in items]


class Shipping:
    """The shipping service: one shipment per key, for the items of the first call."""

    def __init__(self) -> None:
        self.made: dict[str, list[Any]] = {}

    def create(self, key: str, _order_id: str, _address: Any, items: list[dict[str, Any]]) -> dict[str, Any]:
        self.made.setdefault(key, items)
        weight = sum(item["quantity"] for item in self.made[key])
        method = {"id": "rate_1", "amount": 100 * weight, "currency": "usd", "description": "Mail"}
        return {"object_id": f"shp_{len(self.made)}", "methods": [method], "selected": "rate_1"}


@pytest.fixture
def cart(database: Callable[[str], Database]) -> Any:
    """The cart service, with its own store and doubles of its neighbours."""
    service = worker_factory(
        CartService,
        store=CartStore(database("cart")),
        products=Products(),
        shipping=Shipping(),
        provider={"stripe": SimpleNamespace(payments=SimpleNamespace(live=False))},
    )
    service.settings.tax_included = None
    return service


def test_repeated_buy_is_answered_after_product_deletion(cart: Any) -> None:
    first = cart.buy("cart_1", "a", 2, "key")
    cart.products.deleted = True
    assert cart.buy("cart_1", "a", 2, "key") == first
    with pytest.raises(NotFound):
        cart.buy("cart_1", "a", 2, "another key")


def test_one_of_several_skus_is_named_to_change_it(cart: Any) -> None:
    for sku in ("sku_s", "sku_m"):
        cart.buy("cart_1", "a", 2, sku, sku)
    with pytest.raises(Conflict, match="`sku`"):
        cart.set_quantity("cart_1", "a", 3)
    with pytest.raises(NotFound):
        cart.set_quantity("cart_1", "a", 3, None, "sku_l")
    changed = cart.set_quantity("cart_1", "a", 3, None, "sku_m")
    assert {each["parent"]: each["quantity"] for each in changed} == {"sku_s": 2, "sku_m": 3}
    assert [each["parent"] for each in cart.remove("cart_1", "a", None, "sku_s")] == ["sku_m"]
    assert [each["quantity"] for each in cart.set_quantity("cart_1", "a", 4)] == [4]
    assert [each["name"] for each in cart.items("cart_1")] == ["a"]


def test_repeated_change_is_answered_when_no_longer_allowed(cart: Any) -> None:
    cart.buy("cart_1", "a", 2, "key")
    order = cart.checkout("cart_1", CUSTOMER, "order")
    method = order["selected_shipping_method"]
    first = cart.choose_shipping("cart_1", order["id"], method, "shipping")
    cart.set_quantity("cart_1", "a", 3, "quantity")
    cart.products.deleted = True
    cart.store.orders.update(order["id"], None, lambda order: setattr(order, "status", PAYING))
    assert cart.choose_shipping("cart_1", order["id"], method, "shipping") == first
    with pytest.raises(Conflict):
        cart.choose_shipping("cart_1", order["id"], method, "another key")
    cart.clear("cart_1", "clear")
    assert cart.set_quantity("cart_1", "a", 3, "quantity") == []
    with pytest.raises(NotFound):
        cart.set_quantity("cart_1", "a", 3)
    cart.buy("cart_1", "a", 2, "key")
    assert cart.remove("cart_1", "a", "remove") == cart.clear("cart_1", "clear") == []


def test_repeated_checkout_ships_the_items_of_its_order(cart: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first attempt fails after its shipment and before its order. The cart changes before the second attempt."""

    def away(*_: Any) -> Any:
        raise Unavailable("The database of cart does not answer.")

    cart.buy("cart_1", "a", 1, "first")
    with monkeypatch.context() as patched:
        patched.setattr(Orders, "place", away)
        with pytest.raises(Unavailable):
            cart.checkout("cart_1", CUSTOMER, "key")
    cart.buy("cart_1", "b", 9, "second")
    order = cart.checkout("cart_1", CUSTOMER, "key")
    assert order["shipping_methods"][0]["amount"] == 1000
    assert cart.checkout("cart_1", CUSTOMER, "key") == order
    assert len(cart.shipping.made) == 2


def test_same_checkout_returns_the_same_unpaid_order(cart: Any) -> None:
    cart.buy("cart_1", "a", 2, "first")
    cart.buy("cart_1", "b", 1, "second")
    order = cart.checkout("cart_1", CUSTOMER, "one key")
    assert cart.checkout("cart_1", CUSTOMER, "another key") == order
    assert len(cart.shipping.made) == 1
    cart.remove("cart_1", "a")
    cart.buy("cart_1", "a", 2, "third")  # the same items, in another sequence
    assert cart.checkout("cart_1", CUSTOMER, "a third key") == order


def test_a_chosen_shipping_method_is_kept_by_the_same_checkout(cart: Any) -> None:
    cart.buy("cart_1", "a", 1, "first")
    order = cart.checkout("cart_1", CUSTOMER, "one key")
    changed = render(cart.store.orders.update(order["id"], None, lambda order: setattr(order, "updated", 999)))
    assert changed.items() <= cart.checkout("cart_1", CUSTOMER, "another key").items()


@pytest.mark.parametrize("change", ["quantity", "address", "phone", "price", "parcel", "cart"])
def test_a_checkout_that_differs_is_a_new_order(cart: Any, change: str) -> None:
    cart.buy("cart_1", "a", 1, "first")
    order = cart.checkout("cart_1", CUSTOMER, "one key")
    customer, cart_id = dict(CUSTOMER), "cart_1"
    if change == "quantity":
        cart.set_quantity("cart_1", "a", 2, "second")
    elif change == "address":
        customer["address"] = {"country": "CA"}
    elif change == "phone":
        customer["phone"] = "+14155550101"
    elif change == "price":
        cart.products.line["price"] = 51
    elif change == "parcel":
        cart.products.line["package_dimensions"] = {"weight": 9}
    else:
        cart_id = "cart_2"
        cart.buy("cart_2", "a", 1, "second")
    again = cart.checkout(cart_id, customer, "another key")
    assert again["id"] != order["id"]


@pytest.mark.parametrize("status", [PAYING, CONFIRMING])
def test_an_order_that_is_being_paid_is_used_again(cart: Any, status: str) -> None:
    cart.buy("cart_1", "a", 1, "first")
    order = cart.checkout("cart_1", CUSTOMER, "one key")
    cart.store.orders.update(order["id"], None, lambda order: setattr(order, "status", status))
    assert cart.checkout("cart_1", CUSTOMER, "another key")["id"] == order["id"]


@pytest.mark.parametrize("status", [CANCELING, CANCELED, PAID])
def test_an_order_that_is_canceled_or_paid_is_not_used_again(cart: Any, status: str) -> None:
    cart.buy("cart_1", "a", 1, "first")
    order = cart.checkout("cart_1", CUSTOMER, "one key")
    cart.store.orders.update(order["id"], None, lambda order: setattr(order, "status", status))
    assert cart.checkout("cart_1", CUSTOMER, "another key")["id"] != order["id"]


def test_order_with_old_rates_is_not_used_again(cart: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cart.buy("cart_1", "a", 1, "first")
    order = cart.checkout("cart_1", CUSTOMER, "one key")
    monkeypatch.setattr("cart.store.orders.REUSED_FOR_S", -1.0)
    assert cart.checkout("cart_1", CUSTOMER, "another key")["id"] != order["id"]
