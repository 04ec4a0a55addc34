"""The broker restarts under load: no other process restarts, and no task is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from bench.faults import chaos
from bench.faults.chaos import Plan
from bench.faults.front import Front, eventually
from bench.faults.records import SERVICES, Databases
from bench.faults.settling import unsettled
from bench.faults.stories import Pays
from launcher.shop import Shop

SEED = 3
BROKER = "rabbitmq"


@pytest.fixture
def databases(twins: Shop) -> Iterator[Databases]:
    found = Databases(None, str(twins.place.var_dir))
    yield found
    found.close()


# Longer than the shop may take to settle, so that the failure names the order that never settles.
@pytest.mark.timeout(900)
def test_broker_kill_under_load_restarts_nothing_else(twins: Shop, front: Front, databases: Databases) -> None:
    plan = Plan(checkouts=20, seed=SEED, shoppers=6, mean_gap=2.0, restarts=2)
    outcome = asyncio.run(chaos.run(plan, twins, databases))
    assert outcome.killed == {BROKER: 2}
    assert outcome.strangers == []  # every other process is still the same one
    assert outcome.violations == []
    assert outcome.journal.placed >= plan.checkouts
    assert outcome.settled.in_time


@contextmanager
def suspended(pids: list[int]) -> Iterator[None]:
    """Suspend processes inside the block."""
    processes = [psutil.Process(pid) for pid in pids]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


@pytest.mark.timeout(600)
def test_payment_ends_right_after_the_broker_dies(twins: Shop, front: Front, databases: Databases) -> None:
    parts = {part: twins.pids(part) for part in (*SERVICES, "gateway")}
    [broker] = twins.pids(BROKER)
    story = Pays(front, stays=False)
    story.begin()
    with suspended(parts["products"]):
        story.act()
        eventually(lambda: story.order_id in unsettled(databases), 60, "the start of the payment")
        time.sleep(0.5)  # by now the request for the stock is at products
        twins.kill(BROKER)
        eventually(lambda: twins.pids(BROKER) not in ([], [broker]), 90, "another broker")
    twins.wait_ready()
    eventually(lambda: story.order_id not in unsettled(databases), 120, f"the end of order {story.order_id}")
    [row] = databases.rows("cart", "SELECT status FROM orders WHERE id = :id", id=story.order_id)
    assert story.wrong(row["status"]) is None
    assert {part: twins.pids(part) for part in parts} == parts
