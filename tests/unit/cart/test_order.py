"""The public form, the amount and the states of an order."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cart.rules.order import (
    ACTION,
    CANCELED,
    CONFIRMING,
    CREATED,
    FULFILLED,
    NEXT,
    PAID,
    PAYING,
    PROCESSING,
    RETURNED,
    Customer,
    Offer,
    Order,
    Return,
    goods,
)
from cart.rules.public_order import parse, public, render
from contracts.errors import Conflict, InvalidRequest, Refused

# As the release before typed orders stored them.
PREVIOUS: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("orders_of_previous_release.json").read_text(encoding="utf-8")
)
CUSTOMER = {
    "email": "shopper@example.com",
    "phone": "+15005550010",
    "name": "Chloe Taylor",
    "address": {"line1": "1092 Indian Summer Ct", "city": "San Jose", "state": "CA", "country": "US"},
}
LINES = [
    {"parent": "sku_bone", "description": "Wally bone", "quantity": 2, "price": 50, "currency": "usd"},
    {"parent": "sku_ball", "description": "Ball", "quantity": 1, "price": 120, "currency": "usd"},
]


def method(name: str, amount: int, currency: str = "usd") -> dict[str, Any]:
    return {"id": name, "amount": amount, "currency": currency, "description": name.title(), "delivery_estimate": {}}


SHIPMENT = {"object_id": "shp", "methods": [method("fast", 2118), method("slow", 346)], "selected": "slow"}


def placed(**changes: Any) -> Order:
    values: dict[str, Any] = {"lines": LINES, "shipment": SHIPMENT, **changes}
    bought = [goods(line) for line in values["lines"]]
    offer = Offer.of(values["shipment"], "usd")
    return Order.place("or_1", "cart_1", Customer.of(CUSTOMER), bought, offer, 1000, live=False)


def test_the_amount_is_the_sum_of_its_lines() -> None:
    order = placed()
    kinds = [(item["type"], item["amount"], item["quantity"]) for item in render(order)["items"]]
    assert kinds == [("sku", 100, 2), ("sku", 120, 1), ("tax", 0, None), ("shipping", 346, None)]
    assert order.amount == 100 + 120 + 346
    assert order.method_id == "slow"


def test_another_shipping_method_changes_the_line_and_the_amount() -> None:
    order = placed()
    order.choose("fast", 1001)
    assert order.amount == 100 + 120 + 2118
    assert [line.parent for line in order.all_lines if line.kind == "shipping"] == ["fast"]


def test_a_method_that_was_not_offered_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequest) as caught:
        placed().choose("pigeon", 1001)
    assert "shipping_id" in caught.value.facts["errors"]


@pytest.mark.parametrize("status", sorted(set(NEXT) - {CREATED}))
def test_the_shipping_method_is_fixed_once_payment_begins(status: str) -> None:
    order = placed()
    order.status = status
    with pytest.raises(Conflict):
        order.choose("fast", 1001)


def test_cart_in_two_currencies_is_refused() -> None:
    with pytest.raises(Conflict, match="eur, usd"):
        placed(lines=[LINES[0], {**LINES[1], "currency": "eur"}])


def test_amount_above_the_payment_limit_is_refused() -> None:
    expensive = {**LINES[0], "price": 99_999_999, "quantity": 1}
    with pytest.raises(Conflict, match="more than one payment"):
        placed(lines=[expensive])
    order = placed(lines=[{**expensive, "price": 99_999_999 - 346}])
    with pytest.raises(Conflict, match="more than one payment"):
        order.choose("fast", 1001)
    assert order.method_id == "slow"


def test_methods_in_another_currency_are_not_offered() -> None:
    order = placed(
        shipment={**SHIPMENT, "methods": [method("fast", 2118), method("dear", 1, "eur")], "selected": "dear"}
    )
    assert [offered.id for offered in order.methods] == ["fast"]
    assert order.method_id == "fast"
    with pytest.raises(Refused):
        placed(shipment={**SHIPMENT, "methods": [method("dear", 1, "eur")]})


def test_states_follow_the_table_and_record_their_time() -> None:
    order = placed()
    with pytest.raises(Conflict, match="cannot become paid"):
        order.become(PAID, 1001)
    order.become(PAYING, 1001)
    assert render(order)["status"] == "created"  # the shopper does not see internal states
    order.become(PAID, 1002)
    assert render(order)["status"] == "paid"
    assert render(order)["status_transitions"]["paid"] == 1002
    with pytest.raises(Conflict):
        order.become(CANCELED, 1003)


def bought(amount: int = 566) -> tuple[Order, Return]:
    order = placed()
    order.status, order.times[PAID], order.stock_key = PAID, 1001, "key"
    return order, Return("rf_1", amount, 1002, "re_1")


@pytest.mark.parametrize("before", [PAID, FULFILLED])
def test_order_whose_full_refund_fails_is_what_it_was(before: str) -> None:
    order, refund = bought()
    if before == FULFILLED:
        order.arrive(1002)
    order.give_back([refund], 1003)
    assert (order.status, order.amount_returned, order.times[RETURNED]) == (RETURNED, 566, 1003)
    order.give_back([], 1004)
    assert (order.status, order.amount_returned, order.updated) == (before, 0, 1004)
    assert order.times == {PAID: 1001, **({FULFILLED: 1002} if before == FULFILLED else {})}
    order.give_back([refund], 1005)
    assert (order.status, order.times[RETURNED]) == (RETURNED, 1005)


def test_failed_part_of_a_full_refund_makes_the_order_paid() -> None:
    order, refund = bought(500)
    rest = Return("rf_2", 66, 1003, "re_2")
    order.give_back([rest, refund], 1003)
    order.give_back([refund], 1004)
    assert (order.status, order.amount_returned) == (PAID, 500)


@pytest.mark.parametrize(
    ("refunded", "lost", "back"), [(300, 566, 566), (300, 100, 400), (0, 566, 566), (566, 566, 566)]
)
def test_refunded_part_of_a_lost_dispute_counts_once(refunded: int, lost: int, back: int) -> None:
    order, refund = bought(refunded or 1)
    order.give_back([refund] if refunded else [], 1003)
    order.show_dispute(None, lost, 1004)
    assert (order.amount_returned, order.status == RETURNED) == (back, back == 566)
    assert parse(render(order), "cart_1", status=order.status).amount_returned == back


def test_lost_dispute_covers_a_refund_that_fails_later() -> None:
    order, refund = bought(300)
    order.give_back([refund], 1003)
    order.show_dispute(None, 566, 1004)
    order.give_back([], 1005)
    assert (order.amount_returned, order.status) == (566, RETURNED)


def test_parcel_that_moves_after_the_refund_is_remembered() -> None:
    order, refund = bought()
    order.give_back([refund], 1002)
    order.arrive(1003)
    order.arrive(1004)
    assert (order.status, order.times[FULFILLED]) == (RETURNED, 1003)
    order.give_back([], 1005)
    assert (order.status, order.times[FULFILLED]) == (FULFILLED, 1003)


def test_pending_refund_counts_and_is_shown_as_pending() -> None:
    order, refund = bought()
    order.give_back([replace(refund, pending=True)], 1002)
    assert (order.status, order.amount_returned) == (RETURNED, 566)
    document = render(order)
    assert [each["status"] for each in document["returns"]["data"]] == ["pending"]
    assert parse(document, "cart_1", status=RETURNED).returns == order.returns
    order.give_back([refund], 1003)
    assert [each["status"] for each in render(order)["returns"]["data"]] == ["succeeded"]


@pytest.mark.parametrize(
    ("status", "waits_for", "failure", "shown"),
    [
        (CREATED, None, None, "unpaid"),
        (CREATED, None, {"detail": "Declined."}, "failed"),
        (CREATED, PROCESSING, None, "unpaid"),  # a copy of older code opened it again
        (PAYING, None, None, "unpaid"),
        (PAYING, ACTION, None, "requires_action"),
        (PAYING, PROCESSING, None, "processing"),
        (CONFIRMING, None, None, "requires_action"),  # a copy of older code let it wait
        (CONFIRMING, PROCESSING, None, "processing"),
        (PAID, PROCESSING, None, "succeeded"),
        (CANCELED, None, {"detail": "Declined."}, "canceled"),
    ],
)
def test_payment_of_an_order_is_shown(
    status: str, waits_for: str | None, failure: dict[str, Any] | None, shown: str
) -> None:
    order = placed()
    order.status, order.waits_for, order.failure = status, waits_for, failure
    document = render(order)
    assert document["payment"] == {"status": shown, "failure": failure}
    assert parse(document, "cart_1", status=status).failure == failure


@pytest.mark.parametrize("name", sorted(PREVIOUS))
def test_order_of_the_previous_release_is_read_and_written(name: str) -> None:
    document = PREVIOUS[name]
    order = parse(document, "cart_1", status=document["status"])
    assert (order.amount, order.live, order.customer.name) == (document["amount"], False, "Chloe Taylor")
    rendered = render(order)
    assert rendered.pop("dispute") is None  # the previous release knows of none
    for shown, stored in zip(rendered["returns"]["data"], document["returns"]["data"], strict=True):
        # The previous release did not share out a partial refund.
        assert sum(item["amount"] for item in shown["items"]) == shown["amount"]
        assert shown.pop("status") == "succeeded"  # which it did not write
        if not stored["items"]:
            shown["items"] = []
    del rendered["payment"]  # which that release did not show
    # Also the sequence: the documentation prints it.
    assert json.dumps(rendered) == json.dumps(document)


def test_order_is_shown_with_the_url_of_its_page() -> None:
    order = parse(PREVIOUS["paid"], "cart_1", status="paid")
    assert public(order, "https://shop.example") == {**render(order), "status_url": None}
    order.token = "ot_1"
    assert public(order, "https://shop.example")["status_url"] == f"https://shop.example/orders/{order.id}?token=ot_1"


@pytest.mark.parametrize("missing", ["id", "email", "items", "shipping", "status_transitions", "returns", "updated"])
def test_incomplete_document_is_not_an_order(missing: str) -> None:
    document = {**PREVIOUS["paid"]}
    del document[missing]
    with pytest.raises(KeyError, match=missing):
        parse(document, "cart_1")


@pytest.mark.parametrize("amount", [None, "346", 3.46, True])
def test_amount_of_a_line_is_a_whole_number(amount: Any) -> None:
    items = [{**PREVIOUS["paid"]["items"][0], "amount": amount}]
    with pytest.raises(ValueError, match="whole number"):
        parse({**PREVIOUS["paid"], "items": items}, "cart_1")
