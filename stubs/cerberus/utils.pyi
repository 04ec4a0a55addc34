from typing import Any, NamedTuple

class TypeDefinition(NamedTuple):
    name: str
    included_types: tuple[Any, ...]
    excluded_types: tuple[Any, ...]
