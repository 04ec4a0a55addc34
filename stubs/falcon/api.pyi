from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from .request import Request
from .response import Response
from .routing import DefaultRouter

_Error = TypeVar("_Error", bound=BaseException)

class API:
    _router: DefaultRouter
    def __init__(
        self,
        media_type: str = ...,
        request_type: type[Request] = ...,
        response_type: type[Response] = ...,
        middleware: object = None,
        router: DefaultRouter | None = None,
        independent_middleware: bool = True,
    ) -> None: ...
    def __call__(self, env: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]: ...
    def add_error_handler(
        self,
        exception: type[_Error],
        handler: Callable[[Request, Response, _Error, dict[str, Any]], None] | None = None,
    ) -> None: ...
