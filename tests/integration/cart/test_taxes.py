"""Taxes in the cart's database: stored with the order, recorded once it is paid, reversed by refunds, compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from cart.checkout import Checkout
from cart.reconcile.audit import OrderAudit
from cart.reconcile.books import AuditBooks
from cart.rules.order import PAID, RETURNED, TAX_RESERVE_S
from cart.store.tables import orders
from cart.store.unit_of_work import CartStore
from chassis.db.engine import Database
from chassis.db.shared_tables import tasks
from chassis.work.tasks import FAILED, WAITING
from contracts.errors import Conflict, Unavailable
from tests.integration.cart.test_audit import FUTURE_S, OtherServices, reported
from tests.integration.cart.test_mending import mend
from tests.integration.cart.till import Shop
from tests.unit.cart.fakes import TaxOffice
from tests.unit.cart.test_checkout import CUSTOMER, Products, Shipping

AMOUNT, TAX = 566, 56
MISSING = "paid, and its tax not recorded"


@pytest.fixture
def till(database: Callable[[str], Database]) -> Shop:
    shop = Shop(database("cart"))
    shop.taxed()
    return shop


def recorded(shop: Shop) -> list[tuple[str, int]]:
    return [(each.reference, each.amount) for each in shop.office.entries.values()]


def settle(shop: Shop) -> None:
    """Do what the completer does within a minute."""
    for _ in range(6):
        shop.deliver()
        shop.now += 10
        shop.database.heartbeat.beat()


def compared(shop: Shop, ids: list[str] | None = None, until: float = FUTURE_S) -> dict[str, Any]:
    others, books = OtherServices(), AuditBooks(shop.store)
    audit = OrderAudit(books, others, others, others, "Bank", shop.office)  # type: ignore[arg-type]
    return audit.page("taxes" if ids is None else "transactions", None, 0.0, until, ids)


def agrees(shop: Shop) -> list[str]:
    """Assert that nothing differs; return what was recorded."""
    page = compared(shop)
    known: list[str] = page["known"]
    assert (reported(page), reported(compared(shop, known))) == ([], [])
    return known


def test_tax_is_stored_with_the_order(till: Shop) -> None:
    order = till.order
    assert order.tax is not None
    assert (order.tax.amount, order.tax.included, order.amount) == (TAX, False, AMOUNT + TAX)
    till.store.orders.update("or_1", None, lambda order: order.choose("fast", 1001))
    with till.database.read() as connection:  # not the JSON value null, which no copy of older code writes
        assert connection.execute(sa.select(sa.func.count()).where(orders.c.tax.is_(None))).scalar() == 1
    assert till.order.tax is None


def test_checkout_stores_nothing_while_the_tax_office_is_away(database: Callable[[str], Database]) -> None:
    store, office = CartStore(database("cart")), TaxOffice()
    checkout = Checkout(store, Products(), Shipping(), False, None, office, False)
    offer = {"inventory": {"type": "infinite"}, "currency": "usd", "sku": "sku_a"}
    store.carts.add("cart_1", "prod_a", offer, 2, "a")
    office.down = True
    with pytest.raises(Unavailable):
        checkout.place("cart_1", CUSTOMER, "key")
    assert store.orders.page(None, None, 10, None)[0] == []
    office.down = False
    order = checkout.place("cart_1", CUSTOMER, "key")
    assert order.amount == 1430
    assert checkout.place("cart_1", CUSTOMER, "another key").id == order.id
    assert len(office.asked) == 1


def test_repeated_checkout_does_not_keep_a_corrected_tax(database: Callable[[str], Database]) -> None:
    store, office, products = CartStore(database("cart")), TaxOffice(), Products()
    offer = {"inventory": {"type": "infinite"}, "currency": "usd", "sku": "sku_a"}
    store.carts.add("cart_1", "prod_a", offer, 2, "a")

    def placed(key: str, included: bool) -> str:
        checkout = Checkout(store, products, Shipping(), False, None, office, included)
        return checkout.place("cart_1", CUSTOMER, key).id

    first = placed("k1", False)
    products.codes = {"sku_a": "txcd_99999999"}
    corrected = placed("k2", False)
    assert placed("k3", True) not in (first, corrected)
    assert placed("k4", False) == corrected != first


def test_repeated_choice_of_shipping_asks_once_and_changes_once(till: Shop) -> None:
    checkout = Checkout(till.store, Products(), Shipping(), False, None, till.office, False)
    chosen = checkout.choose_shipping("or_1", "cart_1", "fast", "k1")
    assert (chosen.amount, till.order) == (2338 + 233, chosen)
    checkout.choose_shipping("or_1", "cart_1", "slow", "k2")
    asked = len(till.office.asked)
    till.pay()
    assert checkout.choose_shipping("or_1", "cart_1", "fast", "k1").amount == AMOUNT + TAX
    assert len(till.office.asked) == asked
    with pytest.raises(Conflict):
        checkout.choose_shipping("or_1", "cart_1", "fast", "k3")


def test_selected_method_is_taxed_again_only_when_its_tax_is_old(till: Shop) -> None:
    checkout = Checkout(till.store, Products(), Shipping(), False, None, till.office, False)
    before, asked = till.order, len(till.office.asked)
    for key in ("k1", "k2", None):
        again = checkout.choose_shipping("or_1", "cart_1", "slow", key)
        assert (again.amount, again.tax) == (AMOUNT + TAX, before.tax)
    assert len(till.office.asked) == asked

    def age(order: Any) -> None:
        order.tax = dataclasses.replace(order.tax, expires_at=0)

    till.store.orders.update("or_1", None, age)
    fresh = checkout.choose_shipping("or_1", "cart_1", "slow", "k3")
    assert (fresh.tax and fresh.tax.expires_at, len(till.office.asked)) == (till.office.expires_at, asked + 1)


def test_paid_order_is_recorded_once_and_reversed_to_the_cent(till: Shop) -> None:
    till.pay()
    assert till.bank.charges[0][1] == AMOUNT + TAX
    till.deliver()
    assert recorded(till) == [("or_1", AMOUNT + TAX)]
    for amount, key in ((100, "k1"), (1, "k2"), (None, "k3")):
        till.refunds.refund("or_1", amount, key)
        till.refunds.refund("or_1", amount, key)
    settle(till)
    assert till.order.status == RETURNED
    backs = {each.id: -each.amount for each in till.order.returns}
    assert dict(recorded(till)) == {"or_1": AMOUNT + TAX, **backs}
    assert sum(amount for _, amount in recorded(till)) == 0
    assert sorted(agrees(till)) == sorted(["or_1:tax", *(f"{name}:tax" for name in backs)])


def test_outage_after_the_payment_delays_only_the_record(till: Shop) -> None:
    till.pay()
    till.office.down = True
    till.deliver()
    till.refunds.refund("or_1", 100, "k1")
    settle(till)
    assert (till.order.status, till.order.amount_returned, recorded(till)) == (PAID, 100, [])
    assert len(till.postman.mails) == 1
    till.office.down = False
    settle(till)
    assert [amount for _, amount in recorded(till)] == [AMOUNT + TAX, -100]
    agrees(till)


def test_lost_answer_is_asked_for_again_under_its_key(till: Shop) -> None:
    till.office.loses = 2
    till.pay()
    settle(till)
    assert recorded(till) == [("or_1", AMOUNT + TAX)]
    agrees(till)


def test_record_of_unknown_id_is_not_repeated_and_reported(till: Shop) -> None:
    till.pay()
    till.office.loses = 1
    till.deliver()
    till.office.keys.clear()  # the provider forgets idempotency keys
    settle(till)
    assert recorded(till) == [("or_1", AMOUNT + TAX)]
    assert reported(compared(till)) == [("tax record of unknown id", "or_1")]
    till.refunds.refund("or_1", None, "k1")
    settle(till)
    assert {"tax given up", "tax record of unknown id"} == {kind for kind, _ in reported(compared(till))}


def test_other_tax_than_the_orders_is_reported(till: Shop) -> None:
    till.pay()
    settle(till)
    known = agrees(till)
    [(name, sale)] = till.office.entries.items()
    till.office.entries[name] = dataclasses.replace(sale, tax=sale.tax + 1)
    assert reported(compared(till, known)) == [("another tax was recorded", "or_1")]


def test_refund_that_failed_before_its_reversal_is_not_reversed(till: Shop) -> None:
    till.pay()
    till.office.down = True
    till.refunds.refund("or_1", 100, "k1")
    till.deliver()
    [back] = till.order.returns
    till.store.orders.update("or_1", None, lambda order: order.give_back([], 1001))
    till.office.down = False
    settle(till)
    assert recorded(till) == [("or_1", AMOUNT + TAX)]
    assert till.store.deliveries.rows(key=f"{back.id}:tax")[0]["answer"] is None
    agrees(till)


def fail_refund(shop: Shop) -> None:
    """Let the one refund fail, and record that."""
    [(payment, made)] = shop.bank.returned
    shop.bank.returned[:] = [(payment, dataclasses.replace(made, failed=True))]
    shop.refunds.refresh_refunds(payment)


def test_reversal_of_a_refund_that_failed_later_is_undone(till: Shop) -> None:
    till.pay()
    till.refunds.refund("or_1", 100, "k1")
    settle(till)
    for _ in range(2):
        fail_refund(till)
        settle(till)
    assert [amount for _, amount in recorded(till)] == [AMOUNT + TAX, -100, 100]
    assert (till.order.amount_returned, len(agrees(till))) == (0, 3)


def test_reversal_that_was_given_up_needs_no_undoing(till: Shop) -> None:
    till.pay()
    till.office.loses = 1
    till.deliver()
    till.office.keys.clear()  # so the id of the sale is never known, and nothing can be reversed
    settle(till)
    till.refunds.refund("or_1", 100, "k1")
    settle(till)
    fail_refund(till)
    settle(till)
    assert till.store.deliveries.rows(state=WAITING) == []
    assert recorded(till) == [("or_1", AMOUNT + TAX)]
    assert reported(compared(till)) == [("tax record of unknown id", "or_1"), ("tax given up", "or_1")]


@pytest.mark.parametrize("down", [False, True])
def test_reversal_with_a_lost_answer_is_undone(till: Shop, down: bool) -> None:
    till.pay()
    till.deliver()
    till.refunds.refund("or_1", 100, "k1")
    till.office.loses = 1
    till.deliver()
    assert [amount for _, amount in recorded(till)] == [AMOUNT + TAX, -100]
    if down:  # the next tries certainly fail, which says nothing about the first one
        till.office.down = True
        settle(till)
    fail_refund(till)
    till.office.down = False
    settle(till)
    assert [amount for _, amount in recorded(till)] == [AMOUNT + TAX, -100, 100]
    assert (till.order.amount_returned, len(agrees(till))) == (0, 3)


def test_reversal_is_undone_when_its_refund_fails_meanwhile(till: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    till.pay()
    till.deliver()
    till.refunds.refund("or_1", 100, "k1")
    reverse = till.office.reverse

    def fails_meanwhile(*asked: Any) -> Any:
        monkeypatch.undo()
        fail_refund(till)
        return reverse(*asked)

    monkeypatch.setattr(till.office, "reverse", fails_meanwhile)
    settle(till)
    assert [amount for _, amount in recorded(till)] == [AMOUNT + TAX, -100, 100]
    assert (till.order.amount_returned, len(agrees(till))) == (0, 3)


def test_reversal_waits_for_the_undoing_of_an_earlier_one(till: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    till.pay()
    till.refunds.refund("or_1", None, "k1")
    settle(till)
    undo = till.office.undo
    monkeypatch.setattr(till.office, "undo", _unreachable)
    fail_refund(till)
    till.refunds.refund("or_1", None, "k2")
    settle(till)
    assert [amount for _, amount in recorded(till)] == [AMOUNT + TAX, -AMOUNT - TAX]
    monkeypatch.setattr(till.office, "undo", undo)
    settle(till)
    assert [amount for _, amount in recorded(till)] == [AMOUNT + TAX, -AMOUNT - TAX, AMOUNT + TAX, -AMOUNT - TAX]
    agrees(till)


def _unreachable(*_: Any) -> Any:
    raise Unavailable("The tax office cannot be reached.")


@pytest.mark.parametrize("crowded", [False, True])
def test_undo_that_nobody_owes_is_found(till: Shop, crowded: bool) -> None:
    if crowded:
        till.crowded()
    till.pay()
    till.refunds.refund("or_1", 100, "k1")
    settle(till)
    till.store.orders.update("or_1", None, lambda order: order.give_back([], 1001))
    [difference] = compared(till)["differences"]
    assert difference["kind"] == "tax reversed, and not refunded"
    mend(till, difference["fix"]["do"])
    assert [amount for _, amount in recorded(till)] == [AMOUNT + TAX, -100, 100]
    agrees(till)


def test_order_of_nothing_records_its_tax_of_nothing(shop: Shop) -> None:
    shop.discounts(off=220)
    free = {"id": "free", "amount": 0, "currency": "usd", "description": "Free"}

    def make_free(order: Any) -> None:
        method = type(order.methods[0]).of(free)
        order.methods, order.method_id = (method,), "free"

    shop.store.orders.update("or_1", None, make_free)
    shop.taxed()
    shop.pay("")
    settle(shop)
    assert (shop.bank.charges, recorded(shop)) == ([], [("or_1", 0)])
    shop.refunds.refund("or_1", None, "k1")
    settle(shop)
    assert (shop.order.status, recorded(shop)) == (RETURNED, [("or_1", 0)])
    agrees(shop)


def test_order_with_an_old_calculation_is_not_paid(till: Shop) -> None:
    till.now = float(till.office.expires_at - TAX_RESERVE_S + 1)
    with pytest.raises(Conflict, match="Check out again"):
        till.pay()
    assert (till.bank.payments, till.order.attempt) == ({}, 0)


def test_untaxed_order_owes_no_record(shop: Shop) -> None:
    shop.pay()
    settle(shop)
    assert (recorded(shop), compared(shop)["compared"]) == ([], 0)


def test_lost_work_is_found_and_owed_again(till: Shop) -> None:
    till.pay()
    till.refunds.refund("or_1", 100, "k1")
    with till.database.write() as connection:
        connection.execute(sa.delete(tasks).where(tasks.c.key.like("%:tax")))
    assert reported(compared(till)) == [(MISSING, "or_1")]
    assert reported(compared(till, until=till.now - 1)) == []
    [difference] = compared(till)["differences"]
    said = mend(till, difference["fix"]["do"])
    assert said.count("done") == 2, said
    assert [amount for _, amount in recorded(till)] == [AMOUNT + TAX, -100]
    agrees(till)
    till.store.orders.update("or_1", None, lambda order: setattr(order, "tax", None))
    with pytest.raises(Conflict, match="no tax to record"):
        mend(till, "owe tax")


def test_planted_difference_at_the_provider_is_found(till: Shop) -> None:
    till.pay()
    till.deliver()
    [key] = agrees(till)
    [sale] = till.office.entries.values()
    del till.office.entries[sale.id]
    assert reported(compared(till, [key])) == [("tax unknown at Bank", "or_1")]


def test_record_that_was_given_up_is_reported_and_can_be_replayed(till: Shop) -> None:
    till.office.down = True
    till.pay()
    till.deliver()
    with till.database.write() as connection:
        connection.execute(sa.update(tasks).where(tasks.c.key == "or_1:tax").values(state=FAILED))
    assert reported(compared(till)) == [("tax given up", "or_1")]
    till.office.down = False
    assert till.store.deliveries.again("or_1:tax") == ["or_1:tax"]
    till.deliver()
    assert recorded(till) == [("or_1", AMOUNT + TAX)]
    agrees(till)
