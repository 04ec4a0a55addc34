"""Who may use the admin routes: whoever holds a key; anybody, while no key is set and every provider is the sandbox."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from falcon import Request

from gateway import visit
from gateway.errors import NoKey, WrongKey

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="shop"'}


def admin_only(request: Request, **_hug: Any) -> None:
    """A Hug requirement. Raises NoKey without a key, WrongKey with a wrong one."""
    if not visit.of(request).gateway.settings.admin_api_keys:
        return
    given = _bearer(request)
    if given is None:
        raise NoKey("Send the key as `Authorization: Bearer …`.", CHALLENGE)
    if not _accepted(request, given):
        raise WrongKey("This key is not one of the shop's.")


def is_admin(request: Request) -> bool:
    """Whether the request carries an admin key; False for everybody while no key is set."""
    return admin_key(request) is not None


def admin_key(request: Request) -> str | None:
    """The admin key that the request carries; None when it carries none of the shop's."""
    given = _bearer(request)
    return given if given is not None and _accepted(request, given) else None


def _bearer(request: Request) -> str | None:
    scheme, _, key = (request.auth or "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def _accepted(request: Request, given: str) -> bool:
    # Digests are compared, so that a key may be configured as its digest; all of them, each in constant time, so that
    # the answer's delay reveals nothing about any key.
    sent = hashlib.sha256(given.encode("latin-1", "replace")).hexdigest()  # WSGI's reading of a header's bytes
    keys = visit.of(request).gateway.settings.admin_api_keys
    return any([hmac.compare_digest(sent, _digest(key)) for key in keys])  # noqa: C419


def _digest(key: str) -> str:
    hashed = key.removeprefix("sha256:")
    return hashlib.sha256(key.encode()).hexdigest() if hashed == key else hashed.lower()
