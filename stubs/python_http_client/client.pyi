from email.message import Message
from http.client import HTTPResponse
from typing import Any
from urllib.request import OpenerDirector, Request

class Response:
    def __init__(self, response: HTTPResponse) -> None: ...
    @property
    def status_code(self) -> int: ...
    @property
    def body(self) -> bytes: ...
    @property
    def headers(self) -> Message: ...

class Client:
    host: str
    request_headers: dict[str, str]
    timeout: float | None
    def __init__(
        self,
        host: str,
        request_headers: dict[str, str] | None = None,
        version: int | None = None,
        url_path: list[str] | None = None,
        append_slash: bool = False,
        timeout: float | None = None,
    ) -> None: ...
    def _make_request(self, opener: OpenerDirector, request: Request, timeout: float | None = None) -> Any: ...
    # The library makes the verbs in __getattr__.
    def get(
        self,
        request_body: Any = None,
        query_params: dict[str, Any] | None = None,
        request_headers: dict[str, str] | None = None,
        timeout: float | None = None,
    ) -> Response: ...
    def post(
        self,
        request_body: Any = None,
        query_params: dict[str, Any] | None = None,
        request_headers: dict[str, str] | None = None,
        timeout: float | None = None,
    ) -> Response: ...
