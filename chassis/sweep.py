"""A timer's look at what waits."""

from __future__ import annotations

import time
from collections.abc import Callable

from chassis import deadline
from chassis.logs import log
from contracts.errors import Unavailable

# How often what waits is looked for (seconds), and how long one look may take in all.
SWEEP = 1.0
SWEEP_TIME = 25.0


def swept(look: Callable[[], None]) -> None:
    """Look once, with an end to it; when the database or a provider cannot be asked, the next look does it."""
    deadline.begin(time.monotonic() + SWEEP_TIME)
    try:
        look()
    except Unavailable as error:
        log.warning("put off", error=str(error))
