"""Cerberus schemas as JSON Schema (2020-12), the schema language of OpenAPI 3.1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.shape import Shape

Json = dict[str, Any]

_TYPES = {
    "string": "string",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "dict": "object",
    "list": "array",
}
# The keyword of a rule depends on the type.
_LENGTHS = {"string": "Length", "list": "Items", "dict": "Properties"}
_BOUNDS = {"min": "minimum", "max": "maximum"}
_READ = {
    *("type", "nullable", "required", "allowed", "min", "max", "minlength", "maxlength"),
    *("schema", "allow_unknown", "keysrules", "valuesrules", "check_with", "meta"),
}


def of_shape(shape: Shape) -> Json:
    """A body's shape, with the rules that concern several fields."""
    found = _object(shape.schema, shape.open)
    together = [rule.schema for rule in shape.rules if rule.schema]
    return {**found, "allOf": together} if together else found


def of_rules(rules: Mapping[str, Any], open: bool = False) -> Json:
    """The rules of one value. Raises ValueError for a rule that cannot be said in JSON Schema.

    Args:
        open: whether objects inside may have unknown fields, unless they say otherwise.
    """
    unknown = set(rules) - _READ
    if unknown:
        raise ValueError(f"no JSON Schema for {', '.join(sorted(unknown))}")
    kinds = rules["type"] if isinstance(rules["type"], list) else [rules["type"]]
    types = [_TYPES[kind] for kind in kinds] + (["null"] if rules.get("nullable") else [])
    found: Json = {"type": types if len(types) > 1 else types[0], **rules.get("meta", {})}
    if "allowed" in rules:
        found["enum"] = [*rules["allowed"], *([None] if rules.get("nullable") else [])]
    found |= {keyword: rules[rule] for rule, keyword in _BOUNDS.items() if rule in rules}
    for kind, noun in _LENGTHS.items():
        if kind in kinds:
            found |= {f"{rule[:3]}{noun}": rules[rule] for rule in ("minlength", "maxlength") if rule in rules}
    if "list" in kinds and "schema" in rules:
        found["items"] = of_rules(rules["schema"], open)
    elif "dict" in kinds:
        found = {**_members(rules, rules.get("allow_unknown", open)), **found}
    checks = rules.get("check_with", [])
    return _all_of([found, *(check.schema for check in (checks if isinstance(checks, list) else [checks]))])


def _members(rules: Mapping[str, Any], open: bool) -> Json:
    if "schema" in rules:
        return _object(rules["schema"], open)
    found: Json = {}
    if "keysrules" in rules:
        found["propertyNames"] = of_rules(rules["keysrules"])
    if "valuesrules" in rules:
        found["additionalProperties"] = of_rules(rules["valuesrules"], open)
    return found


def _object(schema: Mapping[str, Any], open: bool) -> Json:
    needed = [name for name, rules in schema.items() if rules.get("required")]
    return {
        "type": "object",
        "properties": {name: of_rules(rules, open) for name, rules in schema.items()},
        **({"required": needed} if needed else {}),
        "additionalProperties": open,
    }


def _all_of(schemas: list[Json]) -> Json:
    """One schema that says what all of these say."""
    whole: Json = {}
    others: list[Json] = []
    for schema in schemas:
        if whole.keys().isdisjoint(schema):
            whole |= schema
        else:
            others.append(schema)
    return {**whole, "allOf": others} if others else whole
