"""The shop's one Hug API, and the decorators for it: `@get("/api/…")`, `@post("/api/…", admin=True)`.

There is one API, because Hug's handlers do not follow routes from one into another. Hug reads no body and sees no
query: it would mix both into the parameters of the path, and overwrite them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import hug
import orjson

from gateway import auth

# A seed order is 4 KB, a product with all its fields 30 KB. Reading a longer body costs more.
USUAL_BYTES = 64 * 1024
# For email, for orders of hundreds of lines, and for batches of events.
LARGE_BYTES = 1024 * 1024

Route = TypeVar("Route", bound=Callable[..., Any])


@hug.output_format.content_type("application/json")
def as_json(content: Any, **_hug: Any) -> bytes:
    """Encode a route's result as UTF-8 JSON."""
    return orjson.dumps(content)


@hug.output_format.content_type("application/json")
def as_json_or_text(content: Any, **_hug: Any) -> bytes:
    """Encode a route's result as JSON; a text is sent as it is, and its route sets the content type."""
    return content.encode() if isinstance(content, str) else orjson.dumps(content)


@hug.output_format.content_type("text/html; charset=utf-8")
def as_html(content: str, **_hug: Any) -> bytes:
    """Encode a page."""
    return content.encode()


@hug.output_format.content_type("text/css; charset=utf-8")
def as_css(content: bytes, **_hug: Any) -> bytes:
    """Send a stylesheet as it is."""
    return content


@hug.output_format.content_type("text/plain; charset=utf-8")
def as_it_is(content: bytes, **_hug: Any) -> bytes:
    """A route's result, for a route that sets the content type itself."""
    return content


api = hug.API(__name__)
api.http.output_format = as_json


@dataclass(frozen=True)
class Bounds:
    """What a route requires of a request before its body is received.

    Attributes:
        admin: whether an admin key is needed.
        most_bytes: the largest body; or what computes it of the settings and the parameters of the path.
    """

    admin: bool
    most_bytes: int | Callable[..., int]


# The bounds of each verb of each path.
BOUNDS: dict[str, dict[str, Bounds]] = {}


def _route(
    verbs: tuple[str, ...],
    path: str,
    status: int,
    admin: bool,
    most_bytes: int | Callable[..., int] = USUAL_BYTES,
    output: Callable[..., bytes] = as_json,
) -> Callable[[Route], Route]:
    BOUNDS.setdefault(path, {}).update(dict.fromkeys(verbs, Bounds(admin, most_bytes)))
    decorator: Callable[[Route], Route] = hug.http(
        path,
        api=api,
        accept=verbs,
        parse_body=False,
        output=output,
        requires=(auth.admin_only,) if admin else (),
        status=STATUS_LINES[status],
    )
    return decorator


STATUS_LINES = {200: "200 OK", 201: "201 Created", 202: "202 Accepted"}


def get(path: str, admin: bool = False, output: Callable[..., bytes] = as_json) -> Callable[[Route], Route]:
    """Answer GET (and HEAD) on `path`, in the format of `output`."""
    return _route(("GET",), path, 200, admin, output=output)


def post(
    path: str,
    status: int = 200,
    admin: bool = False,
    most_bytes: int | Callable[..., int] = USUAL_BYTES,
    output: Callable[..., bytes] = as_json,
) -> Callable[[Route], Route]:
    """Answer POST on `path` with `status`, in the format of `output`."""
    return _route(("POST",), path, status, admin, most_bytes, output)


def put(path: str, admin: bool = False) -> Callable[[Route], Route]:
    """Answer PUT on `path`."""
    return _route(("PUT",), path, 200, admin)


def post_or_put(path: str) -> Callable[[Route], Route]:
    """Answer POST and PUT alike on `path`."""
    return _route(("POST", "PUT"), path, 200, admin=False)


def delete(path: str, admin: bool = False) -> Callable[[Route], Route]:
    """Answer DELETE on `path`."""
    return _route(("DELETE",), path, 200, admin)
