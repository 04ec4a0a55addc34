"""What the four providers have in common: a call, an answer, and a table of routes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import parse_qsl

import orjson

from sandbox.state import State


class Answer(NamedTuple):
    """A provider's answer: HTTP status, body, headers."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


@dataclass
class Call:
    """One request to a provider.

    method, path: the path is the provider's own ("/v1/products"). query, body: as sent. headers: case-insensitive.
    base: the provider's own address, for links. public_url: the sandbox's, for pages and labels.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    base: str
    public_url: str
    arguments: dict[str, str] = field(default_factory=dict)

    def query_pairs(self) -> list[tuple[str, str]]:
        """The query's (name, value) pairs in order, blank values included."""
        return parse_qsl(self.query, keep_blank_values=True)


def json_answer(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer with a JSON body."""
    return Answer(status, orjson.dumps(body), {"Content-Type": "application/json", **(headers or {})})


Handler = TypeVar("Handler")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Routes(Generic[Handler]):
    """Which handler serves which method and path; a path may contain {names}, each of one segment."""

    def __init__(self) -> None:
        self._plain: dict[str, dict[str, Handler]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Handler]]] = []
        self._by_path: dict[str, dict[str, Handler]] = {}

    def add(self, method: str, path: str, handler: Handler) -> None:
        """Register `handler` for `method` on `path`; if two patterns match a path, the first added wins."""
        methods = self._by_path.get(path)
        if methods is None:
            methods = self._by_path[path] = {}
            if "{" in path:
                pieces = (
                    re.escape(piece) if i % 2 == 0 else f"(?P<{piece}>[^/]+)"
                    for i, piece in enumerate(_PLACEHOLDER.split(path))
                )
                self._patterns.append((re.compile("".join(pieces)), methods))
            else:
                self._plain[path] = methods
        methods[method] = handler

    def table(self) -> list[tuple[str, str]]:
        """Return the (method, path) pairs, as they were added."""
        return [(method, path) for path, methods in self._by_path.items() for method in methods]

    def find(self, method: str, path: str) -> tuple[Handler | None, dict[str, str], list[str]]:
        """Return the handler (None: no such route), the path's arguments, and the methods that the path allows."""
        methods, arguments = self._plain.get(path), {}
        if methods is None:
            for pattern, candidate in self._patterns:
                match = pattern.fullmatch(path)
                if match:
                    methods, arguments = candidate, match.groupdict()
                    break
        if methods is None:
            return None, {}, []
        return methods.get(method), arguments, sorted(methods)


class Provider:
    """One provider behind the sandbox. The server calls, in this order: refuse, hold, answer, release."""

    name: str

    def __init__(self, state: State) -> None:
        self.state = state

    def routes(self) -> list[tuple[str, str]]:
        """Return the (method, path) pairs that this provider serves, with {names} in the paths."""
        raise NotImplementedError(self.name)

    def refuse(self, call: Call) -> Answer | None:
        """Return the error for a call whose key is missing or wrong, else None."""
        raise NotImplementedError(self.name)

    def hold(self, call: Call) -> Answer | None:
        """Lock what the call needs exclusively; return an answer when another call holds it."""
        return None

    def release(self, call: Call) -> None:
        """Release what `hold` locked."""

    def answer(self, call: Call) -> Answer:
        """Process the call completely, and return the answer."""
        raise NotImplementedError(self.name)

    def saved_error(self, call: Call, message: str, *, done: bool) -> Answer:
        """Answer 500, and do the work all the same when `done`. A provider with idempotency keys saves this answer."""
        if done:
            self.answer(call)
        return self.failure(500, message)

    def failure(self, status: int, message: str) -> Answer:
        """Return a failure of the provider itself (a bug, or an injected one), in the provider's own format."""
        raise NotImplementedError(self.name)
