"""Turns the bytes of one connection into requests, within limits of size."""

from __future__ import annotations

import io
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import falcon
import httptools

from chassis.logs import log
from gateway import errors, visit
from gateway.http.head import LATIN1, Environ, Headers, blank, environ_of, target

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

_REQUEST_LINE = re.compile(rb"(?:\r?\n)*([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/1\.[01]\r?\n")


@dataclass(slots=True, eq=False)
class Request:
    """One request, as far as it has arrived.

    Attributes:
        environ: its WSGI environment.
        keep_alive: whether its connection stays open after the answer.
        limit: the most bytes of its body; 0 when the answer does not depend on the body.
        complete: whether its body has fully arrived.
        parts: the body.
        received: bytes of the body.
        surrounding: bytes of chunk sizes, extensions and trailers after the head.
    """

    environ: Environ
    keep_alive: bool = False
    limit: int = 0
    complete: bool = False
    parts: list[bytes] = field(default_factory=list)
    received: int = 0
    surrounding: int = 0


class _NotReceived(io.RawIOBase):
    """The body of a request that is answered without it: reading it fails, instead of giving an empty one."""

    def read(self, _size: int = -1) -> bytes:
        raise errors.Incomplete("The body has not arrived.")


class Receiver:
    """The requests that one connection receives.

    Args:
        peer: the address of the connection's other end.
        body_limit: `Gateway.body_limit`.
        begun: called when a head, and when a body, begins to arrive.

    Attributes:
        queue: the requests to answer, in order. After the last one, `stopped` is true.
        request: the request whose body is being received.
        in_head: whether a head is being received.
        stopped: whether nothing more is parsed.
    """

    def __init__(self, peer: str, body_limit: Callable[[Environ], int], begun: Callable[[], None]) -> None:
        self._peer = peer
        self._body_limit = body_limit
        self._begun = begun
        self.queue: deque[Request] = deque()
        self.request: Request | None = None
        self.in_head = False
        self.stopped = False
        self._head_bytes = 0
        self._raw_bytes = 0
        self._url = b""
        self._headers: Headers = []
        self._parser = self._new_parser()

    @property
    def receiving(self) -> bool:
        """Whether a request has begun to arrive, and is not complete."""
        return self.in_head or self.request is not None

    def feed(self, data: bytes) -> None:
        """Parse `data`; what is wrong with it is refused in `queue`."""
        in_head, request = self.in_head, self.request
        size, queued = len(data), len(self.queue)
        received = 0 if request is None else request.received
        try:
            while data and not self.stopped:
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
            self.refuse(refusal)
        except httptools.HttpParserInvalidMethodError:
            if in_head or request is not None or len(self.queue) > queued:  # not at the beginning of `data`
                self.refuse(errors.BadHttp("Not valid HTTP: the first line cannot be read."))
            else:
                self._refuse_method(data)
        except httptools.HttpParserError as error:
            self.refuse(errors.BadHttp(f"Not valid HTTP: {error}."))
        if self.stopped:
            return
        if self.in_head and (in_head or len(self.queue) == queued):
            self._raw_bytes += size  # all of `data` belongs to this head, even the part not yet seen by callbacks
        if self.in_head and self._raw_bytes > MAX_URL_BYTES + MAX_HEADER_BYTES:
            self.refuse(errors.HeadersTooLarge(f"The headers may have {MAX_HEADER_BYTES} bytes."))
        elif self.request is not None:
            if self.request is request:
                request.surrounding += size - (request.received - received)
            if self.request.surrounding > MAX_HEADER_BYTES + PIECE_BYTES * len(self.request.parts):
                self.refuse(errors.HeadersTooLarge(f"Extensions and trailers may have {MAX_HEADER_BYTES} bytes."))

    def refuse(self, refusal: Exception) -> None:
        """Answer the request being received with `refusal`, as the last one of this connection."""
        request = self.request or Request({**blank(self._peer), **self._origin()})
        request.environ[visit.REFUSAL_KEY] = refusal
        self.stop(request)

    def stop(self, request: Request) -> None:
        """Queue the last request of this connection."""
        self.request = None
        self.in_head = False
        request.keep_alive = False
        request.parts.clear()
        self.queue.append(request)
        self.stopped = True

    def close(self) -> None:
        """The connection is lost: forget everything."""
        self.queue.clear()
        self.request = self._parser = None
        self.in_head = False
        self.stopped = True

    # --- httptools

    def on_message_begin(self) -> None:
        if len(self.queue) >= MAX_PIPELINED:
            self.queue[-1].keep_alive = False
            self.stopped = True
        self.in_head = True
        self._head_bytes = self._raw_bytes = 0
        self._url = b""
        self._headers = []
        self._begun()

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
        method = self._parser.get_method()
        if self.stopped or (self._parser.should_upgrade() and method != b"CONNECT"):
            return
        environ = environ_of(self._peer, method, self._url, self._parser.get_http_version(), self._headers)
        self.request = request = Request(environ, self._parser.should_keep_alive())
        self.in_head = False
        self._begun()
        length = None if "HTTP_TRANSFER_ENCODING" in environ else int(environ.get("CONTENT_LENGTH", "0"))
        if length == 0:
            return
        environ["wsgi.input"] = _NotReceived()
        request.limit = self._body_limit(environ)
        if request.limit and length is not None and length > request.limit:
            raise errors.TooLarge(f"A body may have {request.limit} bytes here.")

    def on_body(self, body: bytes) -> None:
        request = self.request
        if request is None or not request.limit:
            return
        request.received += len(body)
        request.parts.append(body)
        if request.received > request.limit:
            raise errors.TooLarge(f"A body may have {request.limit} bytes here.")
        if len(request.parts) > MAX_BODY_PIECES:
            raise errors.BadHttp(f"A body may come in {MAX_BODY_PIECES} pieces.")

    def on_message_complete(self) -> None:
        request, self.request = self.request, None
        if request is None:
            return
        request.complete = True
        self._headers = []
        if request.limit:
            request.environ["wsgi.input"] = io.BytesIO(b"".join(request.parts))
            request.parts.clear()
        self.queue.append(request)

    def _new_parser(self) -> Any:
        parser = httptools.HttpRequestParser(self)
        # Otherwise llhttp treats data after `Connection: close` as an error.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _origin(self) -> Environ:
        """The `Origin` in a head that cannot be read, so that a page can read why it is refused."""
        found = [value.decode(LATIN1).strip(" \t") for name, value in self._headers if name.lower() == b"origin"]
        return {"HTTP_ORIGIN": ",".join(found)} if found else {}

    def _without_upgrade(self) -> bytes:
        """The head that has arrived, without its `Upgrade`, for a new parser: httptools reads no body after one."""
        version = self._parser.get_http_version().encode()
        lines = [self._parser.get_method() + b" " + self._url + b" HTTP/" + version]
        lines += [name + b": " + value for name, value in self._headers if name.lower() != b"upgrade"]
        self._parser = self._new_parser()
        self.in_head = False
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _refuse_method(self, data: bytes) -> None:
        """Handle a method unknown to llhttp. If its form is valid, answer as the path does for unknown verbs.

        Args:
            data: begins with the request.
        """
        line = _REQUEST_LINE.match(data)
        if line is None or line[1].decode(LATIN1) in falcon.HTTP_METHODS:  # no route may run for a refused request
            self.refuse(errors.BadHttp("Not valid HTTP: the first line cannot be read."))
            return
        environ = blank(self._peer)
        environ["REQUEST_METHOD"] = line[1].decode(LATIN1)
        try:
            environ["PATH_INFO"], environ["QUERY_STRING"] = target(line[2])
        except errors.Refusal as refusal:
            environ[visit.REFUSAL_KEY] = refusal
        self.stop(Request(environ))
