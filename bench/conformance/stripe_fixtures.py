"""Stripe's answers against its published fixtures: one example of each resource, from which no field may be absent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bench.conformance.stripe_types import Body

# Objects whose names the merchant chooses, and those of an event, of which the fixture shows one kind.
FREE = frozenset(("metadata", "evidence", "object"))


def check(resources: dict[str, Any], found: Sequence[Body]) -> tuple[int, list[str]]:
    """Return how many bodies had a fixture, and the fields that bodies lack, each once."""
    compared = 0
    absent: dict[str, str] = {}
    for body in found:
        kind = body.body.get("object") if isinstance(body.body, dict) else None
        fixture = resources.get(f"deleted_{kind}" if body.body.get("deleted") else str(kind)) if kind else None
        if fixture is None or body.is_partial:
            continue
        compared += 1
        for path in _absent(fixture, body.body, ""):
            absent.setdefault(f"{kind}{path}", body.source)
    return compared, [f"{path} is absent [{source}]" for path, source in sorted(absent.items())]


def _absent(fixture: dict[str, Any], body: dict[str, Any], path: str) -> Iterator[str]:
    for name, value in fixture.items():
        if name not in body:
            yield f"{path}.{name}"
        elif isinstance(value, dict) and isinstance(body[name], dict) and name not in FREE:
            yield from _absent(value, body[name], f"{path}.{name}")
