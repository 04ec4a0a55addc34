"""The time of what is stored (due, claimed until, created): wall clock time that does not step while a process runs.

A wall clock that is set wrong by an hour, and later right again, must neither hold up what waits nor end the claims of
what is being worked on. All copies of a service go by one time, which they tell each other with each beat
(`chassis.presence`): one that starts while the wall clock is wrong begins with the time of the living, and a correction
is followed by all within seconds. Signatures of providers are checked against the wall clock itself.
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
# A larger step is adopted when it has lasted this long (seconds): then it was the old time that was wrong. All that was
# in hand before the step has ended by then.
STEP_ADOPTED_S = 300.0
# Two copies that differ by less go by the same time (seconds): what one says is up to a beat old when it is read.
SAME_S = 3.0
# After a step was adopted, the times of claims say nothing for so long (seconds): as long as any claim holds, and the
# others take to adopt it, too.
CORRECTING_S = 60.0
# What was last asked about so much later than now (seconds) was stored by a clock that was wrong.
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
        """Start with the time of the copies that are there already.

        Args:
            living: their time (Unix seconds); None when there are none: then the wall clock's.
            wall: what to take for the wall clock from now on, when that is another one.
        """
        self._wall = wall or self._wall
        steady = self._steady()
        offset = self._wall() - steady
        if living is not None and abs(living - steady - offset) > SAME_S:
            offset = living - steady
        self._offset, self._apart_since = offset, None

    def told(self, other: float) -> None:
        """Another copy goes by the time `other` (Unix seconds): follow it where it has adopted a step."""
        steady = self._steady()
        offset = self._wall() - steady
        stepped = self._apart_since is not None and abs(offset - self._offset) > 2 * SAME_S
        if stepped and abs(other - steady - offset) <= SAME_S:
            self._adopt(offset, steady)

    @property
    def correcting(self) -> bool:
        """Whether a step was adopted so lately that the times of claims may be of before it."""
        return self._steady() - self._corrected < CORRECTING_S

    def ended_before(self, moment: float) -> float:
        """The time (Unix seconds) up to which a claim has ended at `moment` for every copy, those included that have
        adopted a step already, or have yet to."""
        if self.correcting:
            return 0.0
        return moment if self._apart_since is None else min(moment, self._wall())

    def _adopt(self, offset: float, steady: float) -> None:
        log.warning("wall clock adopted", seconds=round(offset - self._offset, 1))
        self._offset, self._apart_since, self._corrected = offset, None, steady


now = SteadyClock()


def due(column: Any, moment: float, longest_s: float) -> sa.ColumnElement[bool]:
    """The condition that the stored time in `column` has come.

    One that is further ahead than `longest_s`, the longest legal wait of its kind, was stored by a clock that was
    wrong: it has come, too.
    """
    return sa.or_(column <= moment, column > moment + longest_s)


def asked_before(column: Any, moment: float, every_s: float) -> sa.ColumnElement[bool]:
    """The condition that what was last asked about at `column` is to be asked about again, every `every_s` seconds.

    A time that is still to come was stored by a clock that was wrong. Null: it need not be asked about.
    """
    return sa.or_(column <= moment - every_s, column > moment + AHEAD_S)


def settled_at(tried_until: float, settled: float, moment: float, longest_s: float) -> float:
    """When it is certain what became of an attempt that nobody saw the end of.

    Args:
        tried_until: until when the provider may still answer, as it was stored.
        settled: the same, as it was stored when the attempt was given up; 0 when it was not.
        moment: now.
        longest_s: no attempt is uncertain for longer (seconds): a time further ahead was stored by a wrong clock.
    """
    latest = moment + longest_s
    if now.correcting:
        return latest
    believed = [stored for stored in (tried_until, settled) if 0 < stored <= latest]
    return max(believed, default=latest)
