from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from .api import API

_Route = TypeVar("_Route", bound=Callable[..., Any])

class URLRouter:
    # The library takes the last three by **kwargs, for its base classes.
    def __init__(
        self,
        urls: str | Sequence[str] | None = None,
        accept: str | Iterable[str] = ...,
        output: Callable[..., bytes] | None = None,
        examples: str | Sequence[str] = (),
        versions: object = ...,
        suffixes: str | Sequence[str] = (),
        prefixes: str | Sequence[str] = (),
        response_headers: dict[str, str] | None = None,
        parse_body: bool = True,
        *,
        api: API | None = None,
        requires: Callable[..., object] | Sequence[Callable[..., object]] = (),
        status: str | None = None,
    ) -> None: ...
    def __call__(self, api_function: _Route) -> _Route: ...
