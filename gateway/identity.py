"""Which cart a request concerns: `Cart-Id`, else the cookie `cart_id`, else the shared one.

`POST /api/cart/` issues ids and signs them: ``cart_<random>.<signature>``, an HMAC-SHA256 (RFC 2104) over what precedes
it. Only the gateway signs and verifies; everywhere else the whole text is the cart's id.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

from falcon import Request, Response

from chassis.settings import Settings
from contracts.errors import InvalidRequest
from gateway import auth, visit

SHARED = "default"
COOKIE = "cart_id"
# How many parts of one header are parsed. Browsers keep at most 180 cookies for a site.
MAX_PARTS = 200
CART_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# 128 of the 256 bits: RFC 2104 advises at least half.
SIGNATURE_BYTES = 16


def sign(new_cart_id: str, settings: Settings) -> str:
    """`new_cart_id`, signed by the first secret; unsigned when there is no secret."""
    if not settings.cart_id_secrets:
        return new_cart_id
    return f"{new_cart_id}.{_signature(new_cart_id, settings.cart_id_secrets[0])}"


def cart_id(request: Request) -> str:
    """The cart of this request. Raises InvalidRequest for an invalid id, or when the required id is missing."""
    named = _named(request)
    settings = visit.of(request).gateway.settings
    if named is None:
        if settings.cart_id_required:
            raise _refused("A cart must be named: `POST /api/cart/` makes one.")
        return SHARED
    if not CART_ID.fullmatch(named):
        raise _refused("A cart's id is 1 to 100 of A-Z a-z 0-9 . _ - and begins with a letter or digit.")
    if settings.cart_id_required and not _issued(named, settings):
        raise _refused("This shop did not issue that cart id: `POST /api/cart/` makes one.")
    return named


def own_cart(request: Request) -> str | None:
    """The cart that this request names, unless strangers share it; else None."""
    named = _named(request)
    if named is None or named == SHARED or not CART_ID.fullmatch(named):
        return None
    settings = visit.of(request).gateway.settings
    return None if settings.cart_id_required and not _issued(named, settings) else named


def cart_id_or_admin(request: Request) -> str | None:
    """The cart of this request, or None for an admin, who may see every cart's order."""
    return None if auth.is_admin(request) else cart_id(request)


def remember(request: Request, response: Response, new_cart_id: str) -> None:
    """Make the browser send `new_cart_id` from now on, inaccessible to scripts and to other sites' forms."""
    cookie = f"{COOKIE}={new_cart_id}; Path=/; HttpOnly; SameSite=Lax"
    if request.scheme == "https" or (visit.of(request).via_proxy and _says_tls(request)):
        cookie += "; Secure"
    response.append_header("Set-Cookie", cookie)


def _issued(named: str, settings: Settings) -> bool:
    unsigned, _, signature = named.rpartition(".")
    # Every secret is tried, each in constant time.
    made = [_signature(unsigned, secret) for secret in settings.cart_id_secrets]
    return any([hmac.compare_digest(signature, each) for each in made])  # noqa: C419


def _signature(unsigned: str, secret: str) -> str:
    digest = hmac.digest(secret.encode(), unsigned.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest[:SIGNATURE_BYTES]).rstrip(b"=").decode()


def _says_tls(request: Request) -> bool:
    """Whether the proxy in front reports TLS with the browser."""
    # Falcon's own properties fail on a malformed header.
    first, _, _ = request.env.get("HTTP_FORWARDED", "").lower().partition(",")
    said = [part.strip().replace('"', "") for part in first.split(";", MAX_PARTS)]
    proto = request.env.get("HTTP_X_FORWARDED_PROTO", "").strip().lower()
    return proto == "https" or "proto=https" in said


def _named(request: Request) -> str | None:
    header = request.get_header("Cart-Id")
    return header if header is not None else _cookie(request)


def _cookie(request: Request) -> str | None:
    sent: str | None = request.env.get("HTTP_COOKIE")
    if not sent:
        return None
    for pair in sent.split(";", MAX_PARTS):
        name, _, value = pair.partition("=")
        if name.strip() == COOKIE:
            return value.strip().strip('"')
    return None


def _refused(message: str) -> InvalidRequest:
    return InvalidRequest(message, {"errors": {"Cart-Id": [message]}})
