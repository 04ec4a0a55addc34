"""The work that continues after every order has settled: waiting events, and parcels without news."""

from __future__ import annotations

import asyncio
import time

from bench.faults.books import EVENT_WAIT_S, MOVING
from bench.faults.records import Databases, labels, not_done

LOOK_INTERVAL_S = 2.0  # seconds between two checks
# How many labels the shop polls per second, when it polls all of them.
ASKED_PER_SECOND = 25


def tracking_poll(checkouts: int) -> int:
    """Return TRACKING_POLL (seconds) for that many checkouts. A fifth of the carrier's events is lost, and the default
    interval is too long for a run; but the shop must not be busy with polling either."""
    return max(10, checkouts // ASKED_PER_SECOND)


def still_to_come(databases: Databases, sandbox_url: str, since: float) -> list[str]:
    """Return the events since then (Unix seconds) that wait for too long, and the paid orders whose parcel is in
    transit but whose status is still only paid."""
    found = [f"event {row['key']}" for row in not_done(databases, since) if _late(row["state"], row["age"])]
    paid = {row["id"] for row in databases.rows("cart", "SELECT id FROM orders WHERE status = 'paid'")}
    moving = {order_id for order_id, label in labels(sandbox_url) if label.get("tracking_status") in MOVING}
    return found + sorted(moving & paid)


async def quiet(databases: Databases, sandbox_url: str, since: float, patience: float) -> bool:
    """Wait up to that many seconds until nothing is outstanding; return whether that is so."""
    until = time.monotonic() + patience
    while await asyncio.to_thread(still_to_come, databases, sandbox_url, since):
        if time.monotonic() > until:
            return False
        await asyncio.sleep(LOOK_INTERVAL_S)
    return True


def _late(state: str, age: float) -> bool:
    return state != "failed" and age > EVENT_WAIT_S
