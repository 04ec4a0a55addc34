"""Which cart a request is about: `Cart-Id`, else the cookie `cart_id`, else the one that everybody shares."""

from __future__ import annotations

import re

from falcon import Request, Response

from contracts.errors import InvalidRequest
from gateway import auth, visit

SHARED = "default"
COOKIE = "cart_id"
_CART_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def cart_id(request: Request) -> str:
    """The cart of this request. Raises InvalidRequest when it cannot be one, or none is named and one must be."""
    named = _named(request)
    if named is None:
        if visit.of(request).gateway.settings.cart_id_required:
            raise _refused("A cart must be named: `POST /api/cart/` makes one.")
        return SHARED
    if not _CART_ID.fullmatch(named):
        raise _refused("A cart's id is 1 to 100 of A-Z a-z 0-9 . _ - and begins with a letter or digit.")
    return named


def named_cart(request: Request) -> str | None:
    """The cart that this request names; None when it names none, or what cannot be one."""
    named = _named(request)
    return named if named is not None and _CART_ID.fullmatch(named) else None


def cart_id_or_admin(request: Request) -> str | None:
    """The cart of this request, or None for an admin, who may see every cart's order."""
    return None if auth.is_admin(request) else cart_id(request)


def remember(request: Request, response: Response, new_cart_id: str) -> None:
    """Have the browser send `new_cart_id` from here on, out of reach of scripts and of other sites' forms."""
    cookie = f"{COOKIE}={new_cart_id}; Path=/; HttpOnly; SameSite=Lax"
    scheme = request.forwarded_scheme if visit.of(request).via_proxy else request.scheme
    if scheme == "https":
        cookie += "; Secure"
    response.append_header("Set-Cookie", cookie)


def _named(request: Request) -> str | None:
    header = request.get_header("Cart-Id")
    return header if header is not None else _cookie(request)


def _cookie(request: Request) -> str | None:
    sent = request.env.get("HTTP_COOKIE")
    if not sent:
        return None
    for pair in sent.split(";"):
        name, _, value = pair.partition("=")
        if name.strip() == COOKIE:
            return value.strip().strip('"')
    return None


def _refused(message: str) -> InvalidRequest:
    return InvalidRequest(message, {"errors": {"Cart-Id": [message]}})
