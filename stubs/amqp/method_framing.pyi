from collections.abc import Callable, Container
from typing import Any, TypeAlias

from .connection import Connection

# Its type, its channel, and its payload.
_Frame: TypeAlias = tuple[int, int, bytes]

def frame_handler(
    connection: Connection,
    callback: Callable[..., object],
    unpack_from: Callable[..., tuple[Any, ...]] = ...,
    content_methods: Container[tuple[int, int]] = ...,
) -> Callable[[_Frame], bool]: ...
