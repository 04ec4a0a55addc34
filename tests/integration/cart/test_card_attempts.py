"""Limits on declines and holds: per order, per cart, per payer and per SKU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cart.payment import settlement
from cart.rules.order import CONFIRMING, CREATED, PAID
from cart.store import card_attempts
from contracts.errors import Conflict, OutcomeUnknown, PaymentActionRequired, PaymentDeclined, TooManyRequests
from tests.integration.cart.till import Shop

HOLD_S = 600.0


def place_another(shop: Shop, number: int, cart_id: str = "cart_1", pieces: int = 3) -> str:
    """Place one more order; return its id."""
    order = shop.store.orders.get("or_1")
    order.id, order.cart_id = f"or_{number}", cart_id
    order.status, order.attempt, order.stock_key, order.payment = CREATED, 0, None, None
    order.claim = order.holder = None
    first, *others = order.lines
    order.lines = (replace(first, quantity=pieces), *(replace(line, quantity=0) for line in others))
    shop.store.orders.place(order, f"key {number}")
    return order.id


def decline(shop: Shop, order_id: str = "or_1", card: str = "tok_bad", **options: Any) -> None:
    """Pay with a card that the bank declines."""
    shop.bank.mood = "decline"
    with pytest.raises(PaymentDeclined):
        shop.purchase.pay(order_id, options.pop("cart_id", "cart_1"), card, **options)


def payment_refused(shop: Shop, order_id: str = "or_1", cart_id: str = "cart_1", payer: str | None = None) -> float:
    """Assert that a payment is refused before any provider is asked; return its `retry_after` (seconds)."""
    before = len(shop.bank.answers)
    with pytest.raises(TooManyRequests) as caught:
        shop.purchase.pay(order_id, cart_id, "tok_visa", payer)
    assert len(shop.bank.answers) == before
    assert shop.store.orders.get(order_id).status == CREATED
    return float(caught.value.facts["retry_after"])


def start_hold(shop: Shop, order_id: str = "or_1", card: str = "tok_asks", cart_id: str = "cart_1") -> None:
    """Pay with a card that needs the holder's confirmation, so that the stock is held."""
    shop.bank.mood = "ask"
    with pytest.raises(PaymentActionRequired):
        shop.purchase.pay(order_id, cart_id, card)
    assert shop.store.orders.get(order_id).status == CONFIRMING


def hold_refused(shop: Shop, order_id: str, cart_id: str = "cart_1") -> float:
    """Assert that a hold is refused and the payment undone; return its `retry_after` (seconds)."""
    left = shop.shelf.left
    shop.bank.mood = "ask"
    with pytest.raises(Conflict) as caught:
        shop.purchase.pay(order_id, cart_id, "tok_asks")
    assert shop.store.orders.get(order_id).status == CREATED
    assert shop.shelf.left == left
    assert list(shop.bank.payments.values())[-1]["state"] == "canceled"
    return float(caught.value.facts["retry_after"])


def test_sixth_card_of_an_order_is_refused_for_an_hour(shop: Shop) -> None:
    for number in range(5):
        decline(shop, card=f"tok_{number}")
        shop.now += 60
    assert payment_refused(shop) == 3600 - 5 * 60
    shop.now += 3600 - 5 * 60 + 1
    assert shop.pay().status == PAID


def test_eleventh_decline_of_a_cart_is_refused(shop: Shop) -> None:
    orders = ["or_1", *(place_another(shop, number) for number in (2, 3))]
    for number in range(10):
        decline(shop, orders[number % 3])
    assert 3590 < payment_refused(shop, orders[1]) <= 3600
    other_order = place_another(shop, 4, cart_id="cart_2")
    assert shop.purchase.pay(other_order, "cart_2", "tok_visa").status == PAID


def test_declines_of_a_shared_cart_count_per_payer(shop: Shop) -> None:
    orders = ["or_1", place_another(shop, 2), place_another(shop, 3)]
    for number in range(10):
        decline(shop, orders[number % 3], payer="default@192.0.2.1")
    payment_refused(shop, orders[1], payer="default@192.0.2.1")
    decline(shop, orders[1], payer="default@192.0.2.2")
    payment_refused(shop, orders[0], payer="default@192.0.2.1")


def test_only_declines_count_against_the_limit(shop: Shop) -> None:
    for card in ("tok_a", "tok_b"):
        start_hold(shop, card=card)
        shop.bank.cancel(shop.order.payment or "")
        shop.purchase.resume("or_1", hurry=True)
    shop.bank.mood = "lose"
    with pytest.raises(OutcomeUnknown):
        shop.purchase.pay(place_another(shop, 2), "cart_1", "tok_visa")
    shop.shelf.down = True
    for _ in range(10):
        with pytest.raises(OutcomeUnknown):
            shop.pay()
    shop.shelf.down = False
    for _ in range(4):
        decline(shop)
    assert shop.pay().status == PAID


def test_payments_in_progress_count_before_their_outcome(shop: Shop) -> None:
    orders = [place_another(shop, number) for number in range(2, 13)]
    for order_id in orders[:10]:  # each payment is in progress
        assert shop.settlement.claim(order_id, "cart_1", payer="cart_1")
    assert payment_refused(shop, orders[10]) == card_attempts.IN_PROGRESS_RETRY_S
    for order_id in orders[:10]:
        claimed = shop.store.orders.get(order_id)
        shop.settlement.undo(claimed, {})
    assert shop.purchase.pay(orders[10], "cart_1", "tok_visa").status == PAID


def test_attempts_that_an_old_copy_ended_do_not_count(shop: Shop) -> None:
    for _ in range(5):
        assert shop.settlement.claim("or_1", "cart_1", payer="cart_1")
        shop.store.orders.update("or_1", None, lambda order: setattr(order, "status", CREATED))
    for _ in range(5):
        decline(shop)
    payment_refused(shop)


def test_payment_taken_elsewhere_is_kept_despite_declines(shop: Shop) -> None:
    for _ in range(5):
        decline(shop)
    shop.bank.take(shop.order.payment or "")
    shop.purchase.look_now(shop.order.payment or "")
    assert shop.order.status == PAID


def test_stepped_clock_blocks_no_order_for_longer(shop: Shop) -> None:
    for _ in range(5):
        decline(shop)
    shop.now -= 7200
    assert shop.settlement.claim("or_1", None, payer="cart_1") is not None


def test_hold_ends_after_its_time(shop: Shop) -> None:
    start_hold(shop)
    shop.now += HOLD_S - 1
    shop.purchase.resume("or_1", hurry=True)
    assert shop.order.status == CONFIRMING
    shop.now += 2
    shop.purchase.resume("or_1", hurry=True)
    assert shop.order.status == CREATED
    assert shop.shelf.left == 10


def test_clock_set_back_prolongs_no_hold(shop: Shop) -> None:
    shop.now += 7200
    start_hold(shop)
    shop.now -= 2
    shop.purchase.resume("or_1", hurry=True)
    assert shop.order.status == CONFIRMING  # the clocks of two copies may differ by two seconds
    shop.now -= 3600
    shop.purchase.resume("or_1", hurry=True)
    assert (shop.order.status, shop.shelf.left) == (CREATED, 10)


def test_third_hold_of_a_cart_is_undone(shop: Shop) -> None:
    orders = [place_another(shop, number, pieces=1) for number in (2, 3, 4)]
    start_hold(shop, orders[0])
    shop.now += 100
    start_hold(shop, orders[1])
    assert hold_refused(shop, orders[2]) == HOLD_S - 100
    start_hold(shop, place_another(shop, 5, cart_id="cart_2", pieces=1), cart_id="cart_2")
    shop.cancellation.cancel(orders[0], "cart_1")
    start_hold(shop, orders[2])


def test_order_is_held_twice_an_hour(shop: Shop) -> None:
    for card in ("tok_a", "tok_b"):
        start_hold(shop, card=card)
        shop.now += 60
    start_hold(shop, card="tok_b")  # the same card again does not start another hold
    shop.bank.mood = "ask"
    with pytest.raises(Conflict) as caught:
        shop.pay("tok_c")
    assert caught.value.facts["retry_after"] == 3600 - 120
    assert (shop.order.status, shop.shelf.left) == (CREATED, 10)
    shop.now += 3600
    start_hold(shop, card="tok_c")


def test_same_card_again_does_not_prolong_a_hold(shop: Shop) -> None:
    start_hold(shop)
    for _ in range(5):
        shop.now += HOLD_S / 5
        shop.bank.mood = "ask"
        with pytest.raises(PaymentActionRequired):
            shop.pay("tok_asks")
    shop.now += 1
    shop.purchase.resume("or_1", hurry=True)
    assert shop.order.status == CREATED


def test_holds_take_at_most_half_of_the_stock(shop: Shop) -> None:
    shop.shelf.left = 5
    carts = [f"cart_{number}" for number in range(10, 15)]
    orders = [place_another(shop, number, f"cart_{number}", pieces=1) for number in range(10, 15)]
    for order_id, cart_id in zip(orders[:3], carts, strict=False):  # half of five, rounded up
        start_hold(shop, order_id, cart_id=cart_id)
    assert hold_refused(shop, orders[3], carts[3]) == settlement.BANK_SHARE_RETRY_S
    assert shop.purchase.pay(orders[4], carts[4], "tok_visa").status == PAID  # a card that needs no confirmation
    shop.bank.take(shop.store.orders.get(orders[0]).payment or "")
    shop.purchase.resume(orders[0], hurry=True)
    assert shop.store.orders.get(orders[0]).status == PAID


def test_holds_take_at_most_half_of_a_codes_redemptions(shop: Shop) -> None:
    shop.shelf.left = 100
    shop.discounts(max_redemptions=5)
    shop.pay()
    numbers = range(10, 14)
    orders = [(place_another(shop, number, f"cart_{number}", pieces=1), f"cart_{number}") for number in numbers]
    for order_id, cart_id in orders[:2]:  # half of the four that are left
        start_hold(shop, order_id, cart_id=cart_id)
    assert hold_refused(shop, *orders[2]) == settlement.BANK_SHARE_RETRY_S
    assert shop.redeemed == 3
    assert shop.purchase.pay(*orders[3], "tok_visa").status == PAID  # a card that needs no confirmation
    for order_id, cart_id in orders[:2]:
        shop.cancellation.cancel(order_id, cart_id)
    start_hold(shop, orders[2][0], cart_id=orders[2][1])


def test_last_redemption_may_be_held(shop: Shop) -> None:
    shop.discounts(max_redemptions=1)
    start_hold(shop)


def test_last_piece_may_be_held(shop: Shop) -> None:
    shop.shelf.left = 1
    start_hold(shop, place_another(shop, 2, pieces=1))


def test_order_above_the_share_gets_no_retry_after(shop: Shop) -> None:
    shop.shelf.left = 2
    order_id = place_another(shop, 2, pieces=2)
    shop.bank.mood = "ask"
    with pytest.raises(Conflict, match="more than half") as caught:
        shop.purchase.pay(order_id, "cart_1", "tok_asks")
    assert "retry_after" not in caught.value.facts
    assert (shop.store.orders.get(order_id).status, shop.shelf.left) == (CREATED, 2)


def test_endless_stock_has_no_share(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop.shelf, "stock_left", dict.fromkeys)
    shop.shelf.left = 3
    start_hold(shop)


def test_hold_is_checked_again_after_products_did_not_answer(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.shelf.left = 3

    def silent(_skus: list[str]) -> Any:
        raise OutcomeUnknown("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(shop.shelf, "stock_left", silent)
        shop.bank.mood = "ask"
        with pytest.raises(OutcomeUnknown):
            shop.pay()
    shop.purchase.resume("or_1", hurry=True)
    assert (shop.order.status, shop.shelf.left) == (CREATED, 3)


def test_attempts_are_forgotten_after_a_day(shop: Shop) -> None:
    decline(shop)
    start_hold(shop)
    shop.now += card_attempts.ATTEMPTS_KEPT_S + 1
    shop.purchase.resume("or_1")
    shop.store.attempts.forget()
    with shop.database.read() as connection:
        for table in ("card_attempts", "bank_holds"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0  # noqa: S608


def test_paid_orders_do_not_count(shop: Shop) -> None:
    shop.shelf.left = 100
    orders = [place_another(shop, number, pieces=1) for number in range(2, 14)]
    assert [shop.purchase.pay(order_id, "cart_1", "tok_visa").status for order_id in orders] == [PAID] * 12
