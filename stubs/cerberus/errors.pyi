from typing import Any, NamedTuple

class ErrorDefinition(NamedTuple):
    code: int
    rule: str | None

MAX_LENGTH: ErrorDefinition
UNALLOWED_VALUE: ErrorDefinition

class BaseErrorHandler:
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

class BasicErrorHandler(BaseErrorHandler):
    messages: dict[int, str]
    def __init__(self, tree: dict[str, Any] | None = None) -> None: ...
