"""Twilio's and SendGrid's answers against their published OpenAPI descriptions, with `openapi-schema-validator`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openapi_schema_validator import OAS30Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from bench.conformance.exchanges import Exchange

FILES = {"twilio": "twilio-messages-v2010.openapi.json", "sendgrid": "sendgrid-mail-v3.openapi.json"}


class Description:
    """One OpenAPI description."""

    def __init__(self, path: Path) -> None:
        self.document: dict[str, Any] = json.loads(path.read_text())
        self._registry: Registry[Any] = Registry().with_resource(
            "urn:description", Resource.from_contents(self.document, default_specification=DRAFT202012)
        )

    def operation(self, method: str, path: str) -> dict[str, Any] | None:
        """Return the operation of a request, or None when it is not described."""
        for template, methods in self.document["paths"].items():
            pattern = "".join(
                re.escape(piece) if place % 2 == 0 else "[^/]+"
                for place, piece in enumerate(re.split(r"\{(\w+)\}", template))
            )
            found: dict[str, Any] | None = methods.get(method.lower())
            if found is not None and re.fullmatch(pattern, path):
                return found
        return None

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return a schema without a reference at its top."""
        while "$ref" in schema:
            target: Any = self.document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                target = target[part.replace("~1", "/").replace("~0", "~")]
            schema = target
        return schema

    def errors(self, schema: dict[str, Any], body: Any) -> list[str]:
        """Return what is wrong with a body: a wrong type, enum, format or pattern, or a missing member."""
        rooted = {"$ref": f"urn:description{schema['$ref']}"} if "$ref" in schema else _absolute(schema)
        validator = OAS30Validator(rooted, registry=self._registry)
        return [f"{'.'.join(map(str, each.absolute_path))}: {each.message}" for each in validator.iter_errors(body)]


def _absolute(schema: Any) -> Any:
    """Return a schema whose references name the description."""
    if isinstance(schema, dict):
        return {
            name: f"urn:description{value}" if name == "$ref" and value.startswith("#") else _absolute(value)
            for name, value in schema.items()
        }
    return [_absolute(each) for each in schema] if isinstance(schema, list) else schema


def check(description: Description, exchanges: Sequence[Exchange]) -> tuple[int, list[str], list[str]]:
    """Return how many answers were compared, the differences, and the answers that the description does not have."""
    compared, differences, unknown = 0, [], set()
    for exchange in exchanges:
        operation = description.operation(exchange.method, exchange.path)
        answer = (operation or {}).get("responses", {}).get(str(exchange.status))
        if operation is None or answer is None:
            path = re.sub(r"(AC|SM|MM)[0-9a-f]{32}", r"{\1}", exchange.path)
            unknown.add(f"{exchange.method} {path} {exchange.status}")
            continue
        compared += 1
        answer = description.resolved(answer)
        content = answer.get("content") or {}
        schema = next((media.get("schema") for name, media in content.items() if "json" in name), None)
        if schema is None:
            if exchange.text and not content:
                differences.append(f"{exchange}: a body, though none is described")
            continue
        missing = _missing(description, schema, exchange.body, "")
        differences += [f"{exchange}: {what}" for what in (*description.errors(schema, exchange.body), *missing)]
        for name in answer.get("headers", {}):
            if name.lower() not in {each.lower() for each in exchange.headers} and not name.startswith("Access-"):
                differences.append(f"{exchange}: no header {name}")
    return compared, differences, sorted(unknown)


def _missing(description: Description, schema: dict[str, Any], body: Any, path: str) -> list[str]:
    """Return the described members that an object lacks, and those that it has besides.

    Neither description names required members of answers, though each of them is always there.
    """
    schema = description.resolved(schema)
    if isinstance(body, dict) and isinstance(schema.get("properties"), dict):
        known = schema["properties"]
        found = [f"{path}.{name} is absent" for name in known if name not in body]
        found += [f"{path}.{name} is not described" for name in body if name not in known]
        for name in known.keys() & body.keys():
            found += _missing(description, known[name], body[name], f"{path}.{name}")
        return found
    if isinstance(body, list) and isinstance(schema.get("items"), dict):
        return [what for each in body for what in _missing(description, schema["items"], each, f"{path}[]")]
    return []
