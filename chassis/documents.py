"""Reading untrusted JSON within bounds: its size is known, and its values are counted before parsing."""

from __future__ import annotations

from typing import Any

import orjson

# The API's deepest document is a Stripe event around an order: 7. Recursive code after this check is safe.
MAX_DEPTH = 32
# A webhook's signature header: Stripe's has about 150 characters while two secrets are valid.
MAX_SIGNATURE_LENGTH = 2_000
# The id of an object at a provider; theirs have at most 100 characters.
MAX_ID_LENGTH = 255


class Unbounded(ValueError):
    """The document is larger or deeper than expected, or contains something that the databases cannot store."""


def read_document(raw: bytes, most_values: int) -> Any:
    """The value of the JSON in `raw`.

    Args:
        most_values: how many keys and values it may have.

    Raises ValueError: it is not JSON; Unbounded: it is too large, too deep, or has a NUL character.
    """
    count_names(raw, most_values)
    document = orjson.loads(raw)
    check_depth(raw, document)
    return document


def is_id(value: Any) -> bool:
    """Whether `value` can be an object's id at a provider: a short text without hidden characters."""
    return isinstance(value, str) and 0 < len(value) <= MAX_ID_LENGTH and value.isprintable()


def count_names(raw: bytes, most: int) -> int:
    """How many names the JSON in `raw` has, repeated ones included.

    They are counted in the bytes: parsing a million values is the very cost that a refusal must avoid.

    Raises Unbounded when there are more than `most` keys and values.
    """
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in raw else raw
    if plain.count(b'"') <= 2 * most:
        outside = b"".join(plain.split(b'"')[::2])  # what is between the strings
        names = outside.count(b":")
        # Each value except the first follows a comma or opens a list or an object; so does each name, before a colon.
        if outside.count(b",") + outside.count(b"[") + outside.count(b"{") + names <= most:
            return names
    raise Unbounded(f"The body has more than {most} keys and values.")


def check_depth(raw: bytes, document: Any) -> int:
    """How many names the objects in `document`, read from `raw`, have.

    Raises Unbounded for nesting that recursive code cannot follow, and for NUL characters, which PostgreSQL cannot
    store.
    """
    may_have_nul = b"\\u0000" in raw
    names = 0
    level = [document]
    for _ in range(MAX_DEPTH):
        if may_have_nul and any(_has_nul(node) for node in level):
            raise Unbounded("A text has a NUL character.")
        names += sum(len(node) for node in level if isinstance(node, dict))
        level = [child for node in level for child in _children(node)]
        if not level:
            return names
    raise Unbounded(f"The body is nested deeper than {MAX_DEPTH} levels.")


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []


def _has_nul(node: Any) -> bool:
    if isinstance(node, str):
        return "\0" in node
    return isinstance(node, dict) and any("\0" in name for name in node)
