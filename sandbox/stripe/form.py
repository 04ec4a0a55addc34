"""Stripe's request encoding: converts form pairs with bracketed names to dictionaries."""

from __future__ import annotations

import re
from typing import Any

from sandbox.stripe.errors import invalid

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART = re.compile(r"\[([^\[\]]*)\]")
_MAX_PAIRS = 1000


def unfold(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """The parameters of `pairs`: `a[b]=1` -> {"a": {"b": "1"}}, `a[0]=x` and `a[]=x` -> {"a": {"0": "x"}}.

    Values stay strings; only the parameter's type determines what is a list. StripeFailure (400) when a name is
    malformed or is used in two ways.
    """
    if len(pairs) > _MAX_PAIRS:
        raise invalid(f"Too many parameters: {len(pairs)}.")
    tree: dict[str, Any] = {}
    for name, value in pairs:
        match = _NAME.fullmatch(name)
        if match is None:
            raise invalid(f"Invalid parameter name: {name}", param=name[:100])
        keys = [match.group(1), *_PART.findall(match.group(2))]
        node = tree
        for depth, key in enumerate(keys[:-1]):
            child = node.setdefault(_slot(node, key, depth), {})
            if not isinstance(child, dict):
                raise invalid(f"Invalid object: {keys[0]} is used both as a value and as an object", param=keys[0])
            node = child
        slot = _slot(node, keys[-1], len(keys) - 1)
        if isinstance(node.get(slot), dict):
            raise invalid(f"Invalid object: {keys[0]} is used both as a value and as an object", param=keys[0])
        node[slot] = value
    return tree


def _slot(node: dict[str, Any], key: str, depth: int) -> str:
    """Convert `a[]` to the next free index of the list."""
    return str(len(node)) if key == "" and depth > 0 else key


def flat(parameters: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Return the sorted (bracketed name, value) pairs of parameters, to compare two requests."""
    if not isinstance(parameters, dict):
        return [(prefix, str(parameters))]
    items = ((f"{prefix}[{key}]" if prefix else key, value) for key, value in parameters.items())
    return sorted(pair for name, value in items for pair in flat(value, name))
