from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from .connection import Connection
from .serialization import GenericContent

class AbstractChannel:
    # None once it is closed.
    connection: Connection | Any
    channel_id: int
    is_closing: bool
    _callbacks: dict[tuple[int, int], Callable[..., object]]
    def __init__(self, connection: Connection, channel_id: int) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...
    # What it gives depends on `wait`: the arguments of the broker's answer, or a promise.
    def send_method(
        self,
        sig: tuple[int, int],
        format: str | None = None,
        args: Sequence[Any] | None = None,
        content: GenericContent | None = None,
        wait: tuple[int, int] | list[tuple[int, int]] | None = None,
        callback: Callable[..., object] | None = None,
        returns_tuple: bool = False,
    ) -> Any: ...
