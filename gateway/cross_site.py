"""Whether a page of another site caused this request.

Browsers add the shop's cookie to some requests of other pages, and let a page send a POST without a `Content-Type`
anywhere. So a request that changes something must come from the shop's own pages, from a page that may call the API
(`gateway.cors`), or from no page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from chassis.settings import Settings
from gateway import cors
from gateway.errors import CrossSite

_READING = ("GET", "HEAD", "OPTIONS")
# `none` means that the user typed or bookmarked it. `same-site` is refused: it is another origin, perhaps a subdomain
# where strangers publish pages, or another port of localhost.
_OWN = ("same-origin", "none")


def check(environ: Mapping[str, Any], settings: Settings) -> None:
    """Raise CrossSite when a page of another origin, which may not, asks for a change.

    Browsers report it in `Sec-Fetch-Site`, but only over TLS and to localhost; elsewhere in `Origin`. Other programs
    send neither.

    Args:
        environ: the request.
        settings: the origins whose pages may; and the shop's own URL, for a proxy that does not pass on the browser's
            `Host`.
    """
    if environ["REQUEST_METHOD"] in _READING or cors.may_change(environ, settings):
        return
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        if site.lower() not in _OWN:
            raise CrossSite("Pages of other origins may read here, not change anything.")
        return
    origin = environ.get("HTTP_ORIGIN")
    if origin is None:
        return
    authority = _authority(origin)
    if authority is None or authority not in (environ.get("HTTP_HOST", "").lower(), _authority(settings.public_url)):
        raise CrossSite("Pages of other origins may read here, not change anything.")


def _authority(url: str) -> str | None:
    """Host and port of a URL; None when it has none, such as the origin `null`."""
    try:
        return urlsplit(url).netloc.lower() or None
    except ValueError:
        return None
