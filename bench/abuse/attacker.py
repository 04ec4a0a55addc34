"""`python -m bench.abuse.attacker PORT SOURCE BODIES HEADS`: holds half-sent requests open until its input ends.

It is a separate process, so that it takes no time from the measured shoppers. Prints one JSON line.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from typing import Any

from bench.abuse import wire
from bench.abuse.files import raise_limit

# The maximum number of new connections per second: the attack is open sockets, not a flood of handshakes.
OPENED_PER_SECOND = 1500
# The pause before a closed connection is reopened.
REOPEN_S = 2.0
# A connection counts as held when it stays open for longer, the server's deadline of 10 s included (seconds).
HELD_S = 15.0
BODY = b"POST /api/cart/ HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"
HEAD = b"GET /api/products/ HTTP/1.1\r\nHost: a\r\nX-Slow: "


class Attacker:
    """Opens connections from one address and sends half a request on each."""

    def __init__(self, port: int, source: str) -> None:
        self._port = port
        self._source = source
        self._next = 0.0
        self.ends: dict[str, Counter[str]] = {"body": Counter(), "head": Counter()}
        self.slowest = {"body": 0.0, "head": 0.0}
        self.open = 0
        self.most_open = 0

    async def hold(self, kind: str, sent: bytes, over: asyncio.Event) -> None:
        """Keep one such connection open, reopening it whenever it closes."""
        while not over.is_set():
            await self._turn()
            if over.is_set():
                return
            await self._once(kind, sent, over)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(over.wait(), REOPEN_S)

    async def _turn(self) -> None:
        self._next = max(self._next + 1 / OPENED_PER_SECOND, time.monotonic())
        await asyncio.sleep(self._next - time.monotonic())

    async def _once(self, kind: str, sent: bytes, over: asyncio.Event) -> None:
        try:
            reader, writer = await asyncio.wait_for(
                asyncio.open_connection(wire.HOST, self._port, local_addr=(self._source, 0)), HELD_S
            )
        except (TimeoutError, OSError) as error:
            self.ends[kind][f"not opened: {type(error).__name__}"] += 1
            return
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        began = time.monotonic()
        closing = asyncio.create_task(over.wait())
        reading = asyncio.create_task(self._read(reader))
        try:
            writer.write(sent)
            await asyncio.wait((closing, reading), timeout=HELD_S, return_when=asyncio.FIRST_COMPLETED)
            took = time.monotonic() - began
            if reading.done():
                self.ends[kind][reading.result()] += 1
            elif not over.is_set():
                self.ends[kind]["held"] += 1
            if reading.done() or not over.is_set():
                self.slowest[kind] = max(self.slowest[kind], took)
        finally:
            self.open -= 1
            for task in (closing, reading):
                task.cancel()
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> str:
        got = b""
        with contextlib.suppress(OSError):
            while part := await reader.read(4096):
                got += part
        found = wire.parse(got, ended=True)
        return str(found.status) if found else "closed"


async def attack(port: int, source: str, bodies: int, heads: int) -> dict[str, Any]:
    """Attack until standard input ends; return the counts."""
    raise_limit()
    attacker, over = Attacker(port, source), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.run_in_executor(None, sys.stdin.read).add_done_callback(lambda _: over.set())
    holding = [asyncio.create_task(attacker.hold("body", BODY, over)) for _ in range(bodies)]
    holding += [asyncio.create_task(attacker.hold("head", HEAD, over)) for _ in range(heads)]
    await asyncio.gather(*holding)
    return {
        "ends": {kind: dict(counted) for kind, counted in attacker.ends.items()},
        "slowest": {kind: round(seconds, 1) for kind, seconds in attacker.slowest.items()},
        "most_open": attacker.most_open,
    }


def main(arguments: list[str]) -> int:
    """Run as the module's docstring describes."""
    port, source, bodies, heads = arguments
    print(json.dumps(asyncio.run(attack(int(port), source, int(bodies), int(heads)))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
