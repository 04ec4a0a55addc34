"""Orders: a shopper reads their own, an admin reads all."""

from __future__ import annotations

from typing import Any

from falcon import Request

from gateway import schemas
from gateway.identity import cart_id_or_admin
from gateway.reading import query
from gateway.routing import get
from gateway.visit import known, services


@get("/api/orders/{order_id}")
def get_one(order_id: str, request: Request) -> dict[str, Any]:
    """One order, for the cart that placed it or for an admin."""
    order: dict[str, Any] = services(request).cart.order(known(order_id, "order"), cart_id_or_admin(request))
    return order


@get("/api/orders", admin=True)
def listed(request: Request) -> dict[str, Any]:
    """Orders of every cart, newest first, in pages."""
    wanted = query(request, schemas.ORDERS_QUERY)
    page: dict[str, Any] = services(request).cart.orders(
        wanted.get("status"), wanted.get("email"), wanted.get("limit", 100), wanted.get("starting_after")
    )
    return page
