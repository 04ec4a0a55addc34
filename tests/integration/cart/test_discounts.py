"""Discount codes in a purchase: redeemed before the money, given back when the payment fails, never too often."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cart.payment import steps
from cart.rules.order import CANCELED, CREATED, PAID, RETURNED, Order
from cart.rules.price import SHIPPING, SKU, Line
from cart.rules.public_order import render
from cart.store.unit_of_work import CartStore
from chassis.db.engine import Database
from contracts.errors import Conflict, InvalidRequest, OutcomeUnknown, PaymentActionRequired, PaymentDeclined
from tests.discounts import CODE, made_code, redeemed, with_code
from tests.integration.cart.till import Shop
from tests.orders import made_order
from tests.unit.cart.test_order import placed

BANK_HOLD_S = 600.0


def second(shop: Shop) -> Order:
    """Another order with the same code."""
    order = with_code(placed(), 20)
    order.id = "or_2"
    return shop.store.orders.place(order, "key 2")


def test_paid_order_keeps_its_redemption(shop: Shop) -> None:
    shop.discounts(off=20, max_redemptions=1)
    shop.store.discounts.apply("cart_1", CODE.upper())
    order = shop.pay()
    assert (order.status, order.amount, shop.redeemed) == (PAID, 546, 1)
    assert [charge[1] for charge in shop.bank.charges] == [546]
    assert shop.bank.payments["pi_1"]["discount"] == CODE
    assert shop.store.discounts.of_cart("cart_1") is None
    assert shop.pay() == order
    assert shop.redeemed == 1


def test_code_of_another_purchase_stays_in_the_cart(shop: Shop) -> None:
    shop.store.discounts.apply("cart_1", "Winter")
    shop.pay()
    assert shop.store.discounts.of_cart("cart_1") == "Winter"


def test_order_without_a_code_has_no_step_for_it(shop: Shop) -> None:
    shop.pay()
    assert "redeem" not in {step["step"] for step in shop.store.journal.of_order("or_1")}
    assert shop.bank.payments["pi_1"]["discount"] is None


def test_declined_payment_gives_its_redemption_back(shop: Shop) -> None:
    shop.discounts(max_redemptions=1)
    shop.bank.mood = "decline"
    with pytest.raises(PaymentDeclined):
        shop.pay()
    assert (shop.order.status, shop.redeemed) == (CREATED, 0)
    assert shop.pay("tok_mastercard").status == PAID
    assert shop.redeemed == 1


def test_short_stock_gives_the_redemption_back(shop: Shop) -> None:
    shop.discounts(max_redemptions=1)
    shop.shelf.left = 1
    with pytest.raises(Conflict, match="Not enough"):
        shop.pay()
    assert shop.redeemed == 0


def test_canceled_order_gives_its_redemption_back(shop: Shop) -> None:
    shop.discounts(max_redemptions=1)
    shop.bank.mood = "ask"
    with pytest.raises(PaymentActionRequired):
        shop.pay()
    assert shop.redeemed == 1  # it waits for the bank
    assert shop.cancellation.cancel("or_1", "cart_1").status == CANCELED
    assert shop.redeemed == 0


def test_bank_that_never_answers_gives_the_redemption_back(shop: Shop) -> None:
    shop.discounts(max_redemptions=1)
    shop.bank.mood = "ask"
    with pytest.raises(PaymentActionRequired):
        shop.pay()
    shop.now += BANK_HOLD_S + 1
    shop.purchase.resume("or_1")
    assert (shop.order.status, shop.redeemed) == (CREATED, 0)


def test_used_up_code_takes_no_stock_and_opens_no_payment(shop: Shop) -> None:
    shop.discounts(max_redemptions=1)
    shop.pay()
    second(shop)
    with pytest.raises(Conflict, match="used up"):
        shop.purchase.pay("or_2", "cart_1", "tok_visa")
    assert shop.store.orders.get("or_2").status == CREATED
    assert (shop.redeemed, shop.shelf.left, len(shop.bank.payments)) == (1, 7, 1)


def test_withdrawn_code_is_not_redeemed(shop: Shop) -> None:
    shop.discounts()
    shop.store.discounts.withdraw("promo_1", shop.now)
    with pytest.raises(Conflict, match="was withdrawn"):
        shop.pay()
    assert shop.redeemed == 0


def test_code_that_expired_since_the_checkout_is_redeemed(shop: Shop) -> None:
    shop.discounts(expires_at=int(shop.now) + 10)
    shop.now += 20
    # The provider calls it inactive now.
    shop.store.discounts.put(made_code(active=False, expires_at=1010), shop.now)
    assert shop.pay().status == PAID


def test_lost_payment_is_called_off_under_the_same_code(shop: Shop) -> None:
    shop.discounts()
    shop.bank.opening = ["lose"]
    with pytest.raises(OutcomeUnknown):
        shop.pay()
    assert shop.redeemed == 0
    [task] = [row for row in shop.store.deliveries.rows() if row["kind"] == "call_off"]
    assert task["details"]["discount"] == CODE  # the request is repeated under its key, so it has to be the same
    shop.deliver()
    assert shop.bank.states == ["canceled"]


def test_payer_that_lost_its_claim_redeems_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.discounts(max_redemptions=1)

    def sleeps(point: str) -> None:
        if point == "pay:redeem:begun":
            monkeypatch.undo()
            shop.dies()  # another copy takes over while this one sleeps
            shop.purchase.resume("or_1")
            shop.cancellation.cancel("or_1", "cart_1")

    monkeypatch.setattr(steps, "crash_point", sleeps)
    with pytest.raises(Conflict):
        shop.pay()
    assert (shop.order.status, shop.redeemed) == (CANCELED, 0)


# An order of 0


def free(shop: Shop, **changes: Any) -> None:
    """The shop's order costs nothing: its goods are discounted, and its shipping is free."""

    def change(order: Order) -> None:
        with_code(order, 220)
        order.methods = tuple(type(method)(method.id, 0, "usd", method.description) for method in order.methods)

    shop.store.discounts.put(made_code(hundredths=10_000, **changes), shop.now)
    shop.store.orders.update("or_1", None, change)


@pytest.mark.parametrize("card", ["", "tok_visa"])
def test_order_of_nothing_is_paid_without_a_charge(shop: Shop, card: str) -> None:
    free(shop, max_redemptions=1)
    order = shop.pay(card)
    assert (order.status, order.amount, order.charge, order.payment) == (PAID, 0, None, None)
    assert (shop.bank.payments, shop.redeemed, shop.shelf.left) == ({}, 1, 7)
    assert shop.pay("tok_mastercard") == order  # no card has paid it, so none is another one
    shop.outbox.deliver_order("or_1")
    assert (len(shop.carrier.bought), len(shop.postman.mails), len(shop.postman.texts)) == (1, 1, 1)


def test_order_that_costs_something_needs_a_card(shop: Shop) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        shop.pay("")
    assert refusal.value.facts["errors"] == {"cart": ["required field"]}
    assert (shop.order.attempt, shop.order.status) == (0, CREATED)


def test_order_of_nothing_is_returned_without_a_refund(shop: Shop) -> None:
    free(shop)
    shop.pay("")
    shop.outbox.deliver_order("or_1")
    with pytest.raises(Conflict, match="has cost nothing"):
        shop.refunds.refund("or_1", 1, "k1")
    for _ in range(2):
        order = shop.refunds.refund("or_1", None, "k2")
        assert (order.status, order.amount_returned, order.returns) == (RETURNED, 0, ())
    assert render(order)["status"] == "returned"
    shop.deliver()
    assert (shop.bank.returned, shop.shelf.left, shop.redeemed) == ([], 10, 1)
    assert shop.carrier.voided == [("shp", "or_1:void")]


def test_order_that_became_free_cancels_its_earlier_payment(shop: Shop) -> None:
    shop.bank.mood = "decline"
    with pytest.raises(PaymentDeclined):
        shop.pay()
    free(shop)
    assert shop.pay("").status == PAID
    assert (shop.bank.states, shop.bank.charges) == (["canceled"], [])


# Simultaneous payers, over both databases


def test_a_hundred_payers_redeem_the_last_one_once(database: Callable[[str], Database]) -> None:
    store = CartStore(database("cart"))
    for turn in range(3):
        store.discounts.put(made_code(f"promo_{turn}", code=f"C{turn}", max_redemptions=1), 1.0)
        lines = (Line(SKU, 500, "usd", "Bone", "sku_a", 1), Line(SHIPPING, 300, "usd", "Mail", "rate"))
        orders = [with_code(made_order(f"{turn}-{n}", lines=lines), 50, f"promo_{turn}") for n in range(100)]

        def redeems(order: Order) -> bool:
            try:
                store.discounts.redeem(order)
            except Conflict:
                return False
            return True

        with ThreadPoolExecutor(16) as pool:
            assert sum(pool.map(redeems, orders)) == 1
        assert store.discounts.find(f"C{turn}").redeemed == 1


def test_redemptions_come_and_go_without_a_miscount(database: Callable[[str], Database]) -> None:
    store = CartStore(database("cart"))
    store.discounts.put(made_code(max_redemptions=5), 1.0)

    def comes_and_goes(number: int) -> None:
        order = with_code(made_order(number))
        for _ in range(5):
            try:
                store.discounts.redeem(order)
                store.discounts.redeem(order)  # once per order
            except Conflict:
                continue
            store.discounts.give_back(order.id)
            assert not store.discounts.give_back(order.id)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(comes_and_goes, range(24)))
    assert redeemed(store) == 0
