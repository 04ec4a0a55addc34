from typing import NamedTuple

class ErrorDefinition(NamedTuple):
    code: int
    rule: str | None

MAX_LENGTH: ErrorDefinition
UNALLOWED_VALUE: ErrorDefinition

class BaseErrorHandler: ...

class BasicErrorHandler(BaseErrorHandler):
    messages: dict[int, str]
