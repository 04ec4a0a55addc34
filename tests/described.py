"""Whether an answer is one that `/openapi.json` describes."""

from __future__ import annotations

import re
from typing import Any

import requests
from jsonschema import Draft202012Validator


class Description:
    """The OpenAPI document of a running shop."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        found = [(re.sub(r"\{\w+\}", "[^/]+", path.rstrip("/")), path) for path in document["paths"]]
        # A literal part wins over a parameter.
        self._paths = [(re.compile(pattern), path) for pattern, path in sorted(found, key=lambda each: "[" in each[0])]
        self._validators: dict[tuple[str, str, str], Draft202012Validator] = {}

    def complaint(self, answer: requests.Response) -> str:
        """What the description does not say of an answer; "" when it says everything, or does not know the route."""
        method = str(answer.request.method).lower()
        path = str(answer.request.path_url).partition("?")[0].rstrip("/")
        known = next((url for pattern, url in self._paths if pattern.fullmatch(path)), "")
        operation = self.document["paths"].get(known, {}).get(method)
        if operation is None:
            return ""
        here, status = f"{method.upper()} {known}", str(answer.status_code)
        if status not in operation["responses"]:
            return f"{here}: {status} is not described: {answer.text[:500]}"
        kind = answer.headers.get("Content-Type", "").partition(";")[0]
        response = self._resolved(operation["responses"][status])
        if kind not in response["content"]:
            return f"{here}: {status} as {kind!r}"
        schema = response["content"][kind].get("schema")
        if schema is None:
            return ""
        place = (known, method, status)
        if place not in self._validators:
            self._validators[place] = Draft202012Validator({**schema, "components": self.document["components"]})
        errors = self._validators[place].iter_errors(answer.json())
        return "; ".join(f"{here}: {status}: {error.json_path}: {error.message[:500]}" for error in errors)

    def _resolved(self, response: dict[str, Any]) -> dict[str, Any]:
        name = response.get("$ref", "").rpartition("/")[2]
        found: dict[str, Any] = self.document["components"]["responses"][name] if name else response
        return found
