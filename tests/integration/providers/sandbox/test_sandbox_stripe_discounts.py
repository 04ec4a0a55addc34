"""Stripe's coupons and promotion codes in the sandbox, through Stripe's own SDK."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest
import stripe

from tests.integration.providers.sandbox.process import Sdks

YEAR_S = 365 * 86400


def new_code(sdks: Sdks, **more: Any) -> stripe.PromotionCode:
    made = sdks.stripe.v1.coupons.create({"percent_off": 25.5})
    return sdks.stripe.v1.promotion_codes.create(
        {"promotion": {"type": "coupon", "coupon": made.id}, "code": unique(), **more}  # type: ignore[typeddict-item]
    )


def unique() -> str:
    return f"Code-{uuid.uuid4().hex[:12]}"


def refused(ask: Any) -> stripe.InvalidRequestError:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        ask()
    return refusal.value


def test_coupon_is_created_renamed_and_deleted(sdks: Sdks) -> None:
    made = sdks.stripe.v1.coupons.create({"percent_off": 25.5, "metadata": {"a": "1"}})
    assert (made.percent_off, made.amount_off, made.currency, made.duration, made.valid) == (
        25.5, None, None, "once", True,
    )  # fmt: skip
    renamed = sdks.stripe.v1.coupons.update(made.id, {"name": "Summer"})
    assert renamed.to_dict() == sdks.stripe.v1.coupons.retrieve(made.id).to_dict()
    deleted = {"id": made.id, "object": "coupon", "deleted": True}
    assert sdks.stripe.v1.coupons.delete(made.id).to_dict() == deleted
    gone = refused(lambda: sdks.stripe.v1.coupons.retrieve(made.id))
    assert (gone.http_status, gone.code, gone.param) == (404, "resource_missing", "coupon")


@pytest.mark.parametrize(
    ("terms", "param"),
    [
        ({}, "percent_off"),
        ({"percent_off": 10, "amount_off": 100, "currency": "usd"}, "amount_off"),
        ({"amount_off": 100}, "currency"),
        ({"percent_off": 100.5}, "percent_off"),
        ({"percent_off": 10.001}, "percent_off"),
        ({"percent_off": 10, "redeem_by": 1000}, "redeem_by"),
        ({"percent_off": 10, "duration_in_months": 3}, "duration_in_months"),
    ],
)
def test_impossible_coupon_is_refused(sdks: Sdks, terms: Any, param: str) -> None:
    assert refused(lambda: sdks.stripe.v1.coupons.create(terms)).param == param


def test_promotion_code_nests_and_expands_its_coupon(sdks: Sdks) -> None:
    made = new_code(sdks, restrictions={"minimum_amount": 1000, "minimum_amount_currency": "USD"})
    coupon = made.promotion.coupon
    assert isinstance(coupon, str)
    assert made.restrictions.to_dict() == {
        "first_time_transaction": False, "minimum_amount": 1000, "minimum_amount_currency": "usd",
    }  # fmt: skip
    found = sdks.stripe.v1.promotion_codes.retrieve(made.id, {"expand": ["promotion.coupon"]})
    assert found.promotion.coupon is not None
    assert found.promotion.coupon.to_dict()["percent_off"] == 25.5  # type: ignore[union-attr]
    [listed] = sdks.stripe.v1.promotion_codes.list({"coupon": coupon, "expand": ["data.promotion.coupon"]}).data
    assert listed.to_dict() == found.to_dict()


def test_active_code_is_unique_in_any_case(sdks: Sdks) -> None:
    made = new_code(sdks)
    taken = refused(lambda: new_code(sdks, code=made.code.upper()))
    assert (taken.code, taken.param) == (None, None)
    assert "already exists" in str(taken.user_message)
    sdks.stripe.v1.promotion_codes.update(made.id, {"active": False})
    again = new_code(sdks, code=made.code.upper())
    codes = sdks.stripe.v1.promotion_codes.list({"code": made.code.lower()}).data
    assert [(each.id, each.active) for each in codes] == [(again.id, True), (made.id, False)]
    assert "already exists" in str(
        refused(lambda: sdks.stripe.v1.promotion_codes.update(made.id, {"active": True})).user_message
    )


def test_code_of_a_deleted_coupon_is_inactive(sdks: Sdks) -> None:
    made = new_code(sdks)
    sdks.stripe.v1.coupons.delete(str(made.promotion.coupon))
    assert sdks.stripe.v1.promotion_codes.retrieve(made.id).active is False


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"code": "has spaces!"}, "code"),
        ({"expires_at": 1000}, "expires_at"),
        ({"expires_at": int(time.time()) + 6 * YEAR_S}, "expires_at"),
        ({"max_redemptions": 0}, "max_redemptions"),
        ({"restrictions": {"minimum_amount": 100}}, "restrictions.minimum_amount_currency"),
        ({"promotion": {"type": "coupon"}}, "promotion.coupon"),
        ({"promotion": {"type": "coupon", "coupon": "nope"}}, "promotion[coupon]"),
        ({"coupon": "nope"}, "coupon"),
    ],
)
def test_impossible_promotion_code_is_refused(sdks: Sdks, more: dict[str, Any], param: str) -> None:
    assert refused(lambda: new_code(sdks, **more)).param == param
