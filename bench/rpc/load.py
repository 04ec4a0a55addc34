"""The load: keep-alive HTTP connections from one separate process, at asyncio's protocol level, with little cost per
request.

`python -m bench.rpc.load HOST PORT PATH CONNECTIONS WARM_UP SECONDS` prints one JSON line with its counts. Every answer
must have status 200 and the same body as the first one, byte for byte; any other is an error.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import uvloop

# How long to wait for the last answers after the end (seconds).
ANSWER_WAIT_S = 15.0


class Count:
    """The counts of all connections."""

    def __init__(self) -> None:
        self.counting = False
        self.stopping = False
        self.latencies: list[float] = []
        self.errors: dict[str, int] = {}
        self.body: bytes | None = None

    def error(self, what: str) -> None:
        """Count one failure, even before the measured time has begun."""
        self.errors[what] = self.errors.get(what, 0) + 1


class Caller(asyncio.Protocol):
    """One connection that sends the next request as soon as it has an answer."""

    def __init__(self, count: Count, request: bytes) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self._count = count
        self._request = request
        self._buffer = b""
        self._began = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        head = buffer.find(b"\r\n\r\n")
        length = _content_length(buffer, head) if head >= 0 else None
        if length is None or len(buffer) < head + 4 + length:
            self._buffer = buffer
            return
        self._buffer = b""
        count = self._count
        if count.counting:
            count.latencies.append(time.perf_counter() - self._began)
        body = buffer[head + 4 :]
        if count.body is None:
            count.body = body
        if buffer[9:12] != b"200":
            count.error(f"status {buffer[9:12].decode(errors='replace')}")
        elif body != count.body:
            count.error("another body")
        if count.stopping:
            self._finish()
        else:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self._count.error("connection closed")
            self.done.set_result(None)

    def _ask(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def _finish(self) -> None:
        self.done.set_result(None)
        self._transport.close()


def _content_length(buffer: bytes, head: int) -> int | None:
    fields = buffer[:head].lower()
    start = fields.find(b"\r\ncontent-length:")
    if start < 0:
        return None
    end = fields.find(b"\r\n", start + 2)
    return int(fields[start + 17 : end if end >= 0 else head])


async def measure(host: str, port: int, path: str, connections: int, warm_up: float, seconds: float) -> dict[str, Any]:
    """Request `path` over `connections` for `seconds`, after `warm_up`; return requests, seconds, rate, latencies (ms),
    errors."""
    loop = asyncio.get_running_loop()
    count = Count()
    request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: */*\r\n\r\n".encode()
    callers = []
    for _ in range(connections):
        _, caller = await loop.create_connection(lambda: Caller(count, request), host, port)
        callers.append(caller)
    await asyncio.sleep(warm_up)
    began = time.perf_counter()
    count.counting = True
    await asyncio.sleep(seconds)
    took = time.perf_counter() - began
    count.counting = False
    count.stopping = True
    _, late = await asyncio.wait([caller.done for caller in callers], timeout=ANSWER_WAIT_S)
    if late:
        count.errors["no answer"] = len(late)
    latencies = sorted(count.latencies)
    return {
        "requests": len(latencies),
        "seconds": took,
        "rate": len(latencies) / took,
        "p50_ms": _quantile(latencies, 0.5),
        "p99_ms": _quantile(latencies, 0.99),
        "body_bytes": len(count.body or b""),
        "errors": count.errors,
    }


def _quantile(latencies: list[float], share: float) -> float | None:
    return round(latencies[min(len(latencies) - 1, int(len(latencies) * share))] * 1000, 2) if latencies else None


if __name__ == "__main__":
    host, port, path, connections, warm_up, seconds = sys.argv[1:]
    print(json.dumps(uvloop.run(measure(host, int(port), path, int(connections), float(warm_up), float(seconds)))))
