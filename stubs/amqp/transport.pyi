from collections.abc import Callable, Mapping
from socket import socket
from ssl import SSLSocket
from typing import Any

class _AbstractTransport:
    # None while it is not connected.
    sock: socket | Any
    connected: bool
    host: str
    port: int
    connect_timeout: float | None
    _quick_recv: Callable[[int], bytes]
    def __init__(
        self,
        host: str,
        connect_timeout: float | None = None,
        read_timeout: float | None = None,
        write_timeout: float | None = None,
        socket_settings: Mapping[str, Any] | None = None,
        raise_on_initial_eintr: bool = True,
        **kwargs: Any,
    ) -> None: ...
    def _setup_transport(self) -> None: ...
    def _shutdown_transport(self) -> None: ...

class SSLTransport(_AbstractTransport):
    sslopts: dict[str, Any]
    def __init__(
        self,
        host: str,
        connect_timeout: float | None = None,
        ssl: bool | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None: ...
    def _wrap_socket(self, sock: socket, context: dict[str, Any] | None = None, **sslopts: Any) -> SSLSocket: ...

class TCPTransport(_AbstractTransport): ...
