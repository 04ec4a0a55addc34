"""A service whose start never ends. A test stops it while it starts."""

from __future__ import annotations

import eventlet
from nameko.extensions import DependencyProvider
from nameko.timer import timer


class Slow(DependencyProvider):  # type: ignore[misc]
    """A dependency that never becomes ready."""

    def start(self) -> None:
        print("starting", flush=True)
        while True:
            eventlet.sleep(0.1)


class SlowService:
    """A service with one timer, because Nameko runs no class without an entrypoint."""

    name = "slow"
    slow = Slow()

    @timer(interval=3600)  # type: ignore[misc]
    def never(self) -> None:
        """Do nothing."""
