"""Broker and cart killed while shoppers fill their carts: each repeats until answered, and each piece is there once."""

from __future__ import annotations

import threading
import uuid

import requests

from launcher.shop import Shop
from tests.e2e.journeys.shop import Shopper, Storefront, eventually
from tests.e2e.outages.test_parts_away import PATIENCE, ready

SHOPPERS = 4


class Buyer(threading.Thread):
    """Buys one piece after the other, each under a key of its own, and repeats each until it is told."""

    def __init__(self, shopper: Shopper, product_id: str, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.bought = 0
        self.repeated = 0
        self.unexpected: list[str] = []
        self._shopper = shopper
        self._path = f"/api/cart/{product_id}/buy/"
        self._over = over

    def run(self) -> None:
        while not self._over.is_set():
            key = uuid.uuid4().hex
            while not self._told(key):
                self.repeated += 1
            self.bought += 1

    def _told(self, key: str) -> bool:
        try:
            answer = self._shopper.ask("POST", self._path, json={"quality": 1}, headers={"Idempotency-Key": key})
        except requests.RequestException as error:
            self.unexpected.append(repr(error))
            return False
        if answer.status_code not in (200, 409, 503, 504):
            self.unexpected.append(answer.text)
        if answer.status_code != 200:
            self._over.wait(0.2)
        return answer.status_code == 200


def test_what_is_repeated_while_broker_and_cart_are_killed_is_done_once(running: Shop, shop: Storefront) -> None:
    product = shop.product(inventory={"type": "infinite"})
    over = threading.Event()
    buyers = [Buyer(shop.shopper(), product["id"], over) for _ in range(SHOPPERS)]
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
        over.set()
        for buyer in buyers:
            buyer.join(PATIENCE * 5)
    assert [buyer.unexpected for buyer in buyers] == [[]] * SHOPPERS
    assert sum(buyer.repeated for buyer in buyers) > 0
    for buyer in buyers:
        [item] = buyer._shopper.ask("GET", "/api/cart/").json()
        assert item["quantity"] == buyer.bought
