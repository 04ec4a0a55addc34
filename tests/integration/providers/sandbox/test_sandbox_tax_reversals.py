"""Reversals of Stripe Tax, in the sandbox, through Stripe's own SDK."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.providers.sandbox.process import Sdks
from tests.integration.providers.sandbox.stripe_tax import (
    FOOD,
    amounts,
    calculate,
    lines_of,
    part,
    record,
    refused,
    reverse,
    to,
)


def test_full_reversal_takes_everything_back_once(sdks: Sdks) -> None:
    sold = record(sdks, calculate(sdks, {"reference": "L1"}, {"amount": 500}, shipping_cost={"amount": 200}))
    back = reverse(sdks, sold.id, metadata={"refund": "re_1"})
    assert (back.type, amounts(back)) == ("reversal", [(-1000, -65), (-500, -33)])
    assert back.shipping_cost is not None
    assert (back.shipping_cost.amount, back.shipping_cost.amount_tax) == (-200, -13)
    assert back.reversal is not None
    assert back.reversal.original_transaction == sold.id
    assert [line.reversal.original_line_item for line in lines_of(back)] == [line.id for line in lines_of(sold)]
    assert [line.type for line in lines_of(back)] == ["reversal"] * 2
    over = (None, "original_transaction")
    assert refused(lambda: reverse(sdks, sold.id)) == over
    assert refused(lambda: reverse(sdks, sold.id, "partial", flat_amount=-1)) == over


def test_partial_reversal_takes_lines_and_shipping_back(sdks: Sdks) -> None:
    sold = record(sdks, calculate(sdks, {"reference": "L1", "quantity": 2}, {}, shipping_cost={"amount": 200}))
    first, second = lines_of(sold)
    back = reverse(
        sdks, sold.id, "partial", line_items=[part(first, -500, -32, quantity=1, metadata={"a": "b"})],
        shipping_cost={"amount": -100, "amount_tax": -6},
    )  # fmt: skip
    [line] = lines_of(back)
    assert (line.amount, line.amount_tax, line.quantity) == (-500, -32, 1)
    assert line.metadata.to_dict() == {"a": "b"}
    assert line.reversal.original_line_item == first.id
    assert back.shipping_cost is not None
    assert (back.shipping_cost.amount, back.shipping_cost.amount_tax) == (-100, -6)
    rest = reverse(sdks, sold.id, "partial", line_items=[part(first, -500, -33), part(second, -1000, -65)])
    assert rest.shipping_cost is None


@pytest.mark.parametrize(
    ("amount", "amount_tax", "param"), [(-501, -1, "[amount]"), (-1, -34, "[amount_tax]"), (1, -1, "[amount]")]
)
def test_more_than_what_is_left_is_refused(sdks: Sdks, amount: int, amount_tax: int, param: str) -> None:
    sold = record(sdks, calculate(sdks, shipping_cost={"amount": 1000}))
    [line] = lines_of(sold)
    half = {"amount": -500, "amount_tax": -32}
    reverse(sdks, sold.id, "partial", line_items=[part(line, -500, -32)], shipping_cost=half)
    over = {"amount": amount, "amount_tax": amount_tax}
    assert refused(lambda: reverse(sdks, sold.id, "partial", line_items=[part(line, **over)])) == (
        None, f"line_items[0]{param}",
    )  # fmt: skip
    assert refused(lambda: reverse(sdks, sold.id, "partial", shipping_cost=over)) == (None, f"shipping_cost{param}")
    parts = [part(line, -300, 0), part(line, -300, 0)]
    assert refused(lambda: reverse(sdks, sold.id, "partial", line_items=parts)) == (None, "line_items[1][amount]")
    assert sdks.stripe.v1.tax.transactions.retrieve(sold.id)
    reverse(sdks, sold.id, "partial", line_items=[part(line, -500, -33)])


def test_flat_amount_is_shared_in_proportion_to_what_is_left(sdks: Sdks) -> None:
    """Stripe's own example: 10 and 20 dollars with a tax of 10 percent, and a refund of 16.50."""
    ten_percent = {"to": to("IT"), "currency": "eur"}
    lines = ({"tax_code": FOOD}, {"tax_code": FOOD, "amount": 2000})
    sold = record(sdks, calculate(sdks, *lines, **ten_percent))
    assert amounts(sold) == [(1000, 100), (2000, 200)]
    assert amounts(reverse(sdks, sold.id, "partial", flat_amount=-1650)) == [(-500, -50), (-1000, -100)]
    other = record(sdks, calculate(sdks, *lines, **ten_percent))
    reverse(sdks, other.id, "partial", line_items=[part(lines_of(other)[0], -1000, -100)])
    assert amounts(reverse(sdks, other.id, "partial", flat_amount=-1650)) == [(0, 0), (-1500, -150)]
    assert refused(lambda: reverse(sdks, other.id, "partial", flat_amount=-551)) == (None, "flat_amount")
    assert amounts(reverse(sdks, other.id, "partial", flat_amount=-550)) == [(0, 0), (-500, -50)]


def test_flat_amounts_take_exactly_everything_back(sdks: Sdks) -> None:
    made = calculate(
        sdks, {"amount": 333}, {"amount": 1, "tax_behavior": "inclusive"}, {"amount": 777, "tax_behavior": "inclusive"},
        to=to("DE"), currency="eur", shipping_cost={"amount": 499, "tax_behavior": "inclusive"},
    )  # fmt: skip
    sold = record(sdks, made)
    steps = [-1, -7, -100, -333]
    backs = [reverse(sdks, sold.id, "partial", flat_amount=step) for step in (*steps, -made.amount_total - sum(steps))]
    for number, line in enumerate(lines_of(sold)):
        returned = [lines_of(back)[number] for back in backs]
        assert sum(each.amount for each in returned) == -line.amount
        assert sum(each.amount_tax for each in returned) == -line.amount_tax
    assert sold.shipping_cost is not None
    costs = [back.shipping_cost for back in backs if back.shipping_cost]
    assert sum(cost.amount for cost in costs) == -sold.shipping_cost.amount
    assert sum(cost.amount_tax for cost in costs) == -sold.shipping_cost.amount_tax


def test_partial_reversal_can_be_undone(sdks: Sdks) -> None:
    sold = record(sdks, calculate(sdks))
    [line] = lines_of(sold)
    partial = reverse(sdks, sold.id, "partial", line_items=[part(line, -1000, -65)])
    undone = reverse(sdks, partial.id)
    assert amounts(undone) == [(1000, 65)]
    assert undone.reversal is not None
    assert undone.reversal.original_transaction == partial.id
    assert refused(lambda: reverse(sdks, partial.id)) == (None, "original_transaction")
    reverse(sdks, sold.id, "partial", line_items=[part(line, -1000, -65)])
    assert refused(lambda: reverse(sdks, sold.id, "partial", flat_amount=-1)) == (None, "flat_amount")
    assert refused(lambda: reverse(sdks, undone.id, "partial", flat_amount=-1)) == (None, "mode")


def test_full_reversal_can_be_undone(sdks: Sdks) -> None:
    sold = record(sdks, calculate(sdks))
    undone = reverse(sdks, reverse(sdks, sold.id).id)
    assert amounts(undone) == [(1000, 65)]
    assert amounts(reverse(sdks, sold.id)) == [(-1000, -65)]


def test_full_reversal_ignores_partial_ones(sdks: Sdks) -> None:
    sold = record(sdks, calculate(sdks))
    reverse(sdks, sold.id, "partial", flat_amount=-500)
    assert amounts(reverse(sdks, sold.id)) == [(-1000, -65)]


def test_sale_has_at_most_thirty_partial_reversals(sdks: Sdks) -> None:
    sold = record(sdks, calculate(sdks))
    for _ in range(30):
        reverse(sdks, sold.id, "partial", flat_amount=-1)
    assert refused(lambda: reverse(sdks, sold.id, "partial", flat_amount=-1)) == (None, "original_transaction")


@pytest.mark.parametrize(
    ("mode", "more", "code", "param"),
    [
        ("none", {}, None, "mode"),
        ("partial", {}, "parameter_missing", "line_items"),
        ("full", {"flat_amount": -1}, None, "flat_amount"),
        ("partial", {"flat_amount": 1}, None, "flat_amount"),
        (
            "partial",
            {"flat_amount": -1, "shipping_cost": {"amount": 0, "amount_tax": 0}},
            "parameters_exclusive",
            "flat_amount",
        ),
        ("partial", {"shipping_cost": {"amount": 0, "amount_tax": 0}}, None, "shipping_cost"),
        ("partial", {"shipping_cost": {"amount": 0}}, "parameter_missing", "shipping_cost[amount_tax]"),
        (
            "partial",
            {"line_items": [{"original_line_item": "tax_li_0", "reference": "a", "amount": 0, "amount_tax": 0}]},
            "resource_missing",
            "line_items[0][original_line_item]",
        ),
        (
            "partial",
            {"line_items": [{"reference": "a", "amount": 0, "amount_tax": 0}]},
            "parameter_missing",
            "line_items[0][original_line_item]",
        ),
        ("full", {"reference": ""}, "parameter_invalid_empty", "reference"),
    ],
)
def test_bad_reversal_is_refused(sdks: Sdks, mode: str, more: Any, code: str | None, param: str) -> None:
    sold = record(sdks, calculate(sdks))
    assert refused(lambda: reverse(sdks, sold.id, mode, **more)) == (code, param)


def test_lines_of_a_reversal_have_different_references(sdks: Sdks) -> None:
    sold = record(sdks, calculate(sdks, {}, {}))
    parts = [part(line, -1, 0, reference="same") for line in lines_of(sold)]
    assert refused(lambda: reverse(sdks, sold.id, "partial", line_items=parts)) == (None, "line_items[1][reference]")
