"""What counts as the answer that a page shows, and what does not."""

from __future__ import annotations

import time

import pytest

from tests.e2e.journeys.likeness import Likeness, Unlike
from tests.e2e.journeys.pages import steps

PRODUCT, OTHER = "prod_DMW73laJ01kFHl", "prod_DehIrqWdZMsFnu"


def _answer(body: str, *headers: str, status: str = "200 OK") -> str:
    return "\r\n".join([f"HTTP/1.1 {status}", "Content-Type: application/json", *headers, "", body])


def _shown(body: str, *headers: str) -> str:
    return "\n".join(["HTTP/1.1 200 OK", *headers, "", body])


@pytest.mark.parametrize(
    ("shown", "body"),
    [
        (f'{{"id": "{PRODUCT}", …}}', f'{{"id": "{OTHER}", "price": 50}}'),
        ('{"a": [1, …], "b": "one … four"}', '{"a": [1, 2, 3], "b": "one two three four"}'),
        ('{"a": [1, …, 3]}', '{"a": [1, 3]}'),
        ('{"at": 1795292835}', '{"at": A_MINUTE_AGO}'),
        ('{"url": "http://127.0.0.1:8100/x.pdf"}', '{"url": "http://localhost:8100/x.pdf"}'),
        ("[]", "[]"),
    ],
)
def test_what_may_differ(shown: str, body: str) -> None:
    Likeness().check("http", _shown(shown), _answer(body.replace("A_MINUTE_AGO", str(int(time.time()) - 60))))


@pytest.mark.parametrize(
    ("shown", "body"),
    [
        (f'{{"id": "{PRODUCT}"}}', '{"id": "sku_DehIrqWdZMsFnu"}'),
        ('{"a": 1}', '{"a": 1, "b": 2}'),
        ('{"a": 1, …}', '{"b": 2}'),
        ('{"a": 1}', '{"a": true}'),
        ('{"a": 5.0}', '{"a": 5}'),
        ('{"a": [1]}', '{"a": [1, 2]}'),
        ('{"a": [1, …, 3]}', '{"a": [3]}'),
        ('{"at": 1795292835}', '{"at": 1795292835}' if abs(time.time() - 1795292835) > 9999 else '{"at": 1}'),
        ('{"day": "2026-11-22"}', '{"day": "2019-11-22"}'),
        ('{"url": "http://127.0.0.1:8100/x.pdf"}', '{"url": "http://127.0.0.1:8101/x.pdf"}'),
        ("{}", "<html>"),
    ],
)
def test_what_may_not(shown: str, body: str) -> None:
    with pytest.raises(Unlike):
        Likeness().check("http", _shown(shown), _answer(body))


def test_a_status_and_a_shown_header_must_be_there() -> None:
    Likeness().check("http", _shown("[]", "Link: <next>"), _answer("[]", "link: <next>"))
    for shown, got in (
        (_shown("[]"), _answer("[]", status="201 Created")),
        (_shown("[]", "Link: <next>"), _answer("[]")),
        (_shown("[]", "Link: <next>"), _answer("[]", "link: <other>")),
    ):
        with pytest.raises(Unlike):
            Likeness().check("http", shown, got)


def test_an_id_stands_for_the_same_thing_all_along() -> None:
    likeness = Likeness()
    likeness.check("text", f"made {PRODUCT}", "made prod_AAAAAAAAAAAAAA")
    likeness.check("text", f"sold {PRODUCT}", "sold prod_AAAAAAAAAAAAAA")
    with pytest.raises(Unlike):
        likeness.check("text", f"sold {PRODUCT}", "sold prod_BBBBBBBBBBBBBB")
    with pytest.raises(Unlike):
        likeness.check("text", f"sold {OTHER}", "sold prod_AAAAAAAAAAAAAA")


def test_dots_on_a_line_of_their_own_are_any_lines_and_within_one_not() -> None:
    Likeness().check("text", "one\n…\nfour", "one\ntwo\nthree\nfour\n")
    Likeness().check("text", "one …\nthree", "one two\nthree")
    with pytest.raises(Unlike):
        Likeness().check("text", "one …four", "one two\nthree four")


def test_silence_is_an_answer() -> None:
    Likeness().check("", "", "")
    with pytest.raises(Unlike):
        Likeness().check("", "", "sh: 1: curl: not found\n")


def test_an_answer_needs_a_question() -> None:
    with pytest.raises(ValueError, match="without a question"):
        steps("```http\nHTTP/1.1 200 OK\n```\n")
    with pytest.raises(ValueError, match="without an end"):
        steps("```sh\ntrue\n")
