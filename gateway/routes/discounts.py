"""Discount codes, for an admin. A shopper uses one with the cart (`gateway.routes.cart`)."""

from __future__ import annotations

from typing import Any

from falcon import Request, Response

from contracts.errors import NotFound
from gateway import schemas
from gateway.fields import is_discount_code
from gateway.idempotency import effect, of_admin
from gateway.links import link_next
from gateway.reading import body, query
from gateway.routing import delete, get, post
from gateway.visit import services


@post("/api/discounts", status=201, admin=True)
def create(request: Request) -> dict[str, Any]:
    """Make a discount code.

    It takes off either `percent_off` or `amount_off`. 409: an active code has the same name.
    """
    spec = body(request, schemas.DISCOUNT)
    once = effect(request, spec, of_admin)
    return services(request, once).cart.create_discount(spec, once.key)


@get("/api/discounts", admin=True)
def listed(request: Request, response: Response) -> dict[str, Any]:
    """All discount codes, newest first, in pages."""
    wanted = query(request, schemas.DISCOUNTS_QUERY)
    page: dict[str, Any] = services(request).cart.discounts(wanted.get("limit", 100), wanted.get("starting_after"))
    link_next(response, "/api/discounts/", wanted, page.get("next_cursor"))
    return page


@delete("/api/discounts/{code}", admin=True)
def withdraw(code: str, request: Request) -> dict[str, Any]:
    """Withdraw a discount code, also for orders that are not paid yet."""
    if not is_discount_code(code):
        raise NotFound("There is no such discount code.")
    return services(request).cart.delete_discount(code)
