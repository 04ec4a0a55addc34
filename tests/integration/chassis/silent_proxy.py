"""A proxy between a client and a server. When it is silent, connections stay open and carry no bytes."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Any


class SilentProxy:
    """Carries bytes between a port and a server's socket.

    Args:
        there: the path of the server's Unix socket.

    Attributes:
        port: the TCP port where the proxy listens.
        silent: whether the proxy holds back all bytes.
    """

    def __init__(self, there: str) -> None:
        self._there = there
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self.port = self._listener.getsockname()[1]
        self.silent = False

    def __enter__(self) -> SilentProxy:
        threading.Thread(target=self._accept, daemon=True).start()
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
                there = socket.socket(socket.AF_UNIX)
                there.connect(self._there)
                self._ends += [here, there]
                for source, target in ((here, there), (there, here)):
                    threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                while self.silent:
                    time.sleep(0.02)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
