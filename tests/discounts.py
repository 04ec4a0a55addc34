"""Discount codes, as tests make them."""

from __future__ import annotations

from typing import Any

from cart.rules.discount import Discount, Terms
from cart.rules.order import Order
from cart.rules.price import DISCOUNT, Line
from cart.store.unit_of_work import CartStore

CODE = "Summer"


def made_code(discount_id: str = "promo_1", active: bool = True, code: str = CODE, **terms: Any) -> Discount:
    """The code of 10 %, or with other terms."""
    wanted = {"hundredths": 1000, **terms} if "amount_off" not in terms else terms
    return Discount(discount_id, Terms(code, **wanted), active, 1)


def with_code(order: Order, off: int = 0, discount_id: str = "promo_1") -> Order:
    """The order, with the line of the code, which takes `off` off the goods."""
    order.discount = discount_id
    order.lines = (*order.lines, Line(DISCOUNT, -off, order.currency, f"Discount {CODE}", CODE))
    return order


def redeemed(store: CartStore, code: str = CODE) -> int:
    """How often a code is redeemed. Fails unless that many orders hold it."""
    count = store.discounts.find(code).redeemed
    orders, _ = store.discounts.redemption_page(None, 0.0, 9e12, 1000)
    assert len(orders) == count
    return count
