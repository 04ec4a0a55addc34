from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Literal, overload

from .abstract_channel import AbstractChannel
from .basic_message import Message
from .connection import Connection
from .protocol import queue_declare_ok_t

class Channel(AbstractChannel):
    is_open: bool
    # Of the shop's interest: "basic_return" -> (error, exchange, routing key, message).
    events: defaultdict[str, set[Callable[..., object]]]
    def __init__(
        self,
        connection: Connection,
        channel_id: int | None = None,
        auto_decode: bool = True,
        on_open: Callable[..., object] | None = None,
    ) -> None: ...
    def _setup_listeners(self) -> None: ...
    def _do_revive(self) -> None: ...
    def _on_close(self, reply_code: int, reply_text: str, class_id: int, method_id: int) -> None: ...
    def open(self) -> Any: ...
    def close(
        self, reply_code: int = 0, reply_text: str = "", method_sig: tuple[int, int] = (0, 0), argsig: str = "BsBB"
    ) -> Any: ...
    def exchange_declare(
        self,
        exchange: str,
        type: str,
        passive: bool = False,
        durable: bool = False,
        auto_delete: bool = True,
        nowait: bool = False,
        arguments: Mapping[str, Any] | None = None,
        argsig: str = "BssbbbbbF",
    ) -> Any: ...
    @overload
    def queue_declare(
        self,
        queue: str = "",
        passive: bool = False,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = True,
        nowait: Literal[False] = False,
        arguments: Mapping[str, Any] | None = None,
        argsig: str = "BsbbbbbF",
    ) -> queue_declare_ok_t: ...
    @overload
    def queue_declare(
        self,
        queue: str = "",
        passive: bool = False,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = True,
        nowait: bool = False,
        arguments: Mapping[str, Any] | None = None,
        argsig: str = "BsbbbbbF",
    ) -> queue_declare_ok_t | None: ...
    def queue_bind(
        self,
        queue: str,
        exchange: str = "",
        routing_key: str = "",
        nowait: bool = False,
        arguments: Mapping[str, Any] | None = None,
        argsig: str = "BsssbF",
    ) -> Any: ...
    def basic_ack(self, delivery_tag: int, multiple: bool = False, argsig: str = "Lb") -> Any: ...
    def basic_reject(self, delivery_tag: int, requeue: bool, argsig: str = "Lb") -> Any: ...
    def basic_cancel(self, consumer_tag: str, nowait: bool = False, argsig: str = "sb") -> Any: ...
    def basic_consume(
        self,
        queue: str = "",
        consumer_tag: str = "",
        no_local: bool = False,
        no_ack: bool = False,
        exclusive: bool = False,
        nowait: bool = False,
        callback: Callable[[Message], object] | None = None,
        arguments: Mapping[str, Any] | None = None,
        on_cancel: Callable[[str], object] | None = None,
        argsig: str = "BssbbbbF",
    ) -> str: ...
    def basic_get(self, queue: str = "", no_ack: bool = False, argsig: str = "Bsb") -> Message | None: ...
    # The library takes `*args, **kwargs`; these are what it does with them.
    def basic_publish_confirm(
        self,
        msg: Message,
        exchange: str = "",
        routing_key: str = "",
        mandatory: bool = False,
        immediate: bool = False,
        timeout: float | None = None,
        confirm_timeout: float | None = None,
        argsig: str = "Bssbb",
    ) -> Any: ...
