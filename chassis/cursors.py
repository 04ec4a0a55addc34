"""Cursors: where a page of a list ended, so that the next one continues there, even if the list has changed.

A cursor carries the sort key and the id of the page's last element, because the element itself may have moved or gone.
It is opaque to callers: base64url of JSON, prefixed with the version and a dot, which no id contains.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from dataclasses import dataclass
from typing import Final

from contracts.errors import InvalidRequest, wrong_field

VERSION: Final = "c1."
LONGEST: Final = 2000
_LARGEST: Final = 2**63 - 1  # what an integer column holds

Key = str | int | float | None


@dataclass(frozen=True)
class Cursor:
    """A place in a list.

    Attributes:
        order: the list's sort order, as its caller names it.
        key: the last element's sort key; None when it has none.
        id: the last element's.
    """

    order: str
    key: Key
    id: str

    def text(self) -> str:
        """The cursor as callers receive it."""
        packed = json.dumps([self.order, self.key, self.id], ensure_ascii=False, separators=(",", ":")).encode()
        return VERSION + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def place(starting_after: str | None, order: str, kind: type[str] | type[int] | type[float]) -> Cursor | str | None:
    """The meaning of a caller's `starting_after`: a cursor, an element's id, or None for the first page.

    Args:
        order: how the list is ordered now.
        kind: the type of its sort keys.

    Raises InvalidRequest for a cursor that this shop has not made, or made for another order.
    """
    if starting_after is None or not starting_after.startswith(VERSION):
        return starting_after
    cursor = _read(starting_after, kind)
    if cursor is None:
        raise _invalid("is no cursor of this list")
    if cursor.order != order:
        raise _invalid(f"is the cursor of a list ordered by {cursor.order[:50]}")
    return cursor


def _read(text: str, kind: type[str] | type[int] | type[float]) -> Cursor | None:
    if len(text) > LONGEST:
        return None
    packed = text.removeprefix(VERSION)
    try:
        found = json.loads(base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return None
    if not isinstance(found, list) or len(found) != 3:
        return None
    order, key, name = found
    if not (_is_text(order) and _is_text(name) and name):
        return None
    return Cursor(order, key, name) if key is None or _is_key(key, kind) else None


def _is_key(key: object, kind: type[str] | type[int] | type[float]) -> bool:
    if kind is str:
        return _is_text(key)
    if isinstance(key, bool) or not isinstance(key, int | float) or (kind is int and not isinstance(key, int)):
        return False
    return math.isfinite(key) and abs(key) <= _LARGEST


def _is_text(value: object) -> bool:
    """Whether both databases accept it in a query."""
    return isinstance(value, str) and "\0" not in value and not any("\ud800" <= each <= "\udfff" for each in value)


def _invalid(message: str) -> InvalidRequest:
    return wrong_field("starting_after", message, f"starting_after {message}.")
