"""Orders: a shopper reads and cancels their own, an admin all of them; refunds are an admin's. The bearer of an order's
token reads it."""

from __future__ import annotations

from typing import Any

from falcon import Request, Response

from gateway import limits, schemas
from gateway.idempotency import effect, of_admin, of_cart_or_admin
from gateway.identity import SHARED, cart_id_or_admin, own_cart
from gateway.links import link_next
from gateway.order_access import bounded_guesses, reader
from gateway.reading import optional_body, query
from gateway.routing import get, post
from gateway.visit import known, services


@get("/api/orders/{order_id}")
def get_one(order_id: str, request: Request) -> dict[str, Any]:
    """One order, for the cart that placed it, for the bearer of its token, or for an admin.

    Everybody else gets 404. A payment that a bank confirms shows as `paid` before the label is bought: the parcel can
    be tracked once `shipping` has a `tracking_number`.
    """
    cart, token = reader(request)
    with bounded_guesses(request, token):
        return services(request).cart.order(known(order_id, "order"), cart, *([] if token is None else [token]))


@get("/api/orders", admin=True)
def listed(request: Request, response: Response) -> dict[str, Any]:
    """Orders of every cart, newest first, in pages."""
    wanted = query(request, schemas.ORDERS_QUERY)
    page: dict[str, Any] = services(request).cart.orders(
        wanted.get("status"), wanted.get("email"), wanted.get("limit", 100), wanted.get("starting_after")
    )
    link_next(response, "/api/orders/", wanted, page.get("next_cursor"))
    return page


@post("/api/orders/{order_id}/cancel")
def cancel(order_id: str, request: Request) -> dict[str, Any]:
    """Cancel an unpaid order, for the cart that placed it or for an admin.

    409 once it is paid.
    """
    known(order_id, "order")
    limits.spend(request, limits.ORDER_CANCEL, f"{limits.payer(request, own_cart(request) or SHARED)} {order_id}")
    form = optional_body(request, schemas.NOTHING)
    once = effect(request, form, of_cart_or_admin)
    return services(request, once).cart.cancel(cart_id_or_admin(request), order_id, once.key)


@post("/api/orders/{order_id}/refund", admin=True)
def refund(order_id: str, request: Request) -> dict[str, Any]:
    """Refund an `amount` of the payment, or `all` that is left of it."""
    known(order_id, "order")
    form = optional_body(request, schemas.REFUND)
    once = effect(request, form, of_admin)
    return services(request, once).cart.refund(order_id, form.get("amount"), once.key)
