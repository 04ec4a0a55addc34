"""One HTTP connection: its deadlines, its place among the others, and the answers to its requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from chassis.logs import log
from gateway import addresses, errors, visit, waiting
from gateway.http.connections import Connections
from gateway.http.head import LATIN1
from gateway.http.receiver import Receiver, Request

if TYPE_CHECKING:
    from gateway.api import Gateway

# How long a connection may be idle between two requests. Longer than the 60 s of a usual proxy in front, so that the
# proxy closes first.
IDLE_TIMEOUT_S = 75.0
# A client that reads nothing of its answer for this long is disconnected.
RESPONSE_TIMEOUT_S = 30.0
# How long a stopping process waits for half-received requests; their answers then have their usual time.
DRAIN_RECEIVE_S = 2.0
# A refused request is read for a while and discarded: if the server closed while its client sends, the answer would be
# lost with the connection.
DISCARD_BYTES = 8 * 1024 * 1024
DISCARD_TIMEOUT_S = 5.0

NEVER = float("inf")


class HttpServer:
    """The state that the connections of one process share; for uvicorn, the application.

    Args:
        gateway: answers requests.
    """

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.receive_timeout = gateway.settings.receive_timeout
        self.receive_until = NEVER  # when stopping
        self.connections = Connections(asyncio.get_running_loop(), gateway.settings.trusted_proxies)

    @property
    def draining(self) -> bool:
        """Whether this process is stopping."""
        return self.receive_until < NEVER

    def drain(self, now: float) -> None:
        """Stop: refuse requests that do not arrive soon."""
        self.receive_until = min(self.receive_until, now + DRAIN_RECEIVE_S)


class HttpProtocol(asyncio.Protocol):
    """One connection; the signature is uvicorn's."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        server: HttpServer = config.loaded_app
        self._server = server
        self._gateway = server.gateway
        self._connections = server.connections
        self._state = server_state
        self._loop = _loop or asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._receiver: Receiver
        self._peer = ""
        self.key: str | None = None
        self.deadline = NEVER
        self.write_deadline = NEVER
        self._placed: tuple[Request, str] | None = None  # the body that has a place, and the key that counts it
        self._stash = b""  # received while requests are being answered
        self._working: Request | None = None
        self._write_paused = False
        self._unsent = 0
        # The end of the connection.
        self._half_closed = False
        self._lingering = False
        self._discarded = 0

    @property
    def receiving(self) -> bool:
        """Whether a request has begun to arrive, and is not complete."""
        return self._receiver.receiving

    @property
    def answering(self) -> bool:
        """Whether a request has arrived whose answer is not made yet."""
        return self._working is not None or bool(self._receiver.queue)

    # --- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's has no asyncio base
        self._transport.set_write_buffer_limits(0)  # paused until the socket has taken the whole answer
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if peer else ""
        self.key = self._connections.key(self._peer)
        self._receiver = Receiver(self._peer, self._gateway.body_limit, self._renew_deadline)
        self._state.connections.add(self)  # type: ignore[arg-type]  # typed for uvicorn's own protocols
        if self._connections.admit(self):
            self._renew_deadline()
        else:
            self._write(False, *_too_many())
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._state.connections.discard(self)
        self._connections.remove(self)
        self._receiver.close()
        self._release_place()
        self.deadline = self.write_deadline = NEVER

    def data_received(self, data: bytes) -> None:
        if self._receiver.stopped:
            self._discarded += len(data)
            if self._discarded > DISCARD_BYTES:
                self._transport.abort()
        elif self.answering:
            self._stash += data
            self._transport.pause_reading()
        else:
            self._connections.busy(self)
            self._feed(data)
            self._advance()

    def eof_received(self) -> bool:
        """The client sends no more; it may still read the answers to what it sent."""
        self._half_closed = True
        if self._lingering:
            return False
        if not self._receiver.stopped and self.receiving and not self._stash:
            self._refuse(errors.Incomplete("The request ended before it was complete."))
        return self.answering

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self.write_deadline = NEVER
        if not self._transport.is_closing():
            self._advance()

    def shutdown(self) -> None:
        """Called by uvicorn when it stops: finish half-received requests, and accept no more."""
        self._server.drain(self._loop.time())
        if self.answering or self._receiver.stopped:
            return  # `_advance` does the rest
        if self.receiving:
            self.deadline = min(self.deadline, self._server.receive_until)
        elif not self._write_paused:
            self._transport.close()

    # --- gateway.http.connections

    def expire(self) -> None:
        if self._lingering:
            self._transport.abort()
        elif not self.receiving:
            self._transport.close()
            self.deadline = NEVER
        elif self._server.draining:
            self._refuse(errors.Busy("This process stops before the request has arrived."))
        else:
            self._refuse(errors.RequestTimeout(f"A request must arrive within {self._server.receive_timeout:g} s."))

    def expire_writing(self) -> None:
        unsent = self._transport.get_write_buffer_size()
        if not unsent:
            self.write_deadline = NEVER
        elif unsent < self._unsent:
            self._unsent = unsent
            self.write_deadline = self._loop.time() + RESPONSE_TIMEOUT_S
        else:
            self._transport.abort()

    def close(self) -> None:
        self._receiver.stopped = True
        self._transport.close()

    def give_way(self) -> None:
        self._refuse(errors.Busy("Too many requests are being received."))

    def abort(self) -> None:
        self._receiver.stopped = True
        self.deadline = self.write_deadline = NEVER
        self._transport.abort()

    # --- Receiving

    def _receive_until(self) -> float:
        return min(self._loop.time() + self._server.receive_timeout, self._server.receive_until)

    def _renew_deadline(self) -> None:
        self.deadline = self._receive_until()

    def _feed(self, data: bytes) -> None:
        self._receiver.feed(data)
        request = self._receiver.request
        if self._placed is not None and self._placed[0] is not request:
            self._release_place()
        if self._receiver.queue:
            self.deadline = NEVER  # one has arrived; its answer has another deadline
        if request is not None and not self._receiver.stopped:
            self._receive_further(request)

    def _receive_further(self, request: Request) -> None:
        """Handle a body that has not fully arrived."""
        if not request.limit:
            self._receiver.stop(request)  # it is answered without its body
            return
        if self._placed is not None:
            return
        key = self.key
        if key is None:
            forwarded, trusted = request.environ.get("HTTP_X_FORWARDED_FOR"), self._gateway.settings.trusted_proxies
            key = addresses.limit_key(addresses.client_address(self._peer, forwarded, trusted))
        if not self._connections.receive(self, key):
            self._receiver.refuse(errors.Busy("Too many requests are being received."))
            return
        self._placed = request, key
        expected = request.environ.get("HTTP_EXPECT", "").lower()
        if expected == "100-continue" and not request.received and not self.answering:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _release_place(self) -> None:
        if self._placed is not None:
            self._connections.received(self, self._placed[1])
            self._placed = None

    def _refuse(self, refusal: Exception) -> None:
        """Answer the request being received with `refusal`, and close the connection after it."""
        self._receiver.refuse(refusal)
        self._release_place()
        self.deadline = NEVER
        self._advance()

    # --- Answering

    def _advance(self) -> None:
        """Answer the next request, or wait for one with a deadline."""
        receiver = self._receiver
        while self._working is None and not self._write_paused:
            if receiver.queue:
                self._working = receiver.queue.popleft()
                self.deadline = NEVER
                waiting.run(self._answer)
                return
            if receiver.stopped:
                return
            if not self._stash:
                break
            data, self._stash = self._stash, b""
            if not self._half_closed:
                self._transport.resume_reading()
            self._feed(data)
        if self.answering or receiver.stopped or self._write_paused:
            return
        if self.receiving:
            self.deadline = min(self.deadline, self._receive_until())
        elif self._half_closed or (self._server.draining and self.deadline == NEVER):
            self._transport.close()
        elif self.deadline == NEVER:
            self.deadline = self._loop.time() + IDLE_TIMEOUT_S
            self._connections.idle(self)

    def _answer(self) -> None:
        request = self._working
        assert request is not None
        status, headers = "500 Internal Server Error", []

        def start(line: str, fields: list[tuple[str, str]], _exc_info: Any = None) -> None:
            nonlocal status, headers
            status, headers = line, fields

        try:
            body = b"".join(self._gateway(request.environ, start))
            if self._server.draining:
                request.keep_alive = False
            if request.keep_alive and request.environ["SERVER_PROTOCOL"] == "HTTP/1.0":
                headers.append(("connection", "keep-alive"))
            self._write(request.keep_alive, status, headers, body)
        except Exception:
            self.abort()  # a client without an answer must not wait
            raise
        self._loop.call_soon(self._done)

    def _done(self) -> None:
        request, self._working = self._working, None
        if request is None or self._transport.is_closing():
            return
        if request.keep_alive:
            self._advance()
        elif request.complete:
            self.close()
        else:
            self._linger()

    def _linger(self) -> None:
        """Close the sending side, and read what the client still sends, so that it can read the answer."""
        self._receiver.stopped = self._lingering = True
        self.deadline = self._loop.time() + DISCARD_TIMEOUT_S
        if self._half_closed:
            self._transport.close()
        elif self._transport.can_write_eof():
            self._transport.write_eof()
            self._transport.resume_reading()

    def _write(self, keep_alive: bool, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        if self._transport.is_closing():
            return
        lines = [f"HTTP/1.1 {status}\r\n"]
        for name, value in headers:
            if "\n" in value or "\r" in value:
                log.error("bug", service="gateway", detail=f"the header {name} has a line break")
                continue
            lines.append(f"{name}: {value}\r\n")
        if not keep_alive:
            lines.append("connection: close\r\n")
        parts = ["".join(lines).encode(LATIN1, "replace")]
        for field, content in self._state.default_headers:
            parts += (field, b": ", content, b"\r\n")
        parts += (b"\r\n", body)
        self._transport.write(b"".join(parts))
        self._unsent = self._transport.get_write_buffer_size()
        if self._unsent:
            self.write_deadline = self._loop.time() + RESPONSE_TIMEOUT_S


def _too_many() -> tuple[str, list[tuple[str, str]], bytes]:
    request_id = visit.request_id(None)
    answer = errors.answer(errors.Busy("Too many connections are open."), request_id)
    own = [("x-request-id", request_id), ("x-content-type-options", "nosniff")]
    return errors.status_line(answer.status), [*answer.headers.items(), *own], answer.body
