"""A storefront's view of a shop: HTTP to the gateway, and the ledger of the sandbox to see what arrived."""

from __future__ import annotations

import functools
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

from tests.described import Description
from tests.products import new_product

# Longer than the longest deadline of the gateway (30 s), so that the gateway answers before the client gives up.
REQUEST_TIMEOUT_S = 40

BONE = new_product()

HOME = {
    "line1": "1092 Indian Summer Ct",
    "city": "San Jose",
    "state": "CA",
    "country": "US",
    "postal_code": "95122",
}


def unique(word: str) -> str:
    """A word that no other test uses, since the shop under test may have other users."""
    return f"{word}{uuid.uuid4().hex[:12]}"


def eventually(look: Callable[[], Any], seconds: float = 60) -> Any:
    """Repeat `look` until it finds something, and return that. Fails after `seconds`."""
    until = time.monotonic() + seconds
    while True:
        found = look()
        if found or isinstance(found, requests.Response):  # a response of 400 or more is false
            return found
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.1)


@dataclass
class Storefront:
    """One running shop.

    Attributes:
        url: the address of its gateway.
        sandbox_url: the address of its sandbox.
    """

    url: str
    sandbox_url: str

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send one request on a new connection, as a new shopper does; the answer must be one that is described."""
        return self.described(requests.request(method, self.url + path, timeout=REQUEST_TIMEOUT_S, **options))

    def described(self, answer: requests.Response) -> requests.Response:
        """Assert that `/openapi.json` describes an answer; return it."""
        complaint = self.description.complaint(answer)
        assert complaint == "", f"{answer.request.method} {answer.url}: {complaint}"
        return answer

    @functools.cached_property
    def description(self) -> Description:
        """The shop's own description."""
        return Description(requests.get(f"{self.url}/openapi.json", timeout=REQUEST_TIMEOUT_S).json())

    def product(self, **changes: Any) -> dict[str, Any]:
        """Create a product: the product of the seed, with changes."""
        answer = self.ask("POST", "/api/products/", json={**BONE, **changes})
        assert answer.status_code == 201, answer.text
        product: dict[str, Any] = answer.json()
        return product

    def left(self, product_id: str) -> int:
        """How many of a product are left."""
        product = self.ask("GET", f"/api/products/{product_id}").json()
        left: int = product["skus"]["data"][0]["inventory"]["quantity"]
        return left

    def shopper(self) -> Shopper:
        """A new shopper with a new cart, email address and telephone number."""
        return Shopper(self)

    def charged(self, order_id: str) -> list[dict[str, Any]]:
        """The charges of an order that took money. Stripe also lists the declined ones."""
        return [charge for charge in self.arrived("charges", order_id=order_id) if charge["paid"]]

    def arrived(self, kind: str, **wanted: Any) -> list[dict[str, Any]]:
        """The entries of a kind in the sandbox's ledger: ``emails``, ``sms``, ``charges``, ``labels``, ``taxes``."""
        answer = requests.get(f"{self.sandbox_url}/sandbox/ledger", params=wanted, timeout=REQUEST_TIMEOUT_S)
        answer.raise_for_status()
        entries: list[dict[str, Any]] = answer.json()[kind]
        return entries


class Shopper:
    """A shopper with a cart."""

    def __init__(self, shop: Storefront) -> None:
        self.shop = shop
        self.session = requests.Session()
        self.cart_id = shop.ask("POST", "/api/cart/").json()["cart_id"]
        self.session.headers["Cart-Id"] = self.cart_id
        self.email = f"{unique('shopper')}@example.com"
        self.phone = f"+1415{2 * 10**6 + uuid.uuid4().int % (8 * 10**6)}"

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        url = self.shop.url + path
        return self.shop.described(self.session.request(method, url, timeout=REQUEST_TIMEOUT_S, **options))

    def buy(self, product_id: str, quantity: int) -> requests.Response:
        return self.ask("POST", f"/api/cart/{product_id}/buy/", json={"quality": quantity})

    def checkout(self, **changes: Any) -> requests.Response:
        customer = {"email": self.email, "phone": self.phone, "name": "Chloe Taylor", "address": HOME, **changes}
        return self.ask("POST", "/api/cart/checkout/", json=customer)

    def order(self, product_id: str, quantity: int = 1) -> dict[str, Any]:
        """Buy and check out; return the order."""
        assert self.buy(product_id, quantity).status_code == 200
        answer = self.checkout()
        assert answer.status_code == 201, answer.text
        order: dict[str, Any] = answer.json()
        return order

    def pay(self, order: dict[str, Any], card: str = "tok_mastercard") -> requests.Response:
        return self.ask("POST", "/api/cart/paid/", json={"order_id": order["id"], "cart": card})
