"""The description of the API: for programs (OpenAPI) and for people, who can also try it there."""

from __future__ import annotations

import functools
from importlib.metadata import distribution
from pathlib import Path

from falcon import Request, Response

from contracts.errors import NotFound
from gateway import visit
from gateway.openapi.document import Variant, encoded
from gateway.routing import as_it_is, get

_PAGES = Path(__file__).parent.parent / "openapi"
# Swagger UI, from a package; importing it would load Flask, which only its Python needs.
_VIEWER = Path(str(distribution("flask-swagger-ui").locate_file("flask_swagger_ui/dist")))
PAGE = _PAGES / "viewer.html"
FILES = {
    "viewer.js": ("text/javascript; charset=utf-8", _PAGES / "viewer.js"),
    "viewer.css": ("text/css; charset=utf-8", _PAGES / "viewer.css"),
    "swagger-ui-bundle.js": ("text/javascript; charset=utf-8", _VIEWER / "swagger-ui-bundle.js"),
    "swagger-ui.css": ("text/css; charset=utf-8", _VIEWER / "swagger-ui.css"),
}
# Nothing of another host, no script or style inside the page. The viewer draws its icons from data URLs.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# A browser may keep the files of the page this long (seconds).
FILES_MAX_AGE_S = 3600


@get("/openapi.json", output=as_it_is)
def openapi(request: Request, response: Response) -> bytes:
    """This document."""
    response.content_type = "application/json"
    return encoded(Variant.of(visit.of(request).gateway.settings))


@get("/docs", output=as_it_is)
def page(request: Request, response: Response) -> bytes:
    """A page that shows this document, and tries its requests."""
    response.content_type = "text/html; charset=utf-8"
    response.set_header("Content-Security-Policy", POLICY)
    return _read(PAGE)


@get("/docs/{name}", output=as_it_is)
def file(name: str, request: Request, response: Response) -> bytes:
    """A file of that page."""
    if name not in FILES:
        raise NotFound("There is no such file.")
    response.content_type, path = FILES[name]
    response.set_header("Cache-Control", f"public, max-age={FILES_MAX_AGE_S}")
    return _read(path)


@functools.cache
def _read(path: Path) -> bytes:
    return path.read_bytes()
