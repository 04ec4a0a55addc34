"""Shipments: rates for external orders, and the state of the shop's own shipments."""

from __future__ import annotations

import re
from typing import Any

from falcon import Request, Response

from contracts.errors import InvalidRequest, NotFound, Refused
from gateway import schemas, visit
from gateway.idempotency import effect, of_admin
from gateway.links import link_next
from gateway.order_access import bounded_guesses, reader
from gateway.reading import body, query
from gateway.routing import LARGE_BYTES, get, post
from gateway.shape import Shape, invalid
from gateway.visit import known, services

ANYTHING = Shape({}, open=True, most_values=schemas.MAX_ORDER_VALUES)
_CURRENCY = re.compile(r"[A-Za-z]{3}")


@post("/api/shipments", status=201, admin=True, most_bytes=LARGE_BYTES)
def create(request: Request) -> dict[str, Any]:
    """Add shipping methods to an order, which is sent bare, as `order`, or as a Stripe event."""
    sent = body(request, ANYTHING)
    once = effect(request, sent, of_admin)
    path = _path_in(sent)
    asked = _checked_at(path, sent) if path else schemas.ORDER.check(sent)
    try:
        order: dict[str, Any] = services(request, once).cart.quote_order(asked, once.key)
    except (InvalidRequest, Refused) as error:
        if "errors" in error.facts:
            error.facts["errors"] = _under(path, error.facts["errors"])
        raise
    return order


@get("/api/shipments", admin=True)
def listed(request: Request, response: Response) -> list[dict[str, Any]]:
    """Shipments, newest first; the header `Link` leads to the next page."""
    wanted = query(request, schemas.SHIPMENTS_QUERY)
    page = services(request).shipping.list(
        wanted.get("order_by"), wanted.get("limit", 100), wanted.get("starting_after")
    )
    shipments: list[dict[str, Any]] = page["data"]
    link_next(response, "/api/shipments/", wanted, page.get("next_cursor"))
    return shipments


@get("/api/shipments/{shipment_id}/rates/{currency}")
def rates(shipment_id: str, currency: str, request: Request) -> dict[str, Any]:
    """Each carrier's price.

    In Shippo's fields, with amounts in whole units (`"5.50"`). A shopper selects one of the order's `shipping_methods`
    instead.
    """
    if not _CURRENCY.fullmatch(currency):
        raise NotFound("There is no such currency.")
    return services(request).shipping.rates(_own(shipment_id, request), currency)


@get("/api/shipments/{shipment_id}/label")
def label(shipment_id: str, request: Request) -> dict[str, Any]:
    """The URL of the label, once it is bought.

    409 until then.
    """
    return services(request).shipping.label(_own(shipment_id, request))


@get("/api/shipments/{shipment_id}/tracking")
def tracking(shipment_id: str, request: Request) -> dict[str, Any]:
    """The position of the parcel.

    409 until the label is bought. The carrier's answer may be a minute old, so read it once a minute.
    """
    return services(request).shipping.tracking(_own(shipment_id, request))


def _own(shipment_id: str, request: Request) -> str:
    """A shipment's id, for an admin, or for the cart or the bearer of the token of its order. Raises NotFound for
    everybody else.

    A shipment without an order belongs to the admins, and so to everybody while the admin routes are open.
    """
    known(shipment_id, "shipment")
    cart, token = reader(request)
    if cart is not None or token is not None:
        admin_routes_open = not visit.of(request).gateway.settings.admin_api_keys
        with bounded_guesses(request, token):
            asked = (cart, shipment_id, admin_routes_open, *([] if token is None else [token]))
            services(request).cart.check_shipment(*asked)
    return shipment_id


def _path_in(sent: dict[str, Any]) -> tuple[str, ...]:
    """The path of the order in the request."""
    for path in (("order",), ("data", "object")):
        if path[0] in sent and "items" not in sent:
            return path
    return ()


def _checked_at(path: tuple[str, ...], sent: dict[str, Any]) -> dict[str, Any]:
    """The order at `path`, checked. Raises InvalidRequest, its errors nested as the caller nested the order."""
    order: Any = sent
    for depth, name in enumerate(path):
        if name not in order:
            raise invalid(_under(path[:depth], {name: [schemas.MISSING]}))
        order = order[name]
        if not isinstance(order, dict):
            raise invalid(_under(path[:depth], {name: ["must be of dict type"]}))
    try:
        return schemas.ORDER.check(order)
    except InvalidRequest as error:
        raise invalid(_under(path, error.facts["errors"])) from None


def _under(path: tuple[str, ...], errors: dict[str, Any]) -> dict[str, Any]:
    for name in reversed(path):
        errors = {name: errors}
    return errors
