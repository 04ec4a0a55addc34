"""How long it takes until all interrupted orders have settled without intervention."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.faults.journal import Journal
from bench.faults.records import Databases

LOOK_INTERVAL_S = 0.25  # seconds between two checks
# A fault does not affect every order in progress when it strikes. Orders still open after the first number of seconds
# count as interrupted. One that takes longer than the second number deserves a look into the logs.
GLANCE, SLOW = 1.5, 8.0
# This percentage of the orders that a fault interrupted must have settled within this many seconds, and all within the
# last.
BARS = ((95, 10.0), (100, 30.0))

OPEN_ORDERS = "SELECT id, status, payment FROM orders WHERE status IN ('paying', 'canceling', 'confirming')"


def unsettled(databases: Databases, journal: Journal | None = None, before: float = math.inf) -> dict[str, str]:
    """Return order id -> the outstanding work. An order that waits for its shopper's bank counts once the shopper has
    answered, before `before` (Unix seconds)."""
    found = {}
    for row in databases.rows("cart", OPEN_ORDERS):
        answered = journal.answered.get(row["payment"]) if journal is not None else None
        if row["status"] != "confirming" or (answered is not None and answered[0] < before):
            found[row["id"]] = row["status"]
    for row in databases.rows("cart", "SELECT order_id FROM refunds WHERE state = 'asked'"):
        found.setdefault(row["order_id"], "refund")
    deliveries = "SELECT subject, kind FROM tasks WHERE queue = 'deliveries' AND state = 'waiting'"
    for row in databases.rows("cart", deliveries):
        found.setdefault(row["subject"], row["kind"])
    return found


@dataclass
class Settled:
    """How many seconds every interrupted order took to settle after the last fault; infinity: longer than the wait.

    Attributes:
        times: seconds, one entry per order.
        lasted: the same for those that had not settled at the first look after the fault, see `GLANCE`.
        slow: [Unix seconds of the fault, seconds, order id, last work done], for each that took longer than `SLOW`.
        late: order id -> the work still outstanding at the end.
        lasting: last work done -> seconds, one entry per order.
    """

    times: list[float] = field(default_factory=list)
    lasted: list[float] = field(default_factory=list)
    slow: list[tuple[float, float, str, str]] = field(default_factory=list)
    lasting: dict[str, list[float]] = field(default_factory=dict)
    late: dict[str, str] = field(default_factory=dict)

    def within(self, seconds: float) -> float:
        """Return the percentage that had settled by then; 100 when none was interrupted."""
        return share_within(self.times, seconds)

    def add(self, since: float, took: float, order_id: str, what: str) -> None:
        """Record that an order had settled `took` seconds after the fault at `since` (Unix seconds)."""
        self.times.append(took)
        self.lasting.setdefault(what, []).append(took)
        if took > GLANCE:
            self.lasted.append(took)
        if took > SLOW:
            self.slow.append((round(since, 1), round(took, 1), order_id, what))

    def percentile(self, share: float) -> float:
        """Return the seconds by which that percentage had settled."""
        if not self.times:
            return 0.0
        return sorted(self.times)[max(0, math.ceil(len(self.times) * share / 100) - 1)]

    @property
    def in_time(self) -> bool:
        return all(self.within(seconds) >= share for share, seconds in BARS)


async def settle(
    databases: Databases, journal: Journal, since: float, into: Settled, patience: float = BARS[-1][1]
) -> bool:
    """Wait until every order that is unsettled now has settled, at most until `patience` seconds after `since` (Unix
    seconds, the last fault). Add the time of each to `into`; return whether all settled."""
    waiting = await asyncio.to_thread(unsettled, databases, journal, since)
    while waiting:
        await asyncio.sleep(LOOK_INTERVAL_S)
        now = await asyncio.to_thread(unsettled, databases, journal, since)
        passed = time.time() - since
        for order_id, what in waiting.items():
            if order_id not in now:
                into.add(since, passed, order_id, what)
        waiting = {order_id: now[order_id] for order_id in waiting if order_id in now}
        if passed > patience:
            for order_id, what in waiting.items():
                into.add(since, math.inf, order_id, what)
            into.late.update(waiting)
            return False
    return True


def share_within(times: Sequence[float], seconds: float) -> float:
    """Return the percentage of `times` that are at most `seconds`; 100 when there are none."""
    return 100.0 * sum(1 for took in times if took <= seconds) / len(times) if times else 100.0


def quantiles(times: Sequence[float]) -> dict[str, float]:
    """Return the usual percentiles of a list of seconds."""
    settled = Settled(list(times))
    return {f"p{share}": round(settled.percentile(share), 2) for share in (50, 90, 95, 99, 100)}
