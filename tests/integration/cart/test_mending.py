"""Repairs of differences that reconcile found: a repair is refused if the state has changed since."""

from __future__ import annotations

from typing import Any

import pytest

from cart.reconcile.books import AuditBooks
from cart.reconcile.mending import Mending
from cart.rules.order import CANCELED, CANCELING, CONFIRMING, CREATED, PAID, RETURNED
from cart.rules.payments import OPEN
from contracts.errors import Conflict, InvalidRequest, NotFound, PaymentActionRequired, Refused
from tests.integration.cart.till import Shop

AMOUNT = 566


def mend(shop: Shop, do: str, order: str = "or_1", **fix: Any) -> str:
    def resume(order_id: str) -> None:
        flow = shop.cancellation if shop.store.orders.get(order_id).status == CANCELING else shop.purchase
        flow.resume(order_id)

    books = AuditBooks(shop.store)
    refunded, disputed = shop.refunds.refresh_refunds, shop.disputes.refresh
    mending = Mending(shop.store, books, shop.purchase, shop.outbox, resume, refunded, disputed)
    return mending.mend({"do": do, "order": order, **fix})


def taken(shop: Shop, amount: int = AMOUNT) -> str:
    """Take a payment that the order does not record; return its id."""
    payment = shop.bank.open("or_1", amount, "usd", "a@example.com", f"elsewhere {amount}").id
    shop.bank.take(payment)
    return payment


def test_finish_pays_an_order_with_its_unknown_payment(shop: Shop) -> None:
    payment = taken(shop)
    assert mend(shop, "finish", payment=payment) == "the order is paid"
    assert (shop.order.status, shop.order.payment) == (PAID, payment)
    assert shop.shelf.held == {shop.order.stock_key: 3}
    assert len(shop.bank.charges) == 1
    shop.deliver()
    assert len(shop.postman.mails) == len(shop.postman.texts) == len(shop.carrier.bought) == 1


def test_finish_pays_an_order_after_its_confirmation(shop: Shop) -> None:
    shop.bank.mood = "ask"
    with pytest.raises(PaymentActionRequired):
        shop.pay()
    assert shop.order.status == CONFIRMING
    shop.bank.take(shop.order.payment or "")
    assert mend(shop, "finish", payment=shop.order.payment) == "the order is paid"


def test_finish_refuses_a_payment_that_does_not_match(shop: Shop) -> None:
    other = taken(shop, AMOUNT - 1)
    with pytest.raises(Conflict, match="not what the order costs"):
        mend(shop, "finish", payment=other)
    open_one = shop.bank.open("or_1", AMOUNT, "usd", "a@example.com", "open").id
    with pytest.raises(Conflict, match="not what the order costs"):
        mend(shop, "finish", payment=open_one)
    shop.cancellation.cancel("or_1", None)
    with pytest.raises(Conflict, match="canceled by now"):
        mend(shop, "finish", payment=taken(shop))
    assert (shop.order.status, shop.order.payment) == (CANCELED, None)


def test_finish_refuses_a_payment_without_stock(shop: Shop) -> None:
    shop.shelf.left = 0
    with pytest.raises(Conflict, match="Not enough"):
        mend(shop, "finish", payment=taken(shop))
    assert shop.order.status == CREATED
    assert shop.shelf.held == {}


def test_finish_resumes_a_stalled_order(shop: Shop) -> None:
    shop.settlement.claim("or_1", None)
    shop.now += 1000
    assert mend(shop, "finish") == "the order is created; its payment was undone"
    shop.bank.mood = "ask"
    with pytest.raises(PaymentActionRequired):
        shop.pay()
    payment = shop.order.payment
    shop.settlement.claim("or_1", None, to=CANCELING)
    shop.now += 1000
    mend(shop, "finish", payment=payment)
    assert shop.order.status == CANCELED


def test_only_an_unneeded_payment_is_called_off(shop: Shop) -> None:
    spare = shop.bank.open("or_1", AMOUNT, "usd", "a@example.com", "spare").id
    with pytest.raises(Conflict, match="may need the payment"):
        mend(shop, "call off", payment=spare)
    shop.pay()
    with pytest.raises(Conflict, match="may need the payment"):
        mend(shop, "call off", payment=shop.order.payment)
    assert shop.bank.payments[spare]["state"] == OPEN
    assert mend(shop, "call off", payment=spare) == f"payment {spare} is canceled"
    with pytest.raises(Conflict, match="succeeded by now"):
        mend(shop, "call off", payment=taken(shop))


def test_the_open_payment_of_a_canceled_order_is_called_off(shop: Shop) -> None:
    spare = shop.bank.open("or_1", AMOUNT, "usd", "a@example.com", "spare").id
    shop.cancellation.cancel("or_1", None)
    assert mend(shop, "call off", payment=spare) == f"payment {spare} is canceled"


def test_refund_made_elsewhere_is_recorded_on_the_order(shop: Shop) -> None:
    shop.pay()
    shop.bank.give_back(shop.order.payment or "", AMOUNT, None)
    assert mend(shop, "take up", payment=shop.order.payment) == f"the order is returned, {AMOUNT} returned"
    assert shop.order.status == RETURNED


def test_owe_adds_missing_deliveries_to_a_paid_order(shop: Shop) -> None:
    with pytest.raises(Conflict, match="created by now"):
        mend(shop, "owe")
    shop.pay()
    assert mend(shop, "owe") == "owed: nothing that was not"
    with shop.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM tasks WHERE kind <> 'label'")
    assert mend(shop, "owe") == "owed: email, sms"
    shop.deliver()
    assert len(shop.postman.mails) == len(shop.postman.texts) == 1


def test_label_tried_again_is_recorded_on_its_order(shop: Shop) -> None:
    shop.pay()
    with pytest.raises(Conflict, match="not given up"):
        mend(shop, "again")
    shop.carrier.failing = Refused("no")
    for _ in range(6):
        shop.now += 100
        shop.deliver()
    assert shop.store.deliveries.rows(key="or_1:label")[0]["state"] == "failed"
    shop.carrier.failing = None
    assert mend(shop, "again") == "or_1:label: done"
    assert shop.order.tracking_number


def test_label_of_a_refunded_order_is_returned(shop: Shop) -> None:
    for status in (CREATED, PAID):
        with pytest.raises(Conflict, match="needs its label"):
            mend(shop, "return")
        assert shop.order.status == status
        shop.pay()
    shop.deliver()
    shop.refunds.refund("or_1", None, "all of it")
    with pytest.raises(Conflict, match="by the shop itself"):
        mend(shop, "return")
    assert shop.carrier.voided == []
    shop.carrier.failing = Refused("no")
    for _ in range(6):
        shop.now += 100
        shop.deliver()
    assert [row["key"] for row in shop.store.deliveries.rows(state="failed")] == ["or_1:void"]
    with pytest.raises(Refused):
        mend(shop, "return")
    shop.carrier.failing = None
    assert mend(shop, "return") == "giving the label back: refunded"
    assert shop.carrier.voided == [("shp", "or_1:void")]
    assert shop.store.deliveries.rows(state="failed") == []


def test_the_label_of_a_canceled_order_is_returned(shop: Shop) -> None:
    shop.cancellation.cancel("or_1", None)
    shop.carrier.taken_back = "used"
    assert mend(shop, "return") == "giving the label back: used"
    assert shop.carrier.voided == [("shp", "or_1:void")]


def test_only_stock_without_an_owner_is_given_back(shop: Shop) -> None:
    shop.pay()
    key = shop.order.stock_key or ""
    with pytest.raises(Conflict, match="holds it"):
        mend(shop, "give back", key=key)
    assert key in shop.shelf.held
    for lost in ("or_1:9:stock", "or_nobody:1:stock"):
        shop.shelf.reserve(lost, [{"quantity": 2}])
        assert mend(shop, "give back", key=lost) == f"{lost} is given back"
        assert lost not in shop.shelf.held


def test_unknown_repair_or_order_is_refused(shop: Shop) -> None:
    with pytest.raises(InvalidRequest):
        mend(shop, "charge")
    for do in ("finish", "call off", "owe", "again", "return"):
        with pytest.raises(NotFound):
            mend(shop, do, order="or_nobody", payment="pi_1")
