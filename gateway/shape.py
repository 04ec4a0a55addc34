"""A shape that a document must have: a Cerberus schema, compiled once, checked with a fresh validator each time.

A validator keeps the state of its last document, and many threads check at once: so one per check. Compiling the
schema is what costs (milliseconds); that is shared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cerberus import TypeDefinition, Validator

from contracts.errors import InvalidRequest

Rule = Callable[[dict[str, Any]], dict[str, Any]]


class _Validator(Validator):
    # Python's True is an int; JSON's true is not a number.
    types_mapping = {**Validator.types_mapping, "integer": TypeDefinition("integer", (int,), (bool,))}


class Shape:
    """What a request's body or query must look like.

    Args:
        schema: the Cerberus schema, field -> rules.
        open: True lets unknown fields pass (an order as Stripe sends it); they are refused otherwise.
        rules: each takes a document of the right shape and gives the errors that concern several fields together.
    """

    def __init__(self, schema: dict[str, Any], open: bool = False, rules: tuple[Rule, ...] = ()) -> None:
        self.schema = schema
        self._open = open
        self._rules = rules
        self._compiled = _Validator(schema).schema

    def knows(self, field: str) -> bool:
        """Whether `field` is one of its fields."""
        return field in self.schema

    def check(self, document: dict[str, Any]) -> dict[str, Any]:
        """Give `document` back when it has this shape.

        Raises InvalidRequest, whose `errors` map each field to its messages, nested as the document is.
        """
        validator = _Validator(self._compiled, allow_unknown=self._open)
        if not validator.validate(document, normalize=False):
            raise invalid(_nested(validator.errors))
        for rule in self._rules:
            errors = rule(document)
            if errors:
                raise invalid(errors)
        return document


def invalid(errors: dict[str, Any]) -> InvalidRequest:
    """The failure that tells these errors."""
    return InvalidRequest("The request does not have the shape that is asked for; see `errors`.", {"errors": errors})


def _nested(errors: Any) -> Any:
    """Cerberus' errors without the list that it wraps each level in: `{"a": [{"b": [m]}]}` -> `{"a": {"b": [m]}}`."""
    told: dict[str, Any] = {}
    for field, found in errors.items():
        deeper = [each for each in found if isinstance(each, dict)]
        if deeper:
            told[str(field)] = {name: messages for each in deeper for name, messages in _nested(each).items()}
        else:
            told[str(field)] = found
    return told
