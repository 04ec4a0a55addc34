"""The time of stored values (due, claimed until, created): a wall clock that does not step while a process runs.

A wall clock that is set wrong by an hour, and later corrected, must neither delay waiting work nor end claims on work
in progress. All copies of a service share one time, exchanged with each heartbeat (`chassis.db.heartbeat`). A copy that
starts while the wall clock is wrong begins with the time of the live copies; all follow a correction within seconds.
Providers' signatures are checked against the wall clock itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from chassis.logs import log

# A difference up to this is adopted at once (seconds): clocks are corrected by as much every day.
SMALL_STEP_S = 1.0
# A larger step is adopted once it has lasted this long (seconds): then the old time was wrong. All work in progress
# before the step has ended by then.
STEP_ADOPTED_S = 300.0
# Copies that differ by less share one time (seconds): another copy's time is up to a beat old when it is read.
SAME_S = 3.0
# For this long after a step is adopted, the times of claims are ignored (seconds): the longest claim, and the time that
# the others take to adopt the step.
CORRECTING_S = 60.0
# A stored time of a last question that is this far in the future came from a wrong clock (seconds).
AHEAD_S = 60.0


class SteadyClock:
    """Unix seconds that follow the monotonic clock.

    Args:
        wall: the wall clock.
        steady: the monotonic clock.
    """

    _corrected = -math.inf

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._steady = steady
        self._offset = wall() - steady()
        self._apart_since: float | None = None

    def __call__(self) -> float:
        """Now."""
        steady = self._steady()
        offset = self._wall() - steady
        if abs(offset - self._offset) <= SMALL_STEP_S:
            self._offset, self._apart_since = offset, None
        elif self._apart_since is None:
            self._apart_since = steady
            log.warning("wall clock stepped", seconds=round(offset - self._offset, 1))
        elif steady - self._apart_since >= STEP_ADOPTED_S:
            self._adopt(offset, steady)
        return steady + self._offset

    def begin(self, living: float | None, wall: Callable[[], float] | None = None) -> None:
        """Start with the time of the live copies.

        Args:
            living: their time (Unix seconds); None when there are none: then the wall clock's.
            wall: replaces the wall clock from now on; None keeps it.
        """
        self._wall = wall or self._wall
        steady = self._steady()
        offset = self._wall() - steady
        if living is not None and abs(living - steady - offset) > SAME_S:
            offset = living - steady
        self._offset, self._apart_since = offset, None

    def follow_copy(self, other: float) -> None:
        """Another copy uses the time `other` (Unix seconds): follow it if it has adopted a step."""
        steady = self._steady()
        offset = self._wall() - steady
        stepped = self._apart_since is not None and abs(offset - self._offset) > 2 * SAME_S
        if stepped and abs(other - steady - offset) <= SAME_S:
            self._adopt(offset, steady)

    @property
    def correcting(self) -> bool:
        """Whether a step was adopted so recently that the times of claims may predate it."""
        return self._steady() - self._corrected < CORRECTING_S

    def ended_before(self, moment: float) -> float:
        """The time (Unix seconds) up to which a claim has ended at `moment` for every copy, including copies that have
        adopted a step already and copies that have yet to adopt it."""
        if self.correcting:
            return 0.0
        return moment if self._apart_since is None else min(moment, self._wall())

    def _adopt(self, offset: float, steady: float) -> None:
        log.warning("wall clock adopted", seconds=round(offset - self._offset, 1))
        self._offset, self._apart_since, self._corrected = offset, None, steady


now = SteadyClock()


def due(column: Any, moment: float, longest_s: float | sa.ColumnElement[float]) -> sa.ColumnElement[bool]:
    """The condition that the stored time in `column` has come.

    A time further ahead than `longest_s`, the longest legal wait of its kind, was stored by a wrong clock: it has come,
    too.
    """
    return sa.or_(column <= moment, column > moment + longest_s)


def asked_before(column: Any, moment: float, every_s: float) -> sa.ColumnElement[bool]:
    """The condition that a question last asked at `column` is due again, every `every_s` seconds.

    A future time was stored by a wrong clock. Null: it need not be asked.
    """
    return sa.or_(column <= moment - every_s, column > moment + AHEAD_S)


def settled_at(tried_until: float, settled: float, moment: float, longest_s: float) -> float:
    """When the outcome of an attempt becomes certain, if its end was not observed.

    Args:
        tried_until: the stored end of the time in which the provider may still answer.
        settled: the same, stored when the attempt was given up; 0 when it was not.
        moment: now.
        longest_s: the longest uncertainty (seconds): a time further ahead was stored by a wrong clock.
    """
    latest = moment + longest_s
    if now.correcting:
        return latest
    believed = [stored for stored in (tried_until, settled) if 0 < stored <= latest]
    return max(believed, default=latest)
