"""Two hundred checkouts while parts are killed, providers fail, and clocks, broker and disk break; afterwards the books
are right."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from bench.faults import chaos, report, storm
from bench.faults.chaos import Plan
from bench.faults.settling import BARS
from bench.faults.stage import Stage, stage


@pytest.fixture(scope="module")
def troubled() -> Iterator[Stage]:
    """A shop with one copy of every service, below which faults can be caused."""
    with stage(env={"TRACKING_POLL": "10"}, troubled=True) as found:
        yield found


@pytest.mark.timeout(900)
def test_two_hundred_checkouts_under_faults_leave_the_books_right(troubled: Stage) -> None:
    troubled.shop.wait_ready()
    outages = tuple(troubled.outages.possible)
    # A fault every few seconds; the short squalls leave room to see the shop settle several times.
    plan = Plan(
        checkouts=200,
        seed=20261121,
        mean_gap=2.0,
        squall=12.0,
        troubles=(storm.KILL, storm.PROVIDER, *outages),
        outage_share=0.3,
    )
    outcome = asyncio.run(chaos.run(plan, troubled.shop, troubled.databases, outages=troubled.outages))
    summary = report.document(outcome, {})
    assert outcome.violations == [], summary
    assert outcome.journal.placed >= plan.checkouts, summary
    # Something did go wrong, and was noticed.
    assert sum(outcome.killed.values()) >= 5, summary
    assert len(outages) >= 7, outages
    assert set(outcome.outages) == set(outages), summary
    assert summary["answers"]["after_a_repetition"] > 0, summary
    assert outcome.settled.within(BARS[-1][1]) == 100, summary
    assert outcome.slow_outages == {}, summary
