"""What pages of other origins may do here: nothing that changes anything.

The sandbox asks for no key, so any page in the developer's browser could otherwise switch its faults. Browsers say
where a request comes from; curl, the SDKs and the tests send neither header and are not affected.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from sandbox.context import Context

_READING = ("GET", "HEAD", "OPTIONS")
# `none`: the user typed or bookmarked it. `same-site` is another origin, such as another port of localhost.
_OWN = ("same-origin", "none")
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"}


def same_origin(sandbox: Context) -> Middleware:
    """Return the middleware that answers 403 when a page of another origin asks for a change of the sandbox itself."""

    @web.middleware
    async def check(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        own_route = request.path.startswith("/sandbox/")
        if own_route and request.method not in _READING and _from_elsewhere(request, sandbox.public_url):
            return web.json_response({"error": "pages of other origins may not change anything here"}, status=403)
        return await handler(request)

    return check


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers that all answers of the sandbox itself have; aiohttp calls it before it sends an answer."""
    if request.path == "/" or request.path.startswith("/sandbox"):
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)


def _from_elsewhere(request: web.Request, public_url: str) -> bool:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site.lower() not in _OWN
    origin = request.headers.get("Origin")
    if origin is None:
        return False
    authority = _authority(origin)
    return authority is None or authority not in (request.host.lower(), _authority(public_url))


def _authority(url: str) -> str | None:
    """Host and port of a URL; None when it has none, such as the origin `null`."""
    try:
        return urlsplit(url).netloc.lower() or None
    except ValueError:
        return None
