"""The shape that a document must have: a Cerberus schema, compiled once, checked with a new validator each time.

Each check does bounded work on any document: it stops at `MAX_ERRORS`, and does not check inside a value that is too
long. Cerberus itself sorts all errors at each new one, and compares every item of a list that is too long.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sized
from typing import Any

from cerberus import TypeDefinition, Validator, errors

from contracts.errors import InvalidRequest

Json = dict[str, Any]

MAX_ERRORS = 50
# Callers choose the names of fields: errors show longer names cut.
MAX_NAME = 100
# Keys and values of one document; the largest legitimate one of most routes, a product, has about 200.
MAX_VALUES = 1_000

_MESSAGES = {
    **errors.BasicErrorHandler.messages,
    # Cerberus would quote the whole value.
    errors.UNALLOWED_VALUE.code: "must be one of {constraint}",
}


class Check:
    """A rule for one value that Cerberus does not have, in Python and in JSON Schema.

    Args:
        fault: what is wrong with a value; None when nothing is.
        kinds: the types it concerns. Cerberus also calls it for null and for values of another type, which its other
            rules report.
        schema: what JSON Schema can say of the same.
    """

    def __init__(self, fault: Callable[[Any], str | None], kinds: type | tuple[type, ...] = str, **schema: Any) -> None:
        self._fault = fault
        self._kinds = kinds
        self.schema: Json = schema

    def __call__(self, field: str, value: Any, error: Callable[[str, str], None]) -> None:
        """As Cerberus calls its `check_with`."""
        if isinstance(value, self._kinds) and (fault := self._fault(value)) is not None:
            error(field, fault)


class Rule:
    """A rule for several fields together, in Python and in JSON Schema.

    Args:
        find: takes a document in which each field alone is right; returns errors by field.
        schema: what JSON Schema can say of the same.
    """

    def __init__(self, find: Callable[[Json], Json], schema: Json) -> None:
        self.find = find
        self.schema = schema


def rule(schema: Json | None = None) -> Callable[[Callable[[Json], Json]], Rule]:
    """Decorate a function to make it a `Rule` that `schema` says in JSON Schema, as far as it can."""
    return lambda find: Rule(find, schema or {})


def said(**schema: Any) -> Check:
    """A rule for one value that JSON Schema says and a service checks, where all that it needs is known."""
    return Check(lambda _value: None, object, **schema)


def said_rule(schema: Json) -> Rule:
    """A rule for several fields together that `schema` says and a service checks."""
    return Rule(lambda _document: {}, schema)


class _Enough(Exception):
    """No further error is listed."""


class _Validator(Validator):
    """Records each error of a field once, with its path, in `found`, which the validators of all levels share."""

    # Python's True is an int; JSON's true is not a number.
    types_mapping = {**Validator.types_mapping, "integer": TypeDefinition("integer", (int,), (bool,))}
    priority_validations = (*Validator.priority_validations, "minlength", "maxlength")

    def _error(self, field: Any, error: Any, *info: Any) -> None:
        if isinstance(error, str):
            message = error
        else:
            constraint = self.schema[field].get(error.rule) if error.rule and field in self.schema else None
            if isinstance(constraint, list):
                constraint = " or ".join(constraint)
            message = _MESSAGES[error.code].format(*info, constraint=constraint, field=field)
        self._note((*self.document_path, field), message)

    def _note(self, path: tuple[Any, ...], message: str) -> None:
        found = self._config["found"]
        found.append((path, message))
        if len(found) >= MAX_ERRORS:
            raise _Enough

    def _validate_schema(self, schema: Mapping[str, Any], field: Any, value: Any) -> None:
        """{'type': 'dict', 'anyof': [{'check_with': 'schema'}, {'check_with': 'bulk_schema'}]}"""
        if not isinstance(value, list) or schema.get("type") != "dict":
            super()._validate_schema(schema, field, value)
            return
        # One validator for all dicts of a list. Cerberus makes one for each, which is half of each one's cost.
        child = self._get_child_validator(
            schema=schema["schema"], allow_unknown=schema.get("allow_unknown", self.allow_unknown)
        )
        for place, item in enumerate(value):
            child.document_path = (*self.document_path, field, place)
            if isinstance(item, dict):
                child.validate(item, normalize=False)
            else:
                self._note((*self.document_path, field, place), "must be of dict type")

    def _validate_maxlength(self, most: int, field: Any, value: Any) -> None:
        """{'type': 'integer'}"""
        if isinstance(value, Sized) and len(value) > most:
            self._error(field, errors.MAX_LENGTH)
            self._drop_remaining_rules()


class Shape:
    """The required shape of a request's body or query.

    Args:
        schema: the Cerberus schema, field -> rules.
        open: True lets unknown fields pass (an order as Stripe sends it); they are refused otherwise.
        rules: what concerns several fields together.
        most_values: how many keys and values a document may have.
    """

    def __init__(
        self,
        schema: dict[str, Any],
        open: bool = False,
        rules: tuple[Rule, ...] = (),
        most_values: int = MAX_VALUES,
    ) -> None:
        self.schema = schema
        self.most_values = most_values
        self.open = open
        self.rules = rules
        self._compiled = Validator(schema).schema

    def knows(self, field: str) -> bool:
        """Whether `field` is one of its fields."""
        return field in self.schema

    def check(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return `document` if it has this shape.

        Raises InvalidRequest, whose `errors` map each field to its messages, nested as the document is.
        """
        # A validator keeps the state of its document, and many threads check at once: each check has its own.
        found: list[tuple[tuple[Any, ...], str]] = []
        with contextlib.suppress(_Enough):
            _Validator(self._compiled, allow_unknown=self.open, found=found).validate(document, normalize=False)
        if found:
            raise invalid(_nested(found))
        for each in self.rules:
            wrong = each.find(document)
            if wrong:
                raise invalid(wrong)
        return document


def invalid(errors: dict[str, Any]) -> InvalidRequest:
    """The error that lists these errors, at most `MAX_ERRORS` of them."""
    listed, _ = _first(errors, MAX_ERRORS)
    return InvalidRequest("The request does not have the shape that is asked for; see `errors`.", {"errors": listed})


def named(field: Any) -> str:
    """A field's name as errors show it."""
    name = str(field)
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"


def _nested(found: list[tuple[tuple[Any, ...], str]]) -> dict[str, Any]:
    """`[(("a", "b"), m)]` -> `{"a": {"b": [m]}}`. An error inside a value hides errors of the whole value."""
    whole: dict[str, Any] = {}
    for path, message in sorted(found, key=lambda error: len(error[0]), reverse=True):
        place = whole
        for name in path[:-1]:
            place = place.setdefault(named(name), {})
        messages = place.setdefault(named(path[-1]), [])
        if isinstance(messages, list):
            messages.append(message)
    return whole


def _first(errors: dict[str, Any], most: int) -> tuple[dict[str, Any], int]:
    """The first `most` messages of `errors`, and how many more there could be."""
    kept: dict[str, Any] = {}
    for field, value in errors.items():
        if most <= 0:
            break
        if isinstance(value, dict):
            kept[field], most = _first(value, most)
        else:
            kept[field] = value[:most]
            most -= len(kept[field])
    return kept, most
