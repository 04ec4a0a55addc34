"""The service reuses an answer of Shippo for a minute. The tests run over SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chassis.db.engine import Database
from contracts.errors import Unavailable
from shipping.store.lookups import FRESH_S, Lookups


class Shippo:
    """Counts the calls; `meanwhile` runs before each answer."""

    def __init__(self) -> None:
        self.asked = 0
        self.meanwhile: Callable[[], Any] = lambda: None

    def __call__(self) -> dict[str, int]:
        self.asked += 1
        self.meanwhile()
        return {"answer": self.asked}


class Clock:
    """Unix seconds that only the test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lookups(database: Callable[[str], Database], clock: Clock) -> Lookups:
    return Lookups(database("shipping"), clock)


def test_answer_serves_for_a_minute(lookups: Lookups, clock: Clock) -> None:
    shippo = Shippo()
    assert [lookups.answer("k", shippo) for _ in range(3)] == [{"answer": 1}] * 3
    clock.now += FRESH_S - 1
    assert lookups.answer("k", shippo) == {"answer": 1}
    assert lookups.answer("other", shippo) == {"answer": 2}
    clock.now += 1
    assert lookups.answer("k", shippo) == {"answer": 3}


def test_news_are_shown_at_once(lookups: Lookups, clock: Clock) -> None:
    shippo = Shippo()
    lookups.answer("k", shippo)
    clock.now += 1
    lookups.outdated("k")
    clock.now += 1
    assert lookups.answer("k", shippo) == {"answer": 2}
    assert lookups.answer("k", shippo) == {"answer": 2}


def test_answer_older_than_the_news_is_not_kept(lookups: Lookups, clock: Clock) -> None:
    shippo = Shippo()

    def news() -> None:
        clock.now += 1
        lookups.outdated("k")
        shippo.meanwhile = lambda: None

    shippo.meanwhile = news
    assert lookups.answer("k", shippo) == {"answer": 1}
    clock.now += 1
    assert lookups.answer("k", shippo) == {"answer": 2}


def test_failure_is_not_kept(lookups: Lookups) -> None:
    def fails() -> Any:
        raise Unavailable("no answer")

    with pytest.raises(Unavailable):
        lookups.answer("k", fails)
    assert lookups.answer("k", Shippo()) == {"answer": 1}


def test_empty_list_is_not_kept(lookups: Lookups) -> None:
    answers: list[list[str]] = [["rate"], []]
    assert lookups.answer("k", answers.pop) == []
    assert lookups.answer("k", answers.pop) == ["rate"]
    assert lookups.answer("k", answers.pop) == ["rate"]


def test_clock_set_back_keeps_no_answer_longer(lookups: Lookups, clock: Clock) -> None:
    shippo = Shippo()
    lookups.answer("k", shippo)
    clock.now -= 3600
    assert [lookups.answer("k", shippo) for _ in range(2)] == [{"answer": 2}] * 2


def test_old_answers_are_deleted(lookups: Lookups, clock: Clock) -> None:
    shippo = Shippo()
    lookups.answer("k", shippo)
    clock.now += FRESH_S + 1
    lookups.forget()
    clock.now -= FRESH_S + 1
    assert lookups.answer("k", shippo) == {"answer": 2}
