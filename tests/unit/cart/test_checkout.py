"""The rules of an order hold for a placed order and for a quoted one."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from cart.checkout import Checkout
from cart.rules.public_order import render
from contracts.errors import Conflict, InvalidRequest, NotFound, Refused, ShopError
from products.rules.stock import FINITE, Inventory, gone, short, unsold

ADDRESS = {"line1": "1 Main St", "city": "San Jose", "state": "CA", "postal_code": "95122", "country": "us"}
CUSTOMER = {"email": "a@example.com", "phone": "+14155550100", "name": "Chloe Taylor", "address": ADDRESS}


class Cart:
    """A cart with two SKUs and no order yet."""

    def __init__(self) -> None:
        self.items = [{"parent": sku, "quantity": 2} for sku in ("sku_a", "sku_b")]

        self.carts, self.orders = SimpleNamespace(items=lambda _cart_id: self.items), self

    def placed(self, _key: str) -> None:
        return None

    def unpaid(self, _cart_id: str, _digest: str) -> None:
        return None

    def place(self, order: Any, _key: str, _digest: str) -> Any:
        return order


class Products:
    """The products service: the price and currency of each SKU, and the tax code of some; `short` are out of stock."""

    def __init__(self) -> None:
        self.prices = {"sku_a": (500, "usd"), "sku_b": (700, "usd")}
        self.digital: set[str] = set()
        self.short: set[str] = set()
        self.codes: dict[str, str] = {}

    def price(self, items: list[dict[str, Any]], check_stock: bool = True) -> list[dict[str, Any]]:
        unknown = [gone(item["parent"], None) for item in items if item["parent"] not in self.prices]
        if unknown:
            raise unsold(unknown)
        if check_stock and self.short:
            raise unsold([short(sku, "Bone", 2, Inventory(FINITE, 0)) for sku in sorted(self.short)])
        found = [(item, *self.prices[item["parent"]]) for item in items]
        details = {"description": "Bone", "package_dimensions": {}}
        return [
            {
                **details,
                **item,
                "price": price,
                "currency": currency,
                "shippable": item["parent"] not in self.digital,
                "tax_code": self.codes.get(item["parent"]),
            }
            for item, price, currency in found
        ]

    def show(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {"parent": item["parent"], "product": "prod_1", "detail": "There is no such SKU."}
            if item["parent"] not in self.prices
            else {
                "parent": item["parent"],
                "product": "prod_1",
                "detail": None,
                "name": "Bone",
                "image": None,
                "attributes": {},
                "price": self.prices[item["parent"]][0],
                "currency": self.prices[item["parent"]][1],
            }
            for item in items
        ]


class Shipping:
    """The shipping service: it offers one method for 300, or raises `failing`."""

    def __init__(self) -> None:
        self.failing: ShopError | None = None
        self.asked: list[tuple[Any, ...]] = []

    def create(self, *asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        if self.failing is not None:
            raise self.failing
        method = {"id": "rate_1", "amount": 300, "currency": asked[3][0]["currency"], "description": "Mail"}
        return {"object_id": "shp_1", "methods": [method], "selected": "rate_1"}


class Shop:
    """A checkout on these fakes, and both ways to get an order from it."""

    def __init__(self) -> None:
        self.cart, self.products, self.shipping = Cart(), Products(), Shipping()
        self.checkout = Checkout(self.cart, self.products, self.shipping, live=False)  # type: ignore[arg-type]

    def placed(self) -> dict[str, Any]:
        return render(self.checkout.place("cart_1", CUSTOMER, "key"))

    def quoted(self, **changes: Any) -> dict[str, Any]:
        items = [{**item, "type": "sku"} for item in self.cart.items]
        shipping = {"name": "Chloe Taylor", "address": ADDRESS}
        return self.checkout.quote({"items": items, "shipping": shipping, **changes}, "key")


Ask = Callable[[Shop], dict[str, Any]]
BOTH = pytest.mark.parametrize("ask", [Shop.placed, Shop.quoted], ids=["placed", "quoted"])


@BOTH
@pytest.mark.parametrize("currency", ["usd", "eur", "jpy", "kwd"])
def test_an_order_has_the_currency_of_its_products(ask: Ask, currency: str) -> None:
    shop = Shop()
    shop.products.prices = {"sku_a": (500, currency), "sku_b": (700, currency)}
    order = ask(shop)
    assert (order["currency"], order["amount"]) == (currency, 2 * 500 + 2 * 700 + 300)
    assert {line["currency"] for line in order["items"] if line["type"] == "shipping"} == {currency}


@BOTH
def test_order_in_two_currencies_is_refused_before_quoting(ask: Ask) -> None:
    shop = Shop()
    shop.products.prices["sku_b"] = (700, "jpy")
    with pytest.raises(Conflict, match="jpy, usd"):
        ask(shop)
    assert shop.shipping.asked == []


@BOTH
def test_amount_above_the_payment_limit_is_refused(ask: Ask) -> None:
    shop = Shop()
    shop.products.prices["sku_b"] = (49_999_999, "usd")
    with pytest.raises(Conflict, match="99999999"):
        ask(shop)


@BOTH
def test_country_is_quoted_in_capital_letters(ask: Ask) -> None:
    shop = Shop()
    ask(shop)
    assert shop.shipping.asked[0][2]["country"] == "US"


@pytest.mark.parametrize(
    "changes",
    [
        {"currency": "jpy"},
        {"items": [{"type": "sku", "parent": "sku_a", "quantity": 1, "currency": "JPY"}]},
        {"items": [{"type": "sku", "parent": "sku_a", "quantity": 1}, {"type": "tax", "amount": 5, "currency": "eur"}]},
    ],
    ids=["order", "sku line", "tax line"],
)
def test_a_quoted_order_names_one_currency_everywhere(changes: dict[str, Any]) -> None:
    shop = Shop()
    with pytest.raises(Conflict, match="one currency"):
        shop.quoted(**changes)
    assert shop.shipping.asked == []


def test_a_quoted_order_may_name_its_currency_in_capitals() -> None:
    assert Shop().quoted(currency="USD")["currency"] == "usd"


def test_quoted_order_with_a_negative_amount_is_refused() -> None:
    lines = [{"type": "sku", "parent": "sku_a", "quantity": 1}, {"type": "discount", "amount": -801}]
    with pytest.raises(Conflict, match="An order of -1"):
        Shop().quoted(items=lines)


def test_quoted_order_obeys_the_cart_limit_per_sku() -> None:
    lines = [{"type": "sku", "parent": "sku_a", "quantity": 5_001}] * 2
    with pytest.raises(InvalidRequest) as invalid:
        Shop().quoted(items=lines)
    assert list(invalid.value.facts["errors"]["items"]) == ["1"]


def test_an_unknown_sku_is_not_found_in_a_quoted_order() -> None:
    shop = Shop()
    del shop.products.prices["sku_b"]
    with pytest.raises(NotFound, match="sku_b"):
        shop.quoted()
    with pytest.raises(Conflict, match="sku_b is not on sale"):
        shop.placed()


def test_a_refusal_names_the_address_as_it_was_sent() -> None:
    shop = Shop()
    for ask, errors in ((shop.placed, {"address": ["far"]}), (shop.quoted, {"shipping": {"address": ["far"]}})):
        shop.shipping.failing = Refused("No.", {"errors": {"address": ["far"]}})
        with pytest.raises(Refused) as refused:
            ask()
        assert refused.value.facts["errors"] == errors


def test_checkout_gets_no_field_errors_for_unshippable_items() -> None:
    shop = Shop()
    shop.shipping.failing = Refused("Anvil is too heavy.", {"errors": {"items": ["Anvil is too heavy."]}})
    with pytest.raises(Refused) as refused:
        shop.placed()
    assert "errors" not in refused.value.facts
    shop.shipping.failing = InvalidRequest("Cannot be packed.", {"errors": {"items": ["Anvil: no weight"]}})
    with pytest.raises(Conflict, match="Anvil: no weight"):
        shop.placed()
    shop.shipping.failing = InvalidRequest("Cannot be packed.", {"errors": {"items": ["Anvil: no weight"]}})
    with pytest.raises(InvalidRequest):
        shop.quoted()


@BOTH
def test_only_what_has_a_weight_is_shipped(ask: Ask) -> None:
    shop = Shop()
    shop.products.digital = {"sku_a"}
    order = ask(shop)
    [(_, _, _, parcels)] = shop.shipping.asked
    assert [each["parent"] for each in parcels] == ["sku_b"]
    assert order["amount"] == 2 * 500 + 2 * 700 + 300


def test_order_of_digital_products_has_no_shipping() -> None:
    shop = Shop()
    shop.products.digital = {"sku_a", "sku_b"}
    order = shop.placed()
    assert shop.shipping.asked == []
    assert (order["amount"], order["shipping_methods"], order["selected_shipping_method"]) == (2400, [], None)
    assert (order["upstream_id"], {item["type"] for item in order["items"]}) == (None, {"sku", "tax"})


def test_nothing_is_quoted_for_digital_products() -> None:
    shop = Shop()
    shop.products.digital = {"sku_a", "sku_b"}
    with pytest.raises(Conflict, match="nothing to ship"):
        shop.quoted()
