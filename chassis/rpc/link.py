"""One AMQP connection that reconnects automatically, with one reader and any number of publishers.

Both ends of an RPC use it (`chassis.rpc.client`, `chassis.rpc.entrypoint`), with threads or greenlets. It omits what
costs most per message: declarations, a channel pool, confirms (figures:
docs/adr/0005-our-own-rpc-client-and-entrypoint.md).
`Link.publish` explains why it does not use amqp's own `basic_publish`.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import amqp
from amqp import spec
from amqp.method_framing import frame_handler
from amqp.serialization import decode_properties_basic

from chassis.logs import log
from chassis.rpc.broker_connection import FAILURES, Connection, connect, drop
from contracts.errors import Unavailable

# RabbitMQ closes a connection that is silent for two heartbeats; so does this process. Ten seconds detect a dead peer
# within twenty, and cost a healthy one a frame every five.
HEARTBEAT_INTERVAL_S = 10
# The reader wakes this often to send heartbeats and to check whether it must stop (seconds).
TICK_S = 1.0
# Time for all of connecting: TCP, TLS, the handshake, declarations and consumers (seconds). Usually a few milliseconds.
CONNECT_TIMEOUT_S = 6.0
# How often exchanges, queues and bindings are declared again (seconds): the broker does not report a deletion.
# Declaring what exists costs a frame and changes nothing.
REDECLARE_S = 5.0
# Reconnection: at once, then doubling up to this (seconds), so that a broker that comes back is noticed quickly.
FIRST_RETRY_S = 0.05
LONGEST_RETRY_S = 1.0

# The content type of a message whose own properties cannot be read.
UNREADABLE = "application/x-unreadable"

_PUBLISH = spec.Basic.Publish
_HEADER = 2  # the type of the frame with a message's properties


class Link:
    """A connection and its one channel. Works with threads and, once eventlet has patched `threading`, with greenlets.

    Args:
        uri: ``amqp://user:password@host:port/vhost`` or ``amqps://``.
        declare: called with the channel and ``nowait``, in the reader: declares exchanges, queues and bindings. It is
            called again every `REDECLARE_S`, with ``nowait`` true: it must then wait for no answer.
        on_open: called with the new channel whenever the link is up (again), in the reader, after `declare`; consumes.
        on_lost: called whenever the connection is lost, in the reader; fails the calls that wait for an answer.
        on_tick: called about once a second, in the reader; must not wait for the broker.
        name: its name in the log.
    """

    def __init__(
        self,
        uri: str,
        declare: Callable[[amqp.Channel, bool], None],
        on_open: Callable[[amqp.Channel], None],
        on_lost: Callable[[], None] = lambda: None,
        on_tick: Callable[[], None] = lambda: None,
        name: str = "link",
    ) -> None:
        self._uri = uri
        self._declare = declare
        self._on_open = on_open
        self._on_lost = on_lost
        self._on_tick = on_tick
        self.name = name
        self._stopping = False
        self._channel: amqp.Channel | None = None
        self._blocked = False
        self._up = threading.Event()
        self._wake = threading.Event()

    @property
    def connected(self) -> bool:
        """True while the broker is there."""
        return self._channel is not None

    @property
    def channel(self) -> amqp.Channel | None:
        """The channel of this moment; another one after a reconnection."""
        return self._channel

    def wait(self, timeout: float) -> bool:
        """Wait until the connection is up, at most `timeout` seconds; returns whether it is."""
        return self._up.wait(timeout)

    def run(self) -> None:
        """Keep the connection up and read from it until `stop`. Runs in its own thread or greenlet."""
        delay = FIRST_RETRY_S
        while not self._stopping:
            connection = None
            try:
                connection = self._connect()
                delay = FIRST_RETRY_S
                self._read(connection)
                connection.bound(TICK_S)
                connection.close()
            except FAILURES as error:
                if not self._stopping:
                    log.warning("broker lost", link=self.name, error=f"{type(error).__name__}: {error}")
            except Exception:
                # A frame that amqp cannot read, or a bug in a callback: without this loop, nothing is served.
                log.exception("link failed", link=self.name)
            finally:
                self._down()
                if connection is not None:
                    drop(connection)
            if not self._stopping:
                # Random, so that a hundred processes do not all reconnect in the same millisecond.
                self._wake.wait(delay * random.uniform(0.5, 1.0))  # noqa: S311
                delay = min(delay * 2, LONGEST_RETRY_S)

    def stop(self) -> None:
        """Ask `run` to end: at once when it waits, else within `TICK_S`."""
        self._stopping = True
        self._wake.set()

    def publish(
        self,
        body: bytes,
        exchange: str,
        routing_key: str,
        mandatory: bool = False,
        channel: amqp.Channel | None = None,
        **properties: Any,
    ) -> None:
        """Send one message, on `channel` or on the current channel.

        amqp's `basic_publish` first reads from the socket, to see whether the broker blocks it; with a reader in
        another thread, that would be a second reader of one socket. This writes the method frame itself, under amqp's
        own lock; the one reader sees `connection.blocked`.

        On a given channel, this also sends while the broker blocks publishers: owed answers wait in the socket.

        Raises Unavailable when there is no connection or it breaks while sending: the broker has no whole message then.
        """
        if channel is None:
            channel = None if self._blocked else self._channel
        if channel is None:
            raise Unavailable("The message broker cannot be reached.", {"retry_after": 1})
        message = amqp.Message(body, **properties)
        try:
            channel.send_method(_PUBLISH, "Bssbb", (0, exchange, routing_key, mandatory, False), message)
        except Exception as error:
            # amqp dismantles a channel when it closes, and then fails in several ways.
            if not isinstance(error, FAILURES) and channel.connection is not None:
                raise
            self.reset(channel)
            raise Unavailable("The message broker cannot be reached.", {"retry_after": 1}) from error

    def reset(self, channel: amqp.Channel) -> None:
        """Break the connection of `channel`; the reader makes a new one. Half a frame corrupts all that follow."""
        with contextlib.suppress(AttributeError, *FAILURES):
            channel.connection.transport.sock.shutdown(socket.SHUT_RDWR)

    def _connect(self) -> Connection:
        connection = connect(
            self._uri,
            self.name,
            CONNECT_TIMEOUT_S,
            heartbeat=HEARTBEAT_INTERVAL_S,
            on_blocked=self._block,
            on_unblocked=self._unblock,
            frame_handler=_any_frame,
        )
        try:
            channel = connection.channel()
            self._declare(channel, False)
            self._on_open(channel)
            # Set once: the reader's timeout stays the same, so that it never changes during a write.
            connection.release(TICK_S)
        except BaseException:
            drop(connection)
            raise
        self._blocked = False
        self._redeclare_at = time.monotonic() + REDECLARE_S
        self._channel = channel
        self._up.set()
        log.info("broker connected", link=self.name)
        return connection

    def _read(self, connection: Connection) -> None:
        tick = time.monotonic() + TICK_S
        drain = connection.drain_events
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                drain(timeout=TICK_S)
            now = time.monotonic()
            if now >= tick:
                tick = now + TICK_S
                self._every_tick(connection)

    def _every_tick(self, connection: Connection) -> None:
        """The work of every `TICK_S`, in the reader."""
        connection.heartbeat_tick()  # raises when the broker has been silent for two heartbeats
        if self._blocked:
            return  # the broker reads nothing from this process now
        self._on_tick()
        if self._channel is not None and time.monotonic() >= self._redeclare_at:
            self._redeclare_at = time.monotonic() + REDECLARE_S
            self._declare(self._channel, True)

    def _down(self) -> None:
        was_up = self._channel is not None
        self._channel = None
        self._up.clear()
        if was_up:
            self._on_lost()

    def _block(self, reason: str) -> None:
        # RabbitMQ is out of memory or disk and reads nothing from publishers: failing at once is better than waiting.
        self._blocked = True
        log.warning("broker blocks publishers", link=self.name, reason=reason)

    def _unblock(self) -> None:
        self._blocked = False


def _any_frame(connection: amqp.Connection, callback: Callable[..., None]) -> Callable[[Any], bool]:
    """amqp's frame reader, which also survives a message with properties that are not UTF-8.

    amqp itself would fail, and its connection with it; the broker would redeliver the message over the next one,
    and so on for ever.
    """
    on_frame: Callable[[Any], bool] = frame_handler(connection, callback)

    def reading(frame: Any) -> bool:
        kind, channel, payload = frame
        if kind == _HEADER:
            try:
                decode_properties_basic(payload, 12)
            except Exception:
                # Class and size stay; of the properties, one flag and one text.
                unreadable = UNREADABLE.encode()
                payload = bytes(payload[:12]) + b"\x80\x00" + bytes([len(unreadable)]) + unreadable
        return on_frame((kind, channel, payload))

    return reading
