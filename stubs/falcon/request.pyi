from typing import Any, TypeVar, overload

_Default = TypeVar("_Default")

class Request:
    env: dict[str, Any]  # the WSGI environment
    method: str
    path: str
    # The route's, "/api/orders/{order_id}"; None while no route is found.
    uri_template: str | Any
    def __init__(self, env: dict[str, Any], options: object = None) -> None: ...
    @property
    def scheme(self) -> str: ...
    @property
    def headers(self) -> dict[str, str]: ...  # by their names in upper case
    @property
    def auth(self) -> str | None: ...
    @overload
    def get_header(self, name: str, required: bool = False, default: None = None) -> str | None: ...
    @overload
    def get_header(self, name: str, required: bool = False, *, default: _Default) -> str | _Default: ...
