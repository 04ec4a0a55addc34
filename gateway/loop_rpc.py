"""The gateway's RPC client: its callers are greenlets of one event loop, which also reads the replies.

A separate thread makes the connection, because amqp blocks there. Once it is up, the loop reads from it, and that
thread only waits for its end: no reply crosses threads.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from chassis.rpc.broker_connection import Connection
from chassis.rpc.client import RpcClient
from chassis.rpc.link import TICK_S, Link
from gateway.waiting import Wait, sleep

READ_BYTES = 65536
CONNECT_POLL_S = 0.02


class LoopLink(Link):
    """A `Link` that `loop` reads from.

    TLS buffers data that no socket shows as readable, so over TLS the link's own thread reads.
    """

    loop: asyncio.AbstractEventLoop

    def wait(self, timeout: float) -> bool:
        """Like `Link.wait`, for a greenlet."""
        end = time.monotonic() + timeout
        while not self.connected and time.monotonic() < end:
            sleep(CONNECT_POLL_S)
        return self.connected

    def _read(self, connection: Connection) -> None:
        if connection.ssl:
            super()._read(connection)
            return
        ended: Future[None] = Future()
        self.loop.call_soon_threadsafe(self._begin, connection, ended)
        ended.result()

    def _begin(self, connection: Connection, ended: Future[None]) -> None:
        transport = connection.transport
        descriptor = transport.sock.fileno()
        if descriptor < 0:  # closed meanwhile
            ended.set_exception(ConnectionError("the connection was closed"))
            return
        blocking_recv = transport._quick_recv
        timer: asyncio.TimerHandle

        def recv(_wanted: int) -> bytes:
            # amqp keeps what exceeds one frame, and resumes inside a frame after a timeout.
            try:
                return os.read(descriptor, READ_BYTES)
            except BlockingIOError:
                raise TimeoutError from None

        def end(error: BaseException | None) -> None:
            if ended.done():
                return
            timer.cancel()
            self.loop.remove_reader(descriptor)
            transport._quick_recv = blocking_recv
            if error is None:
                ended.set_result(None)
            else:
                ended.set_exception(error)

        def readable() -> None:
            try:
                while not ended.done():
                    connection.drain_events()
            except TimeoutError:
                pass  # everything that has arrived is read
            except Exception as error:
                end(error)

        def tick() -> None:
            nonlocal timer
            timer = self.loop.call_later(TICK_S, tick)
            try:
                if self._stopping:
                    end(None)
                else:
                    self._every_tick(connection)
            except Exception as error:
                end(error)

        transport._quick_recv = recv
        timer = self.loop.call_later(TICK_S, tick)
        self.loop.add_reader(descriptor, readable)
        readable()  # the socket does not show what amqp has already read


class LoopRpcClient(RpcClient):
    """`RpcClient` for the greenlets of `loop`."""

    link_class = LoopLink

    def __init__(self, uri: str, loop: asyncio.AbstractEventLoop, name: str, services: Iterable[str] = ()) -> None:
        super().__init__(uri, name, services)
        assert isinstance(self.link, LoopLink)
        self.link.loop = loop

    def _new_call(self, service: str) -> Any:
        return Wait(service)
