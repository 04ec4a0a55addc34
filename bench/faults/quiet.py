"""What goes on after every order has settled: events that wait to be handled, parcels that were not heard of yet."""

from __future__ import annotations

import asyncio
import time

from bench.faults.books import EVENT_PATIENCE, MOVING
from bench.faults.records import Databases, labels, not_done

LOOK = 2.0  # seconds between two looks
# How many labels the shop asks about in a second, when it asks about all of them.
ASKED_PER_SECOND = 25


def tracking_poll(checkouts: int) -> int:
    """TRACKING_POLL (seconds) for so many checkouts: a fifth of what the carrier tells is lost, and a run has not the
    time to find out in its own; but the shop must not be busy with asking either."""
    return max(10, checkouts // ASKED_PER_SECOND)


def still_to_come(databases: Databases, sandbox_url: str, since: float) -> list[str]:
    """What providers told since then (Unix seconds) and waits for too long, and the orders whose parcel is on its way
    and that are still just paid."""
    found = [f"event {row['id']}" for row in not_done(databases, since) if _late(row["state"], row["age"])]
    paid = {row["id"] for row in databases.rows("cart", "SELECT id FROM orders WHERE status = 'paid'")}
    moving = {order_id for order_id, label in labels(sandbox_url) if label.get("tracking_status") in MOVING}
    return found + sorted(moving & paid)


async def quiet(databases: Databases, sandbox_url: str, since: float, patience: float) -> bool:
    """Wait until nothing is still to come, for so many seconds; whether it is so."""
    until = time.monotonic() + patience
    while await asyncio.to_thread(still_to_come, databases, sandbox_url, since):
        if time.monotonic() > until:
            return False
        await asyncio.sleep(LOOK)
    return True


def _late(state: str, age: float) -> bool:
    return state != "failed" and age > EVENT_PATIENCE
