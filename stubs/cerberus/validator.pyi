from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import Self

from .schema import DefinitionSchema
from .utils import TypeDefinition

class BareValidator:
    priority_validations: ClassVar[tuple[str, ...]]
    types_mapping: ClassVar[dict[str, TypeDefinition]]
    document_path: tuple[Any, ...]
    # Every argument by its name; a subclass may take more of them.
    _config: dict[str, Any]
    def __init__(
        self, schema: Mapping[str, Any] | None = None, *, allow_unknown: bool = False, **config: Any
    ) -> None: ...
    # None until one is given.
    @property
    def schema(self) -> DefinitionSchema | Any: ...
    @property
    def allow_unknown(self) -> bool | Mapping[str, Any]: ...
    def validate(
        self,
        document: Mapping[str, Any],
        schema: Mapping[str, Any] | None = None,
        update: bool = False,
        normalize: bool = True,
    ) -> bool: ...
    def _error(self, *args: Any) -> None: ...
    def _get_child_validator(self, document_crumb: Any = None, schema_crumb: Any = None, **kwargs: Any) -> Self: ...
    def _drop_remaining_rules(self, *rules: str) -> None: ...
    def _validate_schema(self, schema: Mapping[str, Any], field: Any, value: Any) -> None: ...
    def _validate_maxlength(self, max_length: int, field: Any, value: Any) -> None: ...

# Collects the rules of a class from its methods.
class InspectedValidator(type):
    def __new__(cls, *args: Any) -> InspectedValidator: ...
    def __init__(cls, *args: Any) -> None: ...

class Validator(BareValidator, metaclass=InspectedValidator): ...
