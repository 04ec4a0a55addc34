"""The rules that find differences between orders and the books."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cart.rules.order import CANCELED, CANCELING, CONFIRMING, CREATED, FULFILLED, PAID, PAYING, RETURNED, Order, Return
from cart.rules.payments import ACTION, OPEN, PROCESSING, SUCCEEDED
from cart.rules.payments import CANCELED as PAYMENT_CANCELED
from cart.rules.reconcile import (
    CALL_OFF,
    FINISH,
    RETURN,
    TAKE_UP,
    Listed,
    Refunded,
    compare_missing,
    compare_missing_refunds,
    compare_payments,
    compare_refunds,
)
from cart.rules.reconcile_books import AGAIN, GIVE_BACK, OWE, compare_holds, compare_orders, over
from contracts.differences import Difference
from tests.orders import made_order

UNTIL = 1000.0
OLD, YOUNG = 900.0, 1001.0
DONE = {"label": "done", "email": "done", "sms": "done"}


def order(status: str, payment: str | None = "pi_1", updated: float = OLD, **changes: Any) -> Order:
    return made_order(1, status, payment=payment, updated=int(updated), shipment="shipment_1", **changes)


def payment(state: str = SUCCEEDED, **changes: Any) -> Listed:
    return replace(Listed("pi_1", state, 500, "usd", "or_1", 0, OLD), **changes)


def compared(listed: Listed, ours: Order | None) -> list[tuple[str, str]]:
    """The differences of one payment: each kind, and the action of --repair ("" for none)."""
    orders = {} if ours is None else {ours.id: ours}
    by_payment = {} if ours is None or ours.payment is None else {ours.payment: ours}
    found = compare_payments([listed], orders, by_payment, UNTIL, "Stripe")
    assert all(bool(each.repair) != bool(each.advice) and bool(each.repair) == bool(each.fix) for each in found)
    return [(each.kind, each.fix.get("do", "")) for each in found]


@pytest.mark.parametrize(
    ("listed", "ours"),
    [
        (payment(), order(PAID)),
        (payment(), order(FULFILLED)),
        (payment(refunded=500), order(RETURNED)),
        (payment(OPEN), order(CREATED)),
        (payment(PAYMENT_CANCELED), order(CREATED)),
        (payment(PAYMENT_CANCELED), order(CANCELED)),
        (payment(OPEN), None),
        (payment(OPEN, id="pi_2"), order(CREATED)),
        (payment(PAYMENT_CANCELED, id="pi_2"), order(PAID)),
        (payment(refunded=500), None),
        (payment(id="pi_2", refunded=500), order(PAID)),
        (payment(refunded=500), order(CANCELED)),
        (payment(ACTION), order(CONFIRMING, due_at=YOUNG)),
        (payment(OPEN), order(PAYING, due_at=YOUNG)),
        (payment(PROCESSING), order(CONFIRMING, due_at=YOUNG)),
    ],
)
def test_matching_payment_has_no_difference(listed: Listed, ours: Order | None) -> None:
    assert compared(listed, ours) == []


@pytest.mark.parametrize(
    ("listed", "ours", "difference"),
    [
        (payment(), None, ("charge without an order", "")),
        (payment(refunded=499), None, ("charge without an order", "")),
        (payment(order_id=None), None, ("charge without an order", "")),
        (payment(), order(CREATED), ("payment taken, order not paid", FINISH)),
        (payment(), order(PAYING, due_at=YOUNG), ("payment taken, order not paid", FINISH)),
        (payment(), order(CONFIRMING, due_at=YOUNG), ("payment taken, order not paid", FINISH)),
        (payment(), order(CREATED, payment=None), ("payment taken, order not paid", FINISH)),
        (payment(amount=499), order(CREATED), ("another amount was taken", "")),
        (payment(currency="eur"), order(CREATED), ("another amount was taken", "")),
        (payment(id="pi_2"), order(CREATED), ("charge that its order does not name", "")),
        (payment(), order(CANCELED), ("charge of a canceled order", "")),
        (payment(OPEN), order(CANCELED), ("open payment of a canceled order", CALL_OFF)),
        (payment(ACTION), order(CANCELED), ("open payment of a canceled order", CALL_OFF)),
        (payment(OPEN), order(PAID), ("order paid, payment not taken", "")),
        (payment(PAYMENT_CANCELED), order(RETURNED), ("order paid, payment not taken", "")),
        (payment(PROCESSING), order(PAID), ("order paid, payment not taken", "")),
        (payment(amount=499), order(PAID), ("another amount was taken", "")),
        (payment(currency="eur"), order(PAID), ("another amount was taken", "")),
        (payment(id="pi_2"), order(PAID), ("charged twice", "")),
        (payment(OPEN, id="pi_2"), order(PAID), ("open payment of a paid order", CALL_OFF)),
        (payment(OPEN), order(PAYING, due_at=OLD), ("payment stands still", FINISH)),
        (payment(ACTION), order(CONFIRMING, due_at=OLD), ("payment stands still", FINISH)),
        (payment(PAYMENT_CANCELED), order(CANCELING, due_at=OLD), ("payment stands still", FINISH)),
        (payment(PROCESSING), order(CONFIRMING, due_at=OLD), ("payment stands still", FINISH)),
        (payment(PROCESSING), order(CREATED), ("payment is being settled, order open", FINISH)),
    ],
)
def test_payment_difference_has_its_kind_and_repair(
    listed: Listed, ours: Order | None, difference: tuple[str, str]
) -> None:
    assert compared(listed, ours) == [difference]


def test_recent_payment_or_order_is_not_compared() -> None:
    assert compared(payment(), order(CREATED)) != []
    assert compared(payment(created=YOUNG), order(CREATED)) == []
    assert compared(payment(), order(CREATED, updated=YOUNG)) == []
    assert compared(payment(created=YOUNG), None) == []


def test_payment_unknown_at_stripe_names_its_order() -> None:
    ours = {"pi_1": order(PAID), "pi_2": order(PAID, payment="pi_2", updated=YOUNG)}
    [difference] = compare_missing(["pi_1", "pi_2", "pi_3"], ours, UNTIL, "Stripe")
    assert (difference.kind, difference.subject, difference.repair) == ("payment unknown at Stripe", "or_1", "")


BACK = Refunded("re_1", "pi_1", 200, "succeeded", created=OLD)
SHOWN = (Return("rf_1", 200, int(OLD), "re_1"),)


@pytest.mark.parametrize(
    ("refund", "known", "ours", "differences"),
    [
        (BACK, None, order(PAID), [("refund unknown here", TAKE_UP)]),
        (replace(BACK, state="pending"), None, order(PAID), [("refund unknown here", TAKE_UP)]),
        (replace(BACK, state="failed"), None, order(PAID), []),
        (replace(BACK, created=YOUNG), None, order(PAID), []),
        (BACK, None, order(PAID, updated=YOUNG), []),
        (BACK, None, order(CANCELED), []),
        (BACK, None, None, []),
        (BACK, replace(BACK, state="done"), order(PAID, returns=SHOWN), []),
        (BACK, replace(BACK, state="done"), order(PAID), [("refund recorded differently", TAKE_UP)]),
        (BACK, replace(BACK, state="failed"), order(PAID), [("refund recorded differently", TAKE_UP)]),
        (
            BACK,
            replace(BACK, state="pending"),
            order(PAID, returns=SHOWN),
            [("refund recorded differently", TAKE_UP)],
        ),
        (replace(BACK, state="requires_action"), replace(BACK, state="pending"), order(PAID, returns=SHOWN), []),
        (replace(BACK, state="failed"), replace(BACK, state="failed"), order(PAID), []),
        (
            replace(BACK, state="failed"),
            replace(BACK, state="failed"),
            order(PAID, returns=SHOWN),
            [("refund recorded differently", TAKE_UP)],
        ),
        (
            replace(BACK, state="failed"),
            replace(BACK, state="done"),
            order(PAID, returns=SHOWN),
            [("refund recorded differently", TAKE_UP)],
        ),
        (BACK, replace(BACK, state="done", amount=100), order(PAID), [("another amount was given back", "")]),
    ],
)
def test_refund_difference_has_its_kind_and_repair(
    refund: Refunded, known: Refunded | None, ours: Order | None, differences: list[tuple[str, str]]
) -> None:
    by_payment = {} if ours is None else {"pi_1": ours}
    found = compare_refunds([refund], {} if known is None else {"re_1": known}, by_payment, UNTIL, "Stripe")
    assert [(each.kind, each.fix.get("do", "")) for each in found] == differences


def test_refund_unknown_at_stripe_names_its_order() -> None:
    [difference] = compare_missing_refunds([replace(BACK, order_id="or_1")], "Stripe")
    assert (difference.kind, difference.subject, difference.repair) == ("refund unknown at Stripe", "or_1", "")


def order_differences(
    ours: Order,
    rows: dict[str, str] | None = None,
    held: str = "key",
    labelled: str = "shipment_1",
    unreturned: str = "",
) -> list[tuple[str, str]]:
    """The differences between one order and the books. By default the books match a paid order."""
    found = compare_orders(
        [ours], {ours.id: DONE if rows is None else rows}, {held}, {labelled}, {unreturned}, UNTIL, "Stripe"
    )
    return [(each.kind, each.fix.get("do", "")) for each in found]


def test_order_with_nothing_to_ship_owes_no_label() -> None:
    digital = replace(order(PAID, stock_key="key"), shipment=None)
    messages = {"email": "done", "sms": "done"}
    assert order_differences(digital, messages, labelled="") == []
    assert order_differences(digital, {"email": "done"}, labelled="") == [("paid, and nothing owed", OWE)]
    returned = replace(order(RETURNED), shipment=None)
    assert order_differences(returned, messages, labelled="") == []
    assert over([returned], {}) == []


def test_paid_order_needs_stock_label_and_deliveries() -> None:
    for status in (PAID, FULFILLED):
        paid = order(status, stock_key="key")
        assert order_differences(paid) == []
        assert order_differences(paid, {"label": "done", "sms": "failed"}) == [("paid, and nothing owed", OWE)]
        assert order_differences(paid, {}) == [("paid, and nothing owed", OWE)]
        assert order_differences(paid, held="other") == [("sold, and not taken from stock", "")]
        assert order_differences(order(status)) == [("sold, and not taken from stock", "")]
        assert order_differences(paid, labelled="other") == [("label lost", "")]
        gave_back = {**DONE, "void": "done"}  # its full refund has failed
        assert order_differences(order(status), gave_back, held="other", labelled="other") == []
        assert order_differences(paid, {**DONE, "label": "waiting"}, labelled="other") == []
        assert order_differences(paid, {**DONE, "label": "failed"}, labelled="other") == []
        assert order_differences(paid, {**DONE, "label": "failed"}) == [("label given up, and bought", AGAIN)]
        assert order_differences(order(status, updated=YOUNG), {}, "other", "other") == []


def test_label_of_an_unpaid_order_is_a_difference() -> None:
    assert order_differences(order(CREATED), {}, labelled="other") == []
    assert order_differences(order(CREATED), {}) == [("label of an order that is not paid", "")]


@pytest.mark.parametrize("status", [CANCELED, RETURNED])
def test_unused_label_of_a_closed_order_is_returned(status: str) -> None:
    assert order_differences(order(status), unreturned="shipment_1") == [(f"label of a {status} order", RETURN)]
    assert order_differences(order(status)) == []  # the parcel moved, or the carrier keeps the money
    assert order_differences(order(status, updated=YOUNG), unreturned="shipment_1") == []
    done = {**DONE, "void": "done"}
    for rows in ({}, done, {**done, "void": "failed"}, {**done, "label": "failed"}):
        assert over([order(status)], {"or_1": rows}) == ["shipment_1"]
    for rows in ({**done, "void": "waiting"}, {**done, "label": "waiting"}):
        assert over([order(status)], {"or_1": rows}) == []
    for other in (CREATED, PAYING, CONFIRMING, CANCELING, PAID, FULFILLED):
        assert over([order(other)], {}) == []
        assert RETURN not in [do for _, do in order_differences(order(other, stock_key="key"), unreturned="shipment_1")]


def test_repair_names_the_missing_deliveries() -> None:
    [difference] = compare_orders(
        [order(PAID, stock_key="key")], {"or_1": {"label": "done"}}, {"key"}, {"shipment_1"}, {}, UNTIL, "Stripe"
    )
    assert difference.repair == "owe it email, sms"


def test_overdue_order_without_a_payment_stands_still() -> None:
    assert order_differences(order(PAYING, None, due_at=OLD), {}, labelled="") == [("payment stands still", FINISH)]
    assert order_differences(order(PAYING, None, due_at=YOUNG), {}, labelled="") == []


@pytest.mark.parametrize(
    ("key", "ours", "unneeded"),
    [
        ("or_1:1:stock", order(PAID, stock_key="or_1:1:stock"), False),
        ("or_1:1:stock", order(FULFILLED, stock_key="or_1:1:stock"), False),
        ("or_1:1:stock", order(PAYING, stock_key="or_1:1:stock"), False),
        ("or_1:1:stock", order(CONFIRMING, stock_key="or_1:1:stock"), False),
        ("or_1:1:stock", order(CANCELING, stock_key="or_1:1:stock"), False),
        ("or_1:1:stock", order(PAID, stock_key="or_1:2:stock"), True),
        ("or_1:1:stock", order(CREATED), True),
        ("or_1:1:stock", order(CANCELED, stock_key="or_1:1:stock"), True),
        ("or_1:1:stock", order(RETURNED, stock_key="or_1:1:stock"), True),
        ("or_1:1:stock", order(CREATED, updated=YOUNG), False),
        ("by hand", None, True),
    ],
)
def test_stock_that_no_order_needs_is_given_back(key: str, ours: Order | None, unneeded: bool) -> None:
    orders = {} if ours is None else {ours.id: ours}
    found = compare_holds([key], orders, set(), UNTIL)
    assert [(each.kind, each.fix["do"], each.fix["key"]) for each in found] == [
        ("stock held for nobody", GIVE_BACK, key)
    ] * unneeded
    assert compare_holds([key], orders, {key}, UNTIL) == []  # this stock is already due to be given back


def test_a_difference_is_one_line_and_crosses_the_wire() -> None:
    [difference] = compare_payments([payment()], {}, {}, UNTIL, "Stripe")
    assert Difference(**difference.plain()) == difference
    assert difference.line() == (
        "charge without an order: or_1 | we say: no such order | Stripe says: succeeded, 500 usd (pi_1)"
        " | --repair: nothing (refund it in Stripe's dashboard, if it is nobody's)"
    )
    [mendable] = compare_payments([payment()], {"or_1": order(CREATED)}, {}, UNTIL, "Stripe")
    assert mendable.line().endswith(" | --repair: finish the order")


def test_differences_name_the_payment_provider() -> None:
    [lone] = compare_payments([payment()], {}, {}, UNTIL, "AcmePay")
    [gone] = compare_missing(["pi_1"], {"pi_1": order(PAID)}, UNTIL, "AcmePay")
    [refund] = compare_missing_refunds([BACK], "AcmePay")
    [unknown] = compare_refunds([BACK], {}, {"pi_1": order(PAID)}, UNTIL, "AcmePay")
    [overdue] = compare_orders([order(PAYING, None, due_at=OLD)], {}, (), (), (), UNTIL, "AcmePay")
    for difference in (lone, gone, refund, unknown, overdue):
        assert "AcmePay says: " in difference.line()
        assert "Stripe" not in difference.line()
