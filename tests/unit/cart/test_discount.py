"""A discount code: how much it takes off, when it applies, and how a refund is shared out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cart.rules.discount import Discount, Terms, hundredths, public, taken_off
from cart.rules.order import Order, Return
from cart.rules.price import DISCOUNT, SHIPPING, SKU, TAX, Line, Totals, check_chargeable, shared
from cart.rules.public_order import parse, render
from contracts.errors import Conflict, NotFound
from tests.orders import made_order

NOW = 1000.0


def discount(active: bool = True, redeemed: int = 0, **terms: Any) -> Discount:
    wanted = {"hundredths": 1000, **terms} if "amount_off" not in terms else terms
    return Discount("promo_1", Terms("Summer", **wanted), active, 1, redeemed)


def applied(code: Discount) -> Line:
    """The line that a code adds to goods of 10 dollars."""
    code.check(NOW)
    return code.line(1000, "usd")


@pytest.mark.parametrize(
    ("subtotal", "hundredths", "currency", "off"),
    [
        (1000, 2550, "usd", 255),
        (5, 1000, "usd", 1),  # 0.5 cents
        (15, 1000, "usd", 2),  # 1.5 cents
        (14, 1000, "usd", 1),
        (3490, 1500, "usd", 524),  # 523.5: as on an invoice, not as in floating point
        (999, 10_000, "usd", 999),
        (1, 1, "usd", 0),
        (99_900, 333, "isk", 3300),  # 3326.67: whole krónur only
        (1230, 500, "kwd", 60),  # 61.5: the last of three decimals is 0
    ],
)
def test_percentage_is_rounded_half_up(subtotal: int, hundredths: int, currency: str, off: int) -> None:
    assert taken_off(Terms("A", hundredths=hundredths), subtotal, currency) == off


def test_every_percentage_with_two_decimals_is_exact() -> None:
    assert all(hundredths(number / 100) == number for number in range(10_001))


@pytest.mark.parametrize(("amount", "currency", "off"), [(300, "usd", 300), (5000, "usd", 1000), (155, "isk", 100)])
def test_amount_is_at_most_the_goods(amount: int, currency: str, off: int) -> None:
    assert taken_off(Terms("A", amount_off=amount, currency=currency), 1000, currency) == off


def test_line_is_negative_and_names_its_code() -> None:
    line = discount(hundredths=2550).line(1000, "usd")
    assert line == Line(DISCOUNT, -255, "usd", "Discount Summer (25.5 % off)", "Summer")
    assert discount(amount_off=100, currency="usd").line(1000, "usd").description == "Discount Summer"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (discount(expires_at=1000), "has expired"),
        (discount(active=False, expires_at=1000), "has expired"),
        (discount(max_redemptions=2, redeemed=2), "is used up"),
        (discount(amount_off=100, currency="eur"), "for orders in eur, not in usd"),
        (discount(minimum_amount=1001, currency="usd"), r"of \$10.01 or more"),
    ],
)
def test_code_that_does_not_apply_is_a_conflict(wrong: Discount, reason: str) -> None:
    with pytest.raises(Conflict, match=reason):
        applied(wrong)


def test_code_applies_up_to_its_limits() -> None:
    code = discount(expires_at=1001, max_redemptions=2, redeemed=1, minimum_amount=1000, currency="usd")
    assert applied(code).amount == -100


def test_withdrawn_code_is_unknown() -> None:
    with pytest.raises(NotFound, match="Summer"):
        discount(active=False).check(NOW)


def test_code_is_shown_as_active_only_while_it_applies() -> None:
    assert public(discount(), NOW)["active"] is True
    for code in (discount(active=False), discount(expires_at=1000), discount(max_redemptions=1, redeemed=1)):
        assert public(code, NOW)["active"] is False
    shown = public(discount(hundredths=2000, redeemed=3), NOW)
    assert (shown["percent_off"], shown["amount_off"], shown["times_redeemed"]) == (20, None, 3)


@pytest.mark.parametrize(
    ("amount", "weights", "shares"),
    [
        (100, [50, 50], [50, 50]),
        (100, [1, 1, 1], [34, 33, 33]),
        (1, [1, 1, 1], [1, 0, 0]),
        (10, [100, 300, -50, 0], [3, 9, -2, 0]),
        (350, [100, 300, -50, 0], [100, 300, -50, 0]),
        (0, [3, 5], [0, 0]),
    ],
)
def test_shares_add_up_to_the_smallest_unit(amount: int, weights: list[int], shares: list[int]) -> None:
    assert shared(amount, weights) == shares
    assert sum(shares) == amount


@pytest.mark.parametrize("total", [0, 50, 99_999_999])
def test_order_of_nothing_or_of_the_minimum_can_be_paid(total: int) -> None:
    check_chargeable(Totals(total, 0, 0, 0), "usd")


@pytest.mark.parametrize(("total", "currency"), [(1, "usd"), (49, "usd"), (29, "gbp"), (17_499, "huf")])
def test_order_below_stripes_minimum_is_a_conflict(total: int, currency: str) -> None:
    with pytest.raises(Conflict, match="too small to be charged"):
        check_chargeable(Totals(total, 0, 0, 0), currency)


def discounted() -> Order:
    lines = (
        Line(SKU, 1000, "usd", "Bone", "sku_a", 2),
        Line(SKU, 333, "usd", "Ball", "sku_b", 1),
        Line(DISCOUNT, -133, "usd", "Discount Summer (10 % off)", "Summer"),
        Line(TAX, 0, "usd", "Taxes (included)"),
        Line(SHIPPING, 0, "usd", "Mail", "rate_1"),
    )
    return made_order(lines=lines[:4], discount="promo_1", status="paid")


def test_order_stores_and_shows_its_discount() -> None:
    order = discounted()
    assert (order.amount, order.code) == (1200, "Summer")
    shown = render(order)
    assert [(item["type"], item["amount"], item["parent"]) for item in shown["items"]][2] == (DISCOUNT, -133, "Summer")
    assert parse(shown, order.cart_id, discount="promo_1", status="paid").totals == order.totals


def test_partial_refunds_are_shared_out_and_add_up_to_the_order() -> None:
    order = discounted()
    refunds = (Return("rf_3", 399, 3, "re_3"), Return("rf_2", 1, 2, "re_2"), Return("rf_1", 800, 1, "re_1"))
    order.returns = refunds
    shown = render(order)["returns"]["data"]
    assert [each["id"] for each in shown] == ["orret_3", "orret_2", "orret_1"]
    amounts = [[item["amount"] for item in each["items"]] for each in shown]
    assert amounts[2] == [667, 222, -89, 0]
    assert [sum(each) for each in amounts] == [399, 1, 800]
    assert [sum(line) for line in zip(*amounts, strict=True)] == [1000, 333, -133, 0]
    assert {item["quantity"] for item in shown[0]["items"]} == {None}


def test_full_refund_shows_the_lines_of_the_order() -> None:
    order = discounted()
    order.returns = (Return("rf_1", 1200, 1, "re_1"),)
    shown = render(order)
    assert shown["returns"]["data"][0]["items"] == shown["items"]


def test_order_without_a_discount_has_no_code() -> None:
    assert made_order().code is None
    assert replace(discounted(), discount=None).code is None
