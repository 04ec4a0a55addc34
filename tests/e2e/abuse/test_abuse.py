"""The short form of `bench abuse` against one shop."""

from __future__ import annotations

import asyncio

import pytest

from bench.abuse import answers, cost, fuzz, strangers
from bench.abuse.answers import Row
from bench.abuse.command import FUZZED_SHORT, SHORT_BODIES, SHORT_HEADS, SHORT_ROUNDS, SHORT_SECONDS, rows
from bench.abuse.target import Target

SEED = 9


@pytest.mark.parametrize("row", rows(), ids=str)
def test_attack_gets_its_right_answer(shop: Target, row: Row) -> None:
    [result] = asyncio.run(answers.run(shop, print, [row]))
    assert result.finding == ""


def test_fuzzed_requests_get_documented_answers(shop: Target) -> None:
    found = asyncio.run(fuzz.run(shop, SEED, FUZZED_SHORT, print))
    assert found.findings == []
    assert found.kinds.keys() == fuzz.KINDS.keys()


def test_expensive_requests_cost_little_cpu(shop: Target) -> None:
    found = asyncio.run(cost.run(shop, print, short=True))
    assert found.findings == []
    assert len(found.worst) > 30


def test_slow_strangers_wait_alone(shop: Target) -> None:
    found = asyncio.run(
        strangers.run(shop, print, SHORT_BODIES, SHORT_HEADS, SHORT_ROUNDS, SHORT_SECONDS, judge_ratio=False)
    )
    assert found.findings == []
    [attack] = found.attacks
    assert attack["most_open"] > SHORT_BODIES
    assert attack["ends"]["body"], attack  # the gateway answered them at their deadline
