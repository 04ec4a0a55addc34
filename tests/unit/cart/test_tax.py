"""The tax of an order: what is asked, what the answer means, and what is owed for it."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cart.checkout import Checkout
from cart.rules.order import PAID, RETURNED, TAX_RESERVE_S, Address, Cut, Order, OrderTax, Return
from cart.rules.price import DISCOUNT, SKU, TAX, Line
from cart.rules.public_order import parse, render
from cart.rules.reconcile import OWE_TAX
from cart.rules.reconcile_tax import compare_entries, compare_taxes
from cart.rules.tax import REVERSAL, SALE, UNDOES, Calculation, Entry, order_tax, owed, question
from contracts.errors import Conflict, InvalidRequest, ProviderFailure, Unavailable
from tests.orders import made_order
from tests.taxes import with_tax
from tests.unit.cart.fakes import TaxOffice
from tests.unit.cart.test_checkout import CUSTOMER, Cart, Products, Shipping
from tests.unit.cart.test_order import placed

PLACE = Address("Berlin", "DE", "Unter den Linden 1", None, "10117", None)
EXCLUSIVE = OrderTax("taxcalc_1", 40, False, 9_000_000_000, {})
FUTURE_S = 9e12


def lines(*amounts: int, discount: int = 0) -> list[Line]:
    goods = [Line(SKU, amount, "usd", "Bone", f"sku_{number}", 2) for number, amount in enumerate(amounts)]
    return [*goods, *([Line(DISCOUNT, -discount, "usd", "Discount", "CODE")] if discount else []), Line(TAX, 7, "usd")]


@given(st.data())
def test_shares_of_the_discount_add_up_and_leave_no_line_negative(data: st.DataObject) -> None:
    amounts = data.draw(st.lists(st.integers(0, 10**8), min_size=1, max_size=20))
    discount = data.draw(st.integers(0, sum(amounts)))
    shipping = data.draw(st.none() | st.integers(0, 10**6))
    asked = question(lines(*amounts, discount=discount), shipping, PLACE, {}, False)
    assert asked.amount == sum(amounts) - discount + (shipping or 0)
    for each, amount in zip(asked.goods, amounts, strict=True):
        assert 0 <= each.amount <= amount


def test_question_has_a_line_per_sku_with_its_code() -> None:
    asked = question(lines(300, 100, discount=100), 50, PLACE, {"sku_1": "txcd_10000000"}, True)
    assert [dataclasses.astuple(each) for each in asked.goods] == [
        ("sku_0", 225, 2, None),
        ("sku_1", 75, 2, "txcd_10000000"),
    ]
    assert (asked.shipping, asked.address, asked.included, asked.currency) == (50, PLACE, True, "usd")
    assert question(lines(300), None, PLACE, {}, False).shipping is None


@pytest.mark.parametrize(
    ("included", "changes"),
    [
        (False, {"total": 109}),
        (False, {"contained": 1}),
        (False, {"added": -10, "total": 90}),
        (True, {}),
        (True, {"added": 0, "contained": 9, "total": 99}),
        (True, {"added": 0, "contained": -1, "total": 100}),
    ],
)
def test_answer_that_does_not_add_up_is_refused(included: bool, changes: dict[str, Any]) -> None:
    asked = question(lines(100), None, PLACE, {}, included)
    answer = Calculation(**{"id": "x", "expires_at": 1, "added": 10, "contained": 0, "total": 110, **changes})
    with pytest.raises(ProviderFailure):
        order_tax(asked, answer)


def test_exclusive_tax_is_added_and_included_tax_is_named() -> None:
    added, contained = with_tax(placed(), TaxOffice()), with_tax(placed(), TaxOffice(), included=True)
    for order, amount, description in ((added, 56, "Taxes"), (contained, 0, "Taxes ($0.51 included)")):
        items = render(order)["items"]
        assert [item["type"] for item in items] == ["sku", "sku", "tax", "shipping"]
        assert (items[2]["amount"], items[2]["description"]) == (amount, description)
        assert order.amount == sum(item["amount"] for item in items) == 566 + amount
        assert parse(render(order), "cart_1").amount == order.amount


def test_discounted_order_is_taxed_on_what_is_left() -> None:
    cut = Cut("promo_1", Line(DISCOUNT, -20, "usd", "Discount", "CODE"))
    plain = placed()
    goods = [line for line in plain.lines if line.kind == SKU]
    asked = question([*goods, cut.line], 346, PLACE, {}, False)
    tax = order_tax(asked, TaxOffice().calculate(asked))
    assert asked.amount == 566 - 20
    order = Order.place("or_2", "cart_1", plain.customer, goods, None, 1000, False, cut, tax)
    assert order.amount == 200 + tax.amount


def test_total_that_cannot_be_charged_is_refused() -> None:
    goods = [Line(SKU, 1000, "isk", "Bone", "sku_a", 1)]
    tax = OrderTax("taxcalc_1", 10, False, 1, {})
    with pytest.raises(Conflict, match="multiple of 100"):
        Order.place("or_1", "cart_1", placed().customer, goods, None, 1000, False, None, tax)


@pytest.mark.parametrize("currency", ["kwd", "isk"])
def test_tax_is_not_added_in_a_currency_with_steps(currency: str) -> None:
    goods = [Line(SKU, 1200, currency, "Bone", "sku_a", 1)]
    with pytest.raises(Conflict, match="TAX_BEHAVIOR=exclusive"):
        question(goods, None, PLACE, {}, False)
    assert question(goods, None, PLACE, {}, True).amount == 1200


def test_old_calculation_pays_nothing() -> None:
    order = with_tax(placed(), TaxOffice())
    assert order.tax is not None
    order.require_current_tax(order.tax.expires_at - TAX_RESERVE_S)
    with pytest.raises(Conflict, match="Check out again"):
        order.require_current_tax(order.tax.expires_at - TAX_RESERVE_S + 1)
    placed().require_current_tax(FUTURE_S)


def test_paid_order_owes_one_sale_and_a_reversal_for_each_refund() -> None:
    order = made_order(tax=EXCLUSIVE)
    assert owed(order) == {}
    order.status = PAID
    assert owed(order) == {"or_1:tax": (SALE, None)}
    order.returns = (Return("rf_2", 20, 2, "re_2"), Return("rf_1", 10, 1, "re_1"))
    assert owed(order) == {
        "or_1:tax": (SALE, None),
        "rf_1:tax": (REVERSAL, {"refund": "rf_1", "amount": 10}),
        "rf_2:tax": (REVERSAL, {"refund": "rf_2", "amount": 20}),
    }
    order.tax = None
    assert owed(order) == {}


class Desk:
    """A checkout with a tax office."""

    def __init__(self, included: bool | None = False) -> None:
        self.cart, self.products, self.shipping, self.office = Cart(), Products(), Shipping(), TaxOffice()
        self.stored: list[Order] = []
        self.cart.place = self.place  # type: ignore[method-assign]
        services = self.products, self.shipping
        self.checkout = Checkout(self.cart, *services, False, None, self.office, included)  # type: ignore[arg-type]

    def place(self, order: Any, _key: str, _digest: str) -> Any:
        self.stored.append(order)
        return order

    def order(self) -> Order:
        return self.checkout.place("cart_1", CUSTOMER, "key")


def test_checkout_asks_with_code_shipping_and_capital_country() -> None:
    desk = Desk()
    desk.products.codes = {"sku_b": "txcd_10000000"}
    order = desk.order()
    [asked] = desk.office.asked
    assert [(each.sku, each.amount, each.code) for each in asked.goods] == [
        ("sku_a", 1000, None),
        ("sku_b", 1400, "txcd_10000000"),
    ]
    assert (asked.shipping, asked.address.country, asked.address.postal_code) == (300, "US", "95122")
    assert order.amount == 2700 + 270
    assert order.tax == OrderTax("taxcalc_1", 270, False, desk.office.expires_at, {"sku_b": "txcd_10000000"})


def test_digital_order_is_taxed_without_shipping() -> None:
    desk = Desk(included=True)
    desk.products.digital = {"sku_a", "sku_b"}
    order = desk.order()
    assert ([each.shipping for each in desk.office.asked], order.amount) == ([None], 2400)


def test_checkout_without_the_tax_office_stores_nothing() -> None:
    desk = Desk()
    desk.office.down = True
    with pytest.raises(Unavailable):
        desk.order()
    assert desk.stored == []


def test_shop_without_taxes_asks_nobody() -> None:
    desk = Desk(included=None)
    assert (desk.order().tax, desk.office.asked) == (None, [])


def test_other_shipping_method_is_taxed_with_the_codes_of_the_checkout() -> None:
    order = with_tax(placed(), TaxOffice())
    assert order.tax is not None
    order.tax = dataclasses.replace(order.tax, codes={"sku_ball": "txcd_10000000"})
    desk = Desk(included=True)  # the setting has changed since

    def update(_order_id: str, _cart_id: str, change: Any, _key: str | None) -> Order:
        change(order)
        return order

    orders = SimpleNamespace(get=lambda *_: order, update=update)
    desk.checkout.store = SimpleNamespace(orders=orders)  # type: ignore[assignment]
    chosen = desk.checkout.choose_shipping("or_1", "cart_1", "fast", None)
    [asked] = desk.office.asked
    assert ([each.code for each in asked.goods], asked.shipping, asked.included) == (
        [None, "txcd_10000000"],
        2118,
        False,
    )
    assert chosen.amount == 220 + 2118 + 233
    desk.office.down = True
    with pytest.raises(Unavailable):
        desk.checkout.choose_shipping("or_1", "cart_1", "slow", None)
    assert (order.method_id, order.amount) == ("fast", 220 + 2118 + 233)
    with pytest.raises(InvalidRequest):
        desk.checkout.choose_shipping("or_1", "cart_1", "rocket", None)


SALE_ROW = {"key": "or_1:tax", "kind": SALE, "subject": "or_1", "state": "done", "details": None}
SALE_ROW |= {"answer": {"entry": "tax_1"}, "error": None}
BACK_ROW = {**SALE_ROW, "key": "rf_1:tax", "kind": REVERSAL, "answer": {"entry": "tax_2"}}
BACK_ROW |= {"details": {"refund": "rf_1", "amount": 540}}
UNDO_ROW = {**BACK_ROW, "key": "rf_1:tax_undo", "answer": {"entry": "tax_3"}}
UNDO_ROW |= {"details": {**BACK_ROW["details"], UNDOES: "rf_1:tax"}}
BACK = Return("rf_1", 540, 1, "re_1")


def refunded(**changes: Any) -> Order:
    tax = Line(TAX, 40, "usd", "Taxes")
    goods = (Line(SKU, 500, "usd", "Bone", "sku_a", 2), tax)
    return made_order(**{"lines": goods, "status": RETURNED, "tax": EXCLUSIVE, "returns": (BACK,), **changes})


def rows(*found: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    return {"or_1": {row["key"]: row for row in found}}


@pytest.mark.parametrize(
    ("order", "tasks", "kinds", "recorded"),
    [
        (refunded(), rows(SALE_ROW, BACK_ROW), [], ["or_1:tax", "rf_1:tax"]),
        (refunded(), rows(SALE_ROW), ["paid, and its tax not recorded"], ["or_1:tax"]),
        (refunded(), {}, ["paid, and its tax not recorded"], []),
        (refunded(status=PAID, returns=()), rows({**SALE_ROW, "state": "waiting", "answer": None}), [], []),
        (refunded(), rows({**SALE_ROW, "state": "failed", "answer": None}, BACK_ROW), ["tax given up"], ["rf_1:tax"]),
        (
            refunded(),
            rows(SALE_ROW, {**BACK_ROW, "answer": {"entry": None}}),
            ["tax record of unknown id"],
            ["or_1:tax"],
        ),
        (
            refunded(status=PAID, returns=()),
            rows(SALE_ROW, BACK_ROW),
            ["tax reversed, and not refunded"],
            ["or_1:tax", "rf_1:tax"],
        ),
        (
            refunded(status=PAID, returns=()),
            rows(SALE_ROW, BACK_ROW, UNDO_ROW),
            [],
            ["or_1:tax", "rf_1:tax", "rf_1:tax_undo"],
        ),
        (refunded(status=PAID, returns=()), rows(SALE_ROW, {**BACK_ROW, "answer": None}), [], ["or_1:tax"]),
        (
            refunded(status=PAID, returns=()),
            rows(SALE_ROW, {**BACK_ROW, "state": "waiting", "answer": None}),
            ["tax reversed, and not refunded"],
            ["or_1:tax"],
        ),
        (refunded(tax=None), {}, [], []),
        (refunded(status="created", returns=()), {}, [], []),
        (refunded(updated=FUTURE_S), {}, [], []),
    ],
)
def test_orders_are_compared_with_the_work_owed(
    order: Order, tasks: dict[str, Any], kinds: list[str], recorded: list[str]
) -> None:
    found, keys = compare_taxes([order], tasks, FUTURE_S - 1)
    assert ([each.kind for each in found], keys) == (kinds, recorded)
    assert all((each.fix or {}).get("do") == OWE_TAX for each in found if each.repair)


SOLD, REVERSED = Entry("tax_1", "or_1", 540, 40), Entry("tax_2", "rf_1", -540, -40, "tax_1")
UNDONE = Entry("tax_3", "rf_1:tax_undo", 540, 40, "tax_2")


@pytest.mark.parametrize(
    ("key", "entry", "kind"),
    [
        ("or_1:tax", SOLD, None),
        ("rf_1:tax", REVERSED, None),
        ("or_1:tax", None, "tax unknown at Stripe"),
        ("or_1:tax", dataclasses.replace(SOLD, amount=541), "another tax was recorded"),
        ("or_1:tax", dataclasses.replace(SOLD, tax=41), "another tax was recorded"),
        ("or_1:tax", dataclasses.replace(SOLD, reference="or_2"), "another tax was recorded"),
        ("or_1:tax", REVERSED, "another tax was recorded"),
        ("rf_1:tax", dataclasses.replace(REVERSED, reverses="tax_9"), "another tax was recorded"),
        ("rf_1:tax", dataclasses.replace(REVERSED, amount=-539), "another tax was recorded"),
        ("rf_1:tax", SOLD, "another tax was recorded"),
        ("rf_1:tax_undo", UNDONE, None),
        ("rf_1:tax_undo", dataclasses.replace(UNDONE, reverses="tax_1"), "another tax was recorded"),
    ],
)
def test_records_are_compared_with_the_provider(key: str, entry: Entry | None, kind: str | None) -> None:
    tasks = rows(SALE_ROW, BACK_ROW, UNDO_ROW)["or_1"]
    found = compare_entries({key: entry}, tasks, {"or_1": refunded()}, FUTURE_S, "Stripe")
    assert [each.kind for each in found] == ([] if kind is None else [kind])
    assert compare_entries({key: None}, tasks, {"or_1": refunded()}, 0.0, "Stripe") == []
