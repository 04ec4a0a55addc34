"""Clients that the shop does not know: pages of other sites, slow clients, and addresses with many connections."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from ipaddress import ip_network

import pytest

from chassis.settings import Settings
from gateway import cross_site
from gateway.errors import CrossSite
from gateway.http import connections
from gateway.http.connection import HttpProtocol
from gateway.http.connections import ADDRESS_SHARE, MAX_RECEIVING
from tests.integration.gateway.asking import ROOT, assert_problem
from tests.integration.gateway.transport.local import GET, POST, Local, answer_on, connect, exchange, running, until

# More than the share of one address.
HALF_BODIES = MAX_RECEIVING


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "CROSS-SITE"}, False),
        ({"Sec-Fetch-Site": "surprise"}, False),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://[shop"}, False),
        ({"Origin": ""}, False),
        ({"Origin": "http://shop"}, True),
        ({}, True),
    ],
    ids=str,
)
def test_pages_of_other_sites_change_nothing(shop: Local, headers: dict[str, str], allowed: bool) -> None:
    headers = {**headers, "Host": "shop"}
    for method, path in (("POST", "/api/cart/"), ("PUT", "/api/cart/prod_1/"), ("DELETE", "/api/cart/")):
        answer = shop.ask(method, path, {"quality": 1} if method == "PUT" else None, headers)
        if not allowed:
            assert_problem(answer, 403)
        else:
            assert answer.status in (200, 201)
    assert shop.ask("GET", "/api/cart/", headers=headers).status == 200


@pytest.mark.parametrize("origin", ["null", "", "http://[shop", "shop"])
@pytest.mark.parametrize("public_url", ["", "http://[shop", "https://shop.example"])
def test_origin_that_cannot_be_read_is_foreign(origin: str, public_url: str) -> None:
    settings = replace(Settings.load(ROOT / "config.yml"), public_url=public_url)
    for host in ({"HTTP_HOST": ""}, {}):
        with pytest.raises(CrossSite):
            cross_site.check({"REQUEST_METHOD": "POST", "HTTP_ORIGIN": origin, **host}, settings)


@pytest.fixture
def short_timeout_shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Local]:
    """A gateway that waits only 0.3 s for a request."""
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    with running(receive_timeout=0.3) as local:
        yield local


@pytest.mark.parametrize("sent", [b"P", b"GET / HTTP/1.1\r\nHost: sh", POST, POST + b"Content-Length: 13\r\n\r\n{"])
def test_request_that_does_not_arrive_in_time_is_408(short_timeout_shop: Local, sent: bytes) -> None:
    with connect(short_timeout_shop) as connection:
        connection.sendall(sent)
        answer = answer_on(connection)
        assert_problem(answer, 408)
        assert answer.headers["connection"] == "close"
        assert connection.recv(1) == b""


def test_dripped_request_is_408_too(short_timeout_shop: Local) -> None:
    with connect(short_timeout_shop) as connection, ThreadPoolExecutor(1) as pool:
        connection.sendall(POST + b"Content-Length: 60000\r\n\r\n")
        answer = pool.submit(answer_on, connection)
        with contextlib.suppress(OSError):
            while not wait([answer], 0.005).done:  # slowly, because the number of pieces of a body is limited
                connection.sendall(b" ")
        assert_problem(answer.result(), 408)


def test_connection_without_a_request_is_closed(short_timeout_shop: Local) -> None:
    with connect(short_timeout_shop) as connection:
        assert connection.recv(1) == b""


def test_error_in_one_deadline_keeps_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    original, failed = HttpProtocol.expire, []

    def expire(self: HttpProtocol) -> None:
        if not failed:
            failed.append(self)
            raise RuntimeError("unexpected")
        original(self)

    monkeypatch.setattr(HttpProtocol, "expire", expire)
    with running(receive_timeout=0.3) as shop, connect(shop) as first:
        assert first.recv(1) == b""
        with connect(shop) as second:
            second.sendall(b"GET")
            assert_problem(answer_on(second), 408)


def test_half_bodies_of_one_address_do_not_stop_the_others() -> None:
    share = int(MAX_RECEIVING * ADDRESS_SHARE)
    with running() as shop, contextlib.ExitStack() as held:
        halves = [held.enter_context(connect(shop)) for _ in range(HALF_BODIES)]
        for half in halves:
            half.sendall(POST + b"Content-Length: 13\r\n\r\n{")
        for half in halves[share:]:  # the gateway refuses these at once, with an answer
            assert_problem(answer_on(half), 503)
        # The same address can still send requests without a body and whole requests.
        assert shop.ask("POST", "/api/cart/").status == 201
        assert exchange(shop, POST + b'Content-Length: 13\r\n\r\n{"quality":5}').status == 200
        with connect(shop, "127.0.0.2") as other:  # head first, then the body
            other.sendall(POST + b"Content-Length: 13\r\n\r\n")
            other.sendall(b'{"quality":5}')
            assert answer_on(other).status == 200
        # A finished body releases its place.
        for half in halves[:share]:
            half.sendall(b'"quality":5}')
            assert answer_on(half).status == 200
        with connect(shop) as again:  # the gateway gives it a place after 100 Continue
            again.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 13\r\n\r\n")
            assert again.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            again.sendall(b'{"quality":5}')
            assert answer_on(again).status == 200


def test_body_of_the_largest_holder_is_refused_first() -> None:
    share = int(MAX_RECEIVING * ADDRESS_SHARE)
    with running(trusted_proxies=(ip_network("127.0.0.1/32"),)) as shop, contextlib.ExitStack() as held:
        head = POST + b"X-Forwarded-For: 203.0.113.%d\r\nContent-Length: 13\r\n\r\n{"
        halves = [held.enter_context(connect(shop)) for _ in range(MAX_RECEIVING)]
        for index, half in enumerate(halves):
            half.sendall(head % (index // share))
            if index == 0:
                until(lambda: shop.server.connections._receiving)
        until(lambda: sum(map(len, shop.server.connections._receiving.values())) == MAX_RECEIVING)
        newcomer = held.enter_context(connect(shop))
        newcomer.sendall(head % 99)
        assert_problem(answer_on(halves[0]), 503)
        newcomer.sendall(b'"quality":5}')
        assert answer_on(newcomer).status == 200
        halves[1].sendall(b'"quality":5}')
        assert answer_on(halves[1]).status == 200


def test_half_bodies_through_a_proxy_are_counted_by_client() -> None:
    share = int(MAX_RECEIVING * ADDRESS_SHARE)
    with running(trusted_proxies=(ip_network("127.0.0.1/32"),)) as shop, contextlib.ExitStack() as held:
        head = POST + b"X-Forwarded-For: 203.0.113.%d\r\nContent-Length: 13\r\n\r\n{"
        for _ in range(share):
            held.enter_context(connect(shop)).sendall(head % 1)
        assert_problem(exchange(shop, head % 1), 503)
        with connect(shop) as other:
            other.sendall(head % 2)
            other.sendall(b'"quality":5}')
            assert answer_on(other).status == 200


def test_connections_of_one_address_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 40)
    with running() as shop, contextlib.ExitStack() as held:
        limit = shop.server.connections.most_of_address
        idle = [held.enter_context(connect(shop)) for _ in range(limit // 2)]
        for each in idle:
            each.sendall(GET + b"Host: shop\r\n\r\n")
            assert answer_on(each).status == 200
        halves = [held.enter_context(connect(shop)) for _ in range(limit)]
        for half in halves:
            half.sendall(b"GET / HT")
        # The gateway closed idle connections, the oldest first, and kept those inside a request.
        for each in idle:
            assert each.recv(1) == b""
        refused = held.enter_context(connect(shop))
        assert_problem(answer_on(refused), 503)
        with connect(shop, "127.0.0.2") as other:
            other.sendall(GET + b"Host: shop\r\n\r\n")
            assert answer_on(other).status == 200
        halves[0].sendall(b"TP/1.1\r\nHost: shop\r\n\r\n")
        assert answer_on(halves[0]).status == 200


def test_connections_of_all_addresses_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 16)
    with running() as shop, contextlib.ExitStack() as held:
        held_by = {
            source: [held.enter_context(connect(shop, f"127.0.0.{source}")) for _ in range(4)] for source in range(2, 6)
        }
        for each in held_by[2]:
            each.sendall(GET + b"Host: shop\r\n\r\n")
            assert answer_on(each).status == 200
        until(lambda: shop.connections() == 16)
        with connect(shop, "127.0.0.9") as other:
            other.sendall(GET + b"Host: shop\r\n\r\n")
            assert answer_on(other).status == 200
        assert held_by[2][0].recv(1) == b""  # the gateway closed an idle connection


def test_proxys_connections_are_not_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 40)
    with running(trusted_proxies=(ip_network("127.0.0.1/32"),)) as shop, contextlib.ExitStack() as held:
        for _ in range(30):
            held.enter_context(connect(shop)).sendall(b"GET / HT")
        assert shop.ask("GET", "/health/live/").status == 200


def test_connection_with_an_unread_answer_is_not_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 16)
    with running() as shop, contextlib.ExitStack() as held:
        for _ in range(8):
            each = held.enter_context(connect(shop))
            with contextlib.suppress(ConnectionError):  # the gateway may have refused and closed it already
                each.sendall(b"GET /api/products/long/ HTTP/1.1\r\nHost: shop\r\n\r\n")
        until(lambda: shop.server.connections._of["127.0.0.1"] == 4 and shop.connections() == 4)
        until(lambda: len(shop.services.calls) >= 4)
        assert len(shop.services.calls) == 4
        refused = held.enter_context(connect(shop))
        answer = answer_on(refused)
        assert_problem(answer, 503)
        assert answer.headers["x-content-type-options"] == "nosniff"
