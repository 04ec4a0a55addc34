"""A proxy in front of the broker. It passes on a number of the broker's frames, then goes silent or trickles."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import Any

from kombu.utils.url import parse_url


class FrameProxy:
    """Carries bytes from a port to the broker, and whole frames from the broker to the port.

    Args:
        uri: the URI of the broker.
        frames: how many of the broker's frames each new connection receives; None for all.
        trickle: after those frames, seconds between two bytes that are passed on; None passes on nothing.

    Attributes:
        connections: the number of connections so far.
    """

    def __init__(self, uri: str, frames: int | None = None, trickle: float | None = None) -> None:
        self._uri = parse_url(uri)
        self.frames = frames
        self.trickle = trickle
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def uri(self) -> str:
        """The broker's URI through this proxy."""
        parts = self._uri
        host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        return (
            f"amqp://{parts['userid'] or 'guest'}:{parts['password'] or 'guest'}@{host}/{parts['virtual_host'] or '/'}"
        )

    def __enter__(self) -> FrameProxy:
        return self

    def __exit__(self, *_: Any) -> None:
        for end in (self._listener, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                self.connections += 1
                there = socket.create_connection((self._uri["hostname"] or "127.0.0.1", self._uri["port"] or 5672))
                self._ends += [here, there]
                threading.Thread(target=self._upstream, args=(here, there), daemon=True).start()
                threading.Thread(target=self._downstream, args=(there, here), daemon=True).start()

    def _upstream(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)

    def _downstream(self, source: socket.socket, target: socket.socket) -> None:
        passed = 0
        stream = source.makefile("rb")
        with contextlib.suppress(OSError, ValueError):
            while head := stream.read(7):
                frame = head + stream.read(struct.unpack(">BHI", head)[2] + 1)
                if self.frames is None or passed < self.frames:
                    passed += 1
                    target.sendall(frame)
                elif self.trickle is not None:
                    for byte in frame:
                        time.sleep(self.trickle)
                        target.sendall(bytes([byte]))
            target.shutdown(socket.SHUT_RDWR)
