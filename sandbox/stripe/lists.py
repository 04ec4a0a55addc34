"""Stripe's list answers: cursor pagination, `created` ranges, and the expansion of references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from sandbox.state import State, without_private
from sandbox.stripe.errors import invalid

# Which field refers to which kind of object.
_REFERENCES = {
    "product": "product",
    "default_price": "price",
    "latest_charge": "charge",
    "charge": "charge",
    "payment_method": "payment_method",
    "payment_intent": "payment_intent",
    "coupon": "coupon",
}
# Fields that an answer contains only when they are expanded, and stored objects under a private name.
_INCLUDABLE = ("applies_to",)
_DEEPEST = 4


def page(
    state: State,
    kind: str,
    url: str,
    asked: Mapping[str, Any],
    where: Mapping[str, str | Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Return a page of the objects of `kind` that match `where`, newest first, as Stripe's list object.

    asked: the request's limit (1…100, default 10), starting_after or ending_before, and `created`.
    """
    limit, cursor, backwards = _bounds(asked)
    place = None
    if cursor is not None:
        place = state.place(kind, cursor)
        if place is None:
            raise invalid(f"No such {kind}: '{cursor}'", _cursor_name(backwards), "resource_missing")
    created = asked.get("created")
    each = state.each(
        kind,
        where,
        before=None if backwards else place,
        after=place if backwards else None,
        oldest_first=backwards,
        limit=-1 if created else limit + 1,
    )
    found = list(islice((body for body in each if not created or _within(body["created"], created)), limit + 1))
    has_more = len(found) > limit
    data = found[:limit]
    if backwards:
        data.reverse()
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def page_of(items: Sequence[dict[str, Any]], url: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return a page of objects that are part of another one, in their own order, as Stripe's list object."""
    limit, cursor, backwards = _bounds(asked)
    places = {item["id"]: place for place, item in enumerate(items)}
    if cursor is not None and cursor not in places:
        raise invalid(f"No such item: '{cursor}'", _cursor_name(backwards), "resource_missing")
    if backwards:
        before = items[: places[cursor]]
        return {"object": "list", "data": before[-limit:], "has_more": len(before) > limit, "url": url}
    after = items[places[cursor] + 1 :] if cursor is not None else items
    return {"object": "list", "data": after[:limit], "has_more": len(after) > limit, "url": url}


def _bounds(asked: Mapping[str, Any]) -> tuple[int, str | None, bool]:
    """Return the page's limit, its cursor, and whether it ends before the cursor."""
    limit = asked.get("limit", 10)
    if not 1 <= limit <= 100:
        bound = "greater than or equal to 1" if limit < 1 else "less than or equal to 100"
        raise invalid(f"This value must be {bound} (got {limit}).", "limit", "parameter_invalid_integer")
    if "starting_after" in asked and "ending_before" in asked:
        raise invalid(
            "You can only provide one of these parameters: starting_after, ending_before.", code="parameters_exclusive"
        )
    backwards = "ending_before" in asked
    return limit, asked.get(_cursor_name(backwards)), backwards


def _cursor_name(backwards: bool) -> str:
    return "ending_before" if backwards else "starting_after"


def _within(moment: int, bounds: Mapping[str, int]) -> bool:
    return (
        moment > bounds.get("gt", -1)
        and moment >= bounds.get("gte", 0)
        and moment < bounds.get("lt", 1 << 60)
        and moment <= bounds.get("lte", 1 << 60)
    )


def expanded(state: State, body: dict[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    """Return `body` with the references of `paths` ("latest_charge", "data.product") replaced by their objects."""
    for path in paths:
        steps = path.split(".")
        if len(steps) > _DEEPEST:
            raise invalid(f"You cannot expand more than {_DEEPEST} levels of a property: {path}", "expand")
        _expand(state, body, steps, path)
    return body


def _expand(state: State, body: Any, steps: Sequence[str], path: str) -> None:
    if not steps:
        return
    step, rest = steps[0], steps[1:]
    if step == "data" and isinstance(body.get("data"), list):
        for item in body["data"]:
            _expand(state, item, rest, path)
        return
    if step == "promotion" and isinstance(body.get(step), dict):  # an object that contains a reference
        _expand(state, body[step], rest, path)
        return
    if step in _INCLUDABLE:
        included = (state.get(body["object"], body["id"]) or {}).get(f"_{step}")
        if included is not None:
            body[step] = included
        return
    kind = _REFERENCES.get(step)
    if kind is None or step not in body:
        raise invalid(f"This property cannot be expanded ({path}).", "expand")
    value = body[step]
    if isinstance(value, str):
        body[step] = value = without_private(state.get(kind, value) or {}) or value
    if isinstance(value, dict):
        _expand(state, value, rest, path)
