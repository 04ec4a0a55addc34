"""Payment: an order is charged once, also after crashes, declines and lost answers."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from cart.bootstrap import Parts
from cart.payment import pay as purchase
from cart.payment import settlement
from cart.rules.order import CONFIRMING, CREATED, PAID, PAYING
from cart.rules.payments import CANCELED as CALLED_OFF
from cart.rules.payments import OPEN, PROCESSING, SUCCEEDED
from chassis.settings import Settings
from contracts.errors import (
    Conflict,
    NotFound,
    OutcomeUnknown,
    PaymentActionRequired,
    PaymentDeclined,
    Refused,
    Unavailable,
)
from tests.integration.cart.till import Killed, Shop


def test_a_paid_order_is_charged_its_amount_and_takes_its_stock(shop: Shop) -> None:
    offer = {"sku": "sku_bone", "name": "", "inventory": {"type": "infinite"}}
    shop.store.carts.add("cart_1", "prod_bone", offer, 3, "k")
    order = shop.pay()
    assert order.status == PAID
    assert [item["quantity"] for item in shop.store.carts.items("cart_1")] == [3 - 2]  # the cart loses what was bought
    assert order.charge == "ch_pi_1"
    assert shop.bank.charges == [("pi_1", order.amount, "pm_visa")]
    assert shop.shelf.left == 10 - 3


def test_paying_twice_charges_once(shop: Shop) -> None:
    first, second = shop.pay(), shop.pay()
    assert first == second
    assert len(shop.bank.charges) == 1


def test_paying_a_paid_order_by_another_card_is_refused(shop: Shop) -> None:
    shop.pay("tok_visa")
    with pytest.raises(Conflict, match="another card"):
        shop.pay("tok_mastercard")
    assert len(shop.bank.charges) == 1


def test_declined_card_leaves_order_open(shop: Shop) -> None:
    shop.bank.mood = "decline"
    with pytest.raises(PaymentDeclined):
        shop.pay()
    assert shop.order.status == CREATED
    assert shop.shelf.left == 10
    assert shop.pay("tok_mastercard").status == PAID
    assert len(shop.bank.payments) == 1  # both cards use the same payment


def test_after_a_decline_the_amount_follows_the_shipping_method(shop: Shop) -> None:
    shop.bank.mood = "decline"
    with pytest.raises(PaymentDeclined):
        shop.pay()
    shop.store.orders.update("or_1", "cart_1", lambda order: order.choose("fast", 1001))
    order = shop.pay()
    assert shop.bank.charges == [("pi_2", order.amount, "pm_visa")]
    assert order.amount == 100 + 120 + 2118
    assert shop.bank.payments["pi_1"]["state"] == "canceled"


def test_order_without_stock_is_not_charged(shop: Shop) -> None:
    shop.shelf.left = 2
    with pytest.raises(Conflict):
        shop.pay()
    assert shop.order.status == CREATED
    assert shop.bank.payments == {}
    assert shop.shelf.left == 2


def test_a_lost_answer_is_asked_again_and_charged_once(shop: Shop) -> None:
    shop.bank.mood = "lose"
    with pytest.raises(OutcomeUnknown):
        shop.pay()
    assert shop.order.status == PAYING  # the outcome is unknown: neither open nor paid
    assert shop.pay().status == PAID
    assert len(shop.bank.charges) == 1


def test_lost_request_is_repeated_and_charged_once(shop: Shop) -> None:
    shop.bank.mood = "drop"
    with pytest.raises(OutcomeUnknown):
        shop.pay()
    assert shop.pay().status == PAID
    assert len(shop.bank.charges) == 1


def test_charge_counts_although_the_bank_becomes_unavailable(shop: Shop) -> None:
    shop.bank.mood = "busy"
    assert shop.pay().status == PAID
    assert len(shop.bank.charges) == 1
    assert shop.shelf.left == 7


def test_unavailable_bank_leaves_the_order_open(shop: Shop) -> None:
    shop.bank.mood = "full"
    with pytest.raises(Unavailable):
        shop.pay()
    assert shop.order.status == CREATED
    assert shop.shelf.left == 10
    assert shop.bank.payments["pi_1"]["state"] == "canceled"  # it cannot be taken later
    assert shop.pay().status == PAID
    assert len(shop.bank.charges) == 1


def test_a_payment_that_cannot_be_called_off_is_not_given_up(shop: Shop, monkeypatch: Any) -> None:
    shop.bank.mood = "drop"
    with pytest.raises(OutcomeUnknown):
        shop.pay()
    monkeypatch.setattr(shop.bank, "cancel", shop.bank.find)  # neither canceled nor taken: still in progress
    with pytest.raises(OutcomeUnknown):
        shop.pay()
    assert shop.order.status == PAYING
    assert len(shop.bank.payments) == 1
    shop.bank.take("pi_1")
    assert shop.pay().status == PAID
    assert len(shop.bank.charges) == 1


def test_payment_taken_between_two_attempts_pays_the_order(shop: Shop) -> None:
    shop.bank.mood = "decline"
    with pytest.raises(PaymentDeclined):
        shop.pay("tok_visa")
    shop.bank.take("pi_1")
    assert shop.pay("tok_mastercard").status == PAID
    assert shop.pay("tok_mastercard").status == PAID
    assert len(shop.bank.charges) == 1


def test_second_card_after_a_lost_answer_is_not_charged(shop: Shop) -> None:
    shop.bank.mood = "lose"
    with pytest.raises(OutcomeUnknown):
        shop.pay("tok_visa")
    with pytest.raises(Conflict, match="another card"):
        shop.pay("tok_mastercard")
    assert [method for _, _, method in shop.bank.charges] == ["pm_visa"]
    assert shop.order.status == PAID


def test_silent_bank_leaves_the_outcome_unknown(shop: Shop) -> None:
    shop.bank.mood = "lose"
    with pytest.raises(OutcomeUnknown):
        shop.pay()
    shop.bank.down = True
    shop.now += settlement.NEXT_LOOK_S
    with pytest.raises(OutcomeUnknown):
        shop.purchase.resume("or_1")
    assert shop.order.status == PAYING
    assert shop.shelf.left == 7
    shop.bank.down = False
    shop.now += settlement.NEXT_LOOK_S
    shop.purchase.resume("or_1")
    assert shop.order.status == PAID


def test_repeated_payment_after_confirmation_pays_the_order(shop: Shop) -> None:
    shop.bank.mood = "ask"
    with pytest.raises(PaymentActionRequired) as caught:
        shop.pay()
    assert caught.value.facts["client_secret"] == "secret"
    assert shop.order.status == CONFIRMING
    with pytest.raises(PaymentActionRequired):
        shop.pay()
    shop.bank.take("pi_1")
    assert shop.pay().status == PAID
    assert len(shop.bank.charges) == 1


def test_declined_confirmation_may_be_repeated(shop: Shop) -> None:
    shop.bank.mood = "ask"
    with pytest.raises(PaymentActionRequired):
        shop.pay()
    shop.bank.payments["pi_1"].update(state="open", decline={"detail": "No.", "code": "failure", "decline_code": None})
    shop.bank.mood = "ask"
    with pytest.raises(PaymentActionRequired):
        shop.pay()
    assert shop.bank.payments["pi_1"]["state"] == "canceled"  # the holder's page can no longer take it
    shop.bank.take("pi_2")
    assert shop.pay().status == PAID
    assert len(shop.bank.charges) == 1


def test_completer_pays_the_order_of_an_absent_holder(shop: Shop) -> None:
    shop.bank.mood = "ask"
    with pytest.raises(PaymentActionRequired):
        shop.pay()
    shop.bank.take("pi_1")
    assert shop.store.orders.stalled() == []  # it is due only after the look interval
    shop.now += settlement.BANK_LOOK_INTERVAL_S
    assert shop.store.orders.stalled() == ["or_1"]
    shop.purchase.resume("or_1")
    assert shop.order.status == PAID


def test_unanswered_confirmation_releases_the_stock(shop: Shop) -> None:
    shop.bank.mood = "ask"
    with pytest.raises(PaymentActionRequired):
        shop.pay()
    shop.now += 600 + 1
    shop.purchase.resume("or_1")
    assert shop.order.status == CREATED
    assert shop.shelf.left == 10
    assert shop.bank.payments["pi_1"]["state"] == "canceled"
    assert shop.pay().status == PAID
    assert [payment for payment, _, _ in shop.bank.charges] == ["pi_2"]


def test_another_card_calls_off_the_first_payment(shop: Shop) -> None:
    shop.bank.mood = "ask"
    with pytest.raises(PaymentActionRequired):
        shop.pay("tok_visa")
    assert shop.pay("tok_mastercard").status == PAID
    assert shop.bank.payments["pi_1"]["state"] == "canceled"
    assert [method for _, _, method in shop.bank.charges] == ["pm_mastercard"]


def test_payment_killed_before_its_charge_is_undone(shop: Shop, monkeypatch: Any) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr(shop.bank, "method", killed)
    with pytest.raises(Killed):
        shop.pay()
    monkeypatch.undo()
    assert shop.order.status == PAYING
    assert shop.shelf.left == 7
    shop.now += settlement.CLAIM_S
    assert shop.store.orders.stalled() == ["or_1"]
    shop.purchase.resume("or_1")
    assert shop.order.status == CREATED
    assert shop.shelf.left == 10


def test_stock_is_given_back_after_an_outage_of_products(shop: Shop) -> None:
    shop.shelf.down = True
    with pytest.raises(OutcomeUnknown):
        shop.pay()
    assert shop.order.status == CREATED
    shop.shelf.down = False
    shop.now += 60
    for key in shop.store.deliveries.due():
        shop.outbox.deliver(key)
    assert shop.shelf.released == {"or_1:1:stock"}
    shop.now += 1e6
    assert shop.store.deliveries.due() == []


def test_unknown_card_leaves_the_order_open(shop: Shop, monkeypatch: Any) -> None:
    def unknown(*_: Any) -> str:
        raise Refused("No such token.", {"param": "card[token]"})

    monkeypatch.setattr(shop.bank, "method", unknown)
    with pytest.raises(Refused):
        shop.pay()
    assert shop.order.status == CREATED
    assert shop.shelf.left == 10


def test_payer_that_lost_its_claim_writes_nothing(shop: Shop, monkeypatch: Any) -> None:
    """A payer pauses for longer than its claim. Another pays the order, then the first one continues."""
    confirm = shop.bank.confirm

    def slow(payment_id: str, method: str, key: str) -> Any:
        payment = confirm(payment_id, method, key)
        monkeypatch.setattr(shop.bank, "confirm", confirm)
        shop.now += settlement.CLAIM_S + 1
        shop.purchase.resume("or_1")
        assert shop.order.status == PAID
        return payment

    monkeypatch.setattr(shop.bank, "confirm", slow)
    assert shop.pay().status == PAID
    assert len(shop.bank.charges) == 1
    assert len(shop.store.deliveries.of("or_1")) == 3


def test_order_of_another_cart_is_not_found(shop: Shop) -> None:
    from contracts.errors import NotFound

    with pytest.raises(NotFound):
        shop.pay(cart_id="cart_2")


def test_the_second_payer_waits_for_the_first(shop: Shop, monkeypatch: Any) -> None:
    asked, answer = threading.Event(), threading.Event()
    confirm = shop.bank.confirm

    def slow(*args: Any) -> Any:
        asked.set()
        assert answer.wait(30)
        return confirm(*args)

    monkeypatch.setattr(shop.bank, "confirm", slow)
    outcomes: list[Any] = []
    payers = [threading.Thread(target=lambda: outcomes.append(shop.pay().status)) for _ in range(2)]
    payers[0].start()
    assert asked.wait(30)
    payers[1].start()
    payers[1].join(0.3)
    assert payers[1].is_alive()
    answer.set()
    for payer in payers:
        payer.join(60)
    assert outcomes == [PAID, PAID]
    assert len(shop.bank.charges) == 1


def test_only_a_dead_payer_is_taken_over(shop: Shop, monkeypatch: Any) -> None:
    monkeypatch.setattr(shop.bank, "confirm", Killed.at(shop.bank.confirm))
    with pytest.raises(Killed):
        shop.pay()
    monkeypatch.undo()
    for _ in range(5):  # slow, but with heartbeats
        shop.now += 3
        shop.database.heartbeat.beat()
        assert shop.store.orders.stalled() == []
    shop.dies()
    assert shop.store.orders.stalled() == ["or_1"]
    shop.purchase.resume("or_1")
    assert (shop.order.status, len(shop.bank.charges)) == (PAID, 1)


def test_unknown_outcome_is_looked_at_with_growing_pauses(shop: Shop) -> None:
    shop.bank.mood = "drop"
    with pytest.raises(OutcomeUnknown):
        shop.pay()
    shop.bank.down = True
    waits = []
    for _ in range(8):
        waits.append(shop.order.due_at - shop.now)
        assert shop.store.orders.stalled() == []
        shop.now = shop.order.due_at
        assert shop.store.orders.stalled() == ["or_1"]
        with pytest.raises(OutcomeUnknown):
            shop.purchase.resume("or_1")
    assert 0.5 <= waits[0] <= 1 <= waits[1] <= 2 <= waits[2] <= 4
    assert all(2 <= wait <= 4 for wait in waits[2:])
    assert len(set(waits)) == len(waits)
    assert settlement.wait_to_look(settlement.MANY_LOOKS - 1) <= 4
    assert 15 <= settlement.wait_to_look(settlement.MANY_LOOKS) <= 30


def test_webhook_pays_the_order_after_confirmation(shop: Shop) -> None:
    shop.bank.mood = "ask"
    with pytest.raises(PaymentActionRequired):
        shop.pay()
    assert shop.purchase.look_now("pi_1")
    assert shop.order.status == CONFIRMING  # the event came too early
    shop.bank.take("pi_1")
    assert shop.purchase.look_now("pi_1")  # long before the order is due
    assert shop.order.status == PAID
    assert shop.purchase.look_now("pi_1")
    assert not shop.purchase.look_now("pi_of_nobody")
    assert shop.pay().status == PAID
    assert (len(shop.bank.charges), len(shop.store.deliveries.of("or_1"))) == (1, 3)


def test_webhook_leaves_the_claim_of_a_payer(shop: Shop, monkeypatch: Any) -> None:
    monkeypatch.setattr(purchase, "NOTICE_WAIT_S", 0)
    claimed = shop.store.orders.claim("or_1", None, shop.now + 30)
    assert claimed is not None
    claimed.payment = "pi_1"
    shop.store.orders.keep(claimed)
    assert shop.purchase.look_now("pi_1")
    assert shop.store.orders.get("or_1").claim == claimed.claim


def listed(shop: Shop) -> list[tuple[str, str]]:
    return [(row["kind"], row["about"]) for row in shop.store.attention.list(10)]


def sold_out_and_taken(shop: Shop) -> None:
    """A payment is taken after a decline, when the stock is gone."""
    shop.bank.mood = "decline"
    with pytest.raises(PaymentDeclined):
        shop.pay()
    shop.bank.take("pi_1")
    shop.shelf.left = 2
    with pytest.raises(Conflict):
        shop.purchase.look_now("pi_1")
    assert (shop.order.status, shop.shelf.left) == (CREATED, 2)


def test_payment_taken_after_a_decline_takes_its_stock(shop: Shop) -> None:
    sold_out_and_taken(shop)
    shop.shelf.left = 10
    assert shop.purchase.look_now("pi_1")
    assert (shop.order.status, shop.shelf.left, len(shop.bank.charges)) == (PAID, 7, 1)


def test_money_without_stock_needs_an_operator_until_paid(shop: Shop) -> None:
    sold_out_and_taken(shop)
    [entry] = shop.store.attention.list(10)
    assert (entry["kind"], entry["about"]) == ("payment", "pi_1")
    assert entry["detail"].startswith("$5.66 was taken, and the order cannot be filled: Not enough.")
    provider: Any = {"stripe": SimpleNamespace(payments=shop.bank)}
    parts = Parts(shop.store, Settings.load(), provider, shop.shelf, shop.carrier, shop.postman)
    assert parts.shown_with_deliveries(shop.order)["payment"] == {"status": "taken", "failure": None}
    shop.shelf.left = 10
    assert shop.purchase.look_now("pi_1")
    assert (shop.order.status, listed(shop)) == (PAID, [])
    assert parts.shown_with_deliveries(shop.order)["payment"]["status"] == "succeeded"


def test_payment_being_settled_without_stock_needs_nobody(shop: Shop) -> None:
    shop.bank.mood = "decline"
    with pytest.raises(PaymentDeclined):
        shop.pay()
    shop.bank.payments["pi_1"] |= {"state": PROCESSING, "final": True}
    shop.shelf.left = 2
    with pytest.raises(Conflict):
        shop.purchase.look_now("pi_1")
    assert listed(shop) == []


def test_refund_of_money_without_stock_ends_its_entry(shop: Shop) -> None:
    sold_out_and_taken(shop)
    shop.bank.give_back("pi_1", 66)
    with pytest.raises(Conflict):
        shop.refunds.refresh_refunds("pi_1")
    assert listed(shop) == [("payment", "pi_1")]
    shop.bank.give_back("pi_1", 500)
    assert shop.refunds.refresh_refunds("pi_1")
    assert shop.refunds.refresh_refunds("pi_1")
    assert listed(shop) == []


def test_refunded_money_does_not_pay_its_order(shop: Shop) -> None:
    sold_out_and_taken(shop)
    shop.bank.give_back("pi_1", 566)
    shop.shelf.left = 10
    assert shop.purchase.look_now("pi_1")
    assert shop.order.status == CREATED
    assert (shop.pay().payment, len(shop.bank.charges)) == ("pi_2", 2)


def test_money_that_its_order_does_not_name_needs_an_operator(shop: Shop) -> None:
    stray = shop.bank.open("or_1", 566, "usd", "a@example.com", "elsewhere").id
    shop.purchase.report_stray(stray, "or_1")
    assert listed(shop) == []
    shop.bank.take(stray)
    shop.purchase.report_stray(stray, "or_1")
    assert listed(shop) == [("payment", stray)]
    with pytest.raises(NotFound, match=stray):
        shop.purchase.report_stray(stray, "or_2")
    shop.bank.give_back(stray, 566)
    assert shop.refunds.refresh_refunds(stray)
    assert listed(shop) == []
    shop.purchase.report_stray(stray, "or_1")
    assert listed(shop) == []


def test_failed_start_of_the_confirmation_is_resumed(shop: Shop, monkeypatch: Any) -> None:
    begin = shop.store.orders.begin_step

    def fails(order: Any, step: str, until: float) -> None:
        begin(order, step, until)
        if step == "confirm":
            raise Unavailable("The answer of the database was lost.")

    monkeypatch.setattr(shop.store.orders, "begin_step", fails)
    with pytest.raises(Unavailable):
        shop.pay()
    monkeypatch.undo()
    # Whether the money was asked for is unknown to others, so the attempt is not undone but resumed.
    assert (shop.order.status, shop.shelf.left) == (PAYING, 7)
    shop.now += 60
    shop.purchase.resume("or_1")
    assert (shop.order.status, shop.bank.states, shop.bank.charges) == (CREATED, [CALLED_OFF], [])


def test_failed_write_of_the_outcome_releases_the_claim(shop: Shop, monkeypatch: Any) -> None:
    keep = shop.store.orders.keep

    def fails(order: Any, *args: Any, **kwargs: Any) -> None:
        if order.status == PAID:
            raise Unavailable("The database does not answer.")
        keep(order, *args, **kwargs)

    monkeypatch.setattr(shop.store.orders, "keep", fails)
    with pytest.raises(Unavailable):
        shop.pay()
    monkeypatch.undo()
    assert (shop.order.status, shop.order.holder) == (PAYING, None)
    shop.now += settlement.FIRST_LOOK_S
    assert shop.store.orders.stalled() == ["or_1"]
    shop.purchase.resume("or_1")
    assert (shop.order.status, len(shop.bank.charges), len(shop.store.deliveries.of("or_1"))) == (PAID, 1, 3)


def test_paused_payer_does_not_take_released_stock(shop: Shop, monkeypatch: Any) -> None:
    reserve = shop.shelf.reserve

    def late(key: str, items: Any) -> None:
        monkeypatch.setattr(shop.shelf, "reserve", reserve)
        shop.dies()
        shop.purchase.resume("or_1")  # another copy undoes the attempt
        reserve(key, items)

    monkeypatch.setattr(shop.shelf, "reserve", late)
    assert shop.pay().attempt == 2  # a released key reserves nothing, so a new attempt begins
    assert (shop.shelf.left, len(shop.bank.charges)) == (7, 1)


def test_a_payment_whose_answer_was_lost_is_called_off(shop: Shop) -> None:
    shop.bank.opening = ["lose", "lose", "drop"]
    for _ in range(3):
        with pytest.raises(OutcomeUnknown):
            shop.pay()
    assert shop.bank.states == [OPEN, OPEN]
    shop.deliver()  # without another payment
    assert shop.bank.states == [CALLED_OFF] * 3
    assert (shop.order.status, shop.shelf.left) == (CREATED, 10)


def test_a_lost_payment_is_called_off_after_the_next_one_paid(shop: Shop) -> None:
    shop.bank.opening = ["lose"]
    with pytest.raises(OutcomeUnknown):
        shop.pay()
    shop.store.orders.update("or_1", None, lambda order: order.choose("fast", 1))  # another amount
    assert shop.pay().status == PAID
    assert shop.bank.states == [OPEN, SUCCEEDED]
    shop.bank.opening = ["drop", "lose"]
    for _ in range(3):
        shop.now += 5
        shop.deliver()
    assert shop.bank.states == [CALLED_OFF, SUCCEEDED]
    assert shop.store.deliveries.rows(state="waiting") == []


@pytest.mark.parametrize("error", [Unavailable("full"), Refused("The amount is too small.")])
def test_unopened_payment_leaves_no_call_off(shop: Shop, monkeypatch: Any, error: Exception) -> None:
    def refuses(*_: Any) -> Any:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(shop.bank, "open", refuses)
        with pytest.raises(type(error)):
            shop.pay()
    shop.deliver()
    assert (shop.bank.states, [row["kind"] for row in shop.store.deliveries.of("or_1")]) == ([], ["release"])


def test_a_payment_canceled_in_the_dashboard_is_paid_again(shop: Shop, monkeypatch: Any) -> None:
    def canceled_first(card: str, _key: str) -> str:
        shop.bank.cancel("pi_1")
        return card

    with monkeypatch.context() as patched:
        patched.setattr(shop.bank, "method", canceled_first)
        with pytest.raises(Conflict) as caught:
            shop.pay()
    assert caught.value.facts["retry_after"]
    assert (shop.order.status, shop.shelf.left) == (CREATED, 10)
    assert shop.pay().status == PAID
    assert shop.bank.states == [CALLED_OFF, SUCCEEDED]
