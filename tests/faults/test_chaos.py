"""Checkouts while parts are killed, providers fail and what lies below the shop breaks; then the books are right."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from bench.faults import chaos, report, storm
from bench.faults.chaos import Plan
from bench.faults.settling import BARS
from bench.faults.stage import Stage, stage

# Every few seconds something goes wrong; the short squalls leave room to see the shop settle several times.
SEED, CHECKOUTS, SHOPPERS, MEAN_GAP, SQUALL = 20261121, 200, 16, 2.0, 12.0
OUTAGE_SHARE = 0.3


@pytest.fixture(scope="module")
def troubled() -> Iterator[Stage]:
    """A shop whose clocks, disk and broker can be troubled."""
    with stage(env={"TRACKING_POLL": "10"}, troubled=True) as found:
        yield found


@pytest.mark.timeout(900)
def test_checkouts_under_faults_leave_the_books_right(troubled: Stage) -> None:
    outages = tuple(troubled.outages.possible)
    plan = Plan(CHECKOUTS, SEED, SHOPPERS, MEAN_GAP, SQUALL, 0, (storm.KILL, storm.PROVIDER, *outages), OUTAGE_SHARE)
    outcome = asyncio.run(chaos.run(plan, troubled.shop, troubled.databases, None, troubled.outages))
    told = report.document(outcome, {})
    assert outcome.violations == [], told
    assert outcome.journal.placed >= plan.checkouts, told
    # Something did go wrong, and was noticed.
    assert sum(outcome.killed.values()) >= 5, told
    assert told["answers"]["after_a_repetition"] > 0, told
    assert outcome.settled.within(BARS[-1][1]) == 100, told
    # Each trouble below the shop came, and was over 30 s after its end.
    assert len(outages) >= 7, told
    assert set(outcome.outages) == set(outages), told
    assert outcome.slow_outages == {}, told
