"""Orders, as tests make them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cart.rules.order import CREATED, Address, Customer, Order
from cart.rules.price import SKU, Line

CUSTOMER = Customer(
    "shopper@example.com",
    "Chloe Taylor",
    Address("San Jose", "US", "1092 Indian Summer Ct", None, "95122", "CA"),
    "+15005550010",
)


def made_order(
    number: int | str = 1,
    status: str = CREATED,
    amount: int = 500,
    cart_id: str = "cart_1",
    email: str = CUSTOMER.email,
    lines: tuple[Line, ...] | None = None,
    **changes: Any,
) -> Order:
    """The order ``or_<number>`` of two pieces of ``sku_a``, which cost `amount` US cents together, with `changes`."""
    goods = (Line(SKU, amount, "usd", "Wally bone", "sku_a", 2),) if lines is None else lines
    fixed = {"currency": "usd", "created": 1, "updated": 1, "shipment": f"shp_{number}"}
    values: dict[str, Any] = {**fixed, "status": status, **changes}
    return Order(f"or_{number}", cart_id, replace(CUSTOMER, email=email), lines=goods, **values)
