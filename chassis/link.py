"""One AMQP connection that stands up again by itself, with one reader and any number of publishers.

Both ends of the RPC hop use it: `chassis.rpc_client` to ask, `chassis.entrypoint` to answer. It takes amqp as it is and
leaves out what costs a hop most: nothing is declared per message, no pool is asked for a channel, no confirm is waited
for (figures in docs/adr/0005-our-own-rpc-client-and-entrypoint.md). Works over threads and, once eventlet has patched
`threading`, over greenlets.

amqp's own `basic_publish` first reads from the socket, to see whether the broker blocks it; beside a reader in another
thread that is a second reader of one socket. So messages are sent as the method frame itself, which amqp writes under
a lock of its own, and `connection.blocked` is seen by the one reader.
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

from chassis.broker_connection import FAILURES, Connection, connect, drop
from chassis.logs import log
from contracts.errors import Unavailable

# RabbitMQ closes a connection that is silent for two heartbeats; so do we. Ten seconds notices a dead peer within
# twenty, and a healthy one costs a frame every five.
HEARTBEAT = 10
# The reader wakes this often to send heartbeats and to see whether it shall stop (seconds).
TICK = 1.0
# Time for all of connecting: TCP, TLS, the handshake, declarations and consumers (seconds). Usually a few milliseconds.
CONNECT_TIMEOUT_S = 6.0
# How often exchanges, queues and bindings are declared again (seconds): the broker does not report a deletion.
# Declaring what exists costs a frame and changes nothing.
REDECLARE_S = 5.0
# Reconnection: at once, then doubling up to this (seconds), so that a broker that comes back is noticed quickly.
RETRY_FIRST = 0.05
RETRY_MOST = 1.0

# The content type of a message whose own properties cannot be read.
UNREADABLE = "application/x-unreadable"

_PUBLISH = spec.Basic.Publish
_HEADER = 2  # the type of the frame with a message's properties


class Link:
    """A connection and its one channel.

    Args:
        uri: ``amqp://user:password@host:port/vhost`` or ``amqps://``.
        declare: called with the channel and ``nowait``, in the reader: declares exchanges, queues and bindings. It is
            called again every `REDECLARE_S`, with ``nowait`` true: it must then wait for no answer.
        on_open: called with the new channel whenever the link is up (again), in the reader, after `declare`; consumes.
        on_lost: called whenever the connection is lost, in the reader; fails the calls that wait for an answer.
        on_tick: called about once a second, in the reader; must not wait for the broker.
        name: what the log calls it.
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
        """Wait until the link stands, at most `timeout` seconds; whether it does."""
        return self._up.wait(timeout)

    def run(self) -> None:
        """Keep the link up and read from it until `stop`. To be run in a thread or greenlet of its own."""
        delay = RETRY_FIRST
        while not self._stopping:
            connection = None
            try:
                connection = self._connect()
                delay = RETRY_FIRST
                self._read(connection)
                connection.bound(TICK)
                connection.close()
            except FAILURES as error:
                if not self._stopping:
                    log.warning("broker lost", link=self.name, error=f"{type(error).__name__}: {error}")
            except Exception:
                # A frame that amqp cannot read, or a bug in what was called back: without this loop nobody is served.
                log.exception("link failed", link=self.name)
            finally:
                self._down()
                if connection is not None:
                    drop(connection)
            if not self._stopping:
                # Spread, so that a hundred processes do not all knock in the same millisecond.
                self._wake.wait(delay * random.uniform(0.5, 1.0))  # noqa: S311
                delay = min(delay * 2, RETRY_MOST)

    def stop(self) -> None:
        """Ask `run` to end: at once when it waits, else within `TICK`."""
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
        """Send one message, on `channel` or on the channel of this moment.

        On a channel that was given, also while the broker blocks publishers: what is owed waits in the socket.

        Raises Unavailable when there is no connection or it breaks while sending: the broker has nothing whole then.
        """
        if channel is None:
            channel = None if self._blocked else self._channel
        if channel is None:
            raise Unavailable("The message broker cannot be reached.", {"retry_after": 1})
        message = amqp.Message(body, **properties)
        try:
            channel.send_method(_PUBLISH, "Bssbb", (0, exchange, routing_key, mandatory, False), message)
        except Exception as error:
            # amqp takes a channel apart when it closes, and fails in several ways on what is left of it.
            if not isinstance(error, FAILURES) and channel.connection is not None:
                raise
            self.reset(channel)
            raise Unavailable("The message broker cannot be reached.", {"retry_after": 1}) from error

    def reset(self, channel: amqp.Channel) -> None:
        """Break the connection of `channel`, for the reader to make a new one: half a frame spoils all that follows."""
        with contextlib.suppress(AttributeError, *FAILURES):
            channel.connection.transport.sock.shutdown(socket.SHUT_RDWR)

    def _connect(self) -> Connection:
        connection = connect(
            self._uri,
            self.name,
            CONNECT_TIMEOUT_S,
            heartbeat=HEARTBEAT,
            on_blocked=self._block,
            on_unblocked=self._unblock,
            frame_handler=_whatever_comes,
        )
        try:
            channel = connection.channel()
            self._declare(channel, False)
            self._on_open(channel)
            # Set once: the reader's timeout is the same at every call, so that it is never switched under a writer.
            connection.release(TICK)
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
        tick = time.monotonic() + TICK
        drain = connection.drain_events
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                drain(timeout=TICK)
            now = time.monotonic()
            if now >= tick:
                tick = now + TICK
                self._every_tick(connection)

    def _every_tick(self, connection: Connection) -> None:
        """The work of every `TICK`, in the reader."""
        connection.heartbeat_tick()  # raises when the broker has been silent for two heartbeats
        if self._blocked:
            return  # it reads nothing now
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
        # RabbitMQ is out of memory or disk and reads no more from publishers: saying so beats waiting for it.
        self._blocked = True
        log.warning("broker blocks publishers", link=self.name, reason=reason)

    def _unblock(self) -> None:
        self._blocked = False


def _whatever_comes(connection: amqp.Connection, callback: Callable[..., None]) -> Callable[[Any], bool]:
    """amqp's reader of frames, which a message with properties that are no UTF-8 does not stop.

    amqp fails over it and the connection with it; the broker delivers it again over the next one, and so for ever.
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
