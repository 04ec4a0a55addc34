"""Pages for people, and their stylesheets."""

from __future__ import annotations

from typing import Any

from falcon import Request, Response

from contracts.errors import NotFound, ShopError
from gateway import visit
from gateway.errors import NoSuchRoute
from gateway.order_access import bounded_guesses, token
from gateway.pages.order import order_view
from gateway.pages.rendering import STYLE_KEPT_S, STYLES, page
from gateway.routing import as_css, as_html, get
from gateway.visit import known, services


@get("/orders/{order_id}", output=as_html)
def order(order_id: str, request: Request) -> str:
    """An order's status and receipt, for the bearer of its token alone: a link that anybody may be given."""
    given = token(request)
    if given is None:
        raise NotFound("There is no such order.")
    with bounded_guesses(request, given):
        found: dict[str, Any] = services(request).cart.order(known(order_id, "order"), None, given)
    return page("order.html", visit.of(request).gateway.settings, order_view(found, _tracking(request, found)))


@get("/pages/{name}", output=as_css)
def stylesheet(name: str, response: Response) -> bytes:
    """A stylesheet of the pages."""
    if name not in STYLES:
        raise NoSuchRoute("There is nothing here.")
    response.set_header("Cache-Control", f"public, max-age={STYLE_KEPT_S}")
    return STYLES[name]


def _tracking(request: Request, order: dict[str, Any]) -> dict[str, Any] | None:
    """Where the order's parcel is; None without a parcel, or when it cannot be learned now: the rest is shown."""
    if order.get("upstream_id") is None or not order["shipping"]["tracking_number"]:
        return None
    try:
        found: dict[str, Any] = services(request).shipping.tracking(order["upstream_id"])
    except ShopError:
        return None
    return found
