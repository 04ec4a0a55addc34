"""A gateway in this process, on an event loop in a thread, with doubles of the services; and its HTTP clients."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import uvloop
from uvicorn.server import ServerState

from chassis.settings import Settings
from contracts.errors import NotFound
from gateway import waiting
from gateway.api import Gateway
from gateway.http.connection import HttpProtocol, HttpServer
from tests.integration.gateway.asking import ROOT, Answer, ask

REFUND = "POST /api/orders/{}/refund/ HTTP/1.1\r\nHost: shop\r\n"
GET = b"GET /api/products/prod_1/ HTTP/1.1\r\n"
POST = b"POST /api/cart/prod_1/buy/ HTTP/1.1\r\nHost: shop\r\n"


class Services:
    """A double of the RPC client that records each call and returns it as the answer."""

    connected = True

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def call(self, service: str, method: str, args: tuple[Any, ...] = (), *_rest: Any, **_options: Any) -> Any:
        self.calls.append((service, method, *args))
        text = next((arg for arg in args if isinstance(arg, str)), "")
        if text.startswith("hang-"):
            waiting.sleep(int(text[5:]) / 1000)
        if text.startswith("long"):
            return {"args": ["x" * 5_000_000]}
        if text == "absent":
            raise NotFound("There is none.")
        return {"cart_id": "cart_1", "id": "1", "verb": method, "args": args}


@dataclass
class Local:
    """A gateway on its own event loop."""

    services: Services
    loop: asyncio.AbstractEventLoop
    state: ServerState
    server: HttpServer
    listening: asyncio.Server

    @property
    def port(self) -> int:
        port: int = self.listening.sockets[0].getsockname()[1]
        return port

    async def end(self) -> None:
        """Close every socket."""
        self.listening.close()
        for connection in [*self.state.connections]:
            connection._transport.abort()
        await self.listening.wait_closed()
        await asyncio.sleep(0)  # the loop closes the aborted connections

    def ask(self, *request: Any, **options: Any) -> Answer:
        return ask(self.port, *request, **options)

    def connections(self) -> int:
        """Return the number of open connections."""
        return len(self.state.connections)


@contextlib.contextmanager
def running(**other: Any) -> Iterator[Local]:
    loop = uvloop.new_event_loop()
    settings = replace(Settings.load(ROOT / "config.yml"), **other)

    async def start() -> Local:
        services = Services()
        server = HttpServer(Gateway(settings, services))  # type: ignore[arg-type]
        state = ServerState()
        config: Any = SimpleNamespace(loaded_app=server)
        listening = await loop.create_server(lambda: HttpProtocol(config, state, {}), "127.0.0.1", 0)
        return Local(services, loop, state, server, listening)

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    local = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    try:
        yield local
    finally:
        asyncio.run_coroutine_threadsafe(local.end(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


def connect(shop: Local, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", shop.port), timeout=60, source_address=(source, 0))


def answer_on(connection: socket.socket, method: str = "GET") -> Answer:
    """Read the next answer on a connection."""
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


def exchange(shop: Local, sent: bytes, half_close: bool = False, method: str = "GET") -> Answer:
    """Send these bytes and return the answer. `half_close` closes the sending side first."""
    with connect(shop) as connection:
        connection.sendall(sent)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        return answer_on(connection, method)


def called(shop: Local, name: str) -> bool:
    """Return whether a call to a service contains `name`."""
    return any(name in call for call in shop.services.calls)


class Wire:
    """A double of a transport: a test decides which bytes arrive together and how much of an answer is read."""

    def __init__(self) -> None:
        self.sent = b""
        self.closed = self.aborted = False
        self.unsent = 0

    def get_extra_info(self, _name: str) -> tuple[str, int]:
        return ("127.0.0.1", 1)

    def set_write_buffer_limits(self, high: int) -> None:
        assert high == 0

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def write(self, data: bytes) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def on_wire(steps: Callable[[HttpProtocol, Wire, Services], Any], **other: Any) -> None:
    """Run `steps`, an async function, with a connection whose transport is a double."""

    async def run() -> None:
        services = Services()
        settings = replace(Settings.load(ROOT / "config.yml"), **other)
        config: Any = SimpleNamespace(loaded_app=HttpServer(Gateway(settings, services)))  # type: ignore[arg-type]
        protocol, wire = HttpProtocol(config, ServerState(), {}), Wire()
        protocol.connection_made(wire)  # type: ignore[arg-type]
        await steps(protocol, wire, services)

    asyncio.run(run())


def feed(*segments: bytes) -> tuple[list[tuple[Any, ...]], Wire]:
    """Pass segments to one connection; return the calls that they cause and the transport."""
    seen: list[Any] = []

    async def steps(protocol: HttpProtocol, wire: Wire, services: Services) -> None:
        seen.extend((services.calls, wire))
        for segment in segments:
            protocol.data_received(segment)
            await asyncio.sleep(0)
        while protocol.answering and not wire.closed:
            await asyncio.sleep(0)
        protocol.expire()

    on_wire(steps)
    return seen[0], seen[1]


def until(condition: Callable[[], Any]) -> None:
    """Wait until `condition()` is true. The timeout of the test ends the wait."""
    pause = threading.Event()
    while not condition():
        pause.wait(0.01)
