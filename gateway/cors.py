"""Which pages of other origins may call the API (CORS, as in the Fetch standard).

An origin listed in `CORS_ORIGINS` may, with credentials. While everything is the sandbox and none is listed, any origin
of this machine may, without credentials. A page of another site has no cookie here: it sends `Cart-Id`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from chassis.settings import Settings

REQUEST_HEADERS = (
    *("Cart-Id", "Order-Token", "Idempotency-Key", "X-Request-ID"),
    *("Content-Type", "Authorization", "If-None-Match", "Prefer"),
)
RESPONSE_HEADERS = (
    *("X-Request-ID", "Idempotent-Replayed", "Retry-After", "Link", "ETag", "Location"),
    *("RateLimit", "RateLimit-Policy"),
)
# For how long a browser need not ask again; Chromium's longest (seconds).
PREFLIGHT_MAX_AGE_S = 7200

# The scheme and the authority of a URL.
_ORIGIN = re.compile(r"https?://[^/?#]*")
_LOCALHOST = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?")

Headers = list[tuple[str, str]]


def headers(environ: Mapping[str, Any], settings: Settings) -> Headers:
    """The headers that let the page behind a request read its answer.

    Answers to all origins, and to none, have `Vary`: a cache must not give one's answer to another.
    """
    if not settings.cors_origins and not settings.cors_localhost:
        return []
    varies = ("vary", "Origin")
    if not _may_call(environ, settings):
        return [varies]
    origin = environ["HTTP_ORIGIN"]
    found = [
        varies,
        ("access-control-allow-origin", origin),
        ("access-control-expose-headers", ", ".join(RESPONSE_HEADERS)),
    ]
    if origin in settings.cors_origins:
        found.append(("access-control-allow-credentials", "true"))
    return found


def is_preflight(environ: Mapping[str, Any], settings: Settings) -> bool:
    """Whether a browser asks, for a page that may call the API, which requests it accepts.

    It does nothing, and the page's own request follows. Only that one counts against the rate limits.
    """
    asks = environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
    return asks and _may_call(environ, settings)


def preflight(verbs: str) -> Headers:
    """The further headers of the answer to a preflight.

    Args:
        verbs: those of the route, as in `Allow`.
    """
    return [
        ("access-control-allow-methods", verbs),
        ("access-control-allow-headers", ", ".join(REQUEST_HEADERS)),
        ("access-control-max-age", str(PREFLIGHT_MAX_AGE_S)),
    ]


def may_change(environ: Mapping[str, Any], settings: Settings) -> bool:
    """Whether the page behind a request may change something.

    A page of an origin that is not listed may not use the shopper's cookie, which a browser sends between two ports of
    one host.
    """
    if environ.get("HTTP_ORIGIN") in settings.cors_origins:
        return True
    return _may_call(environ, settings) and "HTTP_COOKIE" not in environ


def may_return(url: str, settings: Settings) -> bool:
    """Whether a bank may send a shopper to a URL: it is a page of the shop's, or of an origin that may call the API.

    Over http only while no money moves, because the URL then has what identifies a payment: on this machine, and with
    the sandbox also on the shop's own. With Stripe's test mode, any page on this machine is the developer's.

    Args:
        url: beginning with http:// or https://, without user or password.
    """
    origin, own = _origin(url), _origin(settings.public_url)
    is_here = _LOCALHOST.fullmatch(origin) is not None
    is_test = settings.stripe.live and settings.stripe_publishable_key.startswith("pk_test_")
    if not origin.startswith("https:"):
        if settings.stripe.live and not is_test:
            return False
        if not is_here and (is_test or origin != own):
            return False
    listed = origin != "" and (origin in settings.cors_origins or origin == own)
    return listed or (is_here and (settings.cors_localhost or is_test))


def _origin(url: str) -> str:
    """The origin of a URL as browsers write it, without the scheme's own port; "" when it has none."""
    found = _ORIGIN.match(url.lower())
    if found is None:
        return ""
    return found[0].removesuffix(":443" if found[0].startswith("https:") else ":80")


def _may_call(environ: Mapping[str, Any], settings: Settings) -> bool:
    origin = environ.get("HTTP_ORIGIN")
    if origin is None:
        return False
    return origin in settings.cors_origins or (settings.cors_localhost and _LOCALHOST.fullmatch(origin) is not None)
