"""The short form of `bench abuse` against one shop."""

from __future__ import annotations

import asyncio

import pytest

from bench.abuse import answers, cost
from bench.abuse.answers import Row
from bench.abuse.command import rows
from bench.abuse.target import Target

# Entries whose right answers were not yet seen.
PENDING = frozenset(("S6", "S7", "S12", "S14"))


@pytest.mark.parametrize("row", [row for row in rows() if row.entry not in PENDING], ids=str)
def test_attack_gets_its_right_answer(shop: Target, row: Row) -> None:
    [result] = asyncio.run(answers.run(shop, print, [row]))
    assert result.finding == ""


def test_expensive_requests_cost_little_cpu(shop: Target) -> None:
    found = asyncio.run(cost.run(shop, print, short=True))
    assert found.findings == []
    assert len(found.worst) > 30
