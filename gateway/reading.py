"""Reads requests: the body strictly as one JSON object, the query as plain values, both within bounds.

Hug's own readers are not used: they answer 500 to unreadable JSON, have no limit, and mix their input into the
parameters of the path.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import orjson
from falcon import Request

from chassis.documents import Unbounded, check_depth, count_names
from contracts.errors import InvalidRequest
from gateway import visit
from gateway.errors import NotJson
from gateway.shape import Shape, named

# A body that only `gateway.seed_json` can read is a few lines long, and costs far more per byte than with orjson.
MAX_RESCUED = 16 * 1024
# The longest query of the API has four parameters.
MAX_PARAMETERS = 20
# The longest, a category, has 500 characters: at most 6 000 bytes, percent-encoded.
MAX_QUERY = 8 * 1024
# The longest usual one is `application/json; charset=utf-8`.
MAX_TYPE = 256


def body(request: Request, shape: Shape, rescue: Callable[[str], str] | None = None) -> dict[str, Any]:
    """The request's body, checked against `shape`.

    Args:
        rescue: repairs input that strict reading refused (`gateway.seed_json`); its result is read strictly, too.

    Raises:
        NotJson: it is declared as something other than JSON.
        InvalidRequest: it is not one JSON object, or not of this shape.
    """
    return shape.check(_object(_received(request), shape, rescue))


def optional_body(request: Request, shape: Shape) -> dict[str, Any]:
    """Like `body`, for a route that needs none: an empty body is an empty object."""
    raw = _received(request)
    return shape.check(_object(raw, shape, None) if raw.strip() else {})


def raw_body(request: Request) -> str:
    """The request's body as it was sent, of any type, for a service that verifies its signature.

    Each byte is one character of the text (Latin-1), so that all of them pass through JSON.
    """
    return _whole(request).decode("latin-1")


def query(request: Request, shape: Shape) -> dict[str, Any]:
    """The query's parameters, checked against `shape`; one without a value counts as not given.

    Raises InvalidRequest for an unknown, repeated or misshapen parameter.
    """
    sent = visit.of(request).query_string
    if len(sent) > MAX_QUERY:
        raise InvalidRequest(f"A query may have {MAX_QUERY} bytes.")
    try:
        pairs = parse_qsl(
            sent,
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except ValueError:
        raise InvalidRequest("The query is not readable as UTF-8 parameters, or has too many.") from None
    given: dict[str, str] = {}
    for name, value in pairs:
        if name in given:
            raise InvalidRequest("A parameter is given twice.", {"errors": {named(name): ["given twice"]}})
        given[name] = value
    for name, value in given.items():
        if "\0" in value or "\0" in name:
            raise InvalidRequest("A parameter has a NUL character.", {"errors": {named(name): ["has a NUL character"]}})
    meant: dict[str, Any] = {name: value for name, value in given.items() if value != "" or not shape.knows(name)}
    limit = meant.get("limit", "")
    if limit.isascii() and limit.isdigit() and len(limit) < 9:
        meant["limit"] = int(limit)
    return shape.check(meant)


def _received(request: Request) -> bytes:
    """The raw body of a request that is declared to be JSON."""
    raw = _whole(request)
    if raw:
        _check_declared_json(request.env)
    return raw


def _whole(request: Request) -> bytes:
    """The raw body. It has arrived whole and within its route's bound (`gateway.http`)."""
    raw: bytes = request.env["wsgi.input"].read(-1)
    return raw


def _check_declared_json(environ: dict[str, Any]) -> None:
    # A body without a Content-Type is read as JSON, and refused if it is not.
    declared = environ.get("CONTENT_TYPE")
    if declared:
        if len(declared) > MAX_TYPE:
            raise NotJson("Send `Content-Type: application/json`.")
        kind, *parameters = (part.strip().lower() for part in declared.split(";"))
        if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
            raise NotJson("Send `Content-Type: application/json`.")
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "charset" and value.strip().strip('"') not in ("utf-8", "utf8", "us-ascii"):
                raise NotJson("JSON is sent as UTF-8.")
    if environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() not in ("", "identity"):
        raise NotJson("The body must not be compressed.")


def _object(raw: bytes, shape: Shape, rescue: Callable[[str], str] | None) -> dict[str, Any]:
    try:
        names = count_names(raw, shape.most_values)
        document = _strict(raw)
    except Unbounded as error:
        raise InvalidRequest(str(error)) from None
    except orjson.JSONDecodeError as error:
        if rescue is None or len(raw) > MAX_RESCUED:
            raise _unreadable(error) from None
        try:
            raw = rescue(raw.decode("utf-8")).encode("utf-8")
            document = _strict(raw)
        except (UnicodeDecodeError, orjson.JSONDecodeError):
            raise _unreadable(error) from None
    if not isinstance(document, dict):
        raise InvalidRequest("The body must be a JSON object.")
    try:
        found = check_depth(raw, document)
    except Unbounded as error:
        raise InvalidRequest(str(error)) from None
    if found != names:
        # Choosing between two values of one name would be a guess; orjson silently takes the last.
        json.loads(raw, object_pairs_hook=_once, parse_int=str, parse_float=str)
    return document


def _strict(raw: bytes) -> Any:
    # orjson refuses input that is often mistaken for JSON: NaN, lone surrogates, bad UTF-8, trailing commas.
    return orjson.loads(raw)


def _once(pairs: list[tuple[str, Any]]) -> None:
    seen = set()
    for name, _ in pairs:
        if name in seen:
            short = named(name)
            raise InvalidRequest(f"`{short}` is given twice.", {"errors": {short: ["given twice"]}})
        seen.add(name)


def _unreadable(error: orjson.JSONDecodeError) -> InvalidRequest:
    return InvalidRequest(f"The body is not readable as JSON: {error.msg}, line {error.lineno}, column {error.colno}.")
