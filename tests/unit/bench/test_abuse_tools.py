"""The tools of `bench abuse`: every route has a valid request, and a wrong answer is recognized."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench.abuse import contract, samples, wire
from bench.abuse.wire import Answer

PROBLEM = {"type": "urn:x", "title": "T", "status": 400, "detail": "D", "request_id": "r"}
HEADERS = (("content-type", contract.PROBLEM), ("x-request-id", "r"))


def problem(headers: tuple[tuple[str, str], ...] = HEADERS, **changes: Any) -> Answer:
    """An answer of 400 with a problem, updated with `changes`."""
    return Answer(400, headers, json.dumps({**PROBLEM, **changes}).encode())


def test_every_route_that_takes_a_body_has_a_valid_one() -> None:
    found = samples.routes()
    assert len(found) > 30
    assert samples.without_sample(found) == []


def test_documented_problem_has_no_complaint() -> None:
    assert contract.complaints(problem()) == []
    assert contract.complaints(problem(errors={"a": {"b": ["x"] * 50}})) == []


def test_failure_of_a_page_has_no_complaint() -> None:
    headers = (("content-type", "text/html; charset=utf-8"), ("x-request-id", "r"))
    assert contract.complaints(Answer(404, (*headers, ("content-security-policy", "x")), b"<p>Not here")) == []
    assert contract.complaints(Answer(404, headers, b"<p>Not here"))


@pytest.mark.parametrize(
    "answer",
    [
        problem(errors={"a": {"b": ["x"] * 51}}),
        problem(request_id="other"),
        problem(detail=""),
        problem(status=401),
        problem(headers=(("content-type", "text/plain"), ("x-request-id", "r"))),
        problem(headers=(("content-type", contract.PROBLEM),)),
        Answer(500, HEADERS, json.dumps({**PROBLEM, "status": 500}).encode()),
        Answer(503, HEADERS, json.dumps({**PROBLEM, "status": 503}).encode()),
        Answer(200, (("content-type", "application/json"), ("x-request-id", "r")), b"{"),
        Answer(0),
    ],
    ids=range(10),
)
def test_undocumented_answer_has_a_complaint(answer: Answer) -> None:
    assert contract.complaints(answer)


def test_answers_are_read_whole_or_not_at_all() -> None:
    plain = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n\r\n{}"
    found = wire.parse(plain)
    assert found is not None
    assert (found.status, found.raw, found.header("x-a")) == (200, b"{}", "b")
    assert wire.parse(plain[:-1]) is None
    coded = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + wire.chunked(b"ab", b"c")
    found = wire.parse(coded)
    assert found is not None
    assert found.raw == b"abc"
    assert wire.parse(coded[:-2]) is None
    assert wire.parse(b"HTTP/1.1 200 OK\r\n\r\nabc") is None
