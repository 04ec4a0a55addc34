"""Which answers count as the answer that a page shows."""

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
def test_answer_may_differ_in_ids_times_and_ellipses(shown: str, body: str) -> None:
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
def test_answer_may_not_differ_otherwise(shown: str, body: str) -> None:
    with pytest.raises(Unlike):
        Likeness().check("http", _shown(shown), _answer(body))


def test_body_that_is_not_json_is_compared_as_text() -> None:
    page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>\n<p>One</p>\n<p>Two</p>\n</html>\n"
    Likeness().check("http", _shown("<html>\n…\n<p>Two</p>\n…"), page)
    for shown in ("<html>\n…\n<p>Three</p>\n…", "<html>", "<p>One</p>\n…"):
        with pytest.raises(Unlike):
            Likeness().check("http", _shown(shown), page)


def test_status_and_shown_headers_are_required() -> None:
    Likeness().check("http", _shown("[]", "Link: <next>"), _answer("[]", "link: <next>"))
    for shown, answer in (
        (_shown("[]"), _answer("[]", status="201 Created")),
        (_shown("[]", "Link: <next>"), _answer("[]")),
        (_shown("[]", "Link: <next>"), _answer("[]", "link: <other>")),
    ):
        with pytest.raises(Unlike):
            Likeness().check("http", shown, answer)


def test_shown_id_stands_for_one_real_id() -> None:
    likeness = Likeness()
    likeness.check("text", f"made {PRODUCT}", "made prod_AAAAAAAAAAAAAA")
    likeness.check("text", f"sold {PRODUCT}", "sold prod_AAAAAAAAAAAAAA")
    with pytest.raises(Unlike):
        likeness.check("text", f"sold {PRODUCT}", "sold prod_BBBBBBBBBBBBBB")
    with pytest.raises(Unlike):
        likeness.check("text", f"sold {OTHER}", "sold prod_AAAAAAAAAAAAAA")


def test_ellipsis_matches_lines_only_on_its_own_line() -> None:
    Likeness().check("text", "one\n…\nfour", "one\ntwo\nthree\nfour\n")
    Likeness().check("text", "one …\nthree", "one two\nthree")
    with pytest.raises(Unlike):
        Likeness().check("text", "one …four", "one two\nthree four")


def test_empty_answer_matches_only_empty_output() -> None:
    Likeness().check("", "", "")
    with pytest.raises(Unlike):
        Likeness().check("", "", "sh: 1: curl: not found\n")


def test_answer_without_a_command_is_refused() -> None:
    with pytest.raises(ValueError, match="without a question"):
        steps("```http\nHTTP/1.1 200 OK\n```\n")
    with pytest.raises(ValueError, match="without an end"):
        steps("```sh\ntrue\n")
