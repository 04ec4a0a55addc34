"""The bodies of the discount routes, and a payment without a card."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.errors import InvalidRequest
from gateway import schemas
from gateway.fields import is_discount_code

STRIPE = {"PAYMENT_PROVIDER": ("stripe",)}


def refused(shape: Any, body: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidRequest) as refusal:
        shape.check(body)
    return list(refusal.value.facts["errors"])


@pytest.mark.parametrize(
    "body",
    [
        {"code": "A", "percent_off": 0.01},
        {"code": "SUMMER-20_x", "percent_off": 100, "currency": "USD", "minimum_amount": 1},
        {"code": "a" * 500, "amount_off": 1, "currency": "usd", "max_redemptions": 1, "expires_at": 2_000_000_000},
        {"code": "A", "percent_off": 10, "amount_off": None, "max_redemptions": None},
    ],
)
def test_possible_discount_passes(body: dict[str, Any]) -> None:
    assert schemas.DISCOUNT.check(body) == body


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"code": ""}, "code"),
        ({"code": "20 %"}, "code"),
        ({"code": "a" * 501}, "code"),
        ({"code": "été"}, "code"),
        ({"percent_off": 0}, "percent_off"),
        ({"percent_off": 100.01}, "percent_off"),
        ({"percent_off": 10.005}, "percent_off"),
        ({"percent_off": 33.333}, "percent_off"),
        ({"percent_off": True}, "percent_off"),
        ({"percent_off": None}, "percent_off"),
        ({"amount_off": 100}, "percent_off"),
        ({"max_redemptions": 0}, "max_redemptions"),
        ({"minimum_amount": 0}, "minimum_amount"),
        ({"expires_at": 1_800_000_000_000}, "expires_at"),
        ({"once_per_customer": True}, "once_per_customer"),
    ],
)
def test_impossible_discount_is_refused_by_name(changes: dict[str, Any], field: str) -> None:
    assert refused(schemas.DISCOUNT, {"code": "A", "percent_off": 10, **changes}) == [field]


def test_code_in_a_path_has_the_shape_of_a_code() -> None:
    assert [is_discount_code(code) for code in ("Summer_20-x", "a" * 500, "", "a" * 501, "a b", "a.b")] == [
        True, True, False, False, False, False,
    ]  # fmt: skip


def test_payment_may_come_without_a_card() -> None:
    assert schemas.payment(STRIPE).check({"order_id": "or_1"}) == {"order_id": "or_1"}
    assert refused(schemas.payment(STRIPE), {"order_id": "or_1", "cart": ""}) == ["cart"]
    assert refused(schemas.payment(STRIPE), {"order_id": "or_1", "cart": "tok_a", "card": "tok_b"}) == ["cart", "card"]
