"""Events of providers: kept once, handled once, tried again a few times, then parked where an operator sees them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from chassis.db.engine import Database
from chassis.db.heartbeat import GONE_AFTER_S, Heartbeat
from chassis.work.inbox import CLAIM_S, EARLY_S, KEPT_S, Inbox, NotYet
from chassis.work.tasks import LONGEST_PAUSE_OF_ALL_S, PATIENCE_S, TRIES, listed, replayed
from contracts.errors import InvalidRequest, NotFound, ProviderFailure, Unavailable


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Desk:
    """A copy of a service with its own presence, on a clock that the test moves."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database = Database(database.url, database.service)
        self.database.heartbeat = Heartbeat(self.database, clock)
        self.inbox = Inbox(self.database, clock)
        self.handled: list[tuple[str, dict[str, Any]]] = []

    def handle(self, event_id: str) -> bool:
        return self.inbox.handle(event_id, lambda kind, body: self.handled.append((kind, body)))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def copies(database: Callable[[str], Database], clock: Clock) -> Any:
    here = database("cart")
    desks = [Desk(here, clock), Desk(here, clock)]
    yield desks
    for desk in desks:
        desk.database.dispose()


def fails(kind: str, body: dict[str, Any]) -> None:
    raise ProviderFailure("not like this")


def away(kind: str, body: dict[str, Any]) -> None:
    raise Unavailable("not now")


def test_an_event_is_kept_and_handled_once(copies: list[Desk], clock: Clock) -> None:
    one, other = copies
    assert one.inbox.keep("evt_1", "payment_intent.succeeded", {"a": [1, "\u0000ü"]})
    assert not other.inbox.keep("evt_1", "payment_intent.succeeded", {"a": 2})
    assert other.inbox.tasks.due() == ["evt_1"]
    assert other.handle("evt_1")
    assert not one.handle("evt_1")
    assert not one.inbox.keep("evt_1", "payment_intent.succeeded", {"a": 3})
    assert one.handled + other.handled == [("payment_intent.succeeded", {"a": [1, "\u0000ü"]})]
    assert one.inbox.tasks.due() == []
    assert [event["tries"] for event in one.inbox.tasks.rows(state="done")] == [1]


def test_of_many_who_keep_and_handle_at_once_one_does(
    database: Callable[[str], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "chassis.db.heartbeat.GONE_AFTER_S", 60.0
    )  # nobody is taken for dead because the machine is busy
    here = database("cart")
    desks = [Desk(here, time.time) for _ in range(6)]  # type: ignore[arg-type]
    gate = threading.Barrier(len(desks))
    kept: list[bool] = []

    def run(desk: Desk) -> None:
        for number in range(5):
            gate.wait(30)
            kept.append(desk.inbox.keep(f"evt_{number}", "kind", {}))
            desk.handle(f"evt_{number}")

    threads = [threading.Thread(target=run, args=(desk,)) for desk in desks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(kept) == 5
    assert len(kept) == 30
    assert sum(len(desk.handled) for desk in desks) == 5
    for desk in desks:
        desk.database.dispose()


def test_what_is_in_hand_is_nobody_elses_until_its_holder_is_gone(copies: list[Desk], clock: Clock) -> None:
    one, other = copies
    one.inbox.keep("evt_1", "kind", {})

    def killed(kind: str, body: dict[str, Any]) -> None:
        assert other.inbox.tasks.due() == []
        assert not other.handle("evt_1")
        raise KeyboardInterrupt  # nothing is settled, as when the process is killed

    with pytest.raises(KeyboardInterrupt):
        one.inbox.handle("evt_1", killed)
    clock.now += GONE_AFTER_S - 0.1
    assert other.inbox.tasks.due() == []
    assert not other.handle("evt_1")
    clock.now += 0.2
    assert other.inbox.tasks.due() == ["evt_1"]
    assert other.handle("evt_1")


def test_a_claim_ends_at_its_time_even_when_its_holder_lives(copies: list[Desk], clock: Clock) -> None:
    one, other = copies
    one.inbox.keep("evt_1", "kind", {})

    def stuck(kind: str, body: dict[str, Any]) -> None:
        clock.now += CLAIM_S + 1
        one.database.heartbeat.beat()
        assert other.handle("evt_1")

    assert one.inbox.handle("evt_1", stuck)
    assert len(other.handled) == 1
    assert [event["state"] for event in one.inbox.tasks.rows(state="done")] == ["done"]


def test_whoever_lost_its_claim_does_not_undo_what_the_other_settled(copies: list[Desk], clock: Clock) -> None:
    one, other = copies
    one.inbox.keep("evt_1", "kind", {})

    def slow(kind: str, body: dict[str, Any]) -> None:
        clock.now += CLAIM_S + 1
        assert other.handle("evt_1")
        raise Unavailable("too late")

    one.inbox.handle("evt_1", slow)
    assert one.inbox.tasks.due() == []
    assert [event["error"] for event in one.inbox.tasks.rows(state="done")] == [None]


def test_it_is_tried_five_times_ever_later_then_parked_and_replayed(copies: list[Desk], clock: Clock) -> None:
    desk = copies[0]
    desk.inbox.keep("evt_1", "kind", {})
    for pause in (1, 2, 4, 8):
        assert not desk.inbox.handle("evt_1", fails)
        assert desk.inbox.tasks.rows(state="waiting")[0]["error"] == "ProviderFailure: not like this"
        clock.now += pause / 2 - 0.01
        assert desk.inbox.tasks.due() == []
        assert not desk.handle("evt_1")
        clock.now += pause / 2 + 0.02
        assert desk.inbox.tasks.due() == ["evt_1"]
    assert desk.inbox.tasks.rows(state="failed") == []
    assert not desk.inbox.handle("evt_1", fails)
    clock.now += 10_000
    assert desk.inbox.tasks.due() == []
    assert not desk.handle("evt_1")
    assert [(event["key"], event["tries"], event["error"]) for event in desk.inbox.tasks.rows(state="failed")] == [
        ("evt_1", TRIES, "ProviderFailure: not like this")
    ]
    assert desk.inbox.tasks.again("evt_2") == []
    assert replayed([desk.inbox.tasks], "evt_1") is desk.inbox.tasks
    assert desk.inbox.tasks.again("evt_1") == []
    with pytest.raises(NotFound):
        replayed([desk.inbox.tasks], "evt_1")
    assert desk.handle("evt_1")
    assert desk.inbox.tasks.rows(state="failed") == []


def test_clock_set_back_hides_no_fault_of_a_handler(copies: list[Desk], clock: Clock) -> None:
    desk = copies[0]
    desk.inbox.keep("evt_1", "kind", {})
    clock.now -= 3600
    for _ in range(TRIES):
        assert desk.inbox.tasks.rows(state="failed") == []
        desk.inbox.handle("evt_1", fails)
        clock.now += 60
    assert [event["tries"] for event in desk.inbox.tasks.rows(state="failed")] == [TRIES]


def test_that_nobody_could_be_reached_counts_as_no_try_for_a_day(copies: list[Desk], clock: Clock) -> None:
    desk = copies[0]
    desk.inbox.keep("evt_1", "kind", {})
    began = clock.now
    tries = 0
    while clock.now < began + PATIENCE_S - LONGEST_PAUSE_OF_ALL_S:
        assert not desk.inbox.handle("evt_1", away)
        (event,) = desk.inbox.tasks.rows(state="waiting")
        assert event["tries"] == 0
        assert event["due_at"] <= clock.now + LONGEST_PAUSE_OF_ALL_S
        clock.now = event["due_at"]
        tries += 1
    assert tries > 20
    clock.now = max(began + PATIENCE_S, event["due_at"])
    for _ in range(TRIES):
        desk.inbox.handle("evt_1", away)
        clock.now += 10
    assert [event["error"] for event in desk.inbox.tasks.rows(state="failed")] == ["Unavailable: not now"]


def test_an_event_that_is_earlier_than_its_record_is_no_fault_for_a_while(copies: list[Desk], clock: Clock) -> None:
    desk = copies[0]
    desk.inbox.keep("evt_1", "kind", {})
    began = clock.now

    def unknown(kind: str, body: dict[str, Any]) -> None:
        raise NotYet("There is no such message.")

    while clock.now < began + EARLY_S:
        assert not desk.inbox.handle("evt_1", unknown)
        [event] = desk.inbox.tasks.rows(state="waiting")
        assert (event["tries"], event["error"]) == (0, "NotYet: There is no such message.")
        assert event["due_at"] <= clock.now + LONGEST_PAUSE_OF_ALL_S
        clock.now = event["due_at"]
    for _ in range(TRIES):
        assert desk.inbox.tasks.rows(state="failed") == []
        desk.inbox.handle("evt_1", unknown)
        clock.now += 10
    assert [event["error"] for event in desk.inbox.tasks.rows(state="failed")] == ["NotYet: There is no such message."]


def test_what_cannot_be_let_go_of_is_when_the_database_is_back(copies: list[Desk], clock: Clock) -> None:
    one, other = copies
    one.inbox.keep("evt_1", "kind", {})
    with pytest.MonkeyPatch.context() as trouble:

        def gone(kind: str, body: dict[str, Any]) -> None:
            trouble.setattr(one.database, "_begin", not_there)
            raise Unavailable("not now")

        def not_there(writing: bool) -> Any:
            raise Unavailable("no database")

        assert not one.inbox.handle("evt_1", gone)
        with pytest.raises(Unavailable):
            one.database.deferred.catch_up()
    clock.now += 2
    assert other.inbox.tasks.due() == []
    one.database.deferred.catch_up()
    assert other.inbox.tasks.due() == ["evt_1"]


def test_a_bug_in_a_handler_counts_as_a_try_and_stops_nobody(copies: list[Desk], clock: Clock) -> None:
    desk = copies[0]
    desk.inbox.keep("evt_1", "kind", {})
    assert not desk.inbox.handle("evt_1", lambda kind, body: body["nothing"])
    assert desk.inbox.tasks.rows(state="waiting")[0]["error"] == "KeyError: 'nothing'"


def test_an_event_that_kills_whoever_handles_it_is_parked_too(copies: list[Desk], clock: Clock) -> None:
    desk = copies[0]
    desk.inbox.keep("evt_1", "kind", {})

    def killed(kind: str, body: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    for _ in range(TRIES):
        with pytest.raises(KeyboardInterrupt):
            desk.inbox.handle("evt_1", killed)
        clock.now += CLAIM_S
    assert not desk.inbox.handle("evt_1", killed)
    assert desk.inbox.tasks.rows(state="failed")[0]["error"] == "left in the middle each time"


def test_a_sweep_handles_what_is_due_and_leaves_the_rest_in_time(copies: list[Desk], clock: Clock) -> None:
    desk = copies[0]
    for number in range(50):
        desk.inbox.keep(f"evt_{number}", "bad" if number % 10 == 0 else "good", {})
    desk.inbox.keep("evt_only_kept", "good", {}, done=True)

    timer = Clock()

    def handler(kind: str, body: dict[str, Any]) -> None:
        timer.now += 0.001
        if kind == "bad":
            raise ProviderFailure("not like this")

    first = desk.inbox.sweep(handler, timer.now + 0.0095, timer)
    assert 0 < first < 10
    assert desk.inbox.sweep(handler, timer.now + 60, timer) == 45 - first
    assert desk.inbox.sweep(handler, timer.now + 60, timer) == 0
    assert [event["kind"] for event in desk.inbox.tasks.rows(state="waiting")] == ["bad"] * 5
    clock.now += 2
    assert desk.inbox.sweep(handler, timer.now, timer) == 0, "there was no time"
    assert [event["tries"] for event in desk.inbox.tasks.rows(state="waiting")] == [1] * 5


def test_what_is_done_is_forgotten_in_the_end_and_what_failed_is_not(copies: list[Desk], clock: Clock) -> None:
    desk = copies[0]
    for name in ("done", "failed"):
        desk.inbox.keep(name, "kind", {})
    desk.handle("done")
    for _ in range(TRIES):
        desk.inbox.handle("failed", fails)
        clock.now += 10
    desk.inbox.forget()
    assert len(desk.inbox.tasks.rows(state="done")) == 1
    clock.now += KEPT_S
    desk.inbox.forget()
    assert desk.inbox.tasks.rows(state="done") == []
    assert len(desk.inbox.tasks.rows(state="failed")) == 1


@pytest.mark.parametrize(
    ("event_id", "kind"), [("", "kind"), ("e" * 256, "kind"), ("a\0b", "kind"), ("evt", ""), (None, "k")]
)
def test_an_event_that_no_database_can_name_is_refused(copies: list[Desk], event_id: Any, kind: str) -> None:
    with pytest.raises(InvalidRequest):
        copies[0].inbox.keep(event_id, kind, {})


def test_nothing_is_said_to_be_kept_when_it_could_not_be(copies: list[Desk]) -> None:
    with copies[0].database.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE tasks RENAME TO gone"))
    with pytest.raises((Unavailable, sa.exc.SQLAlchemyError)):
        copies[0].inbox.keep("evt_1", "kind", {})


def test_an_unknown_state_is_refused(copies: list[Desk]) -> None:
    with pytest.raises(InvalidRequest):
        listed([copies[0].inbox.tasks], "lost", 100)


@pytest.mark.parametrize("limit", [0, -1, 1001, True, 5.0, "5"])
def test_no_more_events_are_listed_than_can_be_read(copies: list[Desk], limit: Any) -> None:
    assert listed([copies[0].inbox.tasks], "failed", 1000) == []
    with pytest.raises(InvalidRequest) as refused:
        listed([copies[0].inbox.tasks], "failed", limit)
    assert list(refused.value.facts["errors"]) == ["limit"]
