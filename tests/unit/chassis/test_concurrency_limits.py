"""A verb with a limit runs few jobs at once. More jobs wait, then are refused. Quick verbs are never refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chassis.work.concurrency_limits import ConcurrencyLimits, Job


class Timers:
    """A fake of eventlet's `spawn_after`: it keeps each call until `expire`."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.canceled = 0

    def __call__(self, seconds: float, call: Callable[..., None], *args: Any) -> Any:
        self.calls.append((call, args))
        return self

    def cancel(self) -> None:
        """Count the cancellation. `expire` still makes the call, which must have no effect."""
        self.canceled += 1

    def expire(self) -> None:
        """Make every kept call."""
        for call, args in self.calls:
            call(*args)


class Process:
    """The concurrency limits of one process, and the outcome of each job."""

    def __init__(self, workers: int = 9, line: int = 4) -> None:
        self.timers = Timers()
        self.limits = ConcurrencyLimits(workers, self.timers, line=line)
        self.outcomes: list[str] = []
        self.jobs: dict[str, Job] = {}

    def offer(
        self,
        name: str,
        verb: str = "pay",
        most: int | None = 2,
        starts: bool = True,
        meanwhile: Callable[[], Any] = lambda: None,
    ) -> str:
        """Offer a job and give its immediate outcome: "start", "refuse", or "" while it waits.

        Args:
            meanwhile: runs while the job waits for its worker.
        """

        def start() -> bool:
            self.outcomes.append(f"start {name}")
            meanwhile()
            return starts

        job = Job(verb, most, start, lambda: self.outcomes.append(f"refuse {name}"), lambda: None)
        self.jobs[name] = job
        before = len(self.outcomes)
        self.limits.offer(job)
        return " ".join(self.outcomes[before:]).split(" ")[0]

    def done(self, name: str) -> list[str]:
        """Finish a job and give the outcomes that follow."""
        before = len(self.outcomes)
        self.limits.done(self.jobs[name])
        return self.outcomes[before:]


@pytest.fixture
def process() -> Process:
    return Process()


def test_verb_runs_no_more_jobs_than_its_limit(process: Process) -> None:
    assert [process.offer(name) for name in "abc"] == ["start", "start", ""]
    assert process.offer("d", verb="checkout") == "start"
    assert process.done("a") == ["start c"]
    assert process.done("b") == []


def test_limited_verbs_leave_a_third_of_the_workers(process: Process) -> None:
    started = [process.offer(f"{verb}{turn}", verb=verb) for verb in ("a", "b", "c", "d") for turn in (1, 2)]
    assert started == ["start"] * 6 + ["", ""]
    assert [process.offer(f"read{turn}", "items", None) for turn in range(3)] == ["start"] * 3
    assert process.offer("read3", "items", None) == ""
    assert process.done("a1") == ["start read3"]  # quick jobs go first
    assert process.done("read0") == ["start d1"]


def test_job_that_waits_too_long_is_refused(process: Process) -> None:
    for name in "abcd":
        process.offer(name)
    assert process.done("a") == ["start c"]
    assert process.timers.canceled == 1
    process.timers.expire()
    assert process.outcomes[-1] == "refuse d"
    assert process.outcomes.count("refuse c") == 0
    assert process.done("b") == []


def test_full_line_refuses_limited_verbs_only(process: Process) -> None:
    assert [process.offer(f"{turn}") for turn in range(7)] == ["start", "start", "", "", "", "", "refuse"]
    assert process.offer("read", "items", None) == "start"
    small = Process(workers=1, line=0)
    assert [small.offer(f"{turn}", "items", None) for turn in range(5)] == ["start", "", "", "", ""]
    assert small.done("0") == ["start 1"]


def test_waiting_jobs_start_in_order_of_arrival(process: Process) -> None:
    for name in "abcde":
        process.offer(name)
    assert process.done("b") == ["start c"]
    assert process.done("a") == ["start d"]


def test_job_that_did_not_start_frees_its_place(process: Process) -> None:
    process.offer("a")
    process.offer("b")
    process.offer("late", starts=False)
    process.offer("c")
    assert process.done("a") == ["start late", "start c"]


def test_job_finished_during_another_start_is_not_restarted(process: Process) -> None:
    process.offer("a")
    process.offer("b")
    process.offer("c", meanwhile=lambda: [process.done(name) for name in "bd"])
    process.offer("d")
    process.offer("e", meanwhile=lambda: process.done("e"))
    assert process.done("a") == ["start c", "start d", "start e"]
    assert process.offer("f") == "start"  # c still runs: no place was counted twice
    assert process.offer("g") == ""


def test_job_refused_during_another_start_is_not_started(process: Process) -> None:
    def meanwhile() -> None:
        process.timers.expire()
        process.done("b")

    process.offer("a")
    process.offer("b")
    process.offer("c", meanwhile=meanwhile)
    process.offer("d")
    assert process.done("a") == ["start c", "refuse d"]


def test_cleared_line_starts_and_refuses_no_job(process: Process) -> None:
    for name in "abc":
        process.offer(name)
    assert process.limits.clear() == [process.jobs["c"]]
    assert process.done("a") == []
    process.timers.expire()
    assert process.outcomes == ["start a", "start b"]


@pytest.mark.parametrize("workers", [1, 2, 3, 28])
def test_few_workers_still_serve_every_verb(workers: int) -> None:
    process = Process(workers=workers)
    assert process.offer("a") == "start"
    process.done("a")
    assert process.offer("read", "items", None) == "start"


def test_prefetch_count_leaves_room_for_quick_jobs() -> None:
    process = Process(workers=9, line=4)
    slow = [process.offer(f"{turn}", most=6) for turn in range(12)]
    assert slow == ["start"] * 6 + [""] * 4 + ["refuse"] * 2
    unanswered = 6 + 4
    assert process.limits.most_at_hand - unanswered == 9 - 6
