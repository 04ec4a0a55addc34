from collections.abc import Callable
from types import ModuleType
from typing import Any

import falcon

class HTTPInterfaceAPI:
    def __init__(self, api: API, base_url: str = "") -> None: ...
    versions: set[int | bool | None]
    # Base URL -> URL -> verb -> version -> the interface that answers.
    routes: dict[str, dict[str, dict[str, dict[int | None, Any]]]]
    @property
    def output_format(self) -> Callable[..., bytes]: ...
    @output_format.setter
    def output_format(self, formatter: Callable[..., bytes]) -> None: ...
    def server(self, default_not_found: bool | None = True, base_url: str | None = None) -> falcon.API: ...

# Takes a module's name, too, and gives the module's one API.
class ModuleSingleton(type): ...

class API(metaclass=ModuleSingleton):
    def __init__(
        self,
        module: str | ModuleType | None = None,
        name: str = "",
        doc: str = "",
        cli_error_exit_codes: bool = False,
        future: bool = False,
    ) -> None: ...
    @property
    def http(self) -> HTTPInterfaceAPI: ...
