"""A state machine that uses a shop at random, compared with a plain model of the expected results after every step."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hypothesis import HealthCheck, Phase, assume, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, get_state_machine_test, initialize, rule

from bench.faults.expected import ASKING, CARDS, GOOD, WAITING, Expected, ExpectedShop
from bench.faults.front import Front, Product, customer, eventually, wanted

STEPS = 40
SIDE_BY_SIDE = 6
PRODUCTS, CARTS = 3, 2
# What a shopper does next; the repetitions are the relative frequencies.
DEEDS = (
    *("buy", "buy", "buy", "set", "remove", "clear"),
    *("order", "order", "order", "order", "check out", "check out again", "check out again"),
    *("choose", "choose", "pay", "pay", "pay", "pay well", "pay well", "pay well", "confirm", "confirm", "confirm"),
    *("cancel", "cancel", "give back", "give back", "give back", "return"),
    *("repeat", "repeat", "reuse a key"),
)
# A shopper who returns to an order picks one of this many latest ones.
RECENT = 4
# Without any fault, what follows a payment or the bank's answer arrives within this many seconds.
SETTLED_WITHIN = 20.0


class Shopping(RuleBasedStateMachine):
    """Two shoppers, three products with little stock, and everything that a shopper may do with them."""

    front: Front
    tally: Tally

    def __init__(self) -> None:
        super().__init__()
        self.expected = ExpectedShop()
        self.products: list[Product] = []
        self.carts: list[str] = []
        self.payments: dict[str, str] = {}
        self.customers: dict[int, dict[str, Any]] = {}
        self.repeatable: tuple[str, str, str, dict[str, Any], Any] | None = None
        self.began = time.monotonic()
        self.steps = 0
        self.ends: Counter[str] = Counter()

    @initialize(
        stocks=st.lists(st.integers(2, 9), min_size=PRODUCTS, max_size=PRODUCTS),
        chance=st.integers(0, 2**16),
    )
    def open(self, stocks: list[int], chance: int) -> None:
        assume(chance)  # Hypothesis begins with a run in which everything is 0, which tests little
        for number, stock in enumerate(stocks):
            product = self.front.product(stock, price=100 * (number + 1))
            self.products.append(product)
            self.expected.stock[product.sku] = stock
            self.expected.prices[product.sku] = product.price
        for _ in range(CARTS):
            cart = self.front.cart()
            self.carts.append(cart)
            self.expected.carts[cart] = {}
        self._change_cart("buy", 0, 0, 1)
        self._check_out(0)

    # One rule for all actions: Hypothesis disables about half of the rules in every run.
    @rule(
        deed=st.sampled_from(DEEDS),
        cart=st.integers(0, CARTS - 1),
        product=st.integers(0, PRODUCTS - 1),
        number=st.integers(0, 1500),
    )
    def step(self, deed: str, cart: int, product: int, number: int) -> None:
        ids = list(self.expected.orders)[-RECENT:]
        order_id = ids[number % len(ids)]
        order = self.expected.orders[order_id]
        if deed in ("buy", "set", "remove", "clear"):
            self._change_cart(deed, cart, product, 1 + number % 5)
        elif deed in ("order", "check out", "check out again"):
            if deed == "order":
                self._change_cart("buy", cart, product, 1)
            self._check_out(cart, again=deed == "check out again")
        elif deed == "choose":
            self._choose(order_id, sorted(order.methods)[number % len(order.methods)])
        elif deed == "pay":
            self._pay(order_id, CARDS[number % len(CARDS)])
        elif deed == "pay well":
            self._pay(order_id, order.card or GOOD[0])
        elif deed == "confirm":
            self._bank(order_id, "fail" if number % 3 == 0 else "succeed", again=number % 2 == 0)
        elif deed == "cancel":
            self._cancel(order_id)
        elif deed in ("give back", "return"):
            self._refund(order_id, None if deed == "return" else 1 + number)
        else:
            self._repeat(other=deed == "reuse a key")

    # The cart

    def _change_cart(self, change: str, cart: int, product: int, quantity: int) -> None:
        sku, whose = self.products[product].sku, self.carts[cart]
        path = f"/api/cart/{self.products[product].id}/"
        if change == "buy":
            status = self.expected.buy(whose, sku, quantity)
            answer = self._post(f"{path}buy/", whose, {"quality": quantity})
        elif change == "set":
            status = self.expected.set_quantity(whose, sku, quantity)
            answer = self.front.ask("PUT", path, whose, json={"quality": quantity})
        elif change == "remove":
            status = self.expected.remove(whose, sku)
            answer = self.front.ask("DELETE", path, whose)
        else:
            status = self.expected.clear(whose)
            answer = self.front.ask("DELETE", "/api/cart/", whose)
        self._cart_is(cart, answer, status)

    def _check_out(self, cart: int, again: bool = False) -> None:
        """Check out for a new customer, or `again` for the last one of this cart."""
        if not again or cart not in self.customers:
            self.customers[cart] = customer(f"model-{len(self.expected.orders)}-{cart}@example.com")
        email = self.customers[cart]["email"]
        status = self.expected.checkout(self.carts[cart], email)
        answer = self._post("/api/cart/checkout/", self.carts[cart], self.customers[cart])
        self._same("the answer to a checkout", answer.status_code, status, answer.text)
        if status == 201:
            order = answer.json()
            unpaid = self.expected.unpaid(self.carts[cart], email)
            if unpaid is not None:
                self._same("the order of the same checkout", order["id"], unpaid)
                self._order_is(unpaid, order)
                return
            methods = {method["id"]: method["amount"] for method in order["shipping_methods"]}
            self.expected.place(order["id"], self.carts[cart], methods, email)
            self._order_is(order["id"], order)

    def _repeat(self, other: bool) -> None:
        """Send the last request once more with its key: the answer is the same, and nothing happens."""
        if self.repeatable is None:
            return
        path, cart, key, body, first = self.repeatable
        answer = self.front.once("POST", path, cart, key, json=_altered(body) if other else body)
        self._ended("repeated")
        if other and body:
            self._same("the answer to another body under the key", answer.status_code, 422, answer.text)
        else:
            found = (answer.status_code, answer.headers.get("Idempotent-Replayed"), answer.content)
            self._same("the repeated answer", found, (first.status_code, "true", first.content))
        for number in range(len(self.carts)):
            self._cart_is(number)

    # Actions on an order

    def _choose(self, order_id: str, method: str) -> None:
        status = self.expected.choose(order_id, method)
        body = {"order_id": order_id, "shipping_id": method}
        cart = self.expected.orders[order_id].cart
        self._order_answered(order_id, self._post("/api/cart/shipping/", cart, body), status)

    def _bank(self, order_id: str, result: str, again: bool) -> None:
        """Answer the bank's authentication as the shopper, then pay again at once, or leave it to the shop to learn of
        it."""
        order = self.expected.orders[order_id]
        if order.status != WAITING:
            self._pay(order_id, ASKING[0])
        if order.status != WAITING:
            return
        self.front.bank(self.payments[order_id], result)
        self._ended(f"bank {result}")
        self.expected.bank(order_id, result)
        if again:
            self._pay(order_id, ASKING[0])
        else:
            eventually(lambda: self._order(order_id)["status"] == order.public, SETTLED_WITHIN, "the bank's answer")
            self._shelves_soon_right()
        self._order_is(order_id)
        self._cart_is(self.carts.index(order.cart))

    def _cancel(self, order_id: str) -> None:
        status = self.expected.cancel(order_id)
        cart = self.expected.orders[order_id].cart
        self._order_answered(order_id, self._post(f"/api/orders/{order_id}/cancel/", cart, {}), status)
        self._shelves_soon_right()

    def _refund(self, order_id: str, cents: int | None) -> None:
        status = self.expected.refund(order_id, cents)
        cart = self.expected.orders[order_id].cart
        body = {"all": True} if cents is None else {"amount": cents}
        self._order_answered(order_id, self._post(f"/api/orders/{order_id}/refund/", cart, body), status)
        self._shelves_soon_right()

    # Comparison

    def teardown(self) -> None:
        """Compare everything at the end of a run, in the shop and at the providers."""
        for number in range(len(self.carts)):
            self._cart_is(number)
        eventually(self._shelves_are_right, SETTLED_WITHIN, f"stock {self._shelves()}, not {self.expected.stock}")
        for order_id, order in self.expected.orders.items():
            self._order_is(order_id)
            eventually(partial(self._delivered, order_id, order), SETTLED_WITHIN, "the deliveries")
            self._books_are(order_id, order)
        if self.products:
            self.tally.ran(self.steps, len(self.expected.orders), self.ends, time.monotonic() - self.began)

    def check_invariants(self, *arguments: Any, **options: Any) -> None:
        super().check_invariants(*arguments, **options)
        if self.products:
            self.steps += 1

    def _pay(self, order_id: str, card: str) -> None:
        order = self.expected.orders[order_id]
        before = order.status
        status = self.expected.pay(order_id, card)
        answer = self._post("/api/cart/paid/", order.cart, {"order_id": order_id, "cart": card})
        self._order_answered(order_id, answer, status)
        if order.status == WAITING:
            self.payments[order_id] = answer.json().get("client_secret", "").partition("_secret_")[0]
            assert self.payments[order_id].startswith("pi_"), answer.text
        if order.status != before or status in (402, 200):
            self._shelves_soon_right()
            self._cart_is(self.carts.index(order.cart))

    def _order_answered(self, order_id: str, answer: Any, status: int) -> None:
        self._same(f"the answer about {order_id}", answer.status_code, status, answer.text)
        self._order_is(order_id, answer.json() if status == 200 else None)

    def _order_is(self, order_id: str, shown: dict[str, Any] | None = None) -> None:
        shown = shown or self._order(order_id)
        order = self.expected.orders[order_id]
        lines = {line["parent"]: line["quantity"] for line in shown["items"] if line["type"] == "sku"}
        found = {name: shown[name] for name in ("status", "amount", "selected_shipping_method")}
        found |= {"returned": shown["amount_returned"] or 0, "lines": lines, "charged": bool(shown["charge"])}
        expected = {
            "status": order.public,
            "amount": order.amount,
            "selected_shipping_method": order.selected,
            "returned": order.returned,
            "lines": order.lines,
            "charged": order.sold,
        }
        self._same(f"order {order_id}", found, expected)

    def _order(self, order_id: str) -> dict[str, Any]:
        cart = self.expected.orders[order_id].cart
        shown: dict[str, Any] = wanted(self.front.ask("GET", f"/api/orders/{order_id}", cart), 200)
        return shown

    def _cart_is(self, number: int, answer: Any = None, status: int = 200) -> None:
        if answer is None:
            answer = self.front.ask("GET", "/api/cart/", self.carts[number])
        self._same(f"the answer about cart {number}", answer.status_code, status, answer.text)
        if status == 200:
            expected = self.expected.items(self.carts[number])
            found = (
                [{name: item[name] for name in expected[0]} for item in answer.json()] if expected else answer.json()
            )
            self._same(f"cart {number}", found, expected)

    def _shelves(self) -> dict[str, int]:
        return {product.sku: self.front.left(product) for product in self.products}

    def _shelves_are_right(self) -> bool:
        return self._shelves() == self.expected.stock

    def _shelves_soon_right(self) -> None:
        # Stock that a payment returns is usually back when the answer arrives, and rarely a little later.
        eventually(self._shelves_are_right, SETTLED_WITHIN, f"the stock {self.expected.stock}, not {self._shelves()}")

    def _delivered(self, order_id: str, order: Expected) -> bool:
        found = self.front.ledger(order_id=order_id)
        return all(len(found[kind]) >= order.sold for kind in ("labels", "emails", "sms"))

    def _books_are(self, order_id: str, order: Expected) -> None:
        found = self.front.ledger(order_id=order_id)
        charges = [(charge["amount"], charge["amount_refunded"]) for charge in found["charges"] if charge["paid"]]
        self._same(f"charges of {order_id}", charges, [(order.amount, order.returned)] if order.sold else [])
        for kind in ("labels", "emails", "sms"):
            self._same(f"{kind} of {order_id}", len(found[kind]), int(order.sold))

    # Requests

    def _ended(self, how: str) -> None:
        self.ends[how] += 1

    def _post(self, path: str, cart: str, body: dict[str, Any]) -> Any:
        key = uuid.uuid4().hex
        answer = self.front.ask("POST", path, cart, key, json=body)
        # A definitive answer is replayed; a pending authentication or an invalid body is not.
        self._ended(f"{path.strip('/').rpartition('/')[2]} {answer.status_code}")
        # A rate limit is not replayed either: it says when to retry.
        kept = answer.status_code in (200, 201, 404, 409) and "Retry-After" not in answer.headers
        if kept or (answer.status_code == 402 and "client_secret" not in answer.text):
            self.repeatable = (path, cart, key, body, answer)
        return answer

    def _same(self, what: str, found: Any, expected: Any, said: str = "") -> None:
        assert found == expected, f"{what}: {found}\nand not: {expected}\n{said}"


def _altered(body: dict[str, Any]) -> dict[str, Any]:
    """Return the same request with one difference."""
    name = next(iter(body), None)
    if name is None:
        return body
    if "all" in body:  # a refund of all: the other kind
        return {"amount": 1}
    was = body[name]
    return {**body, name: was + 1 if isinstance(was, int) else f"x{was}"}


@dataclass
class Tally:
    """The results of all finished runs.

    Attributes:
        ends: how often which action ended how ("paid 200").
        say: called after every run.
    """

    runs: int = 0
    steps: int = 0
    orders: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    say: Any = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ran(self, steps: int, orders: int, ends: Counter[str], seconds: float) -> None:
        """Count a finished run."""
        with self._lock:
            self.runs += 1
            self.steps += steps
            self.orders += orders
            self.ends += ends
            if self.say is not None:
                self.say(f"run {self.runs}: {self.steps} steps, {self.orders} orders, this one {seconds:.1f} s")


def drive(front: Front, runs: int, number: int | None = None, steps: int = STEPS, say: Any = None) -> Tally:
    """Run the state machine on a shop. Raises AssertionError, with the steps that led there, when the two differ.

    Args:
        runs: the number of runs, each with its own products, carts and orders; steps: the number of steps of each.
        number: the seed of the first run, incremented for each next one; drawn, and reported, if None.
        say: called with the seed, and after every run.
    """
    first = random.SystemRandom().randrange(2**32) if number is None else number
    tally = Tally(say=say)
    if say is not None:
        say(f"seed {first}")
    wish = settings(
        max_examples=1,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        # A failing run is shown as it was: shrinking it takes hundreds of additional runs.
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

    # Hypothesis parses the machine's source, and Python 3.11 cannot parse in two threads at once.
    reading = threading.Lock()

    # Each run has its own seed: within one seed, Hypothesis creates most runs by altering the first a little.
    def run(turn: int) -> None:
        machine = type("Machine", (Shopping,), {"front": front, "tally": tally})
        try:
            with reading:
                test = get_state_machine_test(seed(first + turn)(machine), settings=wish)
            test()
        except Exception as error:
            notes = "\n".join(getattr(error, "__notes__", []))
            raise AssertionError(f"seed {first + turn}: {type(error).__name__}: {error}\n{notes}") from error

    # In parallel, because much of a run is waiting: for a provider's events, and for redelivered messages.
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        list(pool.map(run, range(runs)))
    return tally
