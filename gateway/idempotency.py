"""`Idempotency-Key`: turns it into the key and the digest that the service works with (`chassis.work.idempotency`).

The service's key consists of the caller, the route, and the header's value: two shoppers may choose the same value, and
one may use it on two routes. The digest covers the path and the parsed body, so that neither white space nor the order
of names makes it another request.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from falcon import Request

from contracts.errors import InvalidRequest
from gateway import auth, identity, visit
from gateway.effect import Effect

HEADER = "Idempotency-Key"
# Neither end is a blank: HTTP removes those of a header's value.
VALUE = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?")

# None: strangers cannot be distinguished here, so one stranger's answer must not go to another.
Scope = Callable[[Request], str | None]


def of_cart(request: Request) -> str:
    """The scope of a shopper's requests: their cart."""
    return f"cart:{identity.cart_id(request)}"


def of_own_cart(request: Request) -> str | None:
    """The scope of a request that needs no cart and whose answer is secret: an unshared cart, or None."""
    named = identity.own_cart(request)
    return None if named is None else f"cart:{named}"


def of_admin(request: Request) -> str:
    """The scope of an admin's requests: their key's digest, never the key.

    While no key is set, all callers are admins and may read each other's answers anyway; their own carts keep their
    keys apart.
    """
    admin = visit.of(request).admin
    return f"cart:{identity.own_cart(request) or identity.SHARED}" if admin is None else f"admin:{admin}"


def of_cart_or_admin(request: Request) -> str:
    """The scope of a route that shoppers and admins use."""
    return of_admin(request) if auth.is_admin(request) else of_cart(request)


def fresh_key() -> str:
    """A new key for this request alone, because its message may be redelivered."""
    return uuid.uuid4().hex


def effect(request: Request, form: Mapping[str, Any], scope: Scope) -> Effect:
    """The effect of this request, under the key that its caller sent, or under a new one.

    Args:
        form: the body as parsed.
        scope: gives the key's owner; where it gives None, the key has no effect.

    Raises InvalidRequest when the header is not a valid key. Only a POST needs one: other changes state their result,
    so they can be repeated unchanged.
    """
    sent = request.env.get("HTTP_IDEMPOTENCY_KEY")
    if sent is None or request.method != "POST":
        return Effect(fresh_key())
    if not VALUE.fullmatch(sent):
        message = "must be 1 to 255 printable ASCII characters"
        raise InvalidRequest(f"The {HEADER} {message}.", {"errors": {HEADER: [message]}})
    owner = scope(request)
    if owner is None:
        return Effect(fresh_key())
    key = _digest(owner, request.uri_template, sent)
    path = request.path.rstrip("/")
    body = _digest(path, orjson.dumps(form, option=orjson.OPT_SORT_KEYS).decode())
    return Effect(key, {"once_key": key, "once_body": body})


def _digest(*parts: str) -> str:
    # As JSON, so that different lists of parts never yield the same text.
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()
