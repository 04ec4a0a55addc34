"""So many of one verb at once and no more: the others wait a moment, then are refused; what is quick is never."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chassis.work.concurrency_limits import ConcurrencyLimits, Job


class Later:
    """What is to be called later."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.canceled = 0

    def __call__(self, seconds: float, call: Callable[..., None], *args: Any) -> Any:
        self.calls.append((call, args))
        return self

    def cancel(self) -> None:
        """Counted; it is called all the same, which nobody must mind."""
        self.canceled += 1

    def now(self) -> None:
        """Time passes."""
        for call, args in self.calls:
            call(*args)


class Floor:
    """A process's concurrency limits, and what became of each job."""

    def __init__(self, workers: int = 9, line: int = 4) -> None:
        self.later = Later()
        self.places = ConcurrencyLimits(workers, self.later, line=line)
        self.said: list[str] = []
        self.jobs: dict[str, Job] = {}

    def offer(
        self,
        name: str,
        verb: str = "pay",
        most: int | None = 2,
        starts: bool = True,
        meanwhile: Callable[[], Any] = lambda: None,
    ) -> str:
        """What becomes of it at once: started, refused, or nothing yet.

        Args:
            meanwhile: what comes to pass while it waits for its worker.
        """

        def start() -> bool:
            self.said.append(f"start {name}")
            meanwhile()
            return starts

        job = Job(verb, most, start, lambda: self.said.append(f"refuse {name}"), lambda: None)
        self.jobs[name] = job
        before = len(self.said)
        self.places.offer(job)
        return " ".join(self.said[before:]).split(" ")[0]

    def done(self, name: str) -> list[str]:
        """What follows when it is done."""
        before = len(self.said)
        self.places.done(self.jobs[name])
        return self.said[before:]


@pytest.fixture
def floor() -> Floor:
    return Floor()


def test_of_one_verb_no_more_than_its_most_are_at_work(floor: Floor) -> None:
    assert [floor.offer(name) for name in "abc"] == ["start", "start", ""]
    assert floor.offer("d", verb="checkout") == "start"
    assert floor.done("a") == ["start c"]
    assert floor.done("b") == []


def test_all_slow_verbs_together_leave_a_third_to_the_others(floor: Floor) -> None:
    started = [floor.offer(f"{verb}{turn}", verb=verb) for verb in ("a", "b", "c", "d") for turn in (1, 2)]
    assert started == ["start"] * 6 + ["", ""]
    assert [floor.offer(f"read{turn}", "items", None) for turn in range(3)] == ["start"] * 3
    assert floor.offer("read3", "items", None) == ""
    assert floor.done("a1") == ["start read3"]  # whatever is quick first
    assert floor.done("read0") == ["start d1"]


def test_whoever_waits_too_long_is_refused_and_whoever_got_in_is_not(floor: Floor) -> None:
    for name in "abcd":
        floor.offer(name)
    assert floor.done("a") == ["start c"]
    assert floor.later.canceled == 1
    floor.later.now()
    assert floor.said[-1] == "refuse d"
    assert floor.said.count("refuse c") == 0
    assert floor.done("b") == []


def test_a_full_line_refuses_at_once_but_nothing_that_is_quick(floor: Floor) -> None:
    assert [floor.offer(f"{turn}") for turn in range(7)] == ["start", "start", "", "", "", "", "refuse"]
    assert floor.offer("read", "items", None) == "start"
    small = Floor(workers=1, line=0)
    assert [small.offer(f"{turn}", "items", None) for turn in range(5)] == ["start", "", "", "", ""]
    assert small.done("0") == ["start 1"]


def test_the_line_is_served_in_its_order(floor: Floor) -> None:
    for name in "abcde":
        floor.offer(name)
    assert floor.done("b") == ["start c"]
    assert floor.done("a") == ["start d"]


def test_a_job_that_came_to_nothing_leaves_its_place_to_the_next(floor: Floor) -> None:
    floor.offer("a")
    floor.offer("b")
    floor.offer("late", starts=False)
    floor.offer("c")
    assert floor.done("a") == ["start late", "start c"]


def test_whoever_was_served_and_has_gone_while_another_waited_for_its_worker_is_not_started_again(floor: Floor) -> None:
    floor.offer("a")
    floor.offer("b")
    floor.offer("c", meanwhile=lambda: [floor.done(name) for name in "bd"])
    floor.offer("d")
    floor.offer("e", meanwhile=lambda: floor.done("e"))
    assert floor.done("a") == ["start c", "start d", "start e"]
    assert floor.offer("f") == "start"  # beside c: nobody's place was counted twice
    assert floor.offer("g") == ""


def test_whoever_was_refused_while_another_waited_for_its_worker_is_not_started(floor: Floor) -> None:
    def meanwhile() -> None:
        floor.later.now()
        floor.done("b")

    floor.offer("a")
    floor.offer("b")
    floor.offer("c", meanwhile=meanwhile)
    floor.offer("d")
    assert floor.done("a") == ["start c", "refuse d"]


def test_an_emptied_line_starts_and_refuses_nobody(floor: Floor) -> None:
    for name in "abc":
        floor.offer(name)
    assert floor.places.clear() == [floor.jobs["c"]]
    assert floor.done("a") == []
    floor.later.now()
    assert floor.said == ["start a", "start b"]


@pytest.mark.parametrize("workers", [1, 2, 3, 28])
def test_with_however_few_workers_everything_is_served(workers: int) -> None:
    floor = Floor(workers=workers)
    assert floor.offer("a") == "start"
    floor.done("a")
    assert floor.offer("read", "items", None) == "start"


def test_so_many_are_taken_from_the_broker_that_a_full_line_hides_nothing_quick() -> None:
    floor = Floor(workers=9, line=4)
    slow = [floor.offer(f"{turn}", most=6) for turn in range(12)]
    assert slow == ["start"] * 6 + [""] * 4 + ["refuse"] * 2
    unanswered = 6 + 4
    assert floor.places.most_at_hand - unanswered == 9 - 6
