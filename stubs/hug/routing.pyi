from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from .api import API

_Route = TypeVar("_Route", bound=Callable[..., Any])

class URLRouter:
    # Most of these are taken by the router's base classes.
    def __init__(
        self,
        urls: str | Sequence[str] | None = None,
        accept: str | Iterable[str] = ...,
        output: Callable[..., bytes] | None = None,
        *,
        api: API | None = None,
        parse_body: bool = True,
        requires: Callable[..., object] | Sequence[Callable[..., object]] = (),
        status: str | None = None,
    ) -> None: ...
    def __call__(self, api_function: _Route) -> _Route: ...
