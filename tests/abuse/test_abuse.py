"""The short form of `bench abuse` against one shop."""

from __future__ import annotations

import asyncio

from bench.abuse import cost
from bench.abuse.target import Target


def test_expensive_requests_cost_little_cpu(shop: Target) -> None:
    found = asyncio.run(cost.run(shop, print, short=True))
    assert found.findings == []
    assert len(found.worst) > 30
