"""The storm and its timing, without a shop: a seed repeats its storm, and times count from the right fault."""

from __future__ import annotations

import itertools
import math
import time
from pathlib import Path
from typing import Any

import pytest

from bench.faults import crash_points, quiet, report, stories, storm
from bench.faults.chaos import Outcome, Plan
from bench.faults.crash_points import Ending, settled_within
from bench.faults.settling import Settled
from bench.faults.shopper import BEHAVIOURS
from bench.faults.stories import Pays

LONG = Plan(200, 1, mean_gap=2.0, squall=10.0)


@pytest.mark.parametrize(
    ("plan", "seconds", "lulls", "times", "well"),
    [
        (LONG, 60.0, 2, [1.0], True),
        (LONG, 60.0, 2, [], False),
        (LONG, 60.0, 0, [], False),
        (LONG, 20.0, 0, [], True),
        (Plan(200, 1, mean_gap=0), 60.0, 0, [], True),
        (Plan(200, 1, restarts=2), 60.0, 0, [], True),
    ],
)
def test_long_storm_without_measured_times_is_not_well(
    plan: Plan, seconds: float, lulls: int, times: list[float], well: bool
) -> None:
    outcome = Outcome(plan, settled=Settled(times), lulls=lulls, seconds=seconds)
    assert outcome.well is well
    about = dict.fromkeys(("database", "cores", "processor", "system", "load_before"), "")
    page = report.markdown(outcome, {**about, **dict.fromkeys(("broker", "python", "commit", "copies"), "")})
    assert ("nothing was measured" in page) is not well


def test_behaviours_add_up_to_a_hundred_shoppers() -> None:
    assert sum(BEHAVIOURS.values()) == 100
    assert BEHAVIOURS["gets it"] > 0


class NoRows:
    def rows(self, service: str, query: str, **values: Any) -> list[dict[str, Any]]:
        return []


class Moved(NoRows):
    """Two orders, and an event that waits."""

    def rows(self, service: str, query: str, **values: Any) -> list[dict[str, Any]]:
        if "FROM orders" in query:
            return [{"id": "or_a"}, {"id": "or_b"}]
        late = {"key": "evt_1", "state": "waiting", "kind": "any", "tries": 1, "error": "no"}
        return [{**late, "created": time.time() - 70}] if service == "shipping" else []


def test_the_end_waits_for_parcels_and_events(monkeypatch: pytest.MonkeyPatch) -> None:
    sold = [("or_a", {"tracking_status": "TRANSIT"}), ("or_b", {"tracking_status": "PRE_TRANSIT"})]
    monkeypatch.setattr(quiet, "labels", lambda url: iter(sold))
    databases: Any = Moved()
    assert quiet.still_to_come(databases, "", 0.0) == ["event evt_1", "or_a"]
    nothing: Any = NoRows()
    assert quiet.still_to_come(nothing, "", 0.0) == []


def test_a_wave_has_each_point_and_each_provider_once() -> None:
    cases = [*crash_points.all_cases(full=True), *crash_points.troubled_cases()]
    found = list(crash_points.waves(cases, 5))
    assert sorted(str(case) for wave in found for case in wave) == sorted(map(str, cases))
    assert max(map(len, found)) == 5
    for wave in found:
        points = [case.point or (case.trouble or ("",))[0] for case in wave]
        assert len(set(points)) == len(points)


class Ended:
    """A story that is correct after it was checked `looks` times."""

    order_id = "or_a"

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def wrong(self, status: str, mails: int = 1) -> str | None:
        self.looks -= 1
        return "no label" if self.looks >= 0 else None


@pytest.mark.parametrize(("looks", "counted_from"), [(0, "its own death"), (2, "the last death")])
def test_a_case_is_timed_from_the_last_death_before_its_end(looks: int, counted_from: str) -> None:
    points: Any = crash_points.CrashPoints(None, NoRows(), Path())  # type: ignore[arg-type]
    now = time.time()
    story: Any = Ended(looks)
    running = crash_points.CaseRun(Ending(crash_points.Case("pay:claim:begun", Pays, True)), story, now - 900)
    points._settle(running, now - 4)
    since = {"its own death": 900, "the last death": 4}[counted_from]
    assert since <= running.ending.seconds < since + 20
    assert 900 <= running.ending.own < 920


def test_buyer_passes_the_crash_points_of_buying() -> None:
    assert stories.passing("buy:cart:begun") == (stories.Buys,)


class Wrong:
    """A story that is never correct."""

    order_id = "or_a"

    def wrong(self, status: str, mails: int = 1) -> str:
        return "no label"


def test_case_that_never_settles_is_reported_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash_points, "LATEST", 0.1)
    points: Any = crash_points.CrashPoints(None, NoRows(), Path())  # type: ignore[arg-type]
    story: Any = Wrong()
    running = crash_points.CaseRun(Ending(crash_points.Case("pay:claim:begun", Pays, True)), story, time.time())
    began = time.monotonic()
    points._settle(running, time.time())
    assert time.monotonic() - began < crash_points.BARS[-1][1]
    assert running.ending.wrong is not None
    assert math.isinf(running.ending.seconds)


def test_unsettled_case_is_within_no_time() -> None:
    case = crash_points.Case("pay:claim:begun", Pays, True)
    endings = [Ending(case, 1.0, 1.0), Ending(case, 1.0, 1.0, "two mails"), Ending(case, wrong="nobody reached it")]
    assert settled_within(endings, 10.0) == 1 / 3
    assert settled_within([], 10.0) == 0


class Mails(NoRows):
    def rows(self, service: str, query: str, **values: Any) -> list[dict[str, Any]]:
        return [{"uncertain": 1}] if values.get("key") == "or_a:email" else []


@pytest.mark.parametrize(("databases", "mails"), [(NoRows(), 1), (Mails(), 2)])
def test_second_mail_is_correct_only_if_first_is_uncertain(databases: Any, mails: int) -> None:
    points: Any = crash_points.CrashPoints(None, databases, Path())  # type: ignore[arg-type]
    points.killed["email:send:asked"] = [time.time()]  # of another story
    expected_mails: list[int] = []

    class Recording(Wrong):
        def wrong(self, status: str, mails: int = 1) -> str:
            expected_mails.append(mails)
            return ""

    points._wrong(Recording())
    assert expected_mails == [mails]


def test_seed_determines_its_storm() -> None:
    events = [list(itertools.islice(storm.schedule(seed), 300)) for seed in (1, 1, 2)]
    assert events[0] == events[1] != events[2]
    assert {event.target for event in events[0] if event.kind == "kill"} == set(storm.PARTS)
    assert {event.target for event in events[0] if event.kind == "trouble"} == set(storm.PROVIDERS)
    assert {event.trouble for event in events[0] if event.kind == "trouble"} == set(storm.TROUBLES)
    assert 1.5 < sum(event.after for event in events[0]) / len(events[0]) < 4.5


def test_settling_time_is_judged_by_the_slowest() -> None:
    settled = Settled([float(seconds) for seconds in range(1, 101)])
    assert (settled.percentile(50), settled.percentile(95), settled.percentile(100)) == (50, 95, 100)
    assert settled.within(10) == 10
    assert not settled.in_time
    assert Settled([1.0] * 19 + [29.0]).in_time
    assert not Settled([1.0] * 18 + [11.0] * 2).in_time
    assert not Settled([1.0] * 99 + [31.0]).in_time
