from typing import Any

from falcon.request import Request

class CompiledRouter:
    # The resource, its responders by verb, the parameters of the path, and the route's template.
    def find(self, uri: str, req: Request | None = None) -> tuple[Any, dict[str, Any], dict[str, Any], str] | None: ...
