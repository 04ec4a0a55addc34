"""README.md tells the truth: its requests are sent as they are printed, and must answer what it shows."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.journeys.likeness import MORE, Likeness, Unlike, parse
from tests.e2e.journeys.readme import README, ROOT, TOLD, Step, for_shop, run, steps
from tests.e2e.journeys.shop import Storefront

STEPS = [step for step in steps(README.read_text(encoding="utf-8")) if step.chapter in TOLD]
ANSWERED = [index for index, step in enumerate(STEPS) if step.kind]
TIMEOUT = 250  # seconds for all of it; half a minute on an idle machine


@dataclass
class Told:
    """The story as it was told to this shop.

    Attributes:
        steps: as printed, with this shop's addresses.
        said: what the shell printed, step by step.
        wrong: what was not as shown, or None.
    """

    steps: list[Step]
    said: list[str]
    wrong: list[str | None]


@pytest.fixture(scope="module")
def told(shop: Storefront) -> Told:
    _forget_earlier_tellings(shop)
    text = for_shop(README.read_text(encoding="utf-8"), shop.url, shop.sandbox_url)
    todo = [step for step in steps(text) if step.chapter in TOLD]
    said = run(todo, ROOT, os.environ, TIMEOUT)
    likeness = Likeness()
    return Told(todo, said, [_wrong(likeness, step, output) for step, output in zip(todo, said, strict=True)])


@pytest.mark.parametrize("index", range(len(STEPS)), ids=[step.title for step in STEPS])
def test_an_answer_is_as_shown(told: Told, index: int) -> None:
    assert told.wrong[index] is None, f"README.md:{told.steps[index].title}\n{told.wrong[index]}"


@pytest.mark.parametrize("index", ANSWERED, ids=[STEPS[index].title for index in ANSWERED])
def test_nothing_that_is_shown_could_be_wrong_unnoticed(told: Told, index: int) -> None:
    """Every status, header, name and value shown is altered in turn, and each time it must be noticed."""
    step, said = told.steps[index], told.said[index]
    changes = list(_altered(step))
    assert changes
    for what, shown in changes:
        altered = Step(step.line, step.chapter, step.command, step.kind, shown)
        assert _wrong(Likeness(), altered, said), f"README.md:{step.title}: {what} could be wrong"


def _wrong(likeness: Likeness, step: Step, output: str) -> str | None:
    try:
        likeness.check(step.kind, step.answer, output)
    except Unlike as unlike:
        return str(unlike)
    return None


def _forget_earlier_tellings(shop: Storefront) -> None:
    """The story finds its products by a word: a telling that broke off must have left none."""
    for product in shop.ask("GET", "/api/products/", params={"category": "squeaky"}).json()["data"]:
        assert shop.ask("DELETE", f"/api/products/{product['id']}/").status_code == 200


def _altered(step: Step) -> Iterator[tuple[str, str]]:
    if step.kind == "text":
        for number, line in enumerate(lines := step.answer.splitlines()):
            yield f"line {number + 1}", "\n".join([*lines[:number], f"x{line}", *lines[number + 1 :]])
        return
    head, _, body = step.answer.partition("\n\n")
    status, *headers = head.split("\n")
    yield "the status", step.answer.replace(status, status.replace(" ", " 1", 1), 1)
    for header in headers:
        yield header, step.answer.replace(header, f"{header}x", 1)
        yield header, step.answer.replace(header, f"X{header}", 1)
    for where, altered in _other_values(parse(body), ""):
        yield where, f"{head}\n\n{json.dumps(altered, ensure_ascii=False)}"


def _other_values(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    """`value` with one thing in it altered, for every thing in it."""
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
