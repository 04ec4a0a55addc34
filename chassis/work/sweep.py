"""Periodic passes over waiting work."""

from __future__ import annotations

import time
from collections.abc import Callable

from chassis import deadline
from chassis.logs import log
from contracts.errors import Unavailable

# The interval between two passes (seconds), and how long one pass may take in all.
SWEEP_INTERVAL_S = 1.0
SWEEP_TIME_S = 25.0


def swept(look: Callable[[], None]) -> None:
    """Run one bounded pass; when the database or a provider cannot be reached, the next pass continues."""
    deadline.begin(time.monotonic() + SWEEP_TIME_S)
    try:
        look()
    except Unavailable as error:
        log.warning("postponed", error=str(error))
