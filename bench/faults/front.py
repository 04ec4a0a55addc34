"""A shop as a program sees it from outside: one request at a time, and the ledger of its sandbox."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import requests

from bench.faults.records import sale_references, taxed

# Longer than the gateway's own longest deadline (30 s), so that the gateway answers first.
TIMEOUT = 40.0
# How long a request without a definitive answer is retried (seconds), also on a machine that the tests overload; and
# the pause between two attempts.
ANSWER_WAIT_S = 180.0
PAUSE = 0.1
# The statuses that say that a retry is safe, and useful.
PASSING = (502, 503, 504)
# A longer wait comes from a rate limit (seconds).
LONGEST_RETRY = 20

HOME = {"line1": "1092 Indian Summer Ct", "city": "San Jose", "state": "CA", "country": "US", "postal_code": "95122"}
BONE: dict[str, Any] = {
    "name": "Wally bone",
    "description": "The best gift for your pet",
    "attributes": ["manufacturer"],
    "package_dimensions": {"height": 5.0, "length": 5.0, "weight": 5.0, "width": 5.0},
    "metadata": {"category": "food"},
}


class NoAnswer(AssertionError):
    """The shop gave no definitive answer for as long as a client waits for one."""


class Front:
    """The gateway and the sandbox of one running shop; for any number of threads, each with its own connections.

    Args:
        url: the gateway's.
        sandbox_url: the sandbox's.
    """

    def __init__(self, url: str, sandbox_url: str) -> None:
        self.url = url
        self.sandbox_url = sandbox_url
        self._own = threading.local()

    def once(self, method: str, path: str, cart: str | None = None, key: str | None = None, **options: Any) -> Any:
        """Send one request, and return any answer (`requests.Response`). Raises requests.RequestException."""
        headers = {name: value for name, value in {"Cart-Id": cart, "Idempotency-Key": key}.items() if value}
        return self._session().request(method, self.url + path, headers=headers, **{"timeout": TIMEOUT, **options})

    def ask(self, method: str, path: str, cart: str | None = None, key: str | None = None, **options: Any) -> Any:
        """Send a request, and retry it with the same key until the answer is definitive. Raises NoAnswer after
        `ANSWER_WAIT_S`."""
        until = time.monotonic() + ANSWER_WAIT_S
        key = key or (uuid.uuid4().hex if method == "POST" else None)
        while True:
            said = "nothing"
            try:
                answer = self.once(method, path, cart, key, **options)
            except requests.RequestException as error:
                said = f"{type(error).__name__}: {error}"
            else:
                if answer.status_code not in PASSING and not _passes(answer):
                    return answer
                said = f"{answer.status_code} {answer.text}"
            if time.monotonic() > until:
                raise NoAnswer(f"{method} {path}: {said}")
            time.sleep(PAUSE)

    def product(self, stock: int, price: int = 50, **more: Any) -> Product:
        """Create a product with `stock` pieces, at `price` cents."""
        spec = {**BONE, "price": price, "inventory": {"type": "finite", "quantity": stock}, **more}
        made = wanted(self.ask("POST", "/api/products/", json=spec), 201)
        return Product(made["id"], made["skus"]["data"][0]["id"], price)

    def variants(self, number: int, stock: int, price: int = 50) -> list[Product]:
        """Create a product with so many SKUs, each with `stock` pieces, at `price` cents."""
        stocked = {"price": price, "inventory": {"type": "finite", "quantity": stock}}
        skus = [{"attributes": {"manufacturer": f"PetHappy {place}"}, **stocked} for place in range(number)]
        made = wanted(self.ask("POST", "/api/products/", json={**BONE, "skus": skus}), 201)
        return [Product(made["id"], sku["id"], price) for sku in made["skus"]["data"]]

    def fill(self, product: Product, stock: int) -> None:
        """Set its stock to `stock` pieces."""
        inventory = {"type": "finite", "quantity": stock}
        path = f"/api/products/{product.id}/skus/{product.sku}/"
        wanted(self.ask("PUT", path, json={"inventory": inventory}), 200)

    def left(self, product: Product) -> int:
        """Return its stock."""
        shown = wanted(self.ask("GET", f"/api/products/{product.id}"), 200)
        [left] = [sku["inventory"]["quantity"] for sku in shown["skus"]["data"] if sku["id"] == product.sku]
        return int(left)

    def discounts(self) -> list[dict[str, Any]]:
        """Return the newest discount codes."""
        found: list[dict[str, Any]] = wanted(self.ask("GET", "/api/discounts/"), 200)["data"]
        return found

    def cart(self) -> str:
        """Create a cart; return its id."""
        made: str = wanted(self.ask("POST", "/api/cart/"), 201)["cart_id"]
        return made

    def ledger(self, **where: Any) -> dict[str, list[dict[str, Any]]]:
        """Return what arrived at the providers, filtered by `order_id`, `to` and `kind`."""
        answer = self._session().get(f"{self.sandbox_url}/sandbox/ledger", params=where, timeout=TIMEOUT)
        found: dict[str, list[dict[str, Any]]] = wanted(answer, 200)
        return found

    def taxes(self, order_id: str) -> list[tuple[int, int]]:
        """Return the amount and the tax of an order's tax transaction and of its reversals, among the newest 1000."""
        found = self.ledger(kind="taxes")["taxes"]
        sales = sale_references(found)
        return [taxed(entry) for entry in found if sales[entry["id"]] == order_id]

    def charges(self, order_id: str) -> list[dict[str, Any]]:
        """Return the charges of an order that took money; Stripe also keeps the declined ones."""
        return [charge for charge in self.ledger(order_id=order_id)["charges"] if charge["paid"]]

    def bank(self, payment: str, result: str) -> None:
        """Answer the bank's authentication of a payment as the shopper: ``succeed`` or ``fail``."""
        url = f"{self.sandbox_url}/sandbox/3ds/{payment}"
        wanted(self._session().post(url, json={"result": result}, timeout=TIMEOUT), 200)

    def age(self, rate_id: str) -> None:
        """Make a rate too old to be bought."""
        url = f"{self.sandbox_url}/sandbox/rates/{rate_id}"
        wanted(self._session().post(url, json={"age_days": 7}, timeout=TIMEOUT), 200)

    def debit(self, payment: str, result: str) -> None:
        """Let the bank settle the debit of a payment: ``succeed`` or ``fail``."""
        url = f"{self.sandbox_url}/sandbox/payments/{payment}"
        wanted(self._session().post(url, json={"result": result}, timeout=TIMEOUT), 200)

    def fault(self, provider: str, **fault: Any) -> None:
        """Switch on a provider's fault, as defined by `sandbox.faults.Fault`; without one, switch it off."""
        url = f"{self.sandbox_url}/sandbox/faults/{provider}"
        method = "PUT" if fault else "DELETE"
        wanted(self._session().request(method, url, json=fault or None, timeout=TIMEOUT), 200)

    @contextlib.contextmanager
    def silent(self, provider: str) -> Iterator[None]:
        """Suppress all webhooks of a provider inside the block."""
        url = f"{self.sandbox_url}/sandbox/webhooks/{provider}"
        wanted(self._session().put(url, json={"enabled": False}, timeout=TIMEOUT), 200)
        try:
            yield
        finally:
            wanted(self._session().delete(url, timeout=TIMEOUT), 200)

    def _session(self) -> requests.Session:
        if not hasattr(self._own, "session"):
            self._own.session = requests.Session()
        session: requests.Session = self._own.session
        return session


@dataclass(frozen=True)
class Product:
    """One SKU of a product on sale: the product's id, its own, its price in cents."""

    id: str
    sku: str
    price: int


def customer(email: str) -> dict[str, Any]:
    """Return the body of a checkout, for a shopper with a separate telephone."""
    phone = f"+1415{2 * 10**6 + uuid.uuid4().int % (8 * 10**6)}"
    return {"email": email, "phone": phone, "name": "Chloe Taylor", "address": HOME}


def wanted(answer: Any, status: int) -> Any:
    """Return the JSON of an answer with that status; AssertionError for any other."""
    assert answer.status_code == status, f"{answer.request.method} {answer.url}: {answer.status_code} {answer.text}"
    return answer.json()


def eventually(look: Callable[[], Any], seconds: float = 30.0, what: str = "it") -> Any:
    """Return the result of `look` once it is true; AssertionError when it is not within `seconds`."""
    until = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < until, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.05)


def _passes(answer: Any) -> bool:
    """Whether this request is still in progress, or may be repeated in a moment."""
    later = answer.headers.get("Retry-After", "")
    return answer.status_code in (409, 429) and later.isdigit() and int(later) <= LONGEST_RETRY
