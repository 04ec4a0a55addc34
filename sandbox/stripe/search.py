"""Stripe's search query language: `field:'v'`, `field~'part'`, `metadata['k']:'v'`, `-` negation, AND or OR.

Stripe's index lags by up to a minute (an hour in outages), unlike the sandbox's. Do not use it to read your own writes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from sandbox.stripe.errors import StripeFailure, invalid

_TERM = re.compile(
    r"""\s*(?P<no>-)?(?P<field>\w+)(?:\[(?P<q>["'])(?P<key>.*?)(?P=q)\])?\s*(?P<op>[:~<>]=?)\s*"""
    r"""(?:(?P<vq>["'])(?P<quoted>(?:\\.|(?!(?P=vq)).)*)(?P=vq)|(?P<bare>[\w.\-]+))\s*"""
)
_JOINT = re.compile(r"\s*(AND|OR)\s+", re.IGNORECASE)
_FIELDS = frozenset(("active", "created", "description", "metadata", "name", "shippable", "url"))


class Term(NamedTuple):
    """One condition of a query."""

    negated: bool
    field: str
    key: str | None
    operator: str
    value: str | None


class Query(NamedTuple):
    """The conditions of a query; all of them must hold, or one (`any` True)."""

    terms: list[Term]
    any: bool


def read_query(text: str) -> Query:
    """Parse a query; StripeFailure (400) when it is malformed."""
    terms, joints, at = [], set(), 0
    while True:
        match = _TERM.match(text, at)
        if match is None:
            raise _unreadable(text)
        field, key = match["field"], match["key"]
        if field not in _FIELDS or (key is not None) != (field == "metadata"):
            raise invalid(f"Field `{field}` is an unsupported search field for resource `products`.", "query")
        value = match["bare"] if match["quoted"] is None else re.sub(r"\\(.)", r"\1", match["quoted"])
        if value == "null" and match["quoted"] is None:
            value = None
        terms.append(Term(match["no"] is not None, field, key, match["op"], value))
        at = match.end()
        if at == len(text):
            break
        joint = _JOINT.match(text, at)
        joints.add(joint[1].upper() if joint else "AND")
        at = joint.end() if joint else at
    if len(joints) > 1:
        raise invalid("You cannot combine AND and OR in a search query.", "query")
    return Query(terms, joints == {"OR"})


def matches(body: Mapping[str, Any], query: Query) -> bool:
    """Whether a stored object matches the query."""
    outcomes = (_holds(body, term) != term.negated for term in query.terms)
    return any(outcomes) if query.any else all(outcomes)


def _holds(body: Mapping[str, Any], term: Term) -> bool:
    value = body.get(term.field) if term.key is None else body.get(term.field, {}).get(term.key)
    if term.value is None or value is None:
        return value is None and term.value is None
    if term.operator in (">", "<", ">=", "<="):
        if not isinstance(value, int) or not term.value.isdigit():
            return False
        wanted = int(term.value)
        return {">": value > wanted, "<": value < wanted, ">=": value >= wanted, "<=": value <= wanted}[term.operator]
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if term.operator == "~":
        return term.value.lower() in text.lower()
    return text.lower() == term.value.lower()


def _unreadable(text: str) -> StripeFailure:
    return invalid(f"We were unable to parse your search query `{text[:80]}`.", "query")
