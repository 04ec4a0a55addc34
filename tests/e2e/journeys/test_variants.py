"""Shoppers buy one of several SKUs, and products that are not shipped."""

from __future__ import annotations

from typing import Any

import requests

from chassis.settings import SANDBOX_KEYS
from tests.e2e.journeys.shop import Shopper, Storefront, eventually, unique
from tests.products import variants


def _shirt(shop: Storefront, **changes: Any) -> tuple[str, dict[str, str]]:
    """Create a product with three sizes; return its id, and the SKU of each size."""
    answer = shop.ask("POST", "/api/products/", json=variants("s", "m", "l", **{"name": unique("Shirt"), **changes}))
    assert answer.status_code == 201, answer.text
    made = answer.json()
    return made["id"], {sku["attributes"]["size"]: sku["id"] for sku in made["skus"]["data"]}


def _digital(shop: Storefront) -> str:
    spec = {"name": unique("Song"), "price": 300, "metadata": {"category": "music"}, "shippable": False}
    answer = shop.ask("POST", "/api/products/", json=spec)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def _left(shop: Storefront, product: str) -> dict[str, int]:
    skus = shop.ask("GET", f"/api/products/{product}/").json()["skus"]["data"]
    return {sku["attributes"]["size"]: sku["inventory"]["quantity"] for sku in skus}


def _bought(shopper: Shopper, product: str, **chosen: Any) -> Any:
    answer = shopper.ask("POST", f"/api/cart/{product}/buy/", json={"quantity": 1, **chosen})
    assert answer.status_code == 200, answer.text
    return answer.json()


def _paid(shopper: Shopper) -> dict[str, Any]:
    order = shopper.checkout()
    assert order.status_code == 201, order.text
    answer = shopper.pay(order.json())
    assert answer.status_code == 200, answer.text
    paid: dict[str, Any] = answer.json()
    return paid


def test_shopper_buys_two_sizes_of_a_product(shop: Storefront) -> None:
    product, sku = _shirt(shop)
    shopper = shop.shopper()
    assert shopper.buy(product, 1).status_code == 409
    _bought(shopper, product, sku=sku["s"])
    items = _bought(shopper, product, attributes={"size": "l"})
    assert [(item["parent"], item["attributes"], item["amount"]) for item in items] == [
        (sku["s"], {"size": "s"}, 50),
        (sku["l"], {"size": "l"}, 50),
    ]
    changed = shopper.ask("PUT", f"/api/cart/{product}/", json={"quantity": 3, "sku": sku["l"]})
    assert [item["quantity"] for item in changed.json()] == [1, 3]
    paid = _paid(shopper)
    lines = {item["parent"]: (item["description"][-4:], item["quantity"]) for item in paid["items"]}
    assert (lines[sku["s"]], lines[sku["l"]]) == ((" (s)", 1), (" (l)", 3))
    assert _left(shop, product) == {"s": 4, "m": 5, "l": 2}
    assert shopper.ask("GET", "/api/cart/").json() == []


def test_slow_creation_of_many_skus_is_continued(shop: Storefront) -> None:
    faults = f"{shop.sandbox_url}/sandbox/faults/stripe"
    slow = {"path": "/v1/prices", "method": "POST", "latency_ms": 1500}
    spec = variants(*map(str, range(40)), name=unique("Shirt"))
    answers: list[requests.Response] = []
    requests.put(faults, json=slow, timeout=30).raise_for_status()
    try:
        for _ in range(10):
            key = {"Idempotency-Key": spec["name"]}
            answers.append(shop.ask("POST", "/api/products/", json=spec, headers=key))
            if answers[-1].status_code == 201:
                break
            found = shop.ask("GET", "/api/products/", params={"category": spec["name"]}).json()
            assert found["total_count"] == 0, "nothing is on sale yet"
    finally:
        requests.delete(faults, timeout=30).raise_for_status()
    assert {answer.status_code for answer in answers[:-1]} <= {409, 503, 504}
    assert len(answers) > 1, "one call is too short for so many prices"
    assert answers[-1].json()["skus"]["total_count"] == 40


def test_summary_follows_the_prices_and_names_what_is_gone(shop: Storefront) -> None:
    product, sku = _shirt(shop)
    shopper = shop.shopper()
    for size in ("s", "m", "l"):
        _bought(shopper, product, sku=sku[size])
    path = f"/api/products/{product}/skus"
    assert shop.ask("PUT", f"{path}/{sku['s']}/", json={"price": 80}).status_code == 200
    empty = {"inventory": {"type": "finite", "quantity": 0}}
    assert shop.ask("PUT", f"{path}/{sku['m']}/", json=empty).status_code == 200
    assert shop.ask("DELETE", f"{path}/{sku['l']}/").status_code == 200
    assert [item["price"] for item in shopper.ask("GET", "/api/cart/").json()] == [50, 50, 50]
    found = shopper.ask("GET", "/api/cart/summary/").json()
    assert [(item["price"], item["available"]) for item in found["items"]] == [(80, True), (50, False), (50, False)]
    assert (found["item_count"], found["total"], found["currency"]) == (3, 80, "usd")
    assert [problem["parent"] for problem in found["problems"]] == [sku["m"], sku["l"]]
    assert shopper.ask("GET", "/api/cart/").json() == found["items"]
    refused = shopper.checkout()
    assert refused.status_code == 409
    assert "not on sale" in refused.json()["detail"]


def test_second_currency_is_refused_when_it_is_bought(shop: Storefront) -> None:
    shopper = shop.shopper()
    _bought(shopper, _shirt(shop)[0], attributes={"size": "s"})
    other, _ = _shirt(shop, currency="eur")
    refused = shopper.ask("POST", f"/api/cart/{other}/buy/", json={"quantity": 1, "attributes": {"size": "s"}})
    assert refused.status_code == 409
    assert "is in eur, the cart in usd" in refused.json()["detail"]
    assert len(shopper.ask("GET", "/api/cart/").json()) == 1


def test_price_changed_at_stripe_reaches_its_sku_only(shop: Storefront) -> None:
    product, sku = _shirt(shop)
    new = {
        "product": product,
        "currency": "usd",
        "unit_amount": 90,
        "lookup_key": sku["m"],
        "transfer_lookup_key": "true",
        "metadata[shop:sku]": sku["m"],
        "metadata[shop:attributes]": '{"size":"m"}',
        "metadata[shop:inventory]": '{"type":"infinite"}',
        "metadata[shop:place]": "1",
    }
    url = f"{shop.sandbox_url}/stripe/v1/prices"
    requests.post(url, data=new, auth=(SANDBOX_KEYS["stripe"], ""), timeout=30).raise_for_status()

    def prices() -> dict[str, int]:
        skus = shop.ask("GET", f"/api/products/{product}/").json()["skus"]["data"]
        return {sku["id"]: sku["price"] for sku in skus}

    eventually(lambda: prices() == {sku["s"]: 50, sku["m"]: 90, sku["l"]: 50})
    assert _left(shop, product)["m"] == 5, "its stock stays"


def test_digital_order_is_paid_mailed_and_fulfilled(shop: Storefront) -> None:
    shopper = shop.shopper()
    _bought(shopper, _digital(shop))
    order = shopper.checkout().json()
    assert (order["shipping_methods"], order["upstream_id"], order["amount"]) == ([], None, 300)
    assert {item["type"] for item in order["items"]} == {"sku", "tax"}
    paid = shopper.pay(order).json()
    assert (paid["label_url"], paid["charge"][:3]) == (None, "ch_")
    [mail] = eventually(lambda: shop.arrived("emails", to=shopper.email))
    assert "label" not in mail["html"]
    path = f"/api/orders/{order['id']}"
    found = eventually(lambda: (now := shopper.ask("GET", path).json())["status"] == "fulfilled" and now)
    assert found["status_transitions"]["fulfiled"] >= found["status_transitions"]["paid"]
    assert shop.arrived("labels", order_id=order["id"]) == []
    returned = shop.ask("POST", f"{path}/refund/", json={"all": True}, headers={"Cart-Id": shopper.cart_id})
    assert returned.json()["status"] == "returned"


def test_mixed_order_ships_what_has_a_weight(shop: Storefront) -> None:
    shopper = shop.shopper()
    _bought(shopper, _digital(shop))
    _bought(shopper, _shirt(shop)[0], attributes={"size": "m"})
    paid = _paid(shopper)
    assert [item["type"] for item in paid["items"]] == ["sku", "sku", "tax", "shipping"]
    assert paid["status"] == "paid"
    assert paid["label_url"]
