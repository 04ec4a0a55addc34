"""One purchase in a whole shop: product, cart, checkout, payment, label, refund; and everything is taken back."""

from __future__ import annotations

import json
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from bench.abuse.target import HOME, PRODUCT, secret
from bench.conformance.exchanges import Exchange
from launcher.shop import Shop

# How long a label, and a refund, may take (seconds).
SETTLED_TIMEOUT_S = 180
ANSWER_TIMEOUT_S = 90


def bought(provider_env: Mapping[str, str | None], mail: str, phone: str) -> list[Exchange]:
    """Start a shop with the providers of this environment, buy once in it, and return what it answered."""
    key = secret()
    env: dict[str, str | None] = {"AMQP_URI": None, "LOG_LEVEL": "WARNING", "ADMIN_API_KEYS": key, **provider_env}
    with tempfile.TemporaryDirectory(prefix="shop-live-") as folder:
        var_dir = Path(folder) / "var"
        var_dir.mkdir()
        with Shop.on_free_ports(var_dir, env=env) as shop:
            return _Shopper(shop.url, key).buy(mail, phone)


class _Shopper:
    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._admin = {"Authorization": f"Bearer {key}"}
        self.seen: list[Exchange] = []

    def buy(self, mail: str, phone: str) -> list[Exchange]:
        """Buy a product and send it back; return the exchanges, also when one is refused."""
        made = self._ask("POST", "/api/products/", {**PRODUCT, "inventory": {"type": "infinite"}}, self._admin)
        if made.status >= 400:
            return self.seen
        product = made.body["id"]
        try:
            cart = {"Cart-Id": self._ask("POST", "/api/cart/").body["cart_id"]}
            self._ask("POST", f"/api/cart/{product}/buy/", {"quality": 1}, cart)
            customer = {"email": mail, "phone": phone, "name": "Chloe Taylor", "address": HOME}
            order = self._ask("POST", "/api/cart/checkout/", customer, cart)
            if order.status < 400:
                self._pay(order.body["id"], cart)
        finally:
            self._ask("DELETE", f"/api/products/{product}/", None, self._admin)
        return self.seen

    def _pay(self, order_id: str, cart: Mapping[str, str]) -> None:
        self._ask("POST", "/api/cart/paid/", {"order_id": order_id, "card": "tok_chargeDeclined"}, cart)
        paid = self._ask("POST", "/api/cart/paid/", {"order_id": order_id, "card": "tok_visa"}, cart)
        if paid.status >= 400:
            return
        path = f"/api/orders/{order_id}/"
        self._settled(path, lambda order: order.get("upstream_id") is not None)
        self._ask("GET", path, None, self._admin)
        self._ask("POST", f"{path}refund/", {"all": True}, {**self._admin, "Idempotency-Key": uuid.uuid4().hex})
        self._settled(path, lambda order: order.get("status") == "returned")
        self._ask("GET", path, None, self._admin)

    def _settled(self, path: str, holds: Any) -> None:
        until = time.monotonic() + SETTLED_TIMEOUT_S
        while time.monotonic() < until:
            answer = requests.get(self._url + path, headers=self._admin, timeout=ANSWER_TIMEOUT_S)
            if answer.ok and holds(answer.json()):
                return
            time.sleep(0.5)

    def _ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Exchange:
        sent = {"Content-Type": "application/json", **(headers or {})}
        data = None if body is None else json.dumps(body)
        answer = requests.request(method, self._url + path, data=data, headers=sent, timeout=ANSWER_TIMEOUT_S)
        found = Exchange("shop", "journey", method, path, answer.status_code, dict(answer.headers), answer.text)
        self.seen.append(found)
        return found
