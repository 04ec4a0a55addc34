"""Connecting to RabbitMQ with one deadline for all of it: TCP, TLS, protocol header, tune, open, and declarations.

amqp gives most of these steps no timeout, or one per read, which a peer that sends a byte a second prolongs forever.
Here each read's socket timeout is the time left until the deadline.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any

import amqp
from amqp.transport import SSLTransport, TCPTransport
from kombu.utils.url import parse_url

FAILURES = (amqp.exceptions.AMQPError, OSError, EOFError)
# Time for one of the broker's addresses to accept a connection (seconds).
TCP_CONNECT_TIMEOUT_S = 3.0


class _Deadline:
    """A transport whose reads all end at one deadline.

    Attributes:
        deadline: monotonic seconds; None for no deadline, once the connection is set up.
    """

    deadline: float | None = None
    sock: Any
    _quick_recv: Any

    def left(self) -> float:
        """Seconds until the deadline. Raises TimeoutError when it has passed."""
        left = (self.deadline or 0.0) - time.monotonic()
        if left <= 0:
            raise TimeoutError("The message broker did not answer in time.")
        return left

    def bound(self, deadline: float) -> None:
        """End each later read at `deadline`."""
        self.deadline = deadline
        receive = self._quick_recv

        def bounded(size: int) -> bytes:
            self.sock.settimeout(self.left())
            received: bytes = receive(size)
            return received

        self._quick_recv = bounded

    def release(self, timeout: float) -> None:
        """The connection is set up: give each later read the same `timeout` (seconds)."""
        self.deadline = None
        self._quick_recv = self.sock.read if isinstance(self.sock, ssl.SSLSocket) else self.sock.recv
        self.sock.settimeout(timeout)


class _TCP(_Deadline, TCPTransport):
    def _setup_transport(self) -> None:
        self.sock.settimeout(self.left())
        super()._setup_transport()
        self.bound(self.deadline or 0.0)


class _TLS(_Deadline, SSLTransport):
    def _setup_transport(self) -> None:
        self.sock = self._wrap_socket(self.sock, **self.sslopts)
        # Non-blocking, because eventlet's blocking handshake has a timeout per read and no overall timeout.
        self.sock.settimeout(0.0)
        while True:
            try:
                self.sock.do_handshake()
                break
            except ssl.SSLWantReadError:
                select.select([self.sock], [], [], self.left())
            except ssl.SSLWantWriteError:
                select.select([], [self.sock], [], self.left())
        self.sock.settimeout(self.left())
        self._quick_recv = self.sock.read
        self.bound(self.deadline or 0.0)

    def _shutdown_transport(self) -> None:
        """Do nothing: TLS's close_notify would wait for the peer, which may be gone."""


class Channel(amqp.Channel):
    """amqp's channel, but it raises when the broker closes it, without first waiting for it to reopen."""

    def _do_revive(self) -> None:
        self.is_open = False


class Connection(amqp.Connection):
    """amqp's connection, with a deadline until `release`."""

    Channel = Channel
    transport: _TCP | _TLS

    def __init__(self, deadline: float, **options: Any) -> None:
        self._deadline = deadline
        super().__init__(**options)

    def Transport(
        self,
        host: str,
        connect_timeout: float | None,
        ssl: bool | dict[str, Any] = False,
        read_timeout: float | None = None,
        write_timeout: float | None = None,
        socket_settings: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> _TCP | _TLS:
        transport = (_TLS if ssl else _TCP)(
            host, connect_timeout=connect_timeout, ssl=ssl, socket_settings=socket_settings, **options
        )
        transport.deadline = self._deadline
        return transport

    def release(self, timeout: float) -> None:
        """Setup is complete: drop the deadline; each read has a `timeout` (seconds)."""
        self.transport.release(timeout)

    def bound(self, seconds: float) -> None:
        """End all later waits within `seconds`."""
        self.transport.bound(time.monotonic() + seconds)


def connect(uri: str, name: str, timeout: float, **options: Any) -> Connection:
    """A connection to the broker; until its `release`, all waits on it end at the same deadline.

    Args:
        uri: ``amqp://user:password@host:port/vhost`` or ``amqps://``.
        name: its name in the broker's list of connections.
        timeout: seconds for connecting and everything until `Connection.release`. Only a host with several addresses
            may take longer: `TCP_CONNECT_TIMEOUT_S` for each.
        options: of `amqp.Connection`.

    Raises:
        OSError, amqp.exceptions.AMQPError: the broker cannot be reached, is silent, or refuses.
    """
    parts = parse_url(uri)
    tls = parts["transport"] in ("amqps", "pyamqps") or bool(parts.get("ssl"))
    host = parts["hostname"] or "127.0.0.1"
    connection = Connection(
        time.monotonic() + timeout,
        host=f"{host}:{parts['port'] or (5671 if tls else 5672)}",
        userid=parts["userid"] or "guest",
        password=parts["password"] or "guest",
        virtual_host=parts["virtual_host"] or "/",
        login_method="PLAIN",
        ssl={"server_hostname": host, "cert_reqs": ssl.CERT_REQUIRED} if tls else False,
        connect_timeout=min(timeout, TCP_CONNECT_TIMEOUT_S),
        client_properties={"product": "micro-services", "connection_name": name},
        **options,
    )
    try:
        connection.connect()
        connection.transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        drop(connection)
        raise
    return connection


def drop(connection: Connection) -> None:
    """Close the socket without AMQP's handshake: the peer may be gone. The broker then releases its resources."""
    with contextlib.suppress(*FAILURES):
        connection.collect()
