"""The broker is restarted under load: nobody else is, and nothing that was owed is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from bench.faults import chaos
from bench.faults.chaos import Plan
from bench.faults.front import Front
from bench.faults.records import Databases
from launcher.shop import Shop

SEED = 3


@pytest.fixture
def databases(twins: Shop) -> Iterator[Databases]:
    found = Databases(None, str(twins.place.var_dir))
    yield found
    found.close()


# Longer than the shop may take to settle, so that what never settles is told by name.
@pytest.mark.timeout(300)
def test_the_broker_is_killed_and_stopped_under_load(twins: Shop, front: Front, databases: Databases) -> None:
    plan = Plan(checkouts=20, seed=SEED, shoppers=6, mean_gap=2.0, restarts=2)
    outcome = asyncio.run(chaos.run(plan, twins, databases))
    assert outcome.killed == {"rabbitmq": 2}
    assert outcome.strangers == []  # every other process is the one that it was
    assert outcome.violations == []
    assert outcome.journal.placed >= plan.checkouts
    assert outcome.settled.in_time
