"""Heartbeats: a copy that beats holds its claims; a copy that does not is gone after a few seconds."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import eventlet
import pytest
import sqlalchemy as sa

from chassis.clock import CORRECTING_S, STEP_ADOPTED_S, SteadyClock
from chassis.db.engine import SQLITE_BUSY_SECONDS, Database
from chassis.db.heartbeat import (
    BEAT_INTERVAL_S,
    BEAT_TIMEOUT_S,
    COPY_KEPT_S,
    GONE_AFTER_S,
    OLD_TIME_S,
    RETRY_PAUSE_S,
    TIME_OF,
    Heartbeat,
)
from chassis.db.shared_tables import presence
from contracts.errors import Unavailable


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def gone(database: Database, watcher: Heartbeat, holder: str | None) -> bool:
    with database.read() as connection:
        answer = connection.execute(sa.select(watcher.is_gone(sa.literal(holder, sa.String)))).scalar_one()
    return bool(answer)


def test_copy_is_gone_when_its_heartbeat_stops(database: Callable[[str], Database]) -> None:
    here = database("cart")
    clock = Clock()
    first, second = Heartbeat(here, clock), Heartbeat(here, clock)
    holder = first.hold()
    assert not gone(here, second, holder)
    assert first.fresh
    clock.now += GONE_AFTER_S - 0.1
    assert not gone(here, second, holder)
    first.beat()
    clock.now += GONE_AFTER_S - 0.1
    assert not gone(here, second, holder)
    clock.now += 0.2
    assert gone(here, second, holder)
    assert not first.fresh
    assert gone(here, second, None), "a claim without a holder is free"


def test_hold_renews_an_overdue_heartbeat(database: Callable[[str], Database]) -> None:
    here = database("cart")
    clock = Clock()
    first = Heartbeat(here, clock)
    first.hold()
    clock.now += 60
    assert not gone(here, Heartbeat(here, clock), first.hold())


def test_rows_of_old_copies_are_deleted(database: Callable[[str], Database]) -> None:
    here = database("cart")
    clock = Clock()
    Heartbeat(here, clock).beat()
    clock.now += COPY_KEPT_S + 1
    copy = Heartbeat(here, clock)
    copy.beat()
    with here.read() as connection:
        assert set(connection.execute(sa.select(presence.c.holder)).scalars()) == {copy.holder, TIME_OF + copy.holder}


def test_copies_on_hosts_with_different_clocks_stay_alive(
    database: Callable[[str], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = database("cart")
    if here.dialect == "sqlite":  # one host with one clock
        assert SQLITE_BUSY_SECONDS + BEAT_INTERVAL_S < GONE_AFTER_S
        return
    late = Heartbeat(here)
    with monkeypatch.context() as slow:
        now = time.time()
        slow.setattr(time, "time", lambda: now - 60.0)
        holder = Heartbeat(here).hold()
    assert not gone(here, late, holder)
    with here.write() as connection:
        connection.execute(sa.update(presence).values(seen=presence.c.seen - GONE_AFTER_S - 0.1))
    assert gone(here, late, holder)


def test_stepped_wall_clock_does_not_expire_copies(
    database: Callable[[str], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, began = database("cart"), time.time()
    first, second = Heartbeat(here), Heartbeat(here)
    for step in (3600.0, -3600.0):
        monkeypatch.setattr(time, "time", lambda step=step: began + step)
        holder = first.hold()
        second.beat()
        assert not gone(here, second, holder)
        assert first.fresh


def test_copy_with_a_future_heartbeat_expires(database: Callable[[str], Database]) -> None:
    """This happens after PostgreSQL's clock is set back, or after a host restart."""
    here, clock = database("cart"), Clock()
    dead, alive = Heartbeat(here, clock), Heartbeat(here, clock)
    holder = dead.hold()
    clock.now -= 3600
    alive.beat()
    clock.now += GONE_AFTER_S + 0.1
    assert gone(here, alive, holder)


class SteppedCopies:
    """Three copies on PostgreSQL; the test sets the database clock."""

    def __init__(self, here: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.here, self.clock, self.step = here, Clock(), 0.0
        self.copies = [Heartbeat(here, self.clock, SteadyClock(self.clock, self.clock)) for _ in range(3)]
        monkeypatch.setattr(Heartbeat, "_now", lambda _: sa.cast(sa.literal(self.clock.now + self.step), sa.Float(53)))
        for each in self.copies:
            each._asks = True
            each.beat()

    def gone(self, asked_by: Heartbeat, copy: Heartbeat) -> bool:
        return gone(self.here, asked_by, copy.holder)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_copies_survive_a_step_of_the_database_clock(
    database: Callable[[str], Database], monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    """This holds for the copy that detects the step first, and for the copies that detect it later."""
    stepped = SteppedCopies(database("cart"), monkeypatch)
    first, second, dead = stepped.copies
    stepped.step = step
    stepped.clock.now += 0.5
    second.beat()
    stepped.clock.now += 0.4
    for asks in (first, second):
        assert not any(stepped.gone(asks, each) for each in (first, second))
    for _ in range(int(OLD_TIME_S) + 1):
        first.beat()
        second.beat()
        stepped.clock.now += BEAT_INTERVAL_S
        assert not any(stepped.gone(first, each) for each in (first, second))
        assert not any(stepped.gone(second, each) for each in (first, second))
    assert stepped.gone(second, dead)


def test_new_copy_shares_the_time_of_the_live_copies(
    database: Callable[[str], Database],
) -> None:
    here, clock = database("cart"), Clock()
    right, wrong = SteadyClock(clock, clock), SteadyClock(lambda: clock.now - 3600, clock)
    first, second = Heartbeat(here, clock, right), Heartbeat(here, clock, wrong)
    first.beat()
    clock.now += 0.5
    second.beat()
    assert right() - BEAT_INTERVAL_S <= wrong() <= right()
    clock.now += GONE_AFTER_S + 1  # a single copy uses its own clock
    alone = SteadyClock(lambda: clock.now - 3600, clock)
    Heartbeat(here, clock, alone).beat()
    assert alone() == clock.now - 3600


def test_step_is_adopted_by_all_copies_together(database: Callable[[str], Database]) -> None:
    here, clock, step = database("cart"), Clock(), [0.0]
    early, late = (SteadyClock(lambda: clock.now + step[0], clock) for _ in range(2))
    first, second = Heartbeat(here, clock, early), Heartbeat(here, clock, late)
    first.beat()
    step[0] = 3600.0
    for _ in range(int(STEP_ADOPTED_S)):
        clock.now += BEAT_INTERVAL_S
        first.beat()
        if clock.now > 1_000_200:
            second.beat()
            assert abs(late() - early()) <= 1
    clock.now += BEAT_INTERVAL_S
    first.beat()
    second.beat()
    assert late() == early() == clock.now + 3600


def test_clock_correction_keeps_the_claims_of_live_copies(database: Callable[[str], Database]) -> None:
    here, clock, step = database("cart"), Clock(), [0.0]
    adopts = SteadyClock(lambda: clock.now + step[0], clock)
    first, dead = (Heartbeat(here, clock, SteadyClock(clock, clock)) for _ in range(2))
    second = Heartbeat(here, clock, adopts)
    for each in (first, second, dead):
        each.beat()
    lease, step[0] = adopts() + 30, 3600.0
    adopts()

    def void(holder: Heartbeat, until: float) -> bool:
        with here.read() as connection:
            claim = second.is_void(sa.literal(holder.holder), sa.literal(until), adopts())
            return bool(connection.execute(sa.select(claim)).scalar_one())

    for _ in range(int(STEP_ADOPTED_S)):
        clock.now += BEAT_INTERVAL_S
        first.beat()
    assert adopts() > lease
    assert not void(first, lease)
    assert void(first, 0.0), "a released claim is void"
    assert void(dead, lease)
    clock.now += CORRECTING_S
    first.beat()
    second.beat()
    assert void(first, lease)


@pytest.mark.parametrize("seconds", [GONE_AFTER_S + 0.1, 60.0])
def test_first_beat_after_an_outage_keeps_the_other_copies_alive(
    database: Callable[[str], Database], monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """During the outage of the database, no copy could beat."""

    def unavailable() -> Any:
        raise Unavailable("The database is away.")

    here, clock = database("cart"), Clock()
    first, second, dead = (Heartbeat(here, clock) for _ in range(3))
    for each in (first, second, dead):
        each.beat()
    clock.now += 1
    with monkeypatch.context() as outage:
        outage.setattr(here, "write", unavailable)
        with pytest.raises(Unavailable):
            second.beat()
    clock.now += seconds - 1
    second.beat()
    assert not gone(here, second, first.holder)
    for _ in range(int(GONE_AFTER_S) + 1):
        clock.now += BEAT_INTERVAL_S
        first.beat()
        second.beat()
        assert not gone(here, second, first.holder)
    assert gone(here, second, dead.holder)


def test_beat_delayed_by_an_outage_keeps_the_other_copies_alive(
    database: Callable[[str], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database did not refuse the beat; it answered late."""
    here, clock = database("cart"), Clock()
    first, second = Heartbeat(here, clock), Heartbeat(here, clock)
    first.beat()
    second.beat()
    clock.now += 0.5
    write = here.write

    def late() -> Any:
        clock.now += GONE_AFTER_S
        return write()

    with monkeypatch.context() as outage:
        outage.setattr(here, "write", late)
        second.beat()
    assert not gone(here, second, first.holder)


def test_time_of_a_dead_copy_is_ignored(database: Callable[[str], Database]) -> None:
    """After a host restart, the heartbeats stored before it seem to lie in the future."""
    here, clock, unix = database("cart"), Clock(), [2e9]
    Heartbeat(here, clock, SteadyClock(lambda: unix[0], clock)).beat()
    clock.now, unix[0] = 10.0, 2e9 + 3 * 86400
    after = SteadyClock(lambda: unix[0], clock)
    Heartbeat(here, clock, after).beat()
    assert after() == unix[0]


def test_claim_made_before_a_clock_step_back_stays_valid(database: Callable[[str], Database]) -> None:
    here, clock, step = database("cart"), Clock(), [0.0]
    early, late = (SteadyClock(lambda: clock.now + step[0], clock) for _ in range(2))
    first, second = Heartbeat(here, clock, early), Heartbeat(here, clock, late)
    first.beat()
    second.beat()
    step[0] = -3600.0
    early()
    clock.now += 2
    late()
    for _ in range(int(STEP_ADOPTED_S) - 1):
        clock.now += BEAT_INTERVAL_S
        early()
    first.beat()
    lease = early() + 30
    assert lease < late()
    with here.read() as connection:
        void = second.is_void(sa.literal(first.holder), sa.literal(lease), late())
        assert not connection.execute(sa.select(void)).scalar_one()


class Silent:
    """A database that does not answer the first writes, as on a lost connection."""

    def __init__(self, database: Database, times: int) -> None:
        self.dialect = database.dialect
        self.times = times
        self.database = database

    def probe_room(self) -> None:
        self.database.probe_room()

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        if self.times:
            self.times -= 1
            eventlet.sleep(60)
        with self.database.write() as connection:
            yield connection


def test_unanswered_beat_times_out_before_the_copy_expires(
    database: Callable[[str], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = database("cart")
    silent: Any = Silent(here, times=0)
    beating = Heartbeat(silent)
    holder = beating.hold()
    silent.times, seen = 1, beating._beaten
    assert BEAT_TIMEOUT_S + RETRY_PAUSE_S < GONE_AFTER_S - BEAT_INTERVAL_S
    monkeypatch.setattr(
        "chassis.db.heartbeat.BEAT_TIMEOUT_S", 0.2
    )  # so that the copy does not expire on a busy machine
    began = time.monotonic()
    thread = eventlet.spawn(beating.run, eventlet.sleep)
    try:
        while beating._beaten == seen:
            assert time.monotonic() - began < 50
            eventlet.sleep(0.05)
        assert silent.times == 0
        assert not gone(here, Heartbeat(here), holder)
    finally:
        thread.kill()


def test_process_dies_once_at_the_requested_crash_point(tmp_path: Path) -> None:
    (tmp_path / "pay-claim-begun").touch()
    points = "crash_point('pay:other')\ncrash_point('pay:claim:begun')"
    program = f"from chassis.crash_points import crash_point\n{points}\nprint('past it')"
    command = [sys.executable, "-c", program]
    env = {**os.environ, "CRASH_POINTS": str(tmp_path)}
    killed = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, "")
    again = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert (again.returncode, again.stdout) == (0, "past it\n")
