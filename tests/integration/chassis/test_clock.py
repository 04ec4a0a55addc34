"""A wall clock that steps forward or back by an hour, and may be right again later."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from eventlet.event import Event

from chassis import deadline
from chassis.clock import CORRECTING_S, STEP_ADOPTED_S, SteadyClock, asked_before, due, settled_at
from chassis.db.engine import Database
from chassis.work.inbox import Inbox
from chassis.work.tasks import LONGEST_WAIT_S
from chassis.work.timer import Timer

HOUR_S = 3600.0


class Wall:
    """A wall clock and a monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.steady = 100.0
        self.step = 1_000_000.0

    def advance(self, seconds: float) -> None:
        self.steady += seconds

    def clock(self) -> SteadyClock:
        return SteadyClock(lambda: self.steady + self.step, lambda: self.steady)


@pytest.mark.parametrize("step", [HOUR_S, -HOUR_S])
def test_step_is_not_followed_at_once(step: float) -> None:
    wall = Wall()
    clock = wall.clock()
    wall.step += step
    assert clock() == 1_000_100.0
    wall.advance(STEP_ADOPTED_S - 1)
    assert clock() == 1_000_100.0 + STEP_ADOPTED_S - 1
    wall.step -= step
    wall.advance(10)
    assert clock() == 1_000_100.0 + STEP_ADOPTED_S + 9


def test_step_that_lasts_is_adopted() -> None:
    wall = Wall()
    clock = wall.clock()
    wall.step += HOUR_S
    clock()
    wall.advance(STEP_ADOPTED_S)
    assert clock() == 1_000_100.0 + STEP_ADOPTED_S + HOUR_S


def test_new_copy_takes_the_time_of_the_live_copies() -> None:
    wall = Wall()
    old = wall.clock()
    wall.step += HOUR_S
    new = wall.clock()
    new.begin(old() - 0.9)
    assert new() == pytest.approx(old(), abs=1.0)
    wall.step -= HOUR_S
    wall.advance(10)
    assert new() == old() == 1_000_110.0


def test_new_copy_takes_the_wall_clock_otherwise() -> None:
    wall = Wall()
    for living in (None, 1_000_099.0):
        clock = wall.clock()
        clock.begin(living)
        assert clock() == 1_000_100.0


def test_step_that_another_copy_has_adopted_is_adopted() -> None:
    wall = Wall()
    clock = wall.clock()
    wall.step += HOUR_S
    clock()
    clock.follow_copy(1_000_100.0)  # the other copy has not adopted it either
    assert clock() == 1_000_100.0
    assert not clock.correcting
    clock.follow_copy(1_000_099.0 + HOUR_S)
    assert clock() == 1_000_100.0 + HOUR_S
    assert clock.correcting
    wall.advance(CORRECTING_S)
    assert not clock.correcting


def test_no_attempt_is_settled_while_the_clock_is_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stored times may be an hour behind, while the provider still processes the request."""
    wall = Wall()
    clock = wall.clock()
    monkeypatch.setattr("chassis.clock.now", clock)
    assert settled_at(10.0, 0.0, 50.0, 20.0) == 10.0
    wall.step += HOUR_S
    clock()
    wall.advance(STEP_ADOPTED_S)
    clock()
    assert settled_at(10.0, 0.0, 50.0, 20.0) == 70.0


def test_small_correction_is_followed_at_once() -> None:
    wall = Wall()
    clock = wall.clock()
    for _ in range(10):
        wall.step += 0.9
        clock()
    assert clock() == pytest.approx(1_000_109.0)


@pytest.mark.parametrize(
    ("stored", "expected"), [(-1.0, True), (0.0, True), (1.0, False), (60.0, False), (61.0, True), (HOUR_S, True)]
)
def test_task_with_an_impossible_wait_is_due(stored: float, expected: bool) -> None:
    with sa.create_engine("sqlite://").connect() as connection:
        assert bool(connection.execute(sa.select(due(sa.literal(stored), 0.0, 60.0))).scalar()) is expected


@pytest.mark.parametrize(("stored", "expected"), [(-61.0, True), (-59.0, False), (0.0, False), (HOUR_S, True)])
def test_request_dated_in_the_future_is_asked_again(stored: float, expected: bool) -> None:
    with sa.create_engine("sqlite://").connect() as connection:
        assert bool(connection.execute(sa.select(asked_before(sa.literal(stored), 0.0, 60.0))).scalar()) is expected


def test_attempt_of_a_wrong_clock_is_settled_in_time() -> None:
    assert settled_at(1007.0, 0.0, 1000.0, 10.0) == 1007.0
    assert settled_at(1007.0, 1009.0, 1000.0, 10.0) == 1009.0
    assert settled_at(1007.0 + HOUR_S, 0.0, 1000.0, 10.0) == 1010.0
    assert settled_at(1007.0 + HOUR_S, 1010.0, 1005.0, 10.0) == 1010.0  # as stored at the first check


def test_event_stored_by_a_wrong_clock_is_due(database: Callable[[str], Database]) -> None:
    here = database("cart")
    moment = [1_000_000.0]
    inbox = Inbox(here, lambda: moment[0])
    inbox.keep("evt_1", "kind", {})
    moment[0] -= HOUR_S
    assert inbox.tasks.due() == ["evt_1"]
    assert LONGEST_WAIT_S < HOUR_S  # no task schedules a longer wait


def test_timer_follows_the_monotonic_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    began, ticks = time.time(), 0
    timer = Timer(interval=0.05, eager=True)
    timer.should_stop, timer.worker_complete = Event(), Event()

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        # The wall clock steps back or forward before each tick.
        monkeypatch.setattr(time, "time", lambda: began - HOUR_S * (-1) ** ticks)
        if ticks == 5:
            timer.should_stop.send(True)
        timer.worker_complete.send()

    timer.handle_timer_tick = tick
    steady = time.monotonic()
    timer._run()
    assert ticks == 5
    assert 0.19 < time.monotonic() - steady < 30


@pytest.mark.parametrize("step", [HOUR_S, -HOUR_S])
@pytest.mark.parametrize("same_host", [True, False])
def test_deadline_survives_a_step(monkeypatch: pytest.MonkeyPatch, step: float, same_host: bool) -> None:
    headers = deadline.headers(10.0)
    if not same_host:
        headers.pop(deadline.STEADY, None)
    began = time.time()
    monkeypatch.setattr(time, "time", lambda: began + step)
    end = deadline.of(headers)
    assert end is not None
    assert 5 < end - time.monotonic() <= 10.001


def test_deadline_of_an_older_copy_is_read() -> None:
    end = deadline.of({"deadline": f"{time.time() + 10:.3f}"})
    assert end is not None
    assert 5 < end - time.monotonic() <= 10.001
    assert deadline.of({}) is None
    late = deadline.of({"deadline": f"{time.time() - 5:.3f}", "deadline_left": "10000"})
    assert late is not None
    assert late < time.monotonic()


@pytest.mark.parametrize("text", ["soon", "nan", "inf", ""])
def test_invalid_deadline_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        deadline.of({"deadline": text})
