"""Turning a cart into an order: prices fixed, ways to ship it quoted, the cheapest selected."""

from __future__ import annotations

import hashlib
import time
from typing import Any

from cart.order import Order, with_shipment
from cart.store import CartStore
from chassis.logs import log
from chassis.points import reached
from contracts.errors import Conflict

POINTS = ("checkout:shipment:begun", "checkout:shipment:asked", "checkout:order:done")


class Checkout:
    """Places orders.

    Args:
        store: where carts and orders are kept.
        products, shipping: the services, as a worker sees them.
        live: whether the money will be real.
    """

    def __init__(self, store: CartStore, products: Any, shipping: Any, live: bool) -> None:
        self.store = store
        self.products = products
        self.shipping = shipping
        self.live = live

    def place(self, cart_id: str, customer: dict[str, Any], key: str) -> Order:
        """The order of what is in the cart, once per `key`; see `CartService.checkout`."""
        placed = self.store.placed(key)
        if placed is not None:
            return placed
        wanted = self.store.cart(cart_id)
        if not wanted:
            raise Conflict("The cart is empty.")
        lines = self.products.price([{"parent": item["parent"], "quantity": item["quantity"]} for item in wanted])
        order_id = _order_id(key)
        reached("checkout:shipment:begun")
        shipment = self.shipping.create(_shipment_key(order_id, lines), order_id, _recipient(customer), _parcels(lines))
        order = Order.place(order_id, cart_id, customer, lines, shipment, int(time.time()), self.live)
        reached("checkout:shipment:asked")
        kept = self.store.place(order, key)
        reached("checkout:order:done")
        log.info("order placed", order_id=kept.id, amount=kept.amount, currency=kept.currency)
        return kept

    def quote(self, order: dict[str, Any], key: str) -> dict[str, Any]:
        """An order from elsewhere, with real rates filled in; see `CartService.ship`."""
        skus = [item for item in order["items"] if item.get("type") == "sku"]
        lines = self.products.price(
            [{"parent": item["parent"], "quantity": item.get("quantity") or 1} for item in skus], check_stock=False
        )
        priced = iter(lines)
        items = [_with_amount(item, next(priced) if item.get("type") == "sku" else None) for item in order["items"]]
        shipping = order["shipping"]
        customer = {
            "name": shipping["name"],
            "email": order.get("email"),
            "phone": shipping.get("phone"),
            "address": shipping["address"],
        }
        # An order from elsewhere may have any id, so it says nothing of whose shipment it is: the key does.
        shipment = self.shipping.create(
            f"{key}:shipment", str(order.get("id") or ""), _recipient(customer), _parcels(lines)
        )
        currency = (order.get("currency") or lines[0]["currency"]).lower()
        return with_shipment({**order, "currency": currency, "items": items}, shipment)


def _order_id(key: str) -> str:
    """The order's id: made of the key, so that a message that is delivered again asks for the same shipment."""
    return f"or_{hashlib.sha256(key.encode()).hexdigest()[:24]}"


def _shipment_key(order_id: str, lines: list[dict[str, Any]]) -> str:
    """The key of an order's shipment: of its lines, too, since the cart may be another one when it is tried again."""
    packed = hashlib.sha256(repr([(line["parent"], line["quantity"]) for line in lines]).encode()).hexdigest()
    return f"{order_id}:{packed[:16]}"


def _recipient(customer: dict[str, Any]) -> dict[str, Any]:
    return {**customer["address"], **{name: customer.get(name) for name in ("name", "email", "phone")}}


def _parcels(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the carrier has to know: sizes and weights, and what a customs officer asks."""
    wanted = ("parent", "description", "quantity", "price", "currency", "package_dimensions")
    return [{name: line[name] for name in wanted} for line in lines]


def _with_amount(item: dict[str, Any], line: dict[str, Any] | None) -> dict[str, Any]:
    """The line with its amount: what it says, else what its SKU costs; any other line adds what it says, or nothing."""
    if item.get("amount") is not None:
        return item
    return {**item, "amount": line["price"] * line["quantity"] if line else 0}
