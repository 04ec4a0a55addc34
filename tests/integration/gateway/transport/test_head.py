"""The head of a request: what is malformed is refused, and what HTTP allows is understood."""

from __future__ import annotations

import pytest

from gateway.http import head
from gateway.http.receiver import MAX_HEADER_BYTES, MAX_HEADERS, MAX_URL_BYTES
from tests.integration.gateway.asking import assert_problem
from tests.integration.gateway.transport.local import GET, POST, Local, answer_on, connect, exchange, feed

MALFORMED = {
    "not http": (b"hello\r\n\r\n", 400),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32, 400),
    "http 0.9": (b"GET /\r\n\r\n", 400),
    "http 2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "http 3.0": (b"GET / HTTP/3.0\r\nHost: shop\r\n\r\n", 400),
    "no host": (GET + b"\r\n", 400),
    "two hosts": (GET + b"Host: shop\r\nHost: shop\r\n\r\n", 400),
    "host with a path": (GET + b"Host: shop/x\r\n\r\n", 400),
    "host with a user": (GET + b"Host: a@shop\r\n\r\n", 400),
    "header byte 0x7f": (GET + b"Host: shop\r\nX-A: a\x7fb\r\n\r\n", 400),
    "header byte 0x00": (GET + b"Host: shop\r\nX-A: a\x00b\r\n\r\n", 400),
    "header byte 0x0b": (GET + b"Host: shop\r\nX-A: a\x0bb\r\n\r\n", 400),
    "bare carriage return": (GET + b"Host: shop\r\nX-A: a\rb\r\n\r\n", 400),
    "header without colon": (GET + b"Host: shop\r\nX-A\r\n\r\n", 400),
    "space before colon": (GET + b"Host: shop\r\nX-A : a\r\n\r\n", 400),
    "space in header name": (GET + b"Host: shop\r\nX A: a\r\n\r\n", 400),
    "folded header": (GET + b"Host: shop\r\nX-A: a\r\n b\r\n\r\n", 400),
    "101 headers": (GET + b"Host: shop\r\n" + b"X-A: a\r\n" * MAX_HEADERS + b"\r\n", 431),
    "long header": (GET + b"Host: shop\r\nX-A: " + b"a" * MAX_HEADER_BYTES + b"\r\n\r\n", 431),
    "endless header": (GET + b"Host: shop\r\nX-A: " + b"a" * 200_000, 431),
    "long url": (b"GET /api/products/?category=" + b"a" * MAX_URL_BYTES + b" HTTP/1.1\r\nHost: shop\r\n\r\n", 414),
    "endless url": (b"GET /" + b"a" * 200_000, 414),
    "endless method": (b"A" * 200_000, 400),
    "fragment": (b"GET /api/products/#a HTTP/1.1\r\nHost: shop\r\n\r\n", 400),
    "no path": (b"GET api/products/ HTTP/1.1\r\nHost: shop\r\n\r\n", 400),
    "control character in path": (b"GET /api/\x01 HTTP/1.1\r\nHost: shop\r\n\r\n", 400),
    "connect": (b"CONNECT shop:80 HTTP/1.1\r\nHost: shop\r\n\r\n", 400),
    "two lengths": (POST + b'Content-Length: 13\r\nContent-Length: 13\r\n\r\n{"quality":5}', 400),
    "two different lengths": (POST + b'Content-Length: 13\r\nContent-Length: 3\r\n\r\n{"quality":5}', 400),
    "a list of lengths": (POST + b'Content-Length: 13, 13\r\n\r\n{"quality":5}', 400),
    "negative length": (POST + b"Content-Length: -1\r\n\r\n", 400),
    "length with a plus": (POST + b'Content-Length: +13\r\n\r\n{"quality":5}', 400),
    "empty length": (POST + b'Content-Length: \r\n\r\n{"quality":5}', 400),
    "hexadecimal length": (POST + b'Content-Length: 0xd\r\n\r\n{"quality":5}', 400),
    "huge length": (POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n", 400),
    "length and chunks": (
        POST + b'Content-Length: 13\r\nTransfer-Encoding: chunked\r\n\r\nd\r\n{"quality":5}\r\n0\r\n\r\n',
        400,
    ),
    "chunks and length": (
        POST + b'Transfer-Encoding: chunked\r\nContent-Length: 13\r\n\r\nd\r\n{"quality":5}\r\n0\r\n\r\n',
        400,
    ),
    "chunks in http 1.0": (
        POST.replace(b"1.1", b"1.0") + b'Transfer-Encoding: chunked\r\n\r\nd\r\n{"quality":5}\r\n0\r\n\r\n',
        400,
    ),
    "other coding": (POST + b'Transfer-Encoding: gzip\r\n\r\n{"quality":5}', 400),
    "coding after chunked": (POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    "coding before chunked": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked twice": (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "bad chunk size": (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    "negative chunk size": (POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
    "huge chunk size": (POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 20 + b"\r\n", 400),
    "chunk longer than said": (POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}}\r\n0\r\n\r\n", 400),
    "one byte a chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 20_000, 400),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_request_is_answered_as_a_problem(shop: Local, name: str) -> None:
    sent, status = MALFORMED[name]
    answer = exchange(shop, sent)
    assert_problem(answer, status)
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["length and chunks", "two different lengths", "bad chunk size"])
def test_nothing_after_a_malformed_request_is_answered(shop: Local, name: str) -> None:
    with connect(shop) as connection:
        connection.sendall(MALFORMED[name][0] + GET + b"Host: shop\r\n\r\n")
        assert answer_on(connection).status == 400
        assert connection.recv(1) == b""


def test_unknown_method_is_405_with_the_paths_verbs(shop: Local) -> None:
    answer = shop.ask("BREW", "/api/cart/")
    assert_problem(answer, 405)
    assert answer.headers["allow"] == "GET, HEAD, POST, DELETE, OPTIONS"
    assert_problem(shop.ask("A" * 1000, "/api/cart/"), 405)
    assert_problem(shop.ask("get", "/api/cart/"), 405)
    assert_problem(shop.ask("BREW", "/nowhere/"), 404)


@pytest.mark.parametrize(
    "segments",
    [
        [b"DELETE /api/cart/ HTTP/1.1\r\nHost: shop\r\nCart-Id: mine\r\n\r\nXYZ"],
        [b"G", b"POST /api/cart/ HTTP/1.1\r\nHost: shop\r\n\r\n"],
        [POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", b"0\r\n\r\nXYZ"],
        [GET + b"Host: shop\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nXYZ"],
    ],
    ids=["after a request", "split method", "after a body", "after an upgrade"],
)
def test_unreadable_method_runs_nothing(segments: list[bytes]) -> None:
    calls, wire = feed(*segments)
    assert b"HTTP/1.1 400" in wire.sent
    assert len(calls) == wire.sent.count(b"HTTP/1.1 2")
    assert not any(verb == "clear" and "default" in call for _, verb, *call in calls)
    assert wire.closed


def test_long_header_names_are_not_remembered() -> None:
    name = b"X-" + b"n" * 1000
    feed(GET + b"Host: shop\r\nX-Short-One: a\r\n" + name + b": a\r\n\r\n")
    assert b"X-Short-One" in head._NAMES
    assert name not in head._NAMES


def test_options_lists_the_allowed_verbs(shop: Local) -> None:
    assert shop.ask("OPTIONS", "/api/products/").headers["allow"] == "GET, HEAD, POST, OPTIONS"
    assert_problem(shop.ask("OPTIONS", "/nowhere/"), 404)
    every = exchange(shop, b"OPTIONS * HTTP/1.1\r\nHost: shop\r\n\r\n")
    assert (every.status, every.headers["allow"]) == (200, "GET, HEAD, POST, PUT, DELETE, OPTIONS")


@pytest.mark.parametrize(
    "path",
    ["/api/products/a%2Fb/", "/api/products/a%5cb/", "/api/products/a%00/", "/api%2Fproducts/", "/%2e%2e/x", "/%zz"],
)
def test_encoded_separators_are_not_found(shop: Local, path: str) -> None:
    assert_problem(shop.ask("GET", path), 404)


def test_absolute_form_is_the_same_path(shop: Local) -> None:
    answer = exchange(shop, b"GET http://shop:80/api/products/prod_1/?x HTTP/1.1\r\nHost: shop\r\n\r\n")
    assert answer.json["args"] == ["prod_1"]
    root = exchange(shop, b"GET http://shop HTTP/1.1\r\nHost: shop\r\n\r\n")
    assert root.raw == exchange(shop, b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n").raw


def test_header_with_underscore_is_not_taken_for_another(shop: Local) -> None:
    answer = exchange(shop, b"GET /api/cart/ HTTP/1.1\r\nHost: shop\r\nCart_Id: other\r\n\r\n")
    assert answer.json["args"] == ["default"]


def test_http_1_0_is_answered_and_closed(shop: Local) -> None:
    with connect(shop) as connection:
        connection.sendall(b"GET /api/products/prod_1/ HTTP/1.0\r\n\r\n")
        assert answer_on(connection).status == 200
        assert connection.recv(1) == b""


@pytest.mark.parametrize("upgrade", ["websocket", "h2c", "TLS/1.0"])
def test_upgrade_is_ignored(shop: Local, upgrade: str) -> None:
    headers = f"Connection: Upgrade\r\nUpgrade: {upgrade}\r\n".encode()
    with connect(shop) as connection:
        connection.sendall(GET + b"Host: shop\r\n" + headers + b"\r\n")
        assert answer_on(connection).status == 200
        connection.sendall(POST + headers + b'Content-Length: 13\r\n\r\n{"quality":5}')
        assert answer_on(connection).status == 200
