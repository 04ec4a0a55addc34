"""Concurrent shoppers, served by different gateway processes, each get their own order, mail and SMS."""

from __future__ import annotations

import threading
from typing import Any

from tests.e2e.journeys.shop import Shopper, Storefront, eventually, unique

ROUNDS = 4
PAIRS = 2


def _buys(shopper: Shopper, product: dict[str, Any], quantity: int, ready: threading.Barrier, out: list[Any]) -> None:
    ready.wait(60)
    order = shopper.order(product["id"], quantity)
    ready.wait(60)
    out.append((shopper, order, shopper.pay(order)))


def test_concurrent_shoppers_get_their_own_orders_and_messages(shop: Storefront) -> None:
    for _ in range(ROUNDS):
        products = [shop.product(name=unique("Bone"), price=100 + number) for number in range(2 * PAIRS)]
        shoppers = [shop.shopper() for _ in products]
        ready = threading.Barrier(len(shoppers))
        done: list[Any] = []
        threads = [
            threading.Thread(target=_buys, args=(shopper, product, number + 1, ready, done))
            for number, (shopper, product) in enumerate(zip(shoppers, products, strict=True))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(150)
        assert len(done) == len(shoppers)
        for shopper, order, answer in done:
            number = shoppers.index(shopper)
            paid = answer.json()
            assert answer.status_code == 200, answer.text
            assert paid["id"] == order["id"]
            assert paid["email"] == shopper.email
            [line] = [item for item in paid["items"] if item["type"] == "sku"]
            assert line["parent"] == products[number]["skus"]["data"][0]["id"]
            assert (line["quantity"], line["amount"]) == (number + 1, (number + 1) * (100 + number))
            [charge] = shop.charged(order["id"])
            assert charge["amount"] == paid["amount"]
            [mail] = eventually(lambda: shop.arrived("emails", to=shopper.email))  # noqa: B023
            assert products[number]["name"] in mail["html"]
            [text] = eventually(lambda: shop.arrived("sms", to=shopper.phone))  # noqa: B023
            assert order["id"] in text["body"]
