"""Cancellation: an order is canceled once, only before it is charged, and never while a payment is in progress."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from cart.payment import pay as purchase
from cart.payment import settlement
from cart.rules.order import CANCELED, CANCELING, CONFIRMING, CREATED, PAID, PAYING
from cart.rules.payments import PROCESSING, SUCCEEDED
from contracts.errors import Conflict, NotFound, OutcomeUnknown, PaymentActionRequired, PaymentDeclined
from tests.integration.cart.till import Killed, Shop


def interrupted(shop: Shop) -> None:
    """The bank has asked the shopper, and is away when the order is canceled."""
    shop.bank.mood = "ask"
    with pytest.raises(PaymentActionRequired):
        shop.pay()
    shop.bank.down = True
    with pytest.raises(OutcomeUnknown):
        shop.cancellation.cancel("or_1", "cart_1")


def test_a_created_order_is_canceled_for_good(shop: Shop) -> None:
    order = shop.cancellation.cancel("or_1", "cart_1")
    assert (order.status, order.times[CANCELED]) == (CANCELED, 1000)
    assert shop.cancellation.cancel("or_1", "cart_1") == order
    with pytest.raises(Conflict, match="canceled"):
        shop.pay()
    assert shop.bank.charges == []


def test_another_carts_order_cannot_be_canceled(shop: Shop) -> None:
    with pytest.raises(NotFound):
        shop.cancellation.cancel("or_1", "cart_2")
    assert shop.cancellation.cancel("or_1", None).status == CANCELED  # an operator may cancel any order


def test_a_paid_order_is_not_canceled(shop: Shop) -> None:
    shop.pay()
    with pytest.raises(Conflict, match="refunded"):
        shop.cancellation.cancel("or_1", "cart_1")
    assert shop.order.status == PAID


def test_a_declined_payment_is_called_off_with_its_order(shop: Shop) -> None:
    shop.bank.mood = "decline"
    with pytest.raises(PaymentDeclined):
        shop.pay()
    assert shop.bank.payments["pi_1"]["state"] == "open"
    shop.cancellation.cancel("or_1", "cart_1")
    assert shop.bank.payments["pi_1"]["state"] == "canceled"


def test_cancel_calls_off_a_payment_that_awaits_confirmation(shop: Shop) -> None:
    shop.bank.mood = "ask"
    with pytest.raises(PaymentActionRequired):
        shop.pay()
    assert (shop.order.status, shop.shelf.left) == (CONFIRMING, 7)
    shop.cancellation.cancel("or_1", "cart_1")
    assert (shop.order.status, shop.shelf.left) == (CANCELED, 10)
    assert shop.bank.payments["pi_1"]["state"] == "canceled"


def test_confirmed_payment_blocks_cancellation(shop: Shop) -> None:
    shop.bank.mood = "ask"
    with pytest.raises(PaymentActionRequired):
        shop.pay()
    shop.bank.take("pi_1")
    with pytest.raises(Conflict, match="is paid"):
        shop.cancellation.cancel("or_1", "cart_1")
    assert (shop.order.status, shop.shelf.left) == (PAID, 7)
    assert len(shop.store.deliveries.of("or_1")) == 3
    assert shop.pay().charge == "ch_pi_1"


def declined(shop: Shop) -> None:
    shop.bank.mood = "decline"
    with pytest.raises(PaymentDeclined):
        shop.pay()


def test_cancel_leaves_an_order_waiting_whose_debit_has_begun(shop: Shop) -> None:
    shop.bank.mood = "ask"
    with pytest.raises(PaymentActionRequired):
        shop.pay()
    shop.bank.payments["pi_1"] |= {"state": PROCESSING, "final": True}
    with pytest.raises(Conflict, match="A bank is processing"):
        shop.cancellation.cancel("or_1", "cart_1")
    assert (shop.order.processing, shop.shelf.left) == (True, 7)
    shop.bank.return_debit("pi_1")
    shop.purchase.look_now("pi_1")
    assert shop.cancellation.cancel("or_1", "cart_1").status == CANCELED


@pytest.mark.parametrize("state", [PROCESSING, SUCCEEDED])
def test_cancel_finds_a_payment_made_after_a_decline(shop: Shop, state: str) -> None:
    declined(shop)
    shop.bank.payments["pi_1"] |= {"state": state, "final": True}
    with pytest.raises(Conflict, match="A bank is processing" if state == PROCESSING else "is paid"):
        shop.cancellation.cancel("or_1", "cart_1")
    assert (shop.order.processing, shop.order.settled) == (state == PROCESSING, state == SUCCEEDED)
    assert (shop.shelf.left, shop.order.over) == (7, False)


def test_cancel_lists_money_that_was_taken_without_stock(shop: Shop) -> None:
    declined(shop)
    shop.bank.take("pi_1")
    shop.shelf.left = 2
    with pytest.raises(Conflict, match="cannot be canceled now"):
        shop.cancellation.cancel("or_1", "cart_1")
    assert shop.order.status == CREATED
    assert [row["about"] for row in shop.store.attention.list(10)] == ["pi_1"]
    shop.bank.give_back("pi_1", 566)
    assert shop.cancellation.cancel("or_1", "cart_1").status == CANCELED


def test_completer_leaves_a_canceled_order_to_the_bank(shop: Shop) -> None:
    interrupted(shop)
    shop.bank.down = False
    shop.bank.payments["pi_1"] |= {"state": PROCESSING, "final": True}
    shop.now += settlement.FIRST_LOOK_S
    shop.cancellation.resume("or_1")
    assert shop.order.processing


def test_completer_finishes_cancellation_after_a_bank_outage(shop: Shop) -> None:
    interrupted(shop)
    assert (shop.order.status, shop.order.public_status, shop.shelf.left) == (CANCELING, "created", 7)
    shop.bank.down = False
    assert shop.store.orders.stalled() == []
    shop.now += settlement.FIRST_LOOK_S
    assert shop.store.orders.stalled() == ["or_1"]
    shop.cancellation.resume("or_1")
    assert (shop.order.status, shop.shelf.left) == (CANCELED, 10)


@pytest.mark.parametrize("killed_at", ["cancel", "find"])
def test_another_copy_finishes_a_killed_cancellation(shop: Shop, monkeypatch: Any, killed_at: str) -> None:
    shop.bank.mood = "ask"
    with pytest.raises(PaymentActionRequired):
        shop.pay()
    monkeypatch.setattr(shop.bank, killed_at, Killed.at(getattr(shop.bank, killed_at) if killed_at == "find" else None))
    with pytest.raises(Killed):
        shop.cancellation.cancel("or_1", "cart_1")
    monkeypatch.undo()
    assert shop.order.status == CANCELING
    shop.dies()
    assert shop.store.orders.stalled() == ["or_1"]
    shop.cancellation.resume("or_1")
    assert (shop.order.status, shop.shelf.left) == (CANCELED, 10)
    shop.cancellation.resume("or_1")  # a late copy resumes it again
    assert [(row["kind"], row["state"]) for row in shop.store.deliveries.of("or_1")] == [("release", "done")]


def test_cancel_first_finishes_the_payment_of_a_killed_payer(shop: Shop, monkeypatch: Any) -> None:
    monkeypatch.setattr(shop.bank, "confirm", Killed.at(shop.bank.confirm))
    with pytest.raises(Killed):
        shop.pay()
    monkeypatch.undo()
    assert (shop.order.status, len(shop.bank.charges)) == (PAYING, 1)
    shop.dies()
    with pytest.raises(Conflict, match="is paid"):
        shop.cancellation.cancel("or_1", "cart_1")
    assert shop.order.status == PAID


def test_cancellation_waits_for_a_payment_in_progress(shop: Shop, monkeypatch: Any) -> None:
    asked, answer = threading.Event(), threading.Event()
    confirm = shop.bank.confirm

    def slow(*args: Any) -> Any:
        asked.set()
        assert answer.wait(30)
        return confirm(*args)

    monkeypatch.setattr(shop.bank, "confirm", slow)
    outcomes: list[Any] = []

    def cancels() -> None:
        try:
            outcomes.append(shop.cancellation.cancel("or_1", "cart_1").status)
        except Conflict as error:
            outcomes.append(error.detail)

    payer, canceler = threading.Thread(target=shop.pay), threading.Thread(target=cancels)
    payer.start()
    assert asked.wait(30)
    canceler.start()
    canceler.join(0.3)
    assert canceler.is_alive()
    answer.set()
    payer.join(60)
    canceler.join(60)
    assert outcomes == ["Order or_1 is paid: what is paid is refunded, not canceled."]


def test_claim_wait_ends_with_retry_after(shop: Shop, monkeypatch: Any) -> None:
    shop.store.orders.claim("or_1", "cart_1", 1e12)
    monkeypatch.setattr(purchase, "CLAIM_WAIT_S", 0)
    with pytest.raises(Conflict, match="ask again") as caught:
        shop.cancellation.cancel("or_1", "cart_1")
    assert caught.value.facts["retry_after"]
    with pytest.raises(Conflict, match="ask again"):
        shop.pay()
    assert shop.order.status == PAYING


def test_payment_does_not_begin_during_a_cancellation(shop: Shop, monkeypatch: Any) -> None:
    claimed = shop.store.orders.claim("or_1", "cart_1", 1e12, CANCELING)
    assert claimed is not None
    monkeypatch.setattr(purchase, "CLAIM_WAIT_S", 0)
    with pytest.raises(Conflict, match="being canceled"):
        shop.pay()
    assert (shop.order.status, shop.order.attempt) == (CANCELING, 0)
    assert shop.order.public_status == CREATED


def test_unclaimed_cancellation_still_blocks_payment(shop: Shop, monkeypatch: Any) -> None:
    interrupted(shop)
    shop.bank.down = False
    monkeypatch.setattr(purchase, "CLAIM_WAIT_S", 0)
    with pytest.raises(Conflict, match="being canceled"):
        shop.pay()
    assert shop.cancellation.cancel("or_1", "cart_1").status == CANCELED


def test_cancel_undoes_the_uncharged_payment_of_a_killed_payer(shop: Shop, monkeypatch: Any) -> None:
    monkeypatch.setattr(shop.bank, "method", Killed.at())
    with pytest.raises(Killed):
        shop.pay()
    monkeypatch.undo()
    shop.dies()
    assert shop.cancellation.cancel("or_1", "cart_1").status == CANCELED
    assert (shop.shelf.left, shop.bank.payments["pi_1"]["state"]) == (10, "canceled")
