"""HTTP/1.1 byte by byte: sends any bytes, from any loopback address, and reads the first answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

HOST = "127.0.0.1"
READ_SIZE = 65536
# Longer than the gateway's longest deadline (30 s), so that the gateway answers first.
ANSWER_TIMEOUT_S = 45.0
WITHOUT_BODY = (204, 304)

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """The first answer on a connection.

    Attributes:
        status: 0 when the connection ended, or time ran out, before a whole answer; `raw` then contains what arrived.
        headers: (lower-case name, value), in order.
        raw: the body.
        seconds: from the first byte sent to the last byte received.
        ended: whether the server closed the connection. Known only when `read_to_end` was asked for.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    raw: bytes = b""
    seconds: float = 0.0
    ended: bool = False

    def header(self, name: str) -> str | None:
        """Return the first header with that lower-case name, or None."""
        return next((value for each, value in self.headers if each == name), None)

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    def __str__(self) -> str:
        return f"{self.status or 'no answer'} {self.raw[:300].decode('utf-8', 'replace')}".strip()


def request(method: str, path: str, headers: Headers = (), body: bytes | None = None, close: bool = True) -> bytes:
    """Build a whole request. `Host`, `Content-Length` and `Connection: close` are added unless given."""
    given = list(headers)
    names = {name.lower() for name, _ in given}
    lines = [f"{method} {path} HTTP/1.1"]
    if "host" not in names:
        lines.append(f"Host: {HOST}")
    if close and "connection" not in names:
        lines.append("Connection: close")
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in given]
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + (body or b"")


def chunked(*parts: bytes, last: bool = True) -> bytes:
    """Return `parts` in chunked coding; without the closing chunk when not `last`."""
    coded = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts if part)
    return coded + (b"0\r\n\r\n" if last else b"")


async def exchange(
    port: int,
    pieces: bytes | Sequence[bytes],
    source: str | None = None,
    half_close: bool = False,
    head: bool = False,
    timeout: float = ANSWER_TIMEOUT_S,
    read_to_end: bool = False,
) -> Answer:
    """Send bytes on a new connection and read the first answer, even one that comes before everything is sent.

    Args:
        pieces: what to send, one by one.
        source: the loopback address to send from.
        half_close: close the sending side afterwards.
        head: the request is HEAD, so the answer has no body.
        read_to_end: wait until the server closes the connection.

    Raises OSError when the connection is refused.
    """
    began = time.perf_counter()
    local = (source, 0) if source else None
    reader, writer = await asyncio.wait_for(asyncio.open_connection(HOST, port, local_addr=local), timeout)
    sending = asyncio.create_task(_send(writer, [pieces] if isinstance(pieces, bytes) else pieces, half_close))
    got, whole, ended = b"", None, False
    try:
        while True:
            left = timeout - (time.perf_counter() - began)
            try:
                part = await asyncio.wait_for(reader.read(READ_SIZE), max(0.001, left))
            except (TimeoutError, ConnectionError) as error:
                ended = isinstance(error, ConnectionError)
                break
            if part:
                got += part
                whole = whole or parse(got, head)
                if whole is None or read_to_end:
                    continue
            else:
                ended = True
                whole = whole or parse(got, head, ended=True)
            break
    finally:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await sending
        writer.close()
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            await asyncio.wait_for(writer.wait_closed(), 1.0)
    seconds = time.perf_counter() - began
    if whole is None:
        return Answer(0, raw=got, seconds=seconds, ended=ended)
    return Answer(whole.status, whole.headers, whole.raw, seconds, ended)


async def _send(writer: asyncio.StreamWriter, pieces: Sequence[bytes], half_close: bool) -> None:
    with contextlib.suppress(OSError):  # the server may answer and close before it has everything
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if half_close and writer.can_write_eof():
            writer.write_eof()


def parse(got: bytes, head: bool = False, ended: bool = False) -> Answer | None:
    """Return the first answer in `got` that is not 1xx; None while it is incomplete."""
    while True:
        end = got.find(b"\r\n\r\n")
        if end < 0:
            return None
        first, *lines = got[:end].decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
            return None
        status, got = int(rest[:3]), got[end + 4 :]
        if status >= 200:
            break
    split = (line.partition(":") for line in lines)
    headers = tuple((name.strip().lower(), value.strip()) for name, _, value in split)
    named = dict(headers)
    if head or status in WITHOUT_BODY:
        return Answer(status, headers)
    if "chunked" in named.get("transfer-encoding", "").lower():
        body = _unchunked(got)
        return None if body is None else Answer(status, headers, body)
    if (length := named.get("content-length", "")).isdigit():
        return Answer(status, headers, got[: int(length)]) if len(got) >= int(length) else None
    return Answer(status, headers, got) if ended else None


def _unchunked(coded: bytes) -> bytes | None:
    body: list[bytes] = []
    place = 0
    while True:
        end = coded.find(b"\r\n", place)
        if end < 0:
            return None
        size = int(coded[place:end].split(b";")[0] or b"0", 16)
        if size == 0:
            return b"".join(body) if b"\r\n" in coded[end + 2 :] else None
        body.append(coded[end + 2 : end + 2 + size])
        place = end + 2 + size + 2
        if place > len(coded):
            return None
