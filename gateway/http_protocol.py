"""HTTP/1.1 on one connection: passes complete requests to the gateway, and answers everything else with a problem.

httptools (llhttp) parses; uvicorn listens and shuts down gracefully. A request is dispatched only when its body has
arrived whole, or when its answer does not depend on the body (`Gateway.body_limit`). Requests of one connection are
answered in order.
"""

from __future__ import annotations

import asyncio
import io
import re
import sys
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import falcon
import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

from chassis.logs import log
from gateway import addresses, errors, visit, waiting
from gateway.connections import Connections

if TYPE_CHECKING:
    from gateway.api import Gateway

# RFC 9112 recommends at least 8000 bytes; the others are usual server limits.
MAX_URL_BYTES = 8 * 1024
MAX_HEADERS = 100
MAX_HEADER_BYTES = 16 * 1024
# Chunks or segments of one body: 64 KiB in chunks of a few bytes would cost more than any legitimate body.
MAX_BODY_PIECES = 8192
# Bytes allowed around each piece of a body: its chunk's size and two line breaks. Extensions and trailers count against
# the bytes of the headers.
PIECE_BYTES = 16
# Requests that a client may pipeline on one connection; further ones are not answered, and the connection is closed.
MAX_PIPELINED = 32
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
_LATIN1 = "latin-1"
# Host, loosely as in RFC 3986: no user information, path, white space or control character.
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")
_ABSOLUTE = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)
_REQUEST_LINE = re.compile(rb"(?:\r?\n)*([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/1\.[01]\r?\n")
# Decoded, these would act as path separators or end a text: no id contains them.
_ENCODED_SEPARATOR = re.compile(rb"%(?:2f|5c|[01][0-9a-f]|7f)", re.IGNORECASE)


class _Request:
    """One request, as far as it has arrived.

    Attributes:
        environ: its WSGI environment.
        keep_alive: whether its connection stays open after the answer.
        limit: the most bytes of its body; 0 when the answer does not depend on the body.
        complete: whether its body has fully arrived.
    """

    __slots__ = ("complete", "environ", "keep_alive", "limit", "parts", "place", "received", "surrounding")

    def __init__(self, environ: dict[str, Any], keep_alive: bool) -> None:
        self.environ = environ
        self.keep_alive = keep_alive
        self.limit = 0
        self.complete = False
        self.parts: list[bytes] = []
        self.received = 0
        self.surrounding = 0  # bytes of chunk sizes, extensions and trailers after the head
        self.place: str | None = None  # the key that counts its place among the bodies being received


class _NotReceived(io.RawIOBase):
    """The body of a request that is answered without it: reading it fails, instead of giving an empty one."""

    def read(self, _size: int = -1) -> bytes:
        raise errors.Incomplete("The body has not arrived.")


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
        self._parser: Any = None
        self._peer = ""
        self.key: str | None = None
        self.deadline = NEVER
        self.write_deadline = NEVER
        # The request being received.
        self._in_head = False
        self._head_bytes = 0
        self._raw_bytes = 0
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._request: _Request | None = None
        self._stash = b""
        # The requests being answered.
        self._queue: deque[_Request] = deque()
        self._working: _Request | None = None
        self._write_paused = False
        self._unsent = 0
        # The end of the connection.
        self._stopped = False  # nothing more is parsed
        self._half_closed = False
        self._lingering = False
        self._discarded = 0

    # --- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's has no asyncio base
        self._transport.set_write_buffer_limits(0)  # paused until the socket has taken the whole answer
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if peer else ""
        self.key = self._connections.key(self._peer)
        self._state.connections.add(self)  # type: ignore[arg-type]  # typed for uvicorn's own protocols
        if not self._connections.admit(self):
            self._stopped = True
            self._write(_Request(self._blank(), False), *self._too_many())
            transport.close()
            return
        self.deadline = self._receiving_deadline()
        self._parser = self._new_parser()

    def _new_parser(self) -> Any:
        parser = httptools.HttpRequestParser(self)
        # Otherwise llhttp treats data after `Connection: close` as an error.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def connection_lost(self, exc: Exception | None) -> None:
        self._state.connections.discard(self)
        self._connections.remove(self)
        self._stopped = True
        self._release_place()
        self._queue.clear()
        self.deadline = self.write_deadline = NEVER
        self._parser = None

    def data_received(self, data: bytes) -> None:
        if self._stopped:
            self._discarded += len(data)
            if self._discarded > DISCARD_BYTES:
                self._transport.abort()
        elif self._working is not None or self._queue:
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
        if not self._stopped and (self._in_head or self._request is not None) and not self._stash:
            self._refuse(errors.Incomplete("The request ended before it was complete."))
            self._advance()
        return self._working is not None or bool(self._queue)

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
        if self._working is not None or self._queue or self._stopped:
            return  # `_advance` does the rest
        if self._in_head or self._request is not None:
            self.deadline = min(self.deadline, self._server.receive_until)
        elif not self._write_paused:
            self._transport.close()

    def _receiving_deadline(self) -> float:
        return min(self._loop.time() + self._server.receive_timeout, self._server.receive_until)

    # --- gateway.connections

    def expire(self) -> None:
        if self._lingering:
            self._transport.abort()
        elif self._in_head or self._request is not None:
            seconds = self._server.receive_timeout
            if self._server.draining:
                self._refuse(errors.Busy("This process stops before the request has arrived."))
            else:
                self._refuse(errors.RequestTimeout(f"A request must arrive within {seconds:g} s."))
            self._advance()
        else:
            self._transport.close()
            self.deadline = NEVER

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
        self._stopped = True
        self._transport.close()

    def give_way(self) -> None:
        self._refuse(errors.Busy("Too many requests are being received."))
        self._advance()

    def abort(self) -> None:
        self._stopped = True
        self.deadline = self.write_deadline = NEVER
        self._transport.abort()

    # --- httptools

    def on_message_begin(self) -> None:
        if len(self._queue) >= MAX_PIPELINED:
            self._queue[-1].keep_alive = False
            self._stopped = True
        self._in_head = True
        self._head_bytes = self._raw_bytes = 0
        self._url = b""
        self._headers = []
        self.deadline = self._receiving_deadline()

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > MAX_URL_BYTES:
            raise errors.UrlTooLong(f"A URL may have {MAX_URL_BYTES} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > MAX_HEADER_BYTES:
            raise errors.HeadersTooLarge(f"The headers may have {MAX_HEADER_BYTES} bytes.")
        if len(self._headers) >= MAX_HEADERS:
            raise errors.HeadersTooLarge(f"A request may have {MAX_HEADERS} headers.")
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._stopped or (self._parser.should_upgrade() and self._parser.get_method() != b"CONNECT"):
            return
        environ = self._environ()
        request = _Request(environ, self._parser.should_keep_alive())
        chunked = "HTTP_TRANSFER_ENCODING" in environ
        length = environ.get("CONTENT_LENGTH", "0")
        self._in_head = False
        self._request = request
        self.deadline = self._receiving_deadline()
        if not chunked and length == "0":
            return
        environ["wsgi.input"] = _NotReceived()
        request.limit = self._gateway.body_limit(environ)
        if request.limit and not chunked and int(length) > request.limit:
            raise errors.TooLarge(f"A body may have {request.limit} bytes here.")

    def on_body(self, body: bytes) -> None:
        request = self._request
        if request is None or not request.limit:
            return
        request.received += len(body)
        request.parts.append(body)
        if request.received > request.limit:
            raise errors.TooLarge(f"A body may have {request.limit} bytes here.")
        if len(request.parts) > MAX_BODY_PIECES:
            raise errors.BadHttp(f"A body may come in {MAX_BODY_PIECES} pieces.")

    def on_message_complete(self) -> None:
        request = self._request
        if request is None:
            return
        self._release_place()
        self._request = None
        request.complete = True
        if request.limit:
            request.environ["wsgi.input"] = io.BytesIO(b"".join(request.parts))
            request.parts.clear()
        self._queue.append(request)

    # --- Receiving

    def _feed(self, data: bytes) -> None:
        whole_chunk = self._in_head
        begun = whole_chunk or self._request is not None
        size, queued = len(data), len(self._queue)
        request = self._request
        received = request.received if request is not None else 0
        try:
            while data and not self._stopped:
                try:
                    self._parser.feed_data(data)
                    data = b""
                except httptools.HttpParserUpgrade as upgrade:
                    data = self._without_upgrade() + data[upgrade.args[0] :]
        except httptools.HttpParserCallbackError as error:
            refusal = error.__context__
            if not isinstance(refusal, errors.Refusal):
                log.error("bug", service="gateway", exc_info=refusal or error)
                refusal = errors.BadHttp("The request is not readable.")
            self._refuse(refusal)
        except httptools.HttpParserInvalidMethodError:
            if begun or len(self._queue) > queued:  # the error is not at the beginning of `data`
                self._refuse(errors.BadHttp("Not valid HTTP: the first line cannot be read."))
            else:
                self._refuse_method(data)
        except httptools.HttpParserError as error:
            self._refuse(errors.BadHttp(f"Not valid HTTP: {error}."))
        if self._stopped:
            return
        if self._queue:
            self.deadline = NEVER  # one has arrived; its answer has another deadline
        if self._in_head and (whole_chunk or len(self._queue) == queued):
            self._raw_bytes += size  # the whole chunk belongs to this head, even the part not yet seen by callbacks
        if self._in_head and self._raw_bytes > MAX_URL_BYTES + MAX_HEADER_BYTES:
            self._refuse(errors.HeadersTooLarge(f"The headers may have {MAX_HEADER_BYTES} bytes."))
        elif self._request is not None:
            if self._request is request:
                request.surrounding += size - (request.received - received)
            if self._request.surrounding > MAX_HEADER_BYTES + PIECE_BYTES * len(self._request.parts):
                self._refuse(errors.HeadersTooLarge(f"Extensions and trailers may have {MAX_HEADER_BYTES} bytes."))
            else:
                self._receive_further(self._request)

    def _without_upgrade(self) -> bytes:
        """The head that has arrived, without its `Upgrade`, for a new parser: httptools reads no body after one."""
        version = self._parser.get_http_version().encode()
        lines = [self._parser.get_method() + b" " + self._url + b" HTTP/" + version]
        lines += [name + b": " + value for name, value in self._headers if name.lower() != b"upgrade"]
        self._parser = self._new_parser()
        self._in_head = False
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _receive_further(self, request: _Request) -> None:
        """Handle a body that has not fully arrived."""
        if not request.limit:
            self._stop(request)  # it is answered without its body
            return
        if request.place is None:
            key = self.key
            if key is None:
                client = addresses.client_address(
                    self._peer, request.environ.get("HTTP_X_FORWARDED_FOR"), self._gateway.settings.trusted_proxies
                )
                key = addresses.limit_key(client)
            if not self._connections.receive(self, key):
                self._refuse(errors.Busy("Too many requests are being received."))
                return
            request.place = key
            if request.environ.get("HTTP_EXPECT", "").lower() == "100-continue" and not (
                request.received or self._queue or self._working
            ):
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _release_place(self) -> None:
        if self._request is not None and self._request.place is not None:
            self._connections.received(self, self._request.place)
            self._request.place = None

    def _refuse(self, refusal: Exception) -> None:
        """Answer the request being received with `refusal`, and close the connection after it."""
        request = self._request or _Request(self._blank(), False)
        request.environ[visit.REFUSAL_KEY] = refusal
        self._stop(request)

    def _refuse_method(self, data: bytes) -> None:
        """Handle a method unknown to llhttp. If its form is valid, answer as the path does for unknown verbs.

        Args:
            data: begins with the request.
        """
        line = _REQUEST_LINE.match(data)
        if line is None or line[1].decode(_LATIN1) in falcon.HTTP_METHODS:  # no route may run for a refused request
            self._refuse(errors.BadHttp("Not valid HTTP: the first line cannot be read."))
            return
        environ = self._blank()
        environ["REQUEST_METHOD"] = line[1].decode(_LATIN1)
        try:
            self._url = line[2]
            environ["PATH_INFO"], environ["QUERY_STRING"] = self._target()
        except errors.Refusal as refusal:
            environ[visit.REFUSAL_KEY] = refusal
        self._stop(_Request(environ, False))

    def _stop(self, request: _Request) -> None:
        """Queue the last request of this connection."""
        self._release_place()
        self._request = None
        self._in_head = False
        request.keep_alive = False
        request.parts.clear()
        self._queue.append(request)
        self._stopped = True
        self.deadline = NEVER

    def _blank(self) -> dict[str, Any]:
        """The WSGI environment for a request whose head cannot be read."""
        return {
            "REQUEST_METHOD": "",
            "PATH_INFO": "",
            "QUERY_STRING": "",
            "REMOTE_ADDR": self._peer,
            "SCRIPT_NAME": "",
            "SERVER_NAME": "",
            "SERVER_PORT": "",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.errors": sys.stderr,
            "wsgi.input": io.BytesIO(),
            "wsgi.url_scheme": "http",
        }

    def _environ(self) -> dict[str, Any]:
        """The WSGI environment of the received head. Raises Refusal for a contradictory one."""
        version = self._parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise errors.BadHttp("This version of HTTP is not supported. Send HTTP/1.1.")
        if self._parser.get_method() == b"CONNECT":
            raise errors.BadHttp("This is no proxy.")
        environ = self._blank()
        environ["SERVER_PROTOCOL"] = f"HTTP/{version}"
        environ["REQUEST_METHOD"] = self._parser.get_method().decode(_LATIN1)
        environ["PATH_INFO"], environ["QUERY_STRING"] = self._target()
        hosts = 0
        for name, value in self._headers:
            key = _environ_name(name)
            if key is None:
                continue
            if key == "HTTP_HOST":
                hosts += 1
                if not _HOST.fullmatch(value.strip(b" \t")):
                    raise errors.BadHttp("The Host header is not a host.")
            text = value.decode(_LATIN1).strip(" \t")
            if key in environ:
                environ[key] += ("; " if key == "HTTP_COOKIE" else ",") + text
            else:
                environ[key] = text
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            raise errors.BadHttp("A request must have exactly one Host header.")
        if "HTTP_TRANSFER_ENCODING" in environ and (
            version == "1.0" or environ["HTTP_TRANSFER_ENCODING"].lower() != "chunked"
        ):
            raise errors.BadHttp("The only Transfer-Encoding here is chunked, over HTTP/1.1.")
        return environ

    def _target(self) -> tuple[str, str]:
        """Path and query of the request's target. Raises BadHttp for an invalid one."""
        url = self._url
        absolute = _ABSOLUTE.match(url)
        if absolute is not None:
            url = url[absolute.end() :]
            if not url.startswith(b"/"):
                url = b"/" + url
        if not (url.startswith(b"/") or url == b"*") or b"#" in url:
            raise errors.BadHttp("The request's target must be a path.")
        path, _, query = url.partition(b"?")
        if b"%" in path and not _ENCODED_SEPARATOR.search(path):
            path = unquote_to_bytes(path)
        return path.decode(_LATIN1), query.decode(_LATIN1)

    # --- Answering

    def _advance(self) -> None:
        """Answer the next request, or wait for one with a deadline."""
        while self._working is None and not self._write_paused:
            if self._queue:
                self._working = self._queue.popleft()
                self.deadline = NEVER
                waiting.run(self._work)
                return
            if self._stopped:
                return
            if not self._stash:
                break
            data, self._stash = self._stash, b""
            if not self._half_closed:
                self._transport.resume_reading()
            self._feed(data)
        if self._working is None and not self._queue and not self._stopped and not self._write_paused:
            if self._in_head or self._request is not None:
                self.deadline = min(self.deadline, self._receiving_deadline())
            elif self._half_closed or (self._server.draining and self.deadline == NEVER):
                self._transport.close()
            elif self.deadline == NEVER:
                self.deadline = self._loop.time() + IDLE_TIMEOUT_S
                self._connections.idle(self)

    def _work(self) -> None:
        try:
            self._answer()
        except Exception:
            self.abort()  # a client without an answer must not wait
            raise

    def _answer(self) -> None:
        request = self._working
        assert request is not None
        status, headers = "500 Internal Server Error", []

        def start(line: str, fields: list[tuple[str, str]], _exc_info: Any = None) -> None:
            nonlocal status, headers
            status, headers = line, fields

        body = b"".join(self._gateway(request.environ, start))
        self._write(request, status, headers, body)
        self._loop.call_soon(self._done)

    def _done(self) -> None:
        request, self._working = self._working, None
        if request is None or self._transport.is_closing():
            return
        if request.keep_alive:
            self._advance()
        elif request.complete:
            self._stopped = True
            self._transport.close()
        else:
            self._linger()

    def _linger(self) -> None:
        """Close the sending side, and read what the client still sends, so that it can read the answer."""
        self._stopped = self._lingering = True
        self.deadline = self._loop.time() + DISCARD_TIMEOUT_S
        if self._half_closed:
            self._transport.close()
        elif self._transport.can_write_eof():
            self._transport.write_eof()
            self._transport.resume_reading()

    @staticmethod
    def _too_many() -> tuple[str, list[tuple[str, str]], bytes]:
        request_id = visit.request_id(None)
        answer = errors.answer(errors.Busy("Too many connections are open."), request_id)
        headers = {**answer.headers, "x-request-id": request_id, "x-content-type-options": "nosniff"}
        headers["content-length"] = str(len(answer.body))
        return errors.status_line(answer.status), [*headers.items()], answer.body

    def _write(self, request: _Request, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        if self._transport.is_closing():
            return
        if self._server.draining:
            request.keep_alive = False
        lines = [f"HTTP/1.1 {status}\r\n"]
        for name, value in headers:
            if "\n" in value or "\r" in value:
                log.error("bug", service="gateway", detail=f"the header {name} has a line break")
                continue
            lines.append(f"{name}: {value}\r\n")
        if not request.keep_alive:
            lines.append("connection: close\r\n")
        elif request.environ["SERVER_PROTOCOL"] == "HTTP/1.0":
            lines.append("connection: keep-alive\r\n")
        parts = ["".join(lines).encode(_LATIN1, "replace")]
        for field, content in self._state.default_headers:
            parts += (field, b": ", content, b"\r\n")
        parts += (b"\r\n", body)
        self._transport.write(b"".join(parts))
        self._unsent = self._transport.get_write_buffer_size()
        if self._unsent:
            self.write_deadline = self._loop.time() + RESPONSE_TIMEOUT_S


_NAMES: dict[bytes, str | None] = {}
# Clients choose the names, so both their number and their length are bounded.
_MAX_NAMES = 1000
_LONGEST_NAME = 64


def _environ_name(name: bytes) -> str | None:
    """`X-Request-ID` -> ``HTTP_X_REQUEST_ID``. None for a name with `_`, which WSGI would confuse with `-`."""
    known = _NAMES.get(name)
    if known is None and name not in _NAMES:
        known = None if b"_" in name else name.decode(_LATIN1).upper().replace("-", "_")
        if known is not None and known not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            known = f"HTTP_{known}"
        if len(_NAMES) < _MAX_NAMES and len(name) <= _LONGEST_NAME:
            _NAMES[name] = known
    return known
