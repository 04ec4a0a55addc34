"""Periodic passes over waiting work."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from chassis import deadline
from chassis.logs import log
from chassis.records import SetAside, note
from contracts.errors import ShopError, Unavailable

Thing = TypeVar("Thing")

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


def polled(
    kind: str, due: Sequence[tuple[str, Thing]], ask: Callable[[Thing], object], put_back: Callable[[list[str]], None]
) -> None:
    """Ask about each thing that is due. A failure does not hold up the others.

    Args:
        kind: of the things, for the log ("parcel").
        due: each with its id.
        put_back: marks things as due again, because their provider cannot be reached.
    """
    for number, (thing_id, thing) in enumerate(due):
        try:
            ask(thing)
        except Unavailable as error:
            log.warning(f"{kind}s not polled", error=str(error))
            put_back([each for each, _ in due[number:]])
            return
        except ShopError as error:
            log.warning(f"{kind} not polled", id=thing_id, error=str(error))
        except Exception as error:  # a bug, or an unforeseen error: continue with the others
            note(kind, SetAside(thing_id, f"{type(error).__name__}: {error}"), error)
