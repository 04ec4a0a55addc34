"""The most expensive known requests, and a gateway in the thread of the test that measures their cost."""

from __future__ import annotations

import dataclasses
import io
import ipaddress
import json
import time
from collections.abc import Iterator
from typing import Any

from chassis.settings import Settings
from gateway.api import Gateway
from tests.integration.gateway.routes import ORDER, Route

MIB = 1024 * 1024


class NoServices:
    """A double of the RPC client that records each call and sends nothing."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def call(self, service: str, verb: str, *_args: Any, **_options: Any) -> Any:
        """Record the call and return an answer that every route accepts."""
        self.calls.append(f"{service}.{verb}")
        return {"id": "prod_1", "cart_id": "cart_1", "object_id": "shp_1", "data": [], "has_more": False}


class InThread:
    """A gateway that a test calls as a function, so that the test can measure its CPU time."""

    def __init__(self) -> None:
        self.services = NoServices()
        # The client is a trusted proxy, so the gateway reads its headers too.
        settings = dataclasses.replace(Settings.load(), trusted_proxies=(ipaddress.ip_network("127.0.0.0/8"),))
        self.gateway = Gateway(settings, self.services)  # type: ignore[arg-type]

    def ask(self, method: str, path: str, raw: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Send one request; return the status and the body of the answer."""
        path, _, query = path.partition("?")
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SCRIPT_NAME": "",
            "SERVER_NAME": "shop",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(raw),
            "wsgi.errors": io.StringIO(),
            **({"CONTENT_LENGTH": str(len(raw)), "CONTENT_TYPE": "application/json"} if raw else {}),
            **{_variable(name): value for name, value in (headers or {}).items()},
        }
        status: list[int] = []

        def start(line: str, _headers: Any, _exc_info: Any = None) -> None:
            status.append(int(line[:3]))

        answer = b"".join(self.gateway(environ, start))
        return status[-1], answer

    def cost(self, *request: Any, max_cost_s: float = 0.0) -> float:
        """Return the CPU seconds of one request: the first measurement below `max_cost_s`, or the least of five."""
        least = float("inf")
        for _ in range(5):
            started = time.thread_time()
            self.ask(*request)
            least = min(least, time.thread_time() - started)
            if least < max_cost_s:
                break
        return least


def _variable(header: str) -> str:
    name = header.upper().replace("-", "_")
    return name if name == "CONTENT_TYPE" else f"HTTP_{name}"


def largest_honest_order() -> bytes:
    """Return an order with the largest accepted number of lines, each with the fields that Stripe sends."""
    line = {**ORDER["items"][0], "amount": 100, "currency": "usd", "description": "Wally pick"}
    return json.dumps({**ORDER, "items": [line] * 500}).encode()


def _fill(begin: bytes, part: bytes, end: bytes, size: int) -> bytes:
    return begin + part * ((size - len(begin) - len(end)) // len(part)) + end


def _many(begin: bytes, template: str, end: bytes, size: int) -> bytes:
    """Return `begin`, `template` filled with 0, 1, 2 … up to `size` bytes, and `end`."""
    parts: list[bytes] = []
    left = size - len(begin) - len(end)
    number = 0
    while (part := (template % number).encode()) and left > len(part):
        parts.append(part)
        left -= len(part) + 1
        number += 1
    return begin + b",".join(parts) + end


def bodies(route: Route, size: int = MIB) -> Iterator[tuple[str, bytes]]:
    """Yield invalid bodies of up to `size` bytes, each as costly as possible, with their names."""
    yield "4 000 unknown fields", json.dumps({f"x{n}": 1 for n in range(4_000)}).encode()
    yield "fitting many unknown fields", json.dumps({f"x{n}": 1 for n in range(499)}).encode()
    yield "unknown fields", _many(b"{", '"x%d":1', b"}", size)
    yield "one name again and again", _fill(b'{"a":1', b',"a":1', b"}", size)
    yield "each name twice", _many(b"{", '"%d":1', b"," + _many(b"", '"%d":1', b"}", size // 2 - 8), size // 2)
    yield "a few hundred names twice", json.dumps({f"x{n}": 1 for n in range(240)}).encode()[:-1] + b',"x0":1}'
    yield "opened lists", b"[" * size
    yield "opened objects", _fill(b"", b'{"a":', b"", size)
    yield "closed lists", b'{"a":' + b"[" * (size // 2) + b"]" * (size // 2) + b"}"
    yield "empty lists", _fill(b'{"items":[[]', b",[]", b"]}", size)
    yield "nested lists, as many as fit", b'{"items":[' + b",".join([b"[" * 30 + b"]" * 30] * 30) + b"]}"
    yield "quotes", b'"' * size
    yield "escaped quotes", _fill(b'{"a":"', b'\\"', b'"}', size)
    yield "escaped backslashes", _fill(b'{"a":"', b"\\\\", b'"}', size)
    yield "an open string of escapes", _fill(b'{"number": +1, "a":"', b"\\n", b"", size)
    yield "line breaks", _fill(b'{"a":"', b"\\n", b'"}', size)
    yield "lone surrogates", _fill(b'{"a":"', b"\\ud800", b'"}', size)
    yield "NULs", _fill(b'{"a":"', b"\\u0000", b'"}', size)
    yield "surrogate pairs", _fill(b'{"a":"', b"\\ud83d\\ude00", b'"}', size)
    yield "commas in a string", _fill(b'{"a":"', b",:[{", b'"}', size)
    yield "blanks", b"{" + b" " * (size - 1)
    yield "blanks and plusses", _fill(b"{", b'"number": \n', b"", size)
    yield "order ids", _fill(b"{", b'"order_id": "a"\n ', b"", size)
    yield "a long integer", _fill(b'{"price":1', b"0", b"}", size)
    yield "a long fraction", _fill(b'{"price":0.', b"1", b"}", size)
    yield "long fractions", _fill(b'{"items":[1', b"," + b"0." + b"1" * 1000, b"]}", size)
    yield "long fractions twice named", _fill(b'{"a":1,"a":[1', b"," + b"0." + b"1" * 4000, b"]}", size)
    yield "a long exponent", _fill(b'{"price":1e', b"9", b"}", size)
    yield "1e400", b'{"price":1e400,"quality":1e400,"number":1e400}'
    yield "huge integers", _fill(b'{"items":[1', b"," + b"9" * 300, b"]}", size)
    yield "a long name", b'{"' + b"x" * (size - 6) + b'":1}'
    yield "letters", b"a" * size
    yield "high bytes", b"\xff" * size
    yield "attributes", _fill(b'{"attributes":[""', b',""', b"]}", size)
    yield "as many attributes as fit", json.dumps({"attributes": [""] * 990}).encode()
    yield "long attributes", json.dumps({"attributes": ["x" * (size // 30)] * 20}).encode()
    yield "metadata", _many(b'{"metadata":{', '"%d":""', b"}}", size)
    yield "as much metadata as fits", json.dumps({"metadata": {f"x{n}": "" for n in range(490)}}).encode()
    yield "address", _many(b'{"address":{', '"x%d":1', b"}}", size)
    yield "an address with as much as fits", json.dumps({"address": {f"x{n}": 1 for n in range(490)}}).encode()
    yield "images", _fill(b'{"images":["http://a"', b',"http://a"', b"]}", size)
    wrong = {"type": 5, "parent": "/", "quantity": "x", "amount": 0.5}
    yield "500 wrong lines", json.dumps({**ORDER, "items": [wrong] * 500}).encode()
    yield "500 lines, the last wrong", json.dumps({**ORDER, "items": [*[_whole_line()] * 499, {}]}).encode()
    yield "500 lines of taxes", json.dumps({**ORDER, "items": [{**_whole_line(), "type": "tax"}] * 500}).encode()
    yield "501 lines", json.dumps({**ORDER, "items": [_whole_line()] * 501}).encode()
    yield "lines", _fill(b'{"items":[{}', b",{}", b"]}", size)
    yield "an order in an event", b'{"data":{"object":' + json.dumps({"items": [wrong] * 500}).encode() + b"}}"
    for name, document in _with_long_texts(route, size):
        yield name, json.dumps(document).encode()


def _whole_line() -> dict[str, Any]:
    return {"type": "sku", "parent": "sku_1", "quantity": 1, "amount": 1}


def _with_long_texts(route: Route, size: int) -> Iterator[tuple[str, Any]]:
    """Yield copies of the body of the route, each with one value replaced by a text of nearly `size` bytes."""
    for path in _paths(route.body or {}):
        for kind, text in LONG_TEXTS.items():
            long = (text * (size // len(text) + 1))[: size - 4096]
            yield f"{kind} in {'.'.join(map(str, path))}", _with(route.body, path, long)


LONG_TEXTS = {"a": "a", "blanks": " ", "@.": "a@a.", "digits": "+1", "url": "http://", "brackets": "[]"}


def _paths(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    entries = document.items() if isinstance(document, dict) else enumerate(document)
    for name, value in entries:
        if isinstance(value, (dict, list)):
            yield from _paths(value, (*path, name))
        else:
            yield (*path, name)


def _with(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = _with(copy[path[0]], path[1:], value)
    return copy


def headers(size: int) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield headers of up to `size` bytes that the gateway reads before it knows the caller."""
    yield "parameters of a type", {"Content-Type": "application/json" + "; charset=utf-8" * (size // 15)}
    yield "semicolons in a type", {"Content-Type": "application/json" + ";" * size}
    yield "cookies", {"Cookie": "a=b; " * (size // 5)}
    yield "empty cookies", {"Cookie": ";" * size}
    yield "quotes in a cookie", {"Cookie": "cart_id=" + '"' * size}
    for name in (
        "Cart-Id",
        "Idempotency-Key",
        "X-Request-Id",
        "Authorization",
        "Content-Encoding",
        "Accept",
        "Forwarded",
    ):
        yield f"a long {name}", {name: "a" * size}
        yield f"a blank {name}", {name: " " * size}
    yield "a long chain of proxies", {"X-Forwarded-For": "127.0.0.1," * (size // 10)}
    yield "a long chain of nothing", {"X-Forwarded-For": "," * size}
    yield "a long key", {"Authorization": "Bearer " + "a" * size}


def queries(size: int) -> Iterator[tuple[str, str]]:
    """Yield queries of up to `size` bytes."""
    yield "ampersands", "&" * size
    yield "parameters", "a=1&" * (size // 4)
    yield "percents", "category=" + "%" * size
    yield "percent-encoded", "category=" + "%41" * (size // 3)
    yield "not UTF-8", "category=" + "%FF" * (size // 3)
    yield "plusses", "category=" + "+" * size
    yield "a long name", "x" * size + "=1"
    yield "a long order", "order_by=" + "-" * size
    yield "digits", "limit=" + "1" * size


ROUTES_WITHOUT_FIELDS = [
    Route("POST", "/api/cart/", "cart.create", (), {}),
    Route("POST", "/api/orders/or_1/cancel/", "cart.cancel", (), {}),
    Route("POST", "/api/orders/or_1/refund/", "cart.refund", (), {"amount": 1}, admin=True),
]
WEBHOOKS = [Route("POST", f"/api/webhooks/{name}/", "", (), {}) for name in ("stripe", "shippo", "twilio", "sendgrid")]
