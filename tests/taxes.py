"""Taxes of orders, as tests make them."""

from __future__ import annotations

from cart.rules.order import Order
from cart.rules.tax import Taxes, order_tax, question


def with_tax(order: Order, taxes: Taxes, included: bool = False) -> Order:
    """The order with its tax, which `taxes` calculates."""
    chosen = next((method for method in order.methods if method.id == order.method_id), None)
    shipping = None if chosen is None else chosen.amount
    asked = question(order.lines, shipping, order.customer.address, {}, included)
    order.choose(order.method_id or "", order.updated, order_tax(asked, taxes.calculate(asked)))
    return order
