"""Where an order and its books disagree: the rules, one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cart.order import CANCELED, CANCELING, CONFIRMING, CREATED, FULFILLED, PAID, PAYING, RETURNED, Order
from cart.payments import ACTION, OPEN, PROCESSING, SUCCEEDED
from cart.payments import CANCELED as CALLED_OFF
from cart.reconcile import (
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
from cart.reconcile_books import AGAIN, GIVE_BACK, OWE, compare_holds, compare_orders, over
from contracts.differences import Difference

UNTIL = 1000.0
OLD, YOUNG = 900.0, 1001.0
DONE = {"label": "done", "email": "done", "sms": "done"}


def order(status: str, payment: str | None = "pi_1", updated: float = OLD, **changes: Any) -> Order:
    document = {"updated": updated, "amount": 500, "currency": "usd", "upstream_id": "shipment_1"}
    return Order("or_1", "cart_1", status, document, payment=payment, **changes)


def payment(state: str = SUCCEEDED, **changes: Any) -> Listed:
    return replace(Listed("pi_1", state, 500, "usd", "or_1", 0, OLD), **changes)


def compared(listed: Listed, ours: Order | None) -> list[tuple[str, str]]:
    """What is told of one payment: its kind, and what --repair would do ("" for nothing)."""
    orders = {} if ours is None else {ours.id: ours}
    by_payment = {} if ours is None or ours.payment is None else {ours.payment: ours}
    found = compare_payments([listed], orders, by_payment, UNTIL)
    assert all(bool(each.repair) != bool(each.advice) and bool(each.repair) == bool(each.fix) for each in found)
    return [(each.kind, each.fix.get("do", "")) for each in found]


@pytest.mark.parametrize(
    ("listed", "ours"),
    [
        (payment(), order(PAID)),
        (payment(), order(FULFILLED)),
        (payment(refunded=500), order(RETURNED)),
        (payment(OPEN), order(CREATED)),
        (payment(CALLED_OFF), order(CREATED)),
        (payment(CALLED_OFF), order(CANCELED)),
        (payment(OPEN), None),
        (payment(OPEN, id="pi_2"), order(CREATED)),
        (payment(CALLED_OFF, id="pi_2"), order(PAID)),
        (payment(refunded=500), None),
        (payment(id="pi_2", refunded=500), order(PAID)),
        (payment(refunded=500), order(CANCELED)),
        (payment(ACTION), order(CONFIRMING, due_at=YOUNG)),
        (payment(OPEN), order(PAYING, due_at=YOUNG)),
    ],
)
def test_what_agrees_is_not_told(listed: Listed, ours: Order | None) -> None:
    assert compared(listed, ours) == []


@pytest.mark.parametrize(
    ("listed", "ours", "told"),
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
        (payment(CALLED_OFF), order(RETURNED), ("order paid, payment not taken", "")),
        (payment(PROCESSING), order(PAID), ("order paid, payment not taken", "")),
        (payment(amount=499), order(PAID), ("another amount was taken", "")),
        (payment(currency="eur"), order(PAID), ("another amount was taken", "")),
        (payment(id="pi_2"), order(PAID), ("charged twice", "")),
        (payment(OPEN, id="pi_2"), order(PAID), ("open payment of a paid order", CALL_OFF)),
        (payment(OPEN), order(PAYING, due_at=OLD), ("payment stands still", FINISH)),
        (payment(ACTION), order(CONFIRMING, due_at=OLD), ("payment stands still", FINISH)),
        (payment(CALLED_OFF), order(CANCELING, due_at=OLD), ("payment stands still", FINISH)),
    ],
)
def test_what_differs_is_told_and_only_what_is_safe_is_mended(
    listed: Listed, ours: Order | None, told: tuple[str, str]
) -> None:
    assert compared(listed, ours) == [told]


def test_what_is_young_may_be_under_way() -> None:
    assert compared(payment(), order(CREATED)) != []
    assert compared(payment(created=YOUNG), order(CREATED)) == []
    assert compared(payment(), order(CREATED, updated=YOUNG)) == []
    assert compared(payment(created=YOUNG), None) == []


def test_a_payment_that_stripe_does_not_know_is_told_of_its_order() -> None:
    ours = {"pi_1": order(PAID), "pi_2": order(PAID, payment="pi_2", updated=YOUNG)}
    [told] = compare_missing(["pi_1", "pi_2", "pi_3"], ours, UNTIL)
    assert (told.kind, told.subject, told.repair) == ("payment unknown at Stripe", "or_1", "")


BACK = Refunded("re_1", "pi_1", 200, "succeeded", created=OLD)


@pytest.mark.parametrize(
    ("refund", "known", "ours", "told"),
    [
        (BACK, None, order(PAID), [("refund unknown here", TAKE_UP)]),
        (replace(BACK, state="pending"), None, order(PAID), [("refund unknown here", TAKE_UP)]),
        (replace(BACK, state="failed"), None, order(PAID), []),
        (replace(BACK, created=YOUNG), None, order(PAID), []),
        (BACK, None, order(PAID, updated=YOUNG), []),
        (BACK, None, order(CANCELED), []),
        (BACK, None, None, []),
        (BACK, replace(BACK, state="done"), order(PAID), []),
        (BACK, replace(BACK, state="failed"), order(PAID), [("refund told differently", TAKE_UP)]),
        (
            replace(BACK, state="failed"),
            replace(BACK, state="done"),
            order(PAID),
            [("refund told differently", TAKE_UP)],
        ),
        (BACK, replace(BACK, state="done", amount=100), order(PAID), [("another amount was given back", "")]),
    ],
)
def test_refunds(refund: Refunded, known: Refunded | None, ours: Order | None, told: list[tuple[str, str]]) -> None:
    by_payment = {} if ours is None else {"pi_1": ours}
    found = compare_refunds([refund], {} if known is None else {"re_1": known}, by_payment, UNTIL)
    assert [(each.kind, each.fix.get("do", "")) for each in found] == told


def test_a_refund_that_stripe_does_not_know() -> None:
    [told] = compare_missing_refunds([replace(BACK, order_id="or_1")])
    assert (told.kind, told.subject, told.repair) == ("refund unknown at Stripe", "or_1", "")


def beside(
    ours: Order,
    rows: dict[str, str] | None = None,
    held: str = "key",
    labelled: str = "shipment_1",
    unreturned: str = "",
) -> list[tuple[str, str]]:
    """What is told of one order beside the other books, which have all that a paid order has unless said otherwise."""
    found = compare_orders([ours], {ours.id: DONE if rows is None else rows}, {held}, {labelled}, {unreturned}, UNTIL)
    return [(each.kind, each.fix.get("do", "")) for each in found]


def test_a_paid_order_has_all_that_is_owed_its_stock_and_its_label() -> None:
    for status in (PAID, FULFILLED):
        paid = order(status, stock_key="key")
        assert beside(paid) == []
        assert beside(paid, {"label": "done", "sms": "failed"}) == [("paid, and nothing owed", OWE)]
        assert beside(paid, {}) == [("paid, and nothing owed", OWE)]
        assert beside(paid, held="other") == [("sold, and not taken from stock", "")]
        assert beside(order(status)) == [("sold, and not taken from stock", "")]
        assert beside(paid, labelled="other") == [("label lost", "")]
        assert beside(paid, {**DONE, "label": "waiting"}, labelled="other") == []
        assert beside(paid, {**DONE, "label": "failed"}, labelled="other") == []
        assert beside(paid, {**DONE, "label": "failed"}) == [("label given up, and bought", AGAIN)]
        assert beside(order(status, updated=YOUNG), {}, "other", "other") == []


def test_an_order_that_is_not_paid_has_none_of_it() -> None:
    assert beside(order(CREATED), {}, labelled="other") == []
    assert beside(order(CREATED), {}) == [("label of an order that is not paid", "")]


@pytest.mark.parametrize("status", [CANCELED, RETURNED])
def test_an_order_that_nobody_will_send_has_no_label_that_might_be_returned(status: str) -> None:
    assert beside(order(status), unreturned="shipment_1") == [(f"label of a {status} order", RETURN)]
    assert beside(order(status)) == []  # its parcel had moved, or the carrier keeps the money
    assert beside(order(status, updated=YOUNG), unreturned="shipment_1") == []
    done = {**DONE, "void": "done"}
    for rows in ({}, done, {**done, "void": "failed"}, {**done, "label": "failed"}):
        assert over([order(status)], {"or_1": rows}) == ["shipment_1"]
    for rows in ({**done, "void": "waiting"}, {**done, "label": "waiting"}):
        assert over([order(status)], {"or_1": rows}) == []
    for other in (CREATED, PAYING, CONFIRMING, CANCELING, PAID, FULFILLED):
        assert over([order(other)], {}) == []
        assert RETURN not in [do for _, do in beside(order(other, stock_key="key"), unreturned="shipment_1")]


def test_what_is_owed_is_named() -> None:
    [told] = compare_orders(
        [order(PAID, stock_key="key")], {"or_1": {"label": "done"}}, {"key"}, {"shipment_1"}, {}, UNTIL
    )
    assert told.repair == "owe it email, sms"


def test_a_payment_that_never_came_to_stripe_stands_still() -> None:
    assert beside(order(PAYING, None, due_at=OLD), {}, labelled="") == [("payment stands still", FINISH)]
    assert beside(order(PAYING, None, due_at=YOUNG), {}, labelled="") == []


@pytest.mark.parametrize(
    ("key", "ours", "told"),
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
def test_stock_is_held_for_somebody(key: str, ours: Order | None, told: bool) -> None:
    orders = {} if ours is None else {ours.id: ours}
    found = compare_holds([key], orders, set(), UNTIL)
    assert [(each.kind, each.fix["do"], each.fix["key"]) for each in found] == [
        ("stock held for nobody", GIVE_BACK, key)
    ] * told
    assert compare_holds([key], orders, {key}, UNTIL) == []  # it is to be given back already


def test_a_difference_is_one_line_and_crosses_the_wire() -> None:
    [told] = compare_payments([payment()], {}, {}, UNTIL)
    assert Difference(**told.plain()) == told
    assert told.line() == (
        "charge without an order: or_1 | we say: no such order | Stripe says: succeeded, 500 usd (pi_1)"
        " | --repair: nothing (refund it in Stripe's dashboard, if it is nobody's)"
    )
    [mendable] = compare_payments([payment()], {"or_1": order(CREATED)}, {}, UNTIL)
    assert mendable.line().endswith(" | --repair: finish the order")
