"""The body of a request: only whole requests run, and an answer that needs no body does not wait for it."""

from __future__ import annotations

import hashlib

import pytest

from gateway.http.receiver import MAX_HEADER_BYTES
from tests.integration.gateway.asking import assert_problem
from tests.integration.gateway.transport.local import (
    POST,
    REFUND,
    Local,
    answer_on,
    called,
    connect,
    exchange,
    feed,
    running,
    until,
)

# The admin key of these tests.
ADMIN_KEY = hashlib.sha256(b"an admin").hexdigest()
TRUNCATED = {
    "no-body": "Content-Length: 15\r\n\r\n",
    "half-body": 'Content-Length: 15\r\n\r\n{"all"',
    "whole-json": 'Content-Length: 15\r\n\r\n{"all": true}',
    "no-chunk": "Transfer-Encoding: chunked\r\n\r\n",
    "half-chunk": 'Transfer-Encoding: chunked\r\n\r\nd\r\n{"all"',
    "no-last-chunk": 'Transfer-Encoding: chunked\r\n\r\nd\r\n{"all": true}\r\n',
    "no-trailer-end": 'Transfer-Encoding: chunked\r\n\r\nd\r\n{"all": true}\r\n0\r\n',
    "half-head": "Content-Length: 2\r\nX",
}


@pytest.mark.parametrize("name", TRUNCATED)
@pytest.mark.parametrize("verb", ["refund", "cancel"])
def test_truncated_request_changes_nothing(shop: Local, name: str, verb: str) -> None:
    order = f"{verb}-{name}"
    head = REFUND.format(order).replace("refund/", f"{verb}/")
    assert_problem(exchange(shop, (head + TRUNCATED[name]).encode(), half_close=True), 400)
    assert not called(shop, order)


def test_client_that_hangs_up_in_a_body_changes_nothing() -> None:
    with running() as shop:
        with connect(shop) as connection:
            until(shop.connections)
            connection.sendall((REFUND.format("hung-up") + TRUNCATED["half-body"]).encode())
        until(lambda: not shop.connections())
        assert not called(shop, "hung-up")


@pytest.mark.parametrize("body", [b"", b"  ", b"{}", b'{"all": false}', b'{"all": true, "amount": 5}'])
def test_full_refund_must_be_explicit(shop: Local, body: bytes) -> None:
    answer = shop.ask("POST", "/api/orders/or_1/refund/", raw=body, headers={"Content-Type": "application/json"})
    assert assert_problem(answer, 400)["errors"]


@pytest.mark.parametrize("headers", ["", "Content-Length: 0\r\n"])
def test_cancel_needs_no_body(shop: Local, headers: str) -> None:
    head = f"POST /api/orders/or_1/cancel/ HTTP/1.1\r\nHost: shop\r\n{headers}\r\n"
    assert exchange(shop, head.encode()).status == 200


@pytest.mark.parametrize(
    "start", [b"0\r\nX-A: a", b"2;a=", b"2\r\n{}\r\n0\r\nX-A: a"], ids=["trailer", "extension", "both"]
)
def test_chunk_extensions_and_trailers_are_bounded(start: bytes) -> None:
    piece = b"a" * 4096
    pieces = 2 * MAX_HEADER_BYTES // len(piece)
    calls, wire = feed(POST + b"Transfer-Encoding: chunked\r\n\r\n" + start, *[piece] * pieces)
    assert wire.sent.startswith(b"HTTP/1.1 431")
    assert not calls


def test_body_in_many_small_chunks_is_read() -> None:
    text = b'{"quality":5' + b" " * 4000 + b"}"
    chunks = [b"1\r\n%c\r\n" % byte for byte in text]
    calls, _ = feed(POST + b"Transfer-Encoding: chunked\r\n\r\n", *chunks, b"0\r\n\r\n")
    assert len(calls) == 1


def test_chunked_body_with_trailers_is_read(shop: Local) -> None:
    body = b'Transfer-Encoding: chunked\r\n\r\n5;a=b\r\n{"qua\r\n8\r\nlity":5}\r\n0\r\nCart-Id: other\r\n\r\n'
    assert exchange(shop, POST + body).json["args"][0] == "default"


def test_expect_100_continue_is_answered(shop: Local) -> None:
    with connect(shop) as connection:
        connection.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 13\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b'{"quality":5}')
        assert answer_on(connection).status == 200
    too_long = exchange(shop, POST + b"Expect: 100-continue\r\nContent-Length: 70000\r\n\r\n")
    assert_problem(too_long, 413)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("POST /nowhere/ HTTP/1.1\r\nHost: shop\r\n", 404),
        ("POST /api//cart/ HTTP/1.1\r\nHost: shop\r\n", 404),
        ("PATCH /api/cart/ HTTP/1.1\r\nHost: shop\r\n", 405),
        ("OPTIONS /api/cart/ HTTP/1.1\r\nHost: shop\r\n", 200),
        ("POST /api/cart/prod_1/buy/ HTTP/1.1\r\nHost: shop\r\nSec-Fetch-Site: cross-site\r\n", 403),
    ],
)
def test_answer_that_needs_no_body_does_not_wait_for_it(shop: Local, head: str, status: int) -> None:
    assert exchange(shop, f"{head}Content-Length: 1000\r\n\r\n{{".encode()).status == status


def test_admin_route_refuses_before_the_body() -> None:
    with running(admin_api_keys=(ADMIN_KEY,)) as shop:
        head = REFUND.format("or_1") + "Content-Length: 1000\r\n"
        assert_problem(exchange(shop, f"{head}\r\n".encode()), 401)
        assert_problem(exchange(shop, f"{head}Authorization: Bearer wrong\r\n\r\n".encode()), 403)
        answer = shop.ask("POST", "/api/orders/or_1/refund/", {"all": True}, {"Authorization": f"Bearer {ADMIN_KEY}"})
        assert answer.status == 200
