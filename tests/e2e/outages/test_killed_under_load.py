"""Broker and cart are killed while shoppers fill their carts. The shoppers repeat requests; each item counts once."""

from __future__ import annotations

import threading
import uuid

import requests

from launcher.shop import Shop
from tests.e2e.journeys.shop import Shopper, Storefront, eventually
from tests.e2e.outages.test_parts_away import ANSWER_LIMIT_S, ready

SHOPPERS = 4


class Buyer(threading.Thread):
    """Buys one item after the other, each under its own idempotency key, and repeats each request until it succeeds."""

    def __init__(self, shopper: Shopper, product_id: str, shopping_ends: threading.Event) -> None:
        super().__init__(daemon=True)
        self.bought = 0
        self.repeated = 0
        self.unexpected: list[str] = []
        self._shopper = shopper
        self._path = f"/api/cart/{product_id}/buy/"
        self._shopping_ends = shopping_ends

    def run(self) -> None:
        while not self._shopping_ends.is_set():
            key = uuid.uuid4().hex
            while not self._succeeds(key):
                self.repeated += 1
            self.bought += 1

    def _succeeds(self, key: str) -> bool:
        try:
            answer = self._shopper.ask("POST", self._path, json={"quality": 1}, headers={"Idempotency-Key": key})
        except requests.RequestException as error:
            self.unexpected.append(repr(error))
            return False
        if answer.status_code not in (200, 409, 503, 504):
            self.unexpected.append(answer.text)
        if answer.status_code != 200:
            self._shopping_ends.wait(0.2)
        return answer.status_code == 200


def test_repeated_purchases_count_once_despite_kills(running: Shop, shop: Storefront) -> None:
    product = shop.product(inventory={"type": "infinite"})
    shopping_ends = threading.Event()
    buyers = [Buyer(shop.shopper(), product["id"], shopping_ends) for _ in range(SHOPPERS)]
    for buyer in buyers:
        buyer.start()
    try:
        for part in ("cart", "rabbitmq", "cart"):
            before = [buyer.bought for buyer in buyers]
            eventually(lambda before=before: all(b.bought > n + 2 for b, n in zip(buyers, before, strict=True)), 90)
            pids = running.pids(part)
            running.kill(part)
            eventually(lambda part=part, pids=pids: running.pids(part) not in ([], pids), 90)
        eventually(lambda: ready(shop).status_code == 200, 90)
    finally:
        shopping_ends.set()
        for buyer in buyers:
            buyer.join(ANSWER_LIMIT_S * 5)
    assert [buyer.unexpected for buyer in buyers] == [[]] * SHOPPERS
    assert sum(buyer.repeated for buyer in buyers) > 0
    for buyer in buyers:
        [item] = buyer._shopper.ask("GET", "/api/cart/").json()
        assert item["quantity"] == buyer.bought
