"""The documented shape of answers: the statuses, and the members of a problem body."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bench.abuse.wire import Answer

PROBLEM = "application/problem+json"
SUCCESSES = frozenset({200, 201, 202, 204, 304})
FAILURES = frozenset({400, 401, 402, 403, 404, 405, 408, 409, 413, 414, 415, 422, 429, 431, 502, 503, 504})
MAX_ERRORS = 50
RETRIED = frozenset({408, 429, 502, 503, 504})  # with Retry-After, which only a 408 may omit
MEMBERS = ("type", "title", "detail", "request_id")


def complaints(answer: Answer, head: bool = False) -> list[str]:
    """Return what is undocumented about an answer; [] when nothing is."""
    return list(_complaints(answer, head))


def _complaints(answer: Answer, head: bool) -> Iterator[str]:
    if answer.status not in SUCCESSES | FAILURES:
        yield f"status {answer.status or '(none)'}"
        return
    request_id = answer.header("x-request-id")
    if not request_id:
        yield "no X-Request-ID"
    kind = (answer.header("content-type") or "").partition(";")[0].strip()
    if answer.status in FAILURES:
        if answer.status in RETRIED - {408} and not answer.header("retry-after"):
            yield f"{answer.status} without Retry-After"
        if answer.status == 405 and answer.header("allow") is None:
            yield "405 without Allow"
        if kind == "text/html" and answer.header("content-security-policy"):
            return  # a page for people
        if kind != PROBLEM:
            yield f"{answer.status} as {kind or 'nothing'}"
        elif not head:
            yield from _problem(answer, request_id)
    elif answer.raw and not head:
        if kind not in ("application/json", "text/html", "text/css", "text/plain"):
            yield f"{answer.status} as {kind or 'nothing'}"
        elif kind == "application/json" and _read(answer.raw) is None:
            yield "a body that is not JSON"


def _problem(answer: Answer, request_id: str | None) -> Iterator[str]:
    body = _read(answer.raw)
    if not isinstance(body, dict):
        yield "a problem that is no JSON object"
        return
    if body.get("status") != answer.status:
        yield f"a problem that says {body.get('status')!r}"
    for name in MEMBERS:
        if not isinstance(body.get(name), str) or not body[name]:
            yield f"a problem without {name}"
    # A replayed answer keeps the id of the first request.
    if body.get("request_id") != request_id and answer.header("idempotent-replayed") is None:
        yield "two request ids"
    if count_errors(body.get("errors")) > MAX_ERRORS:
        yield f"{count_errors(body.get('errors'))} errors"


def count_errors(errors: Any) -> int:
    """Return the number of messages in `errors` of a problem body, at any depth."""
    if isinstance(errors, dict):
        return sum(count_errors(each) for each in errors.values())
    if isinstance(errors, list):
        return sum(count_errors(each) for each in errors)
    return 0 if errors is None else 1


def _read(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None
