"""Which copies of a service are alive: each writes a heartbeat every second, so that within seconds another one takes
up the work of a killed copy, however long the work itself may take.

A claim on a piece of work names its holder. It is void when its time has run out, or when its holder has not been seen
for `GONE_AFTER_S` seconds. `Heartbeat` describes the clock of these comparisons.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

import eventlet
import sqlalchemy as sa

from chassis.clock import SteadyClock
from chassis.clock import now as shop_time
from chassis.db.shared_tables import presence
from chassis.db.transactions import Transactions
from chassis.db.upsert import insert_new
from chassis.fair_scheduling import unpaused
from contracts.errors import Unavailable

# The row of a copy's holder with this prefix: its `seen` is the time that the copy uses (Unix seconds,
# `chassis.clock`).
TIME_OF = "time-"
# The interval between two heartbeats of a copy (seconds).
BEAT_INTERVAL_S = 1.0
# How long a copy counts as alive after a heartbeat (seconds): longer than a beat plus a writer's longest wait for
# SQLite's lock, during which the whole process stands still.
GONE_AFTER_S = 4.0
# How long one beat may take (seconds), and how soon the next follows a failed one: a copy whose connection went silent
# still beats in time on another connection.
BEAT_TIMEOUT_S = 2.0
RETRY_PAUSE_S = 0.25
# How long PostgreSQL's old time is used after its clock was set (seconds): every live copy beats within it.
OLD_TIME_S = GONE_AFTER_S + 2 * BEAT_INTERVAL_S
# A database that was written to within this time counts as writable (seconds).
WRITABLE_FOR_S = 2 * BEAT_INTERVAL_S
# A beat that took longer says little about the time at which it was written (seconds).
PROMPT_BEAT_S = 0.5
# The size of the row that tests whether there is space (characters).
ROOM_CHARACTERS = 16384
# How long the row of a copy that is gone is kept (seconds): nothing depends on it.
COPY_KEPT_S = 86400.0

_copies = presence.c.holder.not_like(f"{TIME_OF}%")


class Heartbeat:
    """The copies of one service that share a database.

    A copy that was only suspended for `GONE_AFTER_S` finds its claim lost when it writes. Every provider that can be
    asked is asked before a step is repeated.

    All comparisons use one clock: PostgreSQL's own, since its clients' hosts may differ; on SQLite the monotonic clock
    of the one host, which all processes share and nobody sets. A future time was stored before PostgreSQL's clock was
    set back, or before the host was restarted: each beat replaces it with the current time, so that it expires like any
    other. After PostgreSQL's clock is set forward, comparisons use its old time until every live copy has beaten by the
    new one. A copy that comes back from an outage of the database also lets the others beat first.

    Args:
        database: the database that they share.
        clock: seconds, for tests; by default as above.
        shop_time: gives the times that this process stores.

    Attributes:
        holder: identifies this process among all copies.
    """

    def __init__(
        self, database: Transactions, clock: Callable[[], float] | None = None, shop_time: SteadyClock = shop_time
    ) -> None:
        self._database = database
        self._shop_time = shop_time
        self._clock = clock or time.monotonic
        self._asks = clock is None and database.dialect == "postgresql"
        self._beaten = 0.0
        self._failed = False  # whether the last beat failed
        self._back = -GONE_AFTER_S  # when the database came back
        # When PostgreSQL was asked for its time, and how far it was ahead of `clock`.
        self._ahead: deque[tuple[float, float]] = deque()
        self.holder = uuid.uuid4().hex

    def beat(self) -> None:
        """Write this process's heartbeat."""
        now = self._clock()
        try:
            self._say()
        except (Unavailable, sa.exc.SQLAlchemyError):
            self._failed = True
            raise
        ended = self._clock()
        if (self._failed or ended - now > BEAT_INTERVAL_S) and ended - self._beaten > GONE_AFTER_S:
            self._back = ended  # no other copy could beat either
        self._failed, self._beaten = False, now

    def _say(self) -> None:
        now = self._clock()
        # Another thread of this process may insert the first heartbeat at this moment: then it is written.
        # Without a pause: otherwise other greenlets that hold a claim would all find the heartbeat still missing.
        with unpaused(), contextlib.suppress(sa.exc.IntegrityError), self._database.write() as connection:
            here, seen = presence.c.holder == self.holder, self._now()
            asked = self._clock()
            known = connection.execute(sa.update(presence).where(here).values(seen=seen)).rowcount == 1
            if not known:
                connection.execute(sa.insert(presence).values(holder=self.holder, seen=seen))
            answered = self._clock()
            stored = connection.execute(sa.select(presence.c.seen).where(here)).scalar_one()
            if answered - asked < PROMPT_BEAT_S or not self._ahead:
                self._ahead.append((now, stored - answered))
            self._share_time(connection, stored)
            self._set_back(connection, seen)
            if not known:
                self._forget(connection)
        while len(self._ahead) > 1 and self._ahead[0][0] < now - OLD_TIME_S:
            self._ahead.popleft()

    def _set_back(self, connection: sa.Connection, seen: sa.ColumnElement[float]) -> None:
        """Replace future times with the current one, unless another copy's beat is doing so at this moment."""
        ahead = sa.select(presence.c.holder).where(_copies, presence.c.seen > seen + BEAT_INTERVAL_S)
        these = presence.c.holder.in_(ahead.with_for_update(skip_locked=True))
        connection.execute(sa.update(presence).where(these).values(seen=seen))

    def _forget(self, connection: sa.Connection) -> None:
        """Delete the copies that are long gone."""
        connection.execute(sa.delete(presence).where(_copies, presence.c.seen < self._now() - COPY_KEPT_S))
        copies = sa.select(TIME_OF + presence.c.holder).where(_copies)
        connection.execute(sa.delete(presence).where(sa.not_(_copies), presence.c.holder.not_in(copies)))

    def _share_time(self, connection: sa.Connection, stored: float) -> None:
        """Use the time of the live copies, and store ours for them; `stored` is this beat's `seen`."""
        copy, time_of = presence.alias(), presence.alias()
        times = sa.select(time_of.c.seen + stored - copy.c.seen).where(
            time_of.c.holder == TIME_OF + copy.c.holder,
            copy.c.holder != self.holder,
            copy.c.seen.between(stored - GONE_AFTER_S, stored + BEAT_INTERVAL_S),
        )
        others = list(connection.execute(times.order_by(copy.c.seen.desc())).scalars())
        if not self._beaten:
            self._shop_time.begin(others[0] if others else None, self._database_time if self._asks else None)
        for other in others:
            self._shop_time.follow_copy(other)
        row, values = presence.c.holder == TIME_OF + self.holder, {"seen": self._shop_time()}
        if connection.execute(sa.update(presence).where(row).values(**values)).rowcount == 0:
            insert_new(connection, presence, {"holder": TIME_OF + self.holder, **values})

    def _database_time(self) -> float:
        return self._clock() + self._ahead[-1][1]

    @property
    def wrote_lately(self) -> bool:
        """Whether this process has just written to the database."""
        return self._clock() - self._beaten < WRITABLE_FOR_S

    def grow(self, connection: sa.Connection) -> None:
        """Write and delete a row that needs new space: some pages of SQLite's."""
        size = 64 if self._database.dialect == "postgresql" else ROOM_CHARACTERS
        row = {"holder": f"room-{self.holder}".ljust(size, "-")[:size], "seen": 0.0}
        connection.execute(sa.insert(presence).values(row))
        connection.execute(sa.delete(presence).where(presence.c.holder == row["holder"]))

    def hold(self) -> str:
        """Return `holder` for a claim that is about to be made, after making sure that others see this process alive.

        Call it outside of a transaction. Raises Unavailable.
        """
        if self._clock() - self._beaten > BEAT_INTERVAL_S:
            self.beat()
        return self.holder

    @property
    def fresh(self) -> bool:
        """Whether the others still count this process as alive: checked before a step that no key protects."""
        return self._clock() - self._beaten < GONE_AFTER_S

    def is_gone(self, column: Any) -> sa.ColumnElement[bool]:
        """The condition that the holder in `column` has not been seen lately (also when there is none)."""
        now, moment = self._clock(), self._now()
        if now - self._back < GONE_AFTER_S:
            return sa.or_(column.is_(None))
        if self._asks and self._ahead:
            # The least of the recent ones: a clock that was set forward is followed only when all copies have beaten by
            # it; one that was set back is followed at once, because a beat also sets back the others' times.
            moment = sa.func.least(moment, now + min(ahead for _, ahead in self._ahead))
        alive = sa.select(presence.c.holder).where(presence.c.seen >= moment - GONE_AFTER_S)
        return sa.or_(column.is_(None), column.not_in(alive))

    def is_void(self, holder: Any, until: Any, now: float) -> sa.ColumnElement[bool]:
        """The condition that a claim is void: its time is up, or its holder is not alive.

        Right after a correction of the clock, times mean nothing: a living holder keeps each claim that it has not
        released (0).
        """
        return sa.or_(until <= self._shop_time.ended_before(now), self.is_gone(holder))

    def run(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Beat until the greenlet is killed; a failure of the database is retried."""
        while True:
            pause = RETRY_PAUSE_S
            # A call will find that out, and report it.
            with contextlib.suppress(Unavailable, sa.exc.SQLAlchemyError):
                with eventlet.Timeout(BEAT_TIMEOUT_S, Unavailable("The database is silent.")):
                    self.beat()
                    self._database.probe_room()
                pause = BEAT_INTERVAL_S
            sleep(pause)

    def _now(self) -> sa.ColumnElement[float]:
        if not self._asks:
            return sa.literal(self._clock(), sa.Float(53))
        return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Float(53))
