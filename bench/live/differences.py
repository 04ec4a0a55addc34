"""Where two answers to the same request differ: in members, types and values of enums, but not in ids and texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from bench.conformance.coverage import template_of
from bench.conformance.exchanges import Exchange
from bench.conformance.sandbox_process import routes

# Members whose text is one of a few, so that another one matters.
ENUMS = frozenset(
    """
    brand cancellation_reason capture_method carrier case_type code confirmation_method currency decline_code direction
    distance_unit duration error_code field funding mass_unit mode network network_status object object_state param
    payment_method_types provider reason risk_level state status submission_method tax_behavior
    taxability_reason type
    """.split()  # noqa: SIM905 - a list of names reads better so
)
# Objects whose members the caller chooses.
FREE = frozenset(("metadata", "custom_args", "parameters"))
# How the values of enums look; ids and codes of discounts have digits.
_ENUM = re.compile(r"[a-z_.]+|[A-Z_]+")
# The shop's ids.
_ID = re.compile(r"\b[a-z]{2,4}_\w{8,}\b|\b[0-9a-f]{32}\b")


def compared(real: Sequence[Exchange], ours: Sequence[Exchange]) -> list[str]:
    """Return what differs, once each; `real` and `ours` are of the same tour."""
    found: dict[str, None] = {}
    for chapter in dict.fromkeys(each.chapter for each in (*real, *ours)):
        theirs = [each for each in real if each.chapter == chapter]
        mine = [each for each in ours if each.chapter == chapter]
        for one, other in zip(theirs, mine, strict=False):
            where = f"{one.provider}, {chapter}: {one.method} {anonymous(one)}"
            if (one.method, anonymous(one)) != (other.method, anonymous(other)):
                found[f"{where}: the tours part here: the sandbox got {other.method} {anonymous(other)}"] = None
                break
            if one.status != other.status:
                found[f"{where}: status {one.status}, {other.status} in the sandbox"] = None
            found.update(dict.fromkeys(f"{where}: {what}" for what in differences(one.body, other.body)))
        if len(theirs) != len(mine):
            found[f"{chapter}: {len(theirs)} requests, {len(mine)} at the sandbox"] = None
    return list(found)


def anonymous(exchange: Exchange) -> str:
    """Return the path of a request without ids: as the route of the sandbox that serves it."""
    known = _routes().get(exchange.provider, ())
    return template_of(known, exchange.method, exchange.path) or _ID.sub("{id}", exchange.path)


@lru_cache
def _routes() -> Mapping[str, Sequence[tuple[str, str]]]:
    return routes()


def differences(real: Any, ours: Any, path: str = "") -> Iterator[str]:
    """Yield where two JSON values differ. Of a list the first items are compared: they are the newest."""
    name = path.rpartition(".")[2].rstrip("[]")
    kinds = _kind(real), _kind(ours)
    if kinds[0] != kinds[1]:
        yield f"{path or 'the body'} is {kinds[0]}, {kinds[1]} in the sandbox"
    elif isinstance(real, dict):
        if name in FREE:
            return
        for member in dict.fromkeys((*real, *ours)):
            if member not in ours:
                yield f"{path}.{member} is absent in the sandbox"
            elif member not in real:
                yield f"{path}.{member} is only in the sandbox"
            else:
                yield from differences(real[member], ours[member], f"{path}.{member}")
    elif isinstance(real, list):
        if real and ours:
            yield from differences(real[0], ours[0], f"{path}[]")
    elif isinstance(real, str) and name in ENUMS and real != ours and (_ENUM.fullmatch(real) or _ENUM.fullmatch(ours)):
        yield f"{path} is {real!r}, {ours!r} in the sandbox"


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "list" if isinstance(value, list) else "object"
