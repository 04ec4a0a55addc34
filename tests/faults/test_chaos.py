"""Two hundred checkouts while parts of the shop are killed and providers fail; afterwards the books are right."""

from __future__ import annotations

import asyncio

import pytest

from bench.faults import chaos, report
from bench.faults.chaos import Plan
from bench.faults.settling import BARS
from bench.faults.stage import Stage

# Every few seconds something goes wrong; the short squalls leave room to see the shop settle several times.
PLAN = Plan(checkouts=200, seed=20261121, shoppers=16, mean_gap=2.0, squall=12.0)


@pytest.mark.timeout(900)
def test_two_hundred_checkouts_under_faults_leave_the_books_right(lone: Stage) -> None:
    lone.shop.wait_ready()
    outcome = asyncio.run(chaos.run(PLAN, lone.shop, lone.databases))
    told = report.document(outcome, {})
    assert outcome.violations == [], told
    assert outcome.journal.placed >= PLAN.checkouts, told
    # Something did go wrong, and was noticed.
    assert sum(outcome.killed.values()) >= 5, told
    assert told["answers"]["after_a_repetition"] > 0, told
    assert outcome.settled.within(BARS[-1][1]) == 100, told
