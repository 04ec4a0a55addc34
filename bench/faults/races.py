"""Concurrent requests: fifty with one key, and a hundred for the last piece. One order results, and one sale."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from bench.faults.front import Front, Product, customer, eventually, wanted

CARD = "tok_visa"
# Everything that a race leaves behind has settled within this many seconds.
SETTLED_WITHIN = 30.0
START_SECONDS, RACE_SECONDS = 60.0, 240.0

Result = TypeVar("Result")


def at_once(runners: int, run: Callable[[int], Result]) -> list[Result]:
    """Run `run(0)`, `run(1)`, … at the same moment; return their results. Raises what one of them raised."""
    gate = threading.Barrier(runners)

    def one(number: int) -> Result:
        gate.wait(START_SECONDS)
        return run(number)

    with ThreadPoolExecutor(runners) as pool:
        return list(pool.map(one, range(runners), timeout=RACE_SECONDS))


def one_key(front: Front, requests: int = 50) -> None:
    """One round: the same checkout with one key, many times at once; then its payment, and a further addition to the
    cart.

    Raises AssertionError unless there is one order, one charge, one addition to the cart, and one answer, to the byte.
    """
    product = front.product(stock=10)
    cart = front.cart()
    path, more = f"/api/cart/{product.id}/buy/", {"quality": 2}
    _same_for_all(at_once(requests, _sender(front, path, cart, more)), 200)
    items = wanted(front.ask("GET", "/api/cart/", cart), 200)
    assert [item["quantity"] for item in items] == [2], f"bought once, and not {items}"

    email = f"race-{uuid.uuid4().hex}@example.com"
    answers = at_once(requests, _sender(front, "/api/cart/checkout/", cart, customer(email)))
    order = _same_for_all(answers, 201)
    placed = wanted(front.ask("GET", f"/api/orders/?email={email}"), 200)["data"]
    assert [one["id"] for one in placed] == [order["id"]], f"one order, and not {placed}"

    payment = {"order_id": order["id"], "cart": CARD}
    paid = _same_for_all(at_once(requests, _sender(front, "/api/cart/paid/", cart, payment)), 200)
    assert paid["status"] == "paid", paid
    charges = front.charges(order["id"])
    assert [charge["amount"] for charge in charges] == [order["amount"]], f"one charge, and not {charges}"
    assert front.left(product) == 8


def clicks(front: Front, requests: int = 20) -> None:
    """One round: the same checkout many times at once, each with its own key; then its payment.

    Raises AssertionError unless there is one order and one charge.
    """
    product, cart = front.product(stock=10), front.cart()
    wanted(front.ask("POST", f"/api/cart/{product.id}/buy/", cart, json={"quality": 1}), 200)
    email = f"race-{uuid.uuid4().hex}@example.com"
    body = customer(email)
    answers = at_once(requests, lambda _: front.ask("POST", "/api/cart/checkout/", cart, json=body))
    order = _same_for_all(answers, 201)
    placed = wanted(front.ask("GET", f"/api/orders/?email={email}"), 200)["data"]
    assert [one["id"] for one in placed] == [order["id"]], f"one order, and not {placed}"
    payment = {"order_id": order["id"], "cart": CARD}
    assert wanted(front.ask("POST", "/api/cart/paid/", cart, json=payment), 200)["status"] == "paid"
    assert len(front.charges(order["id"])) == 1


def _sender(front: Front, path: str, cart: str, body: dict[str, Any]) -> Callable[[int], Any]:
    key = uuid.uuid4().hex
    return lambda _: front.ask("POST", path, cart, key=key, json=body)


def _same_for_all(answers: list[Any], status: int) -> Any:
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {status}, f"{dict(statuses)}, and not {status} for all: {answers[0].text}"
    bodies = {answer.content for answer in answers}
    assert len(bodies) == 1, f"one answer for all, and not {bodies}"
    return answers[0].json()


@dataclass
class Buyer:
    """A buyer with an order that is not paid yet."""

    cart: str
    order: dict[str, Any]


class Crowd:
    """Buyers with an order each, who all pay at once, round after round, for something of which one is left.

    Args:
        front: the shop.
        buyers: how many.
    """

    def __init__(self, front: Front, buyers: int) -> None:
        self.front = front
        self.count = buyers
        self.other: Product
        self.other, self.product = front.variants(2, stock=buyers)
        self.all: list[Buyer] = []

    def come(self) -> None:
        """Let everybody check out again; a buyer who has left is replaced."""
        carts = [buyer.cart for buyer in self.all] + [None] * (self.count - len(self.all))
        found = at_once(min(self.count, 8), lambda number: [self.buyer(cart) for cart in carts[number::8]])
        self.all = [buyer for some in found for buyer in some]

    def buyer(self, cart: str | None = None) -> Buyer:
        """A buyer with that cart, which still has the piece in it, or with a new one."""
        if cart is None:
            cart = self.front.cart()
            wish = {"quality": 1, "sku": self.product.sku}
            wanted(self.front.ask("POST", f"/api/cart/{self.product.id}/buy/", cart, json=wish), 200)
        self.prepare(cart)
        email = f"race-{uuid.uuid4().hex}@example.com"
        return Buyer(cart, wanted(self.front.ask("POST", "/api/cart/checkout/", cart, json=customer(email)), 201))

    def prepare(self, cart: str) -> None:
        """What a buyer does with the cart before the checkout."""

    def pay_at_once(self) -> int:
        """Let all pay; return the number of the one that succeeded. Raises AssertionError unless there is one, and it
        alone was charged, once."""
        answers = at_once(len(self.all), lambda number: self._pay(self.all[number]))
        statuses = Counter(answer.status_code for answer in answers)
        assert statuses == {200: 1, 409: len(self.all) - 1}, f"{dict(statuses)}, and not one sale"
        winner = next(number for number, answer in enumerate(answers) if answer.status_code == 200)
        for number, buyer in enumerate(self.all):
            charges = self.front.charges(buyer.order["id"])
            assert len(charges) == (number == winner), f"{buyer.order['id']}: {charges}"
        return winner

    def _pay(self, buyer: Buyer) -> Any:
        body = {"order_id": buyer.order["id"], "cart": CARD}
        return self.front.ask("POST", "/api/cart/paid/", buyer.cart, json=body)


class LastPiece(Crowd):
    """Buyers who all want the last piece of one of a product's two SKUs."""

    def __init__(self, front: Front, buyers: int = 100) -> None:
        super().__init__(front, buyers)
        self.come()

    def round(self) -> int:
        """Let all pay for one piece at once; return the number of payments. Raises AssertionError unless one was sold,
        once."""
        self.front.fill(self.product, 1)
        winner = self.pay_at_once()
        eventually(lambda: self.front.left(self.product) == 0, SETTLED_WITHIN, "an empty shelf")
        assert self.front.left(self.other) == len(self.all), "the other SKU keeps its stock"
        self.front.fill(self.product, len(self.all))
        self.all[winner] = self.buyer()
        return len(self.all)


class LastRedemption(Crowd):
    """Buyers who all have a code that one of them may redeem."""

    def __init__(self, front: Front, buyers: int = 100) -> None:
        super().__init__(front, buyers)
        self.code = ""

    def prepare(self, cart: str) -> None:
        wanted(self.front.ask("POST", "/api/cart/discount/", cart, json={"code": self.code}), 200)

    def round(self) -> int:
        """Let all pay with a new code at once; return the number of payments. Raises AssertionError unless one has
        redeemed it."""
        self.code = f"race-{uuid.uuid4().hex}"
        body = {"code": self.code, "percent_off": 10, "max_redemptions": 1}
        wanted(self.front.ask("POST", "/api/discounts/", json=body), 201)
        self.come()
        winner = self.pay_at_once()
        amounts = [charge["amount"] for charge in self.front.charges(self.all[winner].order["id"])]
        assert amounts == [self.all[winner].order["amount"]], amounts
        [shown] = [each for each in self.front.discounts() if each["code"] == self.code]
        assert (shown["times_redeemed"], shown["active"]) == (1, False), shown
        left = self.count - 1
        eventually(lambda: self.front.left(self.product) == left, SETTLED_WITHIN, "the others' stock back")
        self.front.fill(self.product, self.count)
        del self.all[winner]
        return self.count
