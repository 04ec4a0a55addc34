from types import TracebackType
from typing import Self

class Timeout(BaseException):
    seconds: float | None
    exception: BaseException | type[BaseException] | bool | None
    def __init__(
        self, seconds: float | None = None, exception: BaseException | type[BaseException] | bool | None = None
    ) -> None: ...
    def cancel(self) -> None: ...
    def __enter__(self) -> Self: ...
    # True, which swallows the timeout, when `exception` is False.
    def __exit__(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> bool | None: ...
