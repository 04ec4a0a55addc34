"""Tasks on hold: nobody tries them until they are resumed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from chassis.db.claims import ClaimLost
from chassis.db.engine import Database
from chassis.work.tasks import DONE, ON_HOLD, WAITING, OnHold, Task, Tasks

DAY_S = 86400.0


class Desk:
    """A queue on a clock that the test moves, whose work puts its task on hold."""

    def __init__(self, database: Database) -> None:
        self.now = 1_000_000.0
        self.database = database
        self.tasks = Tasks(database, "desk", lambda: self.now)
        self.holds = True
        self.tried: list[dict[str, Any]] = []
        self.add("task_1")

    def add(self, key: str, kind: str = "label", subject: str = "or_1") -> None:
        with self.database.write():
            self.tasks.add(key, kind, subject, {"a": 1})

    def work(self, task: Task) -> str:
        self.tried.append(task)
        if self.holds:
            self.tasks.hold(task["key"], task["claim"], {**task["details"], "held": True})
            raise OnHold
        return "bought"

    def run(self, key: str = "task_1") -> Task | None:
        return self.tasks.run(key, self.work, lambda *_: math.inf, 30.0)

    def resume(self, subject: str = "or_1", kind: str = "label") -> None:
        with self.database.write():
            self.tasks.resume(subject, kind)

    @property
    def task(self) -> Task:
        return self.tasks.rows(key="task_1")[0]


@pytest.fixture
def desk(database: Callable[[str], Database]) -> Desk:
    return Desk(database("cart"))


def test_task_on_hold_is_not_tried(desk: Desk) -> None:
    assert desk.run() is None
    desk.now += 100 * DAY_S
    assert (desk.tasks.due(), desk.run(), len(desk.tried)) == ([], None, 1)
    task = desk.task
    assert (task["state"], task["details"], task["claim"]) == (ON_HOLD, {"a": 1, "held": True}, None)
    assert [row["key"] for row in desk.tasks.rows(state=ON_HOLD)] == ["task_1"]


def test_hold_does_not_count_as_a_try(desk: Desk) -> None:
    for _ in range(3):
        desk.run()
        desk.resume()
    assert (desk.task["tries"], [task["tries"] for task in desk.tried]) == (0, [1, 1, 1])


def test_resumed_task_is_as_old_as_its_resumption(desk: Desk) -> None:
    desk.run()
    desk.now += 100 * DAY_S
    desk.resume()
    task = desk.task
    assert (task["state"], task["due_at"], task["created"]) == (WAITING, desk.now, desk.now)
    assert desk.tasks.due() == ["task_1"]
    desk.holds = False
    done = desk.run()
    assert done is not None
    assert (desk.task["state"], desk.task["answer"]) == (DONE, "bought")


def test_only_the_tasks_of_that_kind_and_subject_are_resumed(desk: Desk) -> None:
    desk.add("task_2", kind="email")
    desk.add("task_3", subject="or_2")
    for key in ("task_1", "task_2", "task_3"):
        desk.run(key)
    desk.resume()
    assert desk.tasks.due() == ["task_1"]


def test_resuming_leaves_other_states_alone(desk: Desk) -> None:
    desk.holds = False
    desk.run()
    desk.now += 1
    desk.resume()
    assert desk.task["state"] == DONE


def test_copy_that_lost_its_claim_holds_nothing(desk: Desk) -> None:
    first = desk.tasks.claim("task_1", 30.0)
    assert first is not None
    desk.now += 60
    assert desk.tasks.claim("task_1", 30.0) is not None
    with pytest.raises(ClaimLost):
        desk.tasks.hold("task_1", first["claim"], {})
    assert (desk.task["state"], desk.task["details"]) == (WAITING, {"a": 1})
