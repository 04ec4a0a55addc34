from collections.abc import Callable
from typing import Protocol

class _HasFileno(Protocol):
    def fileno(self) -> int: ...

def trampoline(
    fd: int | _HasFileno,
    read: bool | None = None,
    write: bool | None = None,
    timeout: float | None = None,
    timeout_exc: BaseException | type[BaseException] = ...,
    mark_as_closed: Callable[[], object] | None = None,
) -> object: ...
