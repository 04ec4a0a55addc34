"""Which failed refunds are repeated, and which need a person."""

from __future__ import annotations

from typing import Any

import pytest

from cart.rules.payments import OrderRefund
from cart.rules.refunds import DONE, FAILED, failure, is_repeated, made_good
from tests.unit.cart.test_order import placed


def row(name: str, state: str = FAILED, began: float = 10, **changes: Any) -> dict[str, Any]:
    values = {
        "id": f"rf_{name}",
        "provider_id": f"re_{name}",
        "key": name,
        "state": state,
        "amount": 30,
        "began": began,
    }
    return {**values, "ended": began + 5, "repeats": None, "error": "Stripe says: declined.", **changes}


PASSING = OrderRefund("re_a", 30, 10.0, "rf_a", failed=True, passing=True)
FINAL = OrderRefund("re_a", 30, 10.0, "rf_a", failed=True)
ELSEWHERE = OrderRefund("re_a", 30, 10.0, None, failed=True, passing=True)


@pytest.mark.parametrize(
    ("refund", "failed", "others", "left", "repeated"),
    [
        (PASSING, row("a"), [], 30, True),
        (FINAL, row("a"), [], 30, False),
        (ELSEWHERE, row("a", key="re_a"), [], 30, False),
        (PASSING, row("a", repeats="rf_0"), [], 30, False),
        (PASSING, row("a"), [], 29, False),
        (PASSING, row("a"), [row("b", DONE, 11, key="re_b")], 30, False),
        (PASSING, row("a"), [row("b", DONE, 9, key="re_b")], 30, True),
        (PASSING, row("a"), [row("b", FAILED, 11, key="re_b")], 30, True),
        (PASSING, row("a"), [row("b", DONE, 11)], 30, True),
    ],
)
def test_only_our_refund_with_a_passing_reason_is_repeated_once(
    refund: OrderRefund, failed: dict[str, Any], others: list[dict[str, Any]], left: int, repeated: bool
) -> None:
    assert is_repeated(failed, refund, [failed, *others], left) is repeated


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([row("a")], set()),
        ([row("a"), row("b", DONE, 20)], {"rf_a"}),
        ([row("a"), row("b", DONE, 14)], set()),  # made before the first one failed
        ([row("a"), row("b", DONE, 20, amount=29)], set()),
        ([row("a"), row("b", DONE, 20, amount=10), row("c", DONE, 21, amount=20)], {"rf_a"}),
        ([row("a"), row("b", began=11), row("c", DONE, 20)], {"rf_a"}),  # one cannot make two good
        ([row("a"), row("b", began=11), row("c", DONE, 20, amount=60)], {"rf_a", "rf_b"}),
        ([row("a"), row("b", began=15, repeats="rf_a"), row("c", DONE, 30)], {"rf_a", "rf_b"}),
        ([row("a", provider_id=None), row("c", DONE, 30)], set()),  # it was refused, and no money came back
    ],
)
def test_failed_refund_is_made_good_by_later_ones(rows: list[dict[str, Any]], found: set[str]) -> None:
    assert made_good(rows, whole=False) == found
    assert made_good(rows, whole=True) == {each["id"] for each in rows if each["state"] == FAILED}


def test_operator_reads_amount_reason_and_state() -> None:
    order = placed()
    order.status, order.stock_key = "paid", None
    assert failure(order, row("a")) == (
        "$0.30 did not go back. Stripe says: declined. The order is paid. "
        "Its stock was released, and nothing is sent for it any more."
    )
