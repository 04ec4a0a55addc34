"""HTTP transport: only whole requests run, slow clients delay no others, and answers have their documented form.

The gateway runs in this process, on an event loop in a thread. Only the services are doubles.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop
from uvicorn.server import ServerState

from chassis.settings import Settings
from contracts.errors import NotFound
from gateway import connections, cross_site, http_protocol, waiting
from gateway.api import Gateway
from gateway.connections import ADDRESS_SHARE, MAX_RECEIVING
from gateway.errors import CrossSite
from gateway.http_protocol import MAX_HEADER_BYTES, MAX_HEADERS, MAX_URL_BYTES, HttpProtocol, HttpServer
from tests.integration.gateway.asking import ROOT, Answer, ask, assert_problem

REFUND = "POST /api/orders/{}/refund/ HTTP/1.1\r\nHost: shop\r\n"
# More than the share of one address.
HALF_BODIES = MAX_RECEIVING
# The admin key of these tests.
ADMIN_KEY = hashlib.sha256(b"an admin").hexdigest()


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


@pytest.fixture(scope="module")
def shop() -> Iterator[Local]:
    with running() as local:
        yield local


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
        while (protocol._working or protocol._queue) and not wire.closed:
            await asyncio.sleep(0)
        protocol.expire()

    on_wire(steps)
    return seen[0], seen[1]


def until(condition: Callable[[], Any]) -> None:
    """Wait until `condition()` is true. The timeout of the test ends the wait."""
    pause = threading.Event()
    while not condition():
        pause.wait(0.01)


# --- Whole requests only

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


def test_half_closed_client_reads_its_answer(shop: Local) -> None:
    head = "GET /api/products/hang-300/ HTTP/1.1\r\nHost: shop\r\n\r\n"
    assert exchange(shop, head.encode(), half_close=True).status == 200


# --- Malformed requests

GET = b"GET /api/products/prod_1/ HTTP/1.1\r\n"
POST = b"POST /api/cart/prod_1/buy/ HTTP/1.1\r\nHost: shop\r\n"
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
    assert answer.status in (status if isinstance(status, tuple) else (status,)), answer.raw
    assert_problem(answer, answer.status)
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


def test_long_header_names_are_not_remembered() -> None:
    name = b"X-" + b"n" * 1000
    feed(GET + b"Host: shop\r\nX-Short-One: a\r\n" + name + b": a\r\n\r\n")
    assert b"X-Short-One" in http_protocol._NAMES
    assert name not in http_protocol._NAMES


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
    assert assert_problem(answer, 400)["errors"] if answer.status == 400 else answer.json["args"] == ["prod_1"]
    assert exchange(shop, b"GET http://shop HTTP/1.1\r\nHost: shop\r\n\r\n").status == 404


def test_header_with_underscore_is_not_taken_for_another(shop: Local) -> None:
    answer = exchange(shop, b"GET /api/cart/ HTTP/1.1\r\nHost: shop\r\nCart_Id: other\r\n\r\n")
    assert answer.json["args"] == ["default"]


# --- What HTTP allows


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


def test_http_1_0_is_answered_and_closed(shop: Local) -> None:
    with connect(shop) as connection:
        connection.sendall(b"GET /api/products/prod_1/ HTTP/1.0\r\n\r\n")
        assert answer_on(connection).status == 200
        assert connection.recv(1) == b""


def test_expect_100_continue_is_answered(shop: Local) -> None:
    with connect(shop) as connection:
        connection.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 13\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b'{"quality":5}')
        assert answer_on(connection).status == 200
    too_long = exchange(shop, POST + b"Expect: 100-continue\r\nContent-Length: 70000\r\n\r\n")
    assert_problem(too_long, 413)


@pytest.mark.parametrize("upgrade", ["websocket", "h2c", "TLS/1.0"])
def test_upgrade_is_ignored(shop: Local, upgrade: str) -> None:
    headers = f"Connection: Upgrade\r\nUpgrade: {upgrade}\r\n".encode()
    with connect(shop) as connection:
        connection.sendall(GET + b"Host: shop\r\n" + headers + b"\r\n")
        assert answer_on(connection).status == 200
        connection.sendall(POST + headers + b'Content-Length: 13\r\n\r\n{"quality":5}')
        assert answer_on(connection).status == 200


def test_chunked_body_with_trailers_is_read(shop: Local) -> None:
    body = b'Transfer-Encoding: chunked\r\n\r\n5;a=b\r\n{"qua\r\n8\r\nlity":5}\r\n0\r\nCart-Id: other\r\n\r\n'
    assert exchange(shop, POST + body).json["args"][0] == "default"


@pytest.mark.parametrize("path", ["/api/cart/", "/api/orders/or_1/", "/api/shipments/shp_1/label/", "/api/orders/a/b/"])
def test_shopper_answers_are_not_cached(shop: Local, path: str) -> None:
    answer = shop.ask("GET", path)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


# --- Answers that need no body


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


# --- Pages of other sites


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
    for host in ({"HTTP_HOST": ""}, {}):
        with pytest.raises(CrossSite):
            cross_site.check({"REQUEST_METHOD": "POST", "HTTP_ORIGIN": origin, **host}, public_url)


# --- Slow clients


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
        assert_problem(answer_on(halves[0]), 404)


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


def test_slow_reader_is_kept_while_it_makes_progress() -> None:
    async def steps(protocol: HttpProtocol, wire: Wire, _services: Services) -> None:
        wire.unsent = 1000
        protocol.data_received(GET + b"Host: shop\r\n\r\n")
        for wire.unsent in (600, 300):
            protocol.expire_writing()
            assert not wire.closed
            assert protocol.write_deadline < http_protocol.NEVER
        protocol.expire_writing()
        assert wire.aborted

    on_wire(steps)


def test_reader_without_unsent_data_has_no_deadline() -> None:
    async def steps(protocol: HttpProtocol, wire: Wire, _services: Services) -> None:
        wire.unsent = 1000
        protocol.data_received(GET + b"Host: shop\r\n\r\n")
        wire.unsent = 0
        protocol.expire_writing()
        assert (wire.closed, protocol.write_deadline) == (False, http_protocol.NEVER)

    on_wire(steps)


def test_request_behind_an_unread_answer_is_not_dropped() -> None:
    async def steps(protocol: HttpProtocol, wire: Wire, services: Services) -> None:
        protocol.data_received(GET + b"Host: shop\r\n\r\n")
        protocol.pause_writing()
        await asyncio.sleep(0)
        protocol.data_received(GET + b"Host: shop\r\n\r\n")
        assert len(services.calls) == 1
        assert protocol.deadline == http_protocol.NEVER
        protocol.resume_writing()
        assert len(services.calls) == 2

    on_wire(steps)


def test_error_while_answering_closes_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: Any) -> None:
        raise RuntimeError("unexpected")

    monkeypatch.setattr(HttpProtocol, "_write", fail)
    _, wire = feed(GET + b"Host: shop\r\n\r\n")
    assert wire.aborted


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


def test_client_that_reads_nothing_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    monkeypatch.setattr(http_protocol, "RESPONSE_TIMEOUT_S", 0.3)
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
    assert received.count(b"HTTP/1.1 200") <= http_protocol.MAX_PIPELINED + 1
    assert len(shop.services.calls) - before <= http_protocol.MAX_PIPELINED + 1


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


def test_kept_connection_is_closed_when_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    monkeypatch.setattr(http_protocol, "IDLE_TIMEOUT_S", 0.3)
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
    monkeypatch.setattr(http_protocol, "DRAIN_RECEIVE_S", 0.2)
    with running(receive_timeout=600) as shop, contextlib.ExitStack() as held:
        body, head, new = (held.enter_context(connect(shop)) for _ in range(3))
        body.sendall(POST + b"Content-Length: 13\r\n\r\n{")
        head.sendall(b"GET / HT")
        until(lambda: len([each for each in shop.state.connections if each._in_head or each._request]) == 2)

        def stop() -> None:
            for connection in list(shop.state.connections):
                if connection._in_head or connection._request:  # uvicorn notifies only these connections
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
