"""`python -m bench.faults.broker_proxy LISTEN BROKER`: a TCP proxy before RabbitMQ that can go silent.

It reads commands from its input. `silent`: cut every connection; on new ones, forward the broker's first three frames
(up to the end of AMQP's handshake), then nothing, and keep them open. `open`: forward new connections completely; those
opened during the silence stay silent. While the broker refuses connections, the proxy does not listen either.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import sys

HOST = "127.0.0.1"
HANDSHAKE_FRAMES = 3
FRAME_HEADER, FRAME_END = 7, 1
READ_SIZE = 65536
BROKER_POLL_S = 0.1
CONNECT_TIMEOUT_S = 5.0


class Proxy:
    """One listening port and its connections."""

    def __init__(self, listen: int, broker: int) -> None:
        self._listen = listen
        self._broker = broker
        self._silent = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._refused = asyncio.Event()

    async def run(self) -> None:
        """Serve until the input ends."""
        serving = asyncio.create_task(self._serve())
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            self._silent = line.strip() == b"silent"
            if self._silent:
                for writer in list(self._writers):
                    writer.transport.abort()
            print("done", flush=True)
        serving.cancel()

    async def _serve(self) -> None:
        while True:
            while not await self._broker_listens():
                await asyncio.sleep(BROKER_POLL_S)
            self._refused.clear()
            server = await asyncio.start_server(self._connection, HOST, self._listen, backlog=512)
            async with server:
                await self._refused.wait()

    async def _broker_listens(self) -> bool:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(HOST, self._broker), CONNECT_TIMEOUT_S)
        except (TimeoutError, OSError):
            return False
        writer.close()
        return True

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_broker, to_broker = await asyncio.wait_for(
                asyncio.open_connection(HOST, self._broker), CONNECT_TIMEOUT_S
            )
        except (TimeoutError, OSError):
            writer.transport.abort()
            self._refused.set()
            return
        self._writers |= {writer, to_broker}
        answers = self._few(from_broker, writer) if self._silent else _copy(from_broker, writer)
        try:
            await asyncio.wait(
                (asyncio.create_task(_copy(reader, to_broker)), asyncio.create_task(answers)),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            self._writers -= {writer, to_broker}
            writer.transport.abort()
            to_broker.transport.abort()

    async def _few(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward the first frames, then nothing, until the broker closes the connection."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            for _ in range(HANDSHAKE_FRAMES):
                header = await reader.readexactly(FRAME_HEADER)
                size = struct.unpack(">BHI", header)[2]
                writer.write(header + await reader.readexactly(size + FRAME_END))
                await writer.drain()
            while await reader.read(READ_SIZE):
                pass
            await asyncio.sleep(3600)  # the caller's side stays open: only the caller's deadline ends it


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while part := await reader.read(READ_SIZE):
            writer.write(part)
            await writer.drain()


if __name__ == "__main__":
    asyncio.run(Proxy(int(sys.argv[1]), int(sys.argv[2])).run())
