"""A service whose start takes for ever, for a test that stops it then."""

from __future__ import annotations

import eventlet
from nameko.extensions import DependencyProvider


class Slow(DependencyProvider):  # type: ignore[misc]
    """What never becomes ready."""

    def start(self) -> None:
        print("starting", flush=True)
        eventlet.sleep(3600)


class SlowService:
    """Nothing but its start."""

    name = "slow"
    slow = Slow()
