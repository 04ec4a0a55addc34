"""Answers: in order, of the documented form, and at the pace of a client that reads slowly."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from gateway import waiting
from gateway.http import connection as http_connection
from gateway.http import connections
from gateway.http.connection import NEVER, HttpProtocol
from gateway.http.receiver import MAX_PIPELINED
from tests.integration.gateway.transport.local import (
    GET,
    Local,
    Services,
    Wire,
    connect,
    exchange,
    feed,
    on_wire,
    running,
    until,
)


def test_requests_of_one_connection_are_answered_in_order(shop: Local) -> None:
    paths = ["hang-200", "prod_1", "absent", "prod_2"]
    requests = b"".join(f"GET /api/products/{path}/ HTTP/1.1\r\nHost: shop\r\n\r\n".encode() for path in paths)
    with connect(shop) as connection:
        connection.sendall(requests)
        stream = connection.makefile("rb")
        seen = []
        for _ in paths:
            status = int(stream.readline().split()[1])
            length = 0
            while (line := stream.readline().lower()) != b"\r\n":
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            seen.append((status, stream.read(length)))
    assert [status for status, _ in seen] == [200, 200, 404, 200]
    for path, (status, body) in zip(paths, seen, strict=True):
        assert status == 404 or path.encode() in body


def test_half_closed_client_reads_its_answer(shop: Local) -> None:
    head = "GET /api/products/hang-300/ HTTP/1.1\r\nHost: shop\r\n\r\n"
    assert exchange(shop, head.encode(), half_close=True).status == 200


@pytest.mark.parametrize(
    "path",
    ["/api/cart/", "/api/discounts/", "/api/orders/or_1/", "/api/shipments/shp_1/label/", "/api/orders/a/b/"],
)
def test_shopper_answers_are_not_cached(shop: Local, path: str) -> None:
    answer = shop.ask("GET", path)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_slow_reader_is_kept_while_it_makes_progress() -> None:
    async def steps(protocol: HttpProtocol, wire: Wire, _services: Services) -> None:
        wire.unsent = 1000
        protocol.data_received(GET + b"Host: shop\r\n\r\n")
        for wire.unsent in (600, 300):
            protocol.expire_writing()
            assert not wire.closed
            assert protocol.write_deadline < NEVER
        protocol.expire_writing()
        assert wire.aborted

    on_wire(steps)


def test_reader_without_unsent_data_has_no_deadline() -> None:
    async def steps(protocol: HttpProtocol, wire: Wire, _services: Services) -> None:
        wire.unsent = 1000
        protocol.data_received(GET + b"Host: shop\r\n\r\n")
        wire.unsent = 0
        protocol.expire_writing()
        assert (wire.closed, protocol.write_deadline) == (False, NEVER)

    on_wire(steps)


def test_request_behind_an_unread_answer_is_not_dropped() -> None:
    async def steps(protocol: HttpProtocol, wire: Wire, services: Services) -> None:
        protocol.data_received(GET + b"Host: shop\r\n\r\n")
        protocol.pause_writing()
        await asyncio.sleep(0)
        protocol.data_received(GET + b"Host: shop\r\n\r\n")
        assert len(services.calls) == 1
        assert protocol.deadline == NEVER
        protocol.resume_writing()
        assert len(services.calls) == 2

    on_wire(steps)


def test_error_while_answering_closes_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: Any) -> None:
        raise RuntimeError("unexpected")

    monkeypatch.setattr(HttpProtocol, "_write", fail)
    _, wire = feed(GET + b"Host: shop\r\n\r\n")
    assert wire.aborted


def test_client_that_reads_nothing_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    monkeypatch.setattr(http_connection, "RESPONSE_TIMEOUT_S", 0.3)
    with running() as shop, connect(shop) as connection:
        connection.sendall(b"GET /api/products/long/ HTTP/1.1\r\nHost: shop\r\n\r\n" * 30)
        until(lambda: shop.services.calls)
        until(lambda: not shop.connections())
        # The gateway makes no answer ahead: the second waits until the client reads the first.
        assert len(shop.services.calls) == 1


def test_requests_sent_ahead_have_a_limit(shop: Local) -> None:
    before = len(shop.services.calls)
    with connect(shop) as connection:
        connection.sendall((GET + b"Host: shop\r\n\r\n") * 200)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65536):
                received += part
    assert received.count(b"HTTP/1.1 200") <= MAX_PIPELINED + 1
    assert len(shop.services.calls) - before <= MAX_PIPELINED + 1


def test_concurrent_readiness_requests_share_one_check(monkeypatch: pytest.MonkeyPatch) -> None:
    polls: list[float] = []
    asked: list[str] = []

    async def steps(protocol: HttpProtocol, _wire: Wire, services: Services) -> None:
        held = [waiting.Wait() for _ in range(10)]

        def call(service: str, *_rest: Any, **_options: Any) -> None:
            asked.append(service)
            held[len(asked)].wait(30)

        services.call = call  # type: ignore[method-assign]
        monkeypatch.setattr(waiting, "sleep", lambda seconds: polls.append(seconds) or waiting.Wait().wait(seconds))
        readiness = protocol._gateway.readiness
        seen: list[Any] = []
        for _ in range(20):
            waiting.run(lambda: seen.append(readiness.parts()))
        while len(asked) < 4:
            await asyncio.sleep(0)
        for each in held:
            each.settle(None)
        while len(seen) < 20:
            await asyncio.sleep(0)
        assert len(asked) == 4
        assert not polls

    on_wire(steps)
