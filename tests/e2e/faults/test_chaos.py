"""The books are right after a hundred checkouts under faults.

Meanwhile, parts are killed, and providers, clocks, broker and disk fail. Some charges are disputed, refunds and debits
fail, messages are lost, rates expire, and Stripe keeps failures. How soon everything settles is measured by
`bench faults`, on a machine that does nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from bench.faults import chaos, report, storm
from bench.faults.chaos import Plan
from bench.faults.stage import ADDED, Stage, stage


@pytest.fixture(scope="module")
def troubled() -> Iterator[Stage]:
    """A shop with one copy of every service, whose clocks, broker and disk can be made to fail."""
    with stage(env={"TRACKING_POLL": "10", **ADDED}, troubled=True) as found:
        yield found


@pytest.mark.timeout(900)
def test_checkouts_under_faults_leave_the_books_right(troubled: Stage) -> None:
    troubled.shop.wait_ready()
    outages = tuple(troubled.outages.possible)
    # A fault every few seconds. Short squalls let the shop settle several times.
    plan = Plan(
        checkouts=100,
        seed=20261121,
        mean_gap=2.0,
        squall=12.0,
        troubles=(storm.KILL, storm.PROVIDER, *outages),
        outage_share=0.3,
        aftermath=True,
    )
    outcome = asyncio.run(chaos.run(plan, troubled.shop, troubled.databases, outages=troubled.outages))
    summary = report.document(outcome, {})
    assert not outcome.violations, "\n".join(map(str, outcome.violations))
    assert outcome.journal.placed >= plan.checkouts, summary
    # The faults did occur, and the shoppers met them.
    assert sum(outcome.killed.values()) >= 5, summary
    assert len(outages) >= 7, outages
    assert set(outcome.outages) == set(outages), summary
    assert summary["answers"]["after_a_repetition"] > 0, summary
    assert all(outcome.afterwards.values()), summary
