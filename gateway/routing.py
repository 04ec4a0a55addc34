"""The one Hug API of the shop, and the way onto it: `@get("/api/…")`, `@post("/api/…", admin=True)`.

One API, because Hug's handlers do not follow routes from one into another. Hug reads no body and sees no query: it
would mix both into the parameters of the path, and over them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import hug
import orjson

from gateway import auth

Route = TypeVar("Route", bound=Callable[..., Any])


@hug.output_format.content_type("application/json")
def as_json(content: Any, **_hug: Any) -> bytes:
    """What a route returns, as UTF-8 JSON."""
    return orjson.dumps(content)


api = hug.API(__name__)
api.http.output_format = as_json


def _route(verbs: tuple[str, ...], path: str, status: int, admin: bool) -> Callable[[Route], Route]:
    decorator: Callable[[Route], Route] = hug.http(
        path,
        api=api,
        accept=verbs,
        parse_body=False,
        requires=(auth.admin_only,) if admin else (),
        status=STATUS_LINES[status],
    )
    return decorator


STATUS_LINES = {200: "200 OK", 201: "201 Created", 202: "202 Accepted"}


def get(path: str, admin: bool = False) -> Callable[[Route], Route]:
    """Answer GET (and HEAD) on `path`."""
    return _route(("GET",), path, 200, admin)


def post(path: str, status: int = 200, admin: bool = False) -> Callable[[Route], Route]:
    """Answer POST on `path` with `status`."""
    return _route(("POST",), path, status, admin)


def put(path: str, admin: bool = False) -> Callable[[Route], Route]:
    """Answer PUT on `path`."""
    return _route(("PUT",), path, 200, admin)


def post_or_put(path: str) -> Callable[[Route], Route]:
    """Answer POST and PUT alike on `path`."""
    return _route(("POST", "PUT"), path, 200, admin=False)


def delete(path: str, admin: bool = False) -> Callable[[Route], Route]:
    """Answer DELETE on `path`."""
    return _route(("DELETE",), path, 200, admin)
