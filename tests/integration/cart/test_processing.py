"""Payments that a bank settles days later, such as the debit of a bank account."""

from __future__ import annotations

from typing import Any

import pytest

from cart.payment.settlement import BANK_LOOK_INTERVAL_S
from cart.rules.order import CANCELED, CONFIRMING, CREATED, PAID, PAYING, Order
from cart.rules.payments import PROCESSING
from cart.rules.public_order import render
from cart.store.tables import LONGEST_LOOK_S, LONGEST_PROCESSING_LOOK_S
from contracts.errors import Conflict, PaymentActionRequired
from tests.integration.cart.test_card_attempts import place_another, start_hold
from tests.integration.cart.till import Killed, Shop

DAY_S = 86400.0
BANK = "pm_usBankAccount"


def process(shop: Shop, order_id: str = "or_1", mood: str = "process", cart_id: str = "cart_1") -> Order:
    """Pay from a bank account, which is debited later."""
    shop.bank.mood = mood
    return shop.purchase.pay(order_id, cart_id, BANK)


def shown(shop: Shop) -> Any:
    return render(shop.order)["payment"]


def looks_of(shop: Shop, monkeypatch: pytest.MonkeyPatch, days: int) -> int:
    """Let the completer work for days of the shop's clock; return how often it asked the provider."""
    asked = []
    find = shop.bank.find
    monkeypatch.setattr(shop.bank, "find", lambda payment: asked.append(payment) or find(payment))
    until = shop.now + days * DAY_S
    while shop.now < until:
        shop.now = shop.order.due_at
        assert shop.store.orders.stalled() == ["or_1"]
        shop.purchase.resume("or_1")
    return len(asked)


def test_processing_payment_keeps_its_stock_and_delivers_nothing(shop: Shop) -> None:
    order = process(shop)
    assert (order.status, order.public_status, order.processing) == (CONFIRMING, "created", True)
    assert shown(shop) == {"status": "processing", "failure": None}
    assert shop.shelf.left == 7
    assert shop.store.deliveries.due() == []


def test_processing_payment_is_paid_when_the_bank_settles_it(shop: Shop) -> None:
    process(shop)
    shop.now += 9 * DAY_S
    shop.bank.take("pi_1")
    assert shop.purchase.look_now("pi_1")
    assert shop.order.status == PAID
    assert shown(shop) == {"status": "succeeded", "failure": None}
    assert len(shop.bank.charges) == 1
    assert shop.shelf.left == 7


def test_returned_debit_opens_the_order_and_releases_the_stock(shop: Shop) -> None:
    shop.discounts(10, max_redemptions=1)
    process(shop)
    assert (shop.shelf.left, shop.redeemed) == (7, 1)
    shop.now += 9 * DAY_S
    shop.bank.return_debit("pi_1")
    assert shop.purchase.look_now("pi_1")
    assert (shop.order.status, shop.shelf.left, shop.redeemed) == (CREATED, 10, 0)
    failure = {"detail": "The account has insufficient funds.", "code": "insufficient_funds", "decline_code": None}
    assert shown(shop) == {"status": "failed", "failure": failure}
    assert shop.pay("tok_visa").status == PAID
    assert shown(shop) == {"status": "succeeded", "failure": None}


def test_processing_payment_is_never_called_off_by_the_timer(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    process(shop, mood="process slowly")
    looks = looks_of(shop, monkeypatch, days=20)
    assert shop.bank.states == [PROCESSING]
    assert (shop.order.processing, shop.shelf.left) == (True, 7)
    assert 20 * 24 <= looks < 20 * 24 + 150


def test_processing_payment_is_soon_checked_at_first(shop: Shop) -> None:
    process(shop)
    assert shop.order.due_at == shop.now + BANK_LOOK_INTERVAL_S


def test_long_pause_of_another_order_counts_as_a_wrong_clock(shop: Shop) -> None:
    process(shop)
    shop.store.orders.update("or_1", None, lambda order: setattr(order, "due_at", shop.now + LONGEST_LOOK_S + 1))
    assert shop.store.orders.stalled() == []
    shop.store.orders.update(
        "or_1", None, lambda order: setattr(order, "due_at", shop.now + LONGEST_PROCESSING_LOOK_S + 1)
    )
    assert shop.store.orders.stalled() == ["or_1"]
    shop.store.orders.update("or_1", None, lambda order: setattr(order, "due_at", shop.now + LONGEST_LOOK_S + 1))
    shop.store.orders.update("or_1", None, lambda order: setattr(order, "waits_for", None))
    assert shop.store.orders.stalled() == ["or_1"]


def test_paying_again_while_processing_asks_nobody(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    first = process(shop)
    monkeypatch.setattr(shop.bank, "down", True)
    assert shop.purchase.pay("or_1", "cart_1", BANK) == first


def test_another_card_cannot_pay_a_processing_order(shop: Shop) -> None:
    process(shop)
    with pytest.raises(Conflict, match="processing") as caught:
        shop.pay("tok_visa")
    assert "retry_after" not in caught.value.facts
    assert shop.bank.charges == []


def test_processing_order_cannot_be_canceled(shop: Shop) -> None:
    process(shop, mood="process slowly")
    with pytest.raises(Conflict, match="processing"):
        shop.cancellation.cancel("or_1", "cart_1")
    assert shop.bank.states == [PROCESSING]
    assert shop.order.processing
    shop.bank.return_debit("pi_1")
    shop.purchase.look_now("pi_1")
    assert shop.cancellation.cancel("or_1", "cart_1").status == CANCELED


@pytest.mark.parametrize("settled", [True, False])
def test_cart_loses_its_items_once_the_bank_accepts_the_payment(shop: Shop, settled: bool) -> None:
    offer = {"sku": "sku_bone", "name": "", "inventory": {"type": "infinite"}}
    shop.store.carts.add("cart_1", "prod_bone", offer, 2, "k")
    process(shop)
    assert shop.store.carts.items("cart_1") == []
    shop.store.carts.add("cart_1", "prod_bone", offer, 1, "k2")  # of the shopper's next order
    if settled:
        shop.bank.take("pi_1")
    else:
        shop.bank.return_debit("pi_1")
    shop.purchase.look_now("pi_1")
    assert [item["quantity"] for item in shop.store.carts.items("cart_1")] == [1]


@pytest.mark.parametrize("again", ["process", "take"])
def test_order_paid_after_a_failed_debit_spares_the_next_cart(shop: Shop, again: str) -> None:
    shop.discounts(10)
    offer = {"sku": "sku_bone", "name": "", "inventory": {"type": "infinite"}}
    shop.store.carts.add("cart_1", "prod_bone", offer, 2, "k")
    process(shop)
    shop.bank.return_debit("pi_1")
    shop.purchase.look_now("pi_1")
    shop.store.carts.add("cart_1", "prod_bone", offer, 2, "k2")  # of the shopper's next order
    shop.store.discounts.apply("cart_1", "Summer")
    order = process(shop, mood=again)
    assert (order.processing, order.settled) == (again == "process", again == "take")
    assert [item["quantity"] for item in shop.store.carts.items("cart_1")] == [2]
    assert shop.store.discounts.of_cart("cart_1") is not None


def test_confirmation_by_the_bank_may_turn_into_processing(shop: Shop) -> None:
    shop.bank.mood = "ask"
    with pytest.raises(PaymentActionRequired):
        shop.purchase.pay("or_1", "cart_1", BANK)
    assert shown(shop)["status"] == "requires_action"
    shop.bank.payments["pi_1"] |= {"state": PROCESSING, "final": True}
    assert shop.purchase.look_now("pi_1")
    assert shop.order.processing
    assert shop.purchase.pay("or_1", "cart_1", BANK).processing
    shop.now += DAY_S
    shop.purchase.resume("or_1", hurry=True)
    assert (shop.order.processing, shop.shelf.left) == (True, 7)


def test_payment_confirmed_after_a_decline_may_be_processing(shop: Shop) -> None:
    shop.bank.mood = "decline"
    with pytest.raises(Exception, match="Declined"):
        shop.pay()
    assert shown(shop)["failure"]["detail"] == "Declined."
    shop.bank.payments["pi_1"] |= {"state": PROCESSING, "final": True}  # by the shopper's own page
    assert shop.purchase.look_now("pi_1")
    assert (shop.order.processing, shop.shelf.left) == (True, 7)
    shop.now = shop.order.due_at
    shop.purchase.resume("or_1")
    assert (shop.order.processing, shop.shelf.left) == (True, 7)
    shop.bank.take("pi_1")
    shop.purchase.look_now("pi_1")
    assert shop.order.status == PAID


def test_new_attempt_finds_the_last_payment_processing(shop: Shop) -> None:
    shop.bank.mood = "decline"
    with pytest.raises(Exception, match="Declined"):
        shop.pay()
    shop.bank.payments["pi_1"] |= {"state": PROCESSING, "final": True}
    assert shop.pay("tok_mastercard").processing
    assert len(shop.bank.payments) == 1


def test_limit_of_waiting_stock_cancels_a_payment_that_can_be(shop: Shop) -> None:
    for number in (2, 3):
        start_hold(shop, place_another(shop, number, pieces=1))
    with pytest.raises(Conflict, match="wait for a bank"):
        process(shop, mood="process slowly")
    assert (shop.order.status, shop.bank.states[-1], shop.shelf.left) == (CREATED, "canceled", 8)


def test_payment_that_cannot_be_canceled_waits_beyond_the_limit(shop: Shop) -> None:
    for number in (2, 3):
        start_hold(shop, place_another(shop, number, pieces=1))
    assert process(shop).processing
    assert shop.shelf.left == 5


def test_stock_of_a_processing_order_counts_for_days(shop: Shop) -> None:
    assert process(shop, place_another(shop, 2, "cart_2", pieces=4), cart_id="cart_2").processing
    shop.now += 3 * DAY_S
    shop.store.attempts.forget()
    shop.bank.mood = "ask"
    with pytest.raises(Conflict, match="Too much of"):
        shop.pay("tok_asks")


def test_copy_killed_while_it_checks_loses_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    process(shop)
    shop.now = shop.order.due_at
    with monkeypatch.context() as patch:
        patch.setattr(shop.bank, "find", Killed.at())
        with pytest.raises(Killed):
            shop.purchase.resume("or_1")
    assert shop.order.status == PAYING
    assert shown(shop)["status"] == "processing"
    shop.dies()
    shop.purchase.resume("or_1")
    assert (shop.order.processing, shop.shelf.left) == (True, 7)


def test_order_left_by_older_code_is_taken_up(shop: Shop) -> None:
    """A copy of the previous release leaves such an order claimed and unanswered; its row has no `waits_for`."""
    process(shop)
    claimed = shop.store.orders.claim("or_1", None, shop.now + 30, fresh=False)
    assert claimed is not None
    shop.settlement.let_go(claimed)
    shop.store.orders.update("or_1", None, lambda order: setattr(order, "waits_for", None))
    shop.now += 5
    shop.purchase.resume("or_1")
    assert (shop.order.processing, shop.shelf.left) == (True, 7)
