"""Races between copies of the cart service over one cart, order and stock, on SQLite and PostgreSQL.

The tests include the three attacks of "ACIDRain" (T. Warszawski, P. Bailis, SIGMOD 2017). Most shops in that study
allowed them: overselling, spending one thing twice, and adding items to a cart during its payment.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from cart.checkout import Checkout
from cart.deliveries.outbox import Outbox
from cart.deliveries.parcels import Parcels
from cart.payment.cancel import Cancellation
from cart.payment.pay import OrderPayment
from cart.payment.settlement import Settlement
from cart.refunds.refund import Refunds
from cart.rules.order import CANCELED, CONFIRMING, CREATED, FULFILLED, PAID, RETURNED
from cart.store.unit_of_work import CartStore
from chassis.db.engine import Database
from contracts.errors import Conflict, InvalidRequest, ShopError
from products.rules.stock import Inventory, lines
from products.store.products import ProductStore
from tests.products import fill, pieces_left, product
from tests.unit.cart.fakes import Bank, Carrier, Postman

CUSTOMER = {
    "email": "a@example.com",
    "name": "A",
    "phone": None,
    "address": {"line1": "1", "city": "C", "country": "US"},
}
METHODS = {"fast": 2000, "slow": 300}
PRICE = 50


class Shelves:
    """The products service, backed by its real store."""

    def __init__(self, database: Database) -> None:
        self.store = ProductStore(database)

    def reserve(self, key: str, items: list[dict[str, Any]]) -> None:
        self.store.stock.reserve(key, lines(items))

    def release(self, key: str) -> None:
        self.store.stock.release(key)

    def stock_left(self, skus: list[str]) -> dict[str, int | None]:
        return {sku: pieces_left(kept, sku) for sku, kept in self.store.by_sku(skus).items()}

    def price(self, items: list[dict[str, Any]], check_stock: bool = True) -> list[dict[str, Any]]:
        about = {"description": "Bone", "price": PRICE, "currency": "usd", "shippable": True, "package_dimensions": {}}
        return [{**item, **about} for item in items]

    @property
    def left(self) -> int:
        kept = self.store.kept("prod_1")
        assert kept is not None
        left = pieces_left(kept)
        assert left is not None
        return left


class Quotes(Carrier):
    """A carrier that also quotes; it calls `during_quote` before it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.during_quote: Callable[[], Any] = lambda: None

    def create(self, key: str, *_: Any) -> dict[str, Any]:
        self.during_quote()
        methods = [
            {"id": name, "amount": amount, "currency": "usd", "description": name} for name, amount in METHODS.items()
        ]
        return {"object_id": f"shp_{key}", "methods": methods, "selected": "slow"}


class Copy:
    """One copy of the cart service, with its own connections."""

    def __init__(self, database: Callable[[str], Database], bank: Bank, carrier: Quotes, postman: Postman) -> None:
        self.store = CartStore(database("cart"))
        self.shelves = Shelves(database("products"))
        settlement = Settlement(self.store, bank, Outbox(self.store, self.shelves, carrier, postman, bank))
        self.purchase = OrderPayment(settlement)
        self.cancellation = Cancellation(settlement)
        self.refunds = Refunds(settlement)
        self.checkout = Checkout(self.store, self.shelves, carrier, live=False)

    def add(self, cart_id: str, quantity: int, key: str, **offered: Any) -> None:
        offer = {"sku": "sku_1", "name": "Bone", "inventory": {"type": "infinite"}, **offered}
        self.store.carts.add(cart_id, "prod_1", offer, quantity, key)

    def order(self, cart_id: str = "cart_1", quantity: int = 1) -> str:
        self.add(cart_id, quantity, f"{cart_id}:add")
        return self.checkout.place(cart_id, CUSTOMER, f"{cart_id}:checkout").id

    def status(self, order_id: str) -> str:
        return self.store.orders.get(order_id).status


class Copies:
    """Three copies that share databases, bank, carrier and postman; the stock is five bones."""

    def __init__(self, database: Callable[[str], Database]) -> None:
        self.bank, self.carrier, self.postman = Bank(), Quotes(), Postman()
        self.all = [Copy(database, self.bank, self.carrier, self.postman) for _ in range(3)]
        self.one = self.all[0]
        fill(self.one.shelves.store, product(1, inventory=Inventory("finite", 5)))

    def at_once(self, *work: Callable[[Copy], Any]) -> list[Any]:
        """Run all calls at the same moment, spread over the copies; return the result or refusal of each."""
        results: list[Any] = [None] * len(work)
        ready = threading.Barrier(len(work))

        def run(index: int) -> None:
            ready.wait(30)
            try:
                results[index] = work[index](self.all[index % len(self.all)])
            except (Conflict, InvalidRequest) as error:
                results[index] = error

        threads = [threading.Thread(target=run, args=(index,)) for index in range(len(work))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert not any(thread.is_alive() for thread in threads)
        return results


@pytest.fixture
def copies(database: Callable[[str], Database], monkeypatch: pytest.MonkeyPatch) -> Copies:
    # No copy sends heartbeats during its work. On a busy machine, others would consider it dead.
    monkeypatch.setattr("chassis.db.heartbeat.GONE_AFTER_S", 120.0)
    return Copies(database)


def pays(order_id: str, card: str = "tok_visa") -> Callable[[Copy], str]:
    return lambda copy: copy.purchase.pay(order_id, None, card).status


def test_parallel_payments_do_not_oversell(copies: Copies) -> None:
    orders = [copies.one.order(f"cart_{number}") for number in range(9)]
    results = copies.at_once(*(pays(order_id) for order_id in orders))
    assert results.count(PAID) == 5
    assert all(isinstance(result, Conflict) for result in results if result != PAID)
    assert (copies.one.shelves.left, len(copies.bank.charges)) == (0, 5)
    statuses = [copies.one.status(order_id) for order_id in orders]
    assert sorted(statuses) == [CREATED] * 4 + [PAID] * 5


def test_parallel_payers_charge_an_order_once(copies: Copies) -> None:
    order_id = copies.one.order(quantity=2)
    assert copies.at_once(*[pays(order_id)] * 6) == [PAID] * 6
    assert (len(copies.bank.charges), copies.one.shelves.left) == (1, 3)
    assert sorted(row["kind"] for row in copies.one.store.deliveries.of(order_id)) == ["email", "label", "sms"]


def test_parallel_additions_leave_one_currency_in_a_cart(copies: Copies) -> None:
    def adds(cart_id: str, currency: str) -> Callable[[Copy], None]:
        return lambda copy: copy.add(cart_id, 1, f"{cart_id} {currency}", sku=f"sku_{currency}", currency=currency)

    for number in range(30):
        cart_id, three = f"cart_{number}", ("usd", "eur", "gbp")
        results = copies.at_once(*(adds(cart_id, currency) for currency in three))
        found = {item["currency"] for item in copies.one.store.carts.items(cart_id)}
        assert (len(found), results.count(None)) == (1, 1), found


def test_parallel_checkouts_place_one_order(copies: Copies) -> None:
    copies.one.add("cart_1", 2, "add")

    def checks_out(number: int) -> Callable[[Copy], str]:
        return lambda copy: copy.checkout.place("cart_1", CUSTOMER, f"click {number}").id

    [order_id] = set(copies.at_once(*(checks_out(number) for number in range(9))))
    page, _, total = copies.one.store.orders.page(None, None, 100, None)
    assert ([order.id for order in page], total) == ([order_id], 1)
    assert copies.at_once(*(pays(order_id) for _ in range(3))) == [PAID] * 3
    assert len(copies.bank.charges) == 1


def test_two_cards_for_one_order_charge_only_one(copies: Copies) -> None:
    order_id = copies.one.order()
    results = copies.at_once(*[pays(order_id, "tok_visa"), pays(order_id, "tok_mastercard")] * 2)
    [(_, _, card)] = copies.bank.charges
    assert results[card == "pm_mastercard" :: 2] == [PAID] * 2
    assert all("another card" in str(result) for result in results[card != "pm_mastercard" :: 2])
    assert copies.one.shelves.left == 4


def test_parallel_refunds_return_the_payment_once(copies: Copies) -> None:
    order_id = copies.one.order(quantity=2)
    amount = copies.one.purchase.pay(order_id, None, "tok_visa").amount

    def refunds(number: int) -> Callable[[Copy], str]:
        return lambda copy: copy.refunds.refund(order_id, amount // 2, f"k{number}").status

    results = copies.at_once(*(refunds(number) for number in range(5)), refunds(0))
    assert copies.bank.given_back("pi_1") == amount
    assert results.count(RETURNED) + results.count(PAID) >= 2
    # The store refused the other refunds without asking the bank.
    assert [row["state"] for row in copies.one.store.refunds.of_order(order_id)] == ["done"] * 2
    assert all(isinstance(result, Conflict | InvalidRequest) for result in results if result not in (RETURNED, PAID))
    order = copies.one.store.orders.get(order_id)
    assert (order.status, order.amount_returned) == (RETURNED, amount)
    copies.at_once(*[lambda copy: copy.purchase.settlement.outbox.deliver(f"{order_id}:1:stock")] * 3)
    assert copies.one.shelves.left == 5


def test_item_added_during_checkout_stays_in_the_cart(copies: Copies, monkeypatch: pytest.MonkeyPatch) -> None:
    copies.carrier.during_quote = lambda: copies.all[1].add("cart_1", 1, "while it is quoted")
    confirm = copies.bank.confirm

    def confirms(*asked: Any) -> Any:
        copies.all[2].add("cart_1", 1, "while it is paid")
        return confirm(*asked)

    monkeypatch.setattr(copies.bank, "confirm", confirms)
    order_id = copies.one.order(quantity=2)
    order = copies.one.purchase.pay(order_id, None, "tok_visa")
    assert order.stock == [{"parent": "sku_1", "quantity": 2}]
    assert [charged for _, charged, _ in copies.bank.charges] == [2 * PRICE + METHODS["slow"]]
    assert copies.one.store.carts.items("cart_1")[0]["quantity"] == 2  # still in the cart, and not charged
    assert copies.one.shelves.left == 3


def test_items_added_during_payment_stay_in_the_cart(copies: Copies) -> None:
    order_id = copies.one.order(quantity=2)
    copies.at_once(
        pays(order_id),
        pays(order_id),
        *(lambda copy, n=number: copy.add("cart_1", 1, f"add {n}") for number in range(6)),
    )
    assert copies.one.store.carts.items("cart_1")[0]["quantity"] == 6


def test_charge_matches_the_chosen_shipping_method(copies: Copies) -> None:
    for number in range(4):
        order_id = copies.one.order(f"cart_{number}")

        def chooses(method: str, order_id: str = order_id) -> Callable[[Copy], Any]:
            return lambda copy: copy.store.orders.update(order_id, None, lambda chosen: chosen.choose(method, 1))

        copies.at_once(chooses("fast"), pays(order_id), chooses("slow"), chooses("fast"))
        order = copies.one.store.orders.get(order_id)
        assert order.status == PAID
        assert order.amount == PRICE + METHODS[order.method_id or ""]
        assert copies.bank.charges[-1][:2] == (order.payment, order.amount)
    assert len(copies.bank.charges) == 4


def test_paying_and_canceling_at_once_has_one_outcome(copies: Copies) -> None:
    def cancels(order_id: str) -> Callable[[Copy], str]:
        return lambda copy: copy.cancellation.cancel(order_id, None).status

    seen = set()
    for number in range(5):
        order_id = copies.one.order(f"cart_{number}")
        shelf = copies.one.shelves.left
        charges = len(copies.bank.charges)
        work = [pays(order_id), cancels(order_id), pays(order_id), cancels(order_id)]
        results = copies.at_once(*work if number % 2 else reversed(work))
        ended = copies.one.status(order_id)
        seen.add(ended)
        assert results.count(ended) == 2
        assert len([result for result in results if isinstance(result, Conflict)]) == 2
        sold = 1 if ended == PAID else 0
        assert len(copies.bank.charges) - charges == sold
        assert shelf - copies.one.shelves.left == sold
    assert seen <= {PAID, CANCELED}


def test_webhook_and_repeated_payment_charge_once(copies: Copies) -> None:
    order_id = copies.one.order()
    copies.bank.mood = "ask"
    with pytest.raises(Exception, match="holder"):
        copies.one.purchase.pay(order_id, None, "tok_visa")
    copies.bank.take("pi_1")
    results = copies.at_once(pays(order_id), lambda copy: copy.purchase.look_now("pi_1"), pays(order_id))
    assert results == [PAID, True, PAID]
    deliveries = copies.one.store.deliveries.of(order_id)
    assert (len(copies.bank.charges), len(deliveries), copies.one.shelves.left) == (1, 3, 4)


def test_parallel_copies_fulfill_an_order_once(copies: Copies) -> None:
    order_id = copies.one.order()
    copies.one.purchase.pay(order_id, None, "tok_visa")
    shipment = copies.one.store.orders.get(order_id).shipment
    move = {"seq": 7, "shipment_id": shipment, "status": "TRANSIT"}
    results = copies.at_once(*[lambda copy: Parcels(copy.store, None).record(0, [move])] * 6)
    assert sorted(results) == [False] * 5 + [True]
    assert copies.one.store.orders.get(order_id).status == FULFILLED
    assert {copy.store.positions.get("parcels") for copy in copies.all} == {7}


def set_bank_mood(copies: Copies, mood: str) -> None:
    """Make the bank answer every confirmation in this mood."""
    confirm = copies.bank._confirm

    def answer(payment_id: str, method: str, key: str) -> Any:
        copies.bank.mood = mood
        return confirm(payment_id, method, key)

    copies.bank._confirm = answer  # type: ignore[method-assign]


def try_to_pay(order_id: str, card: str = "tok_visa") -> Callable[[Copy], str]:
    """Return a call that pays; its result is the status or the name of the failure."""

    def pay(copy: Copy) -> str:
        try:
            return copy.purchase.pay(order_id, None, card).status
        except ShopError as error:
            return type(error).__name__

    return pay


def test_parallel_declines_of_a_cart_are_limited(copies: Copies) -> None:
    set_bank_mood(copies, "decline")
    orders = []
    for number in range(16):
        copies.one.add("cart_1", 1, f"{number}:add")
        customer = {**CUSTOMER, "name": f"Shopper {number}"}  # a different customer makes a different order
        orders.append(copies.one.checkout.place("cart_1", customer, f"{number}:checkout").id)
        copies.one.store.carts.clear("cart_1")
    for _ in range(3):
        copies.at_once(*(try_to_pay(order_id) for order_id in orders))
    asked = [key for key in copies.bank.answers if key.endswith(":confirm")]
    assert 0 < len(asked) <= 10
    results = copies.at_once(*(try_to_pay(order_id) for order_id in orders))
    if len(asked) == 10:
        assert results == ["TooManyRequests"] * 16


def test_parallel_declines_of_an_order_are_limited(copies: Copies) -> None:
    set_bank_mood(copies, "decline")
    order_id = copies.one.order()
    results = copies.at_once(*(try_to_pay(order_id, f"tok_{number}") for number in range(12)))
    assert results.count("PaymentDeclined") == 5
    assert results.count("TooManyRequests") == 7
    assert copies.one.shelves.left == 5


def test_parallel_holds_take_at_most_half_of_the_stock(copies: Copies) -> None:
    set_bank_mood(copies, "ask")
    orders = [copies.one.order(f"cart_{number}") for number in range(5)]
    held = 0
    for _ in range(3):  # two payments at once may both be refused
        copies.at_once(*(try_to_pay(order_id, f"tok_{order_id}") for order_id in orders))
        held = [copies.one.status(order_id) for order_id in orders].count(CONFIRMING)
        assert held <= 3
        assert copies.one.shelves.left == 5 - held
    if not held:
        copies.at_once(try_to_pay(orders[0], f"tok_{orders[0]}"))
        assert copies.one.status(orders[0]) == CONFIRMING


def test_parallel_holds_of_a_cart_are_two(copies: Copies) -> None:
    set_bank_mood(copies, "ask")
    orders = []
    for number in range(4):
        copies.one.add("cart_1", 1, f"{number}:add")
        customer = {**CUSTOMER, "name": f"Shopper {number}"}  # a different customer makes a different order
        orders.append(copies.one.checkout.place("cart_1", customer, f"{number}:checkout").id)
        copies.one.store.carts.clear("cart_1")
    copies.at_once(*(try_to_pay(order_id) for order_id in orders))
    assert [copies.one.status(order_id) for order_id in orders].count(CONFIRMING) == 2
