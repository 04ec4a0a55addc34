"""The documentation is true: each request on a page is sent as printed, and must get the shown answer."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.journeys.likeness import MORE, Likeness, Unlike, parse
from tests.e2e.journeys.pages import ROOT, Step, for_shop, run, stories
from tests.e2e.journeys.shop import Storefront

STORIES = stories()
CASES = [(page, index) for page, todo in STORIES.items() for index, step in enumerate(todo) if step.page == page]
ANSWERED = [(page, index) for page, index in CASES if STORIES[page][index].kind]
TIMEOUT_S = 250  # for one page; the longest takes half a minute on an idle machine


@dataclass
class Run:
    """The run of one page against this shop.

    Attributes:
        steps: the printed steps, with the addresses of this shop.
        outputs: the output of each step.
        differences: for each step, how the answer differs from the shown one, or None.
    """

    steps: list[Step]
    outputs: list[str]
    differences: list[str | None]


class Runs:
    """Runs each page once, when the first test asks for it."""

    def __init__(self, shop: Storefront) -> None:
        self._shop = shop
        self._done: dict[str, Run] = {}

    def of(self, page: str) -> Run:
        if page not in self._done:
            _delete_products(self._shop)
            todo = for_shop(STORIES[page], self._shop.url, self._shop.sandbox_url)
            outputs = run(todo, ROOT, os.environ, TIMEOUT_S)
            likeness = Likeness()
            differences = [_difference(likeness, step, output) for step, output in zip(todo, outputs, strict=True)]
            self._done[page] = Run(todo, outputs, differences)
        return self._done[page]


@pytest.fixture(scope="module")
def runs(shop: Storefront) -> Runs:
    return Runs(shop)


def _titles(cases: list[tuple[str, int]]) -> list[str]:
    return [STORIES[page][index].title for page, index in cases]


@pytest.mark.parametrize(("page", "index"), CASES, ids=_titles(CASES))
def test_answer_is_as_shown(runs: Runs, page: str, index: int) -> None:
    done = runs.of(page)
    assert done.differences[index] is None, f"{done.steps[index].title}\n{done.differences[index]}"


@pytest.mark.parametrize(("page", "index"), ANSWERED, ids=_titles(ANSWERED))
def test_wrong_value_would_be_noticed(runs: Runs, page: str, index: int) -> None:
    """Each shown status, header, name and value is altered in turn. The comparison must notice each alteration."""
    step, output = runs.of(page).steps[index], runs.of(page).outputs[index]
    changes = list(_altered(step))
    assert changes
    for what, shown in changes:
        altered = Step(step.page, step.line, step.section, step.command, step.kind, shown)
        assert _difference(Likeness(), altered, output), f"{step.title}: {what} could be wrong"


def _difference(likeness: Likeness, step: Step, output: str) -> str | None:
    try:
        likeness.check(step.kind, step.answer, output)
    except Unlike as unlike:
        return str(unlike)
    return None


def _delete_products(shop: Storefront) -> None:
    """Delete the products of earlier runs, since the tutorial searches for its products by a word."""
    for product in shop.ask("GET", "/api/products/", params={"category": "squeaky"}).json()["data"]:
        assert shop.ask("DELETE", f"/api/products/{product['id']}/").status_code == 200


def _altered(step: Step) -> Iterator[tuple[str, str]]:
    if step.kind == "text":
        yield from _other_lines(step.answer)
        return
    head, _, body = step.answer.partition("\n\n")
    status, *headers = head.split("\n")
    yield "the status", step.answer.replace(status, status.replace(" ", " 1", 1), 1)
    for header in headers:
        yield header, step.answer.replace(header, f"{header}x", 1)
        yield header, step.answer.replace(header, f"X{header}", 1)
    if "Content-Type: text/" in head:
        for where, text in _other_lines(body):
            yield where, f"{head}\n\n{text}"
        return
    for where, altered in _other_values(parse(body), "") if body else ():
        yield where, f"{head}\n\n{json.dumps(altered, ensure_ascii=False)}"


def _other_lines(text: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines := text.splitlines()):
        if line != MORE:
            yield f"line {number + 1}", "\n".join([*lines[:number], f"x{line}", *lines[number + 1 :]])


def _other_values(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Yield a copy of `value` for each part of it, with that part altered."""
    if isinstance(value, dict):
        for name in set(value) - {MORE}:
            yield f"the name {where}.{name}", {f"{key}x" if key == name else key: part for key, part in value.items()}
            for place, part in _other_values(value[name], f"{where}.{name}"):
                yield place, {**value, name: part}
    elif isinstance(value, list):
        for index, element in enumerate(value):
            if element == MORE:
                continue
            for place, part in _other_values(element, f"{where}[{index}]"):
                changed = copy.copy(value)
                changed[index] = part
                yield place, changed
        yield f"{where} lacks one", [*value, None]
    elif isinstance(value, bool):
        yield where, not value
    elif isinstance(value, (int, float)):
        yield where, -value - 1
    else:
        yield where, f"x{value}" if isinstance(value, str) else "x"
