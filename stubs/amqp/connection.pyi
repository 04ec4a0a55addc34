from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .abstract_channel import AbstractChannel
from .channel import Channel as _Channel
from .method_framing import _Frame
from .transport import _AbstractTransport

class Connection(AbstractChannel):
    Channel: type[_Channel]
    # None once it is closed.
    channels: dict[int, AbstractChannel] | Any
    ssl: bool | dict[str, Any]
    bytes_recv: int
    bytes_sent: int
    server_properties: dict[str, Any]
    def __init__(
        self,
        host: str = "localhost:5672",
        userid: str = "guest",
        password: str = "guest",
        login_method: str | None = None,
        login_response: bytes | None = None,
        authentication: Sequence[Any] = (),
        virtual_host: str = "/",
        locale: str = "en_US",
        client_properties: Mapping[str, Any] | None = None,
        ssl: bool | dict[str, Any] = False,
        connect_timeout: float | None = None,
        channel_max: int | None = None,
        frame_max: int | None = None,
        heartbeat: float = 0,
        on_open: Callable[..., object] | None = None,
        on_blocked: Callable[[str], object] | None = None,
        on_unblocked: Callable[[], object] | None = None,
        confirm_publish: bool = False,
        on_tune_ok: Callable[..., object] | None = None,
        read_timeout: float | None = None,
        write_timeout: float | None = None,
        socket_settings: Mapping[str, Any] | None = None,
        frame_handler: Callable[[Connection, Callable[..., object]], Callable[[_Frame], bool]] = ...,
        frame_writer: Callable[..., Callable[..., None]] = ...,
        **kwargs: Any,
    ) -> None: ...
    def Transport(
        self,
        host: str,
        connect_timeout: float | None,
        ssl: bool | dict[str, Any] = False,
        read_timeout: float | None = None,
        write_timeout: float | None = None,
        socket_settings: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> _AbstractTransport: ...
    # A property in the library; it connects when nothing has yet.
    transport: _AbstractTransport
    def connect(self, callback: Callable[[], object] | None = None) -> Any: ...
    def collect(self) -> None: ...
    def channel(self, channel_id: int | None = None, callback: Callable[..., object] | None = None) -> _Channel: ...
    def drain_events(self, timeout: float | None = None) -> None: ...
    def heartbeat_tick(self, rate: int = 2) -> None: ...
    def close(
        self, reply_code: int = 0, reply_text: str = "", method_sig: tuple[int, int] = (0, 0), argsig: str = "BsBB"
    ) -> Any: ...
