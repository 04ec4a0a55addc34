from collections.abc import Callable
from typing import Any, TypeVar

_Formatter = TypeVar("_Formatter", bound=Callable[..., Any])

def content_type(content_type: str) -> Callable[[_Formatter], _Formatter]: ...
