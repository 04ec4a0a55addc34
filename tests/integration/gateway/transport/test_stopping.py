"""The end of connections: idle ones are closed, and a stopping process finishes what has begun to arrive."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from gateway.http import connection as http_connection
from gateway.http import connections
from gateway.http.connection import HttpProtocol
from tests.integration.gateway.asking import assert_problem
from tests.integration.gateway.transport.local import (
    GET,
    POST,
    Services,
    Wire,
    answer_on,
    called,
    connect,
    on_wire,
    running,
    until,
)


def test_kept_connection_is_closed_when_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    monkeypatch.setattr(http_connection, "IDLE_TIMEOUT_S", 0.3)
    with running() as shop, connect(shop) as connection:
        connection.sendall(GET + b"Host: shop\r\n\r\n")
        assert answer_on(connection).status == 200
        assert connection.recv(1) == b""


def test_stopping_finishes_requests_that_began_to_arrive() -> None:
    with running() as shop, connect(shop) as half, connect(shop) as idle, connect(shop) as busy:
        half.sendall(POST + b"Content-Length: 13\r\n\r\n{")
        idle.sendall(GET + b"Host: shop\r\n\r\n")
        assert answer_on(idle).status == 200
        busy.sendall(b"GET /api/products/hang-500/ HTTP/1.1\r\nHost: shop\r\n\r\n")
        until(lambda: called(shop, "hang-500"))

        def stop() -> None:
            for connection in list(shop.state.connections):
                connection.shutdown()

        shop.loop.call_soon_threadsafe(stop)
        assert idle.recv(1) == b""
        half.sendall(b'"quality":5}')
        for each in (half, busy):
            answer = answer_on(each)
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert each.recv(1) == b""


def test_stopping_does_not_wait_long_for_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    monkeypatch.setattr(http_connection, "DRAIN_RECEIVE_S", 0.2)
    with running(receive_timeout=600) as shop, contextlib.ExitStack() as held:
        body, head, new = (held.enter_context(connect(shop)) for _ in range(3))
        body.sendall(POST + b"Content-Length: 13\r\n\r\n{")
        head.sendall(b"GET / HT")
        until(lambda: len([each for each in shop.state.connections if each.receiving]) == 2)

        def stop() -> None:
            for connection in list(shop.state.connections):
                if connection.receiving:  # uvicorn notifies only these connections
                    connection.shutdown()

        shop.loop.call_soon_threadsafe(stop)
        for each in (body, head):
            answer = answer_on(each)
            assert_problem(answer, 503)
            assert int(answer.headers["retry-after"]) >= 1
        new.sendall(GET + b"Host: shop\r\n\r\n")
        assert answer_on(new).headers["connection"] == "close"
        silent = held.enter_context(connect(shop))
        assert silent.recv(1) == b""
        assert not called(shop, "buy")


def test_stopping_after_an_answer_closes_the_connection() -> None:
    async def steps(protocol: HttpProtocol, wire: Wire, _services: Services) -> None:
        protocol.data_received(GET + b"Host: shop\r\n\r\n")
        assert b"200 OK" in wire.sent
        protocol.shutdown()
        await asyncio.sleep(0)
        assert wire.closed

    on_wire(steps)
