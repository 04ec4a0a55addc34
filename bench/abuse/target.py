"""The shop under attack: its address, its keys, and the few honest requests that every attack needs."""

from __future__ import annotations

import contextlib
import itertools
import json
import secrets
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import requests

from bench.abuse import wire
from bench.abuse.wire import Answer
from launcher.place import SERVICES
from launcher.shop import Shop

GOOD_CARD, DECLINED_CARD, BANK_CARD = "tok_mastercard", "tok_chargeDeclined", "tok_threeDSecureRequired"
HOME = {"line1": "1092 Indian Summer Ct", "city": "San Jose", "state": "CA", "country": "US", "postal_code": "95122"}
PRODUCT: dict[str, Any] = {
    "name": "Wally bone",
    "description": "The best gift for your pet",
    "attributes": ["manufacturer"],
    "attributes_sku": {"manufacturer": "PetHappy"},
    "package_dimensions": {"height": 5, "length": 5, "weight": 5, "width": 5},
    "metadata": {"category": "food"},
    "price": 50,
}


class Unexpected(Exception):
    """The shop gave a wrong answer to an honest request or to an attack."""


@dataclass
class Target:
    """A running shop with one admin key, where requests must name a cart.

    Args:
        shop: the shop.
        admin_key: the key.
        port: the gateway's; differs from the shop's for a second gateway of the same shop.
    """

    shop: Shop
    admin_key: str
    port: int = 0
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.port = self.port or int(urlsplit(self.shop.url).port or 0)

    def headers(self, cart: str | None = None, admin: bool = False, key: str | None = None) -> list[tuple[str, str]]:
        """Return the headers of an honest request."""
        found = [("Content-Type", "application/json")]
        if cart:
            found.append(("Cart-Id", cart))
        if admin:
            found.append(("Authorization", f"Bearer {self.admin_key}"))
        if key:
            found.append(("Idempotency-Key", key))
        return found

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        cart: str | None = None,
        admin: bool = False,
        key: str | None = None,
        more: Iterable[tuple[str, str]] = (),
        raw: bytes | None = None,
        source: str | None = None,
        half_close: bool = False,
        timeout: float = wire.ANSWER_TIMEOUT_S,
    ) -> Answer:
        """Send one request on its own connection. `raw` is sent instead of `body` as JSON."""
        given = list(more)
        names = {name.lower() for name, _ in given}
        headers = [pair for pair in self.headers(cart, admin, key) if pair[0].lower() not in names]
        sent = raw if raw is not None else None if body is None else json.dumps(body).encode()
        whole = wire.request(method, path, [*headers, *given], sent)
        return await wire.exchange(self.port, whole, source, half_close, method == "HEAD", timeout)

    async def done(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """Return the JSON of an honest request's answer. Raises Unexpected unless it is 2xx."""
        answer = await self.ask(method, path, body, **options)
        if not 200 <= answer.status < 300:
            raise Unexpected(f"{method} {path} was answered {answer}")
        return answer.json

    async def product(self, pieces: int | None = None, **changes: Any) -> dict[str, Any]:
        """Create a product with that many pieces; None: unlimited."""
        inventory = {"type": "infinite"} if pieces is None else {"type": "finite", "quantity": pieces}
        made: dict[str, Any] = await self.done(
            "POST", "/api/products/", {**PRODUCT, "inventory": inventory, **changes}, admin=True
        )
        return made

    async def cart(self, source: str | None = None) -> str:
        """Create a cart; return its id."""
        made: str = (await self.done("POST", "/api/cart/", source=source))["cart_id"]
        return made

    async def order(self, cart: str, product: str, quantity: int = 1, **customer: Any) -> dict[str, Any]:
        """Create an order of that product."""
        await self.done("POST", f"/api/cart/{product}/buy/", {"quality": quantity}, cart=cart)
        made: dict[str, Any] = await self.done(
            "POST", "/api/cart/checkout/", {**self.customer(), **customer}, cart=cart
        )
        return made

    async def pay(self, cart: str, order_id: str, card: str = GOOD_CARD, **options: Any) -> Answer:
        """Pay an order with `card`; return the answer."""
        return await self.ask("POST", "/api/cart/paid/", {"order_id": order_id, "cart": card}, cart=cart, **options)

    async def paid(self, product: str, quantity: int = 1) -> tuple[str, dict[str, Any]]:
        """Create a cart and its order, and pay it."""
        cart = await self.cart()
        order = await self.order(cart, product, quantity)
        answer = await self.pay(cart, order["id"])
        if answer.status != 200:
            raise Unexpected(f"a good card was answered {answer}")
        return cart, answer.json

    async def look(self, order_id: str) -> dict[str, Any]:
        """Return the order as an admin sees it."""
        found: dict[str, Any] = await self.done("GET", f"/api/orders/{order_id}", admin=True)
        return found

    def customer(self) -> dict[str, Any]:
        """Return the body of a checkout, for a shopper with a separate mailbox and telephone."""
        number = next(self._numbers)
        mail = f"{uuid.uuid4().hex}@example.com"
        return {"email": mail, "phone": f"+1415555{number % 10**4:04d}", "name": "Chloe Taylor", "address": HOME}

    def ledger(self, kind: str) -> list[dict[str, Any]]:
        """Return what the providers received: "emails", "sms", "charges", "labels"."""
        answer = requests.get(f"{self.shop.sandbox_url}/sandbox/ledger", params={"kind": kind}, timeout=30)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()[kind]
        return found

    def workers(self, part: str = "gateway") -> list[psutil.Process]:
        """Return the processes that do the work of a part: a gateway's workers, without their parent."""
        leaders = [psutil.Process(pid) for pid in self.shop.pids(part)]
        children = [child for leader in leaders for child in leader.children(recursive=True)]
        return children or leaders

    def services(self) -> list[psutil.Process]:
        """Return the processes of all services."""
        return [process for service in SERVICES for process in self.workers(service)]


def secret() -> str:
    """Return a new admin key, long enough for a live shop."""
    return secrets.token_urlsafe(32)


@contextlib.contextmanager
def target(folder: Path | None = None) -> Iterator[Target]:
    """Start a new shop, and finally stop and remove it. Raises Problem when it cannot start."""
    key = secret()
    env: dict[str, str | None] = {
        "AMQP_URI": None,
        "LOG_LEVEL": "WARNING",
        "ADMIN_API_KEYS": key,
        "CART_ID_REQUIRED": "true",
        "GATEWAY_WORKERS": "2",
    }
    with contextlib.ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shop-abuse-")))
        var_dir = place / "var"
        var_dir.mkdir(parents=True, exist_ok=True)
        var_dir.chmod(0o755)  # as an operator may have created it; the shop must restrict its access (S16)
        yield Target(stack.enter_context(Shop.on_free_ports(var_dir, env=env)), key)
