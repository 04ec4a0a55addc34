"""Provider events: stored once, handled once, retried a few times, then parked for the operator."""

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


class ServiceCopy:
    """A copy of a service with its own heartbeat, on a clock that the test moves."""

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
    all_copies = [ServiceCopy(here, clock), ServiceCopy(here, clock)]
    yield all_copies
    for copy in all_copies:
        copy.database.dispose()


def fails(kind: str, body: dict[str, Any]) -> None:
    raise ProviderFailure("not like this")


def away(kind: str, body: dict[str, Any]) -> None:
    raise Unavailable("not now")


def test_an_event_is_kept_and_handled_once(copies: list[ServiceCopy], clock: Clock) -> None:
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


def test_concurrent_copies_handle_each_event_once(
    database: Callable[[str], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.db.heartbeat.GONE_AFTER_S", 60.0)  # no copy is considered dead on a busy machine
    here = database("cart")
    all_copies = [ServiceCopy(here, time.time) for _ in range(6)]  # type: ignore[arg-type]
    gate = threading.Barrier(len(all_copies))
    kept: list[bool] = []

    def run(copy: ServiceCopy) -> None:
        for number in range(5):
            gate.wait(30)
            kept.append(copy.inbox.keep(f"evt_{number}", "kind", {}))
            copy.handle(f"evt_{number}")

    threads = [threading.Thread(target=run, args=(copy,)) for copy in all_copies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(kept) == 5
    assert len(kept) == 30
    assert sum(len(copy.handled) for copy in all_copies) == 5
    for copy in all_copies:
        copy.database.dispose()


def test_claimed_event_is_free_when_its_holder_is_gone(copies: list[ServiceCopy], clock: Clock) -> None:
    one, other = copies
    one.inbox.keep("evt_1", "kind", {})

    def killed(kind: str, body: dict[str, Any]) -> None:
        assert other.inbox.tasks.due() == []
        assert not other.handle("evt_1")
        raise KeyboardInterrupt  # the event stays claimed, as when the process is killed

    with pytest.raises(KeyboardInterrupt):
        one.inbox.handle("evt_1", killed)
    clock.now += GONE_AFTER_S - 0.1
    assert other.inbox.tasks.due() == []
    assert not other.handle("evt_1")
    clock.now += 0.2
    assert other.inbox.tasks.due() == ["evt_1"]
    assert other.handle("evt_1")


def test_claim_of_a_live_holder_expires(copies: list[ServiceCopy], clock: Clock) -> None:
    one, other = copies
    one.inbox.keep("evt_1", "kind", {})

    def stuck(kind: str, body: dict[str, Any]) -> None:
        clock.now += CLAIM_S + 1
        one.database.heartbeat.beat()
        assert other.handle("evt_1")

    assert one.inbox.handle("evt_1", stuck)
    assert len(other.handled) == 1
    assert [event["state"] for event in one.inbox.tasks.rows(state="done")] == ["done"]


def test_loser_of_the_claim_does_not_undo_the_result(copies: list[ServiceCopy], clock: Clock) -> None:
    one, other = copies
    one.inbox.keep("evt_1", "kind", {})

    def slow(kind: str, body: dict[str, Any]) -> None:
        clock.now += CLAIM_S + 1
        assert other.handle("evt_1")
        raise Unavailable("too late")

    one.inbox.handle("evt_1", slow)
    assert one.inbox.tasks.due() == []
    assert [event["error"] for event in one.inbox.tasks.rows(state="done")] == [None]


def test_failing_event_is_parked_after_five_tries(copies: list[ServiceCopy], clock: Clock) -> None:
    copy = copies[0]
    copy.inbox.keep("evt_1", "kind", {})
    for pause in (1, 2, 4, 8):
        assert not copy.inbox.handle("evt_1", fails)
        assert copy.inbox.tasks.rows(state="waiting")[0]["error"] == "ProviderFailure: not like this"
        clock.now += pause / 2 - 0.01
        assert copy.inbox.tasks.due() == []
        assert not copy.handle("evt_1")
        clock.now += pause / 2 + 0.02
        assert copy.inbox.tasks.due() == ["evt_1"]
    assert copy.inbox.tasks.rows(state="failed") == []
    assert not copy.inbox.handle("evt_1", fails)
    clock.now += 10_000
    assert copy.inbox.tasks.due() == []
    assert not copy.handle("evt_1")
    assert [(event["key"], event["tries"], event["error"]) for event in copy.inbox.tasks.rows(state="failed")] == [
        ("evt_1", TRIES, "ProviderFailure: not like this")
    ]
    assert copy.inbox.tasks.again("evt_2") == []
    assert replayed([copy.inbox.tasks], "evt_1") is copy.inbox.tasks
    assert copy.inbox.tasks.again("evt_1") == []
    with pytest.raises(NotFound):
        replayed([copy.inbox.tasks], "evt_1")
    assert copy.handle("evt_1")
    assert copy.inbox.tasks.rows(state="failed") == []


def test_handler_failures_count_although_the_clock_is_set_back(copies: list[ServiceCopy], clock: Clock) -> None:
    copy = copies[0]
    copy.inbox.keep("evt_1", "kind", {})
    clock.now -= 3600
    for _ in range(TRIES):
        assert copy.inbox.tasks.rows(state="failed") == []
        copy.inbox.handle("evt_1", fails)
        clock.now += 60
    assert [event["tries"] for event in copy.inbox.tasks.rows(state="failed")] == [TRIES]


def test_outage_does_not_count_as_a_try_for_a_day(copies: list[ServiceCopy], clock: Clock) -> None:
    copy = copies[0]
    copy.inbox.keep("evt_1", "kind", {})
    began = clock.now
    tries = 0
    while clock.now < began + PATIENCE_S - LONGEST_PAUSE_OF_ALL_S:
        assert not copy.inbox.handle("evt_1", away)
        (event,) = copy.inbox.tasks.rows(state="waiting")
        assert event["tries"] == 0
        assert event["due_at"] <= clock.now + LONGEST_PAUSE_OF_ALL_S
        clock.now = event["due_at"]
        tries += 1
    assert tries > 20
    clock.now = max(began + PATIENCE_S, event["due_at"])
    for _ in range(TRIES):
        copy.inbox.handle("evt_1", away)
        clock.now += 10
    assert [event["error"] for event in copy.inbox.tasks.rows(state="failed")] == ["Unavailable: not now"]


def test_early_event_does_not_count_as_a_try_for_a_while(copies: list[ServiceCopy], clock: Clock) -> None:
    copy = copies[0]
    copy.inbox.keep("evt_1", "kind", {})
    began = clock.now

    def unknown(kind: str, body: dict[str, Any]) -> None:
        raise NotYet("There is no such message.")

    while clock.now < began + EARLY_S:
        assert not copy.inbox.handle("evt_1", unknown)
        [event] = copy.inbox.tasks.rows(state="waiting")
        assert (event["tries"], event["error"]) == (0, "NotYet: There is no such message.")
        assert event["due_at"] <= clock.now + LONGEST_PAUSE_OF_ALL_S
        clock.now = event["due_at"]
    for _ in range(TRIES):
        assert copy.inbox.tasks.rows(state="failed") == []
        copy.inbox.handle("evt_1", unknown)
        clock.now += 10
    assert [event["error"] for event in copy.inbox.tasks.rows(state="failed")] == ["NotYet: There is no such message."]


def test_claim_is_released_after_a_database_outage(copies: list[ServiceCopy], clock: Clock) -> None:
    one, other = copies
    one.inbox.keep("evt_1", "kind", {})
    with pytest.MonkeyPatch.context() as trouble:

        def lose_database(kind: str, body: dict[str, Any]) -> None:
            trouble.setattr(one.database, "_begin", no_database)
            raise Unavailable("not now")

        def no_database(writing: bool) -> Any:
            raise Unavailable("no database")

        assert not one.inbox.handle("evt_1", lose_database)
        with pytest.raises(Unavailable):
            one.database.deferred.catch_up()
    clock.now += 2
    assert other.inbox.tasks.due() == []
    one.database.deferred.catch_up()
    assert other.inbox.tasks.due() == ["evt_1"]


def test_bug_in_a_handler_counts_as_a_try(copies: list[ServiceCopy], clock: Clock) -> None:
    copy = copies[0]
    copy.inbox.keep("evt_1", "kind", {})
    assert not copy.inbox.handle("evt_1", lambda kind, body: body["nothing"])
    assert copy.inbox.tasks.rows(state="waiting")[0]["error"] == "KeyError: 'nothing'"


def test_event_that_kills_its_handler_is_parked(copies: list[ServiceCopy], clock: Clock) -> None:
    copy = copies[0]
    copy.inbox.keep("evt_1", "kind", {})

    def killed(kind: str, body: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    for _ in range(TRIES):
        with pytest.raises(KeyboardInterrupt):
            copy.inbox.handle("evt_1", killed)
        clock.now += CLAIM_S
    assert not copy.inbox.handle("evt_1", killed)
    assert copy.inbox.tasks.rows(state="failed")[0]["error"] == "left in the middle each time"


def test_sweep_handles_due_events_until_its_time_is_up(copies: list[ServiceCopy], clock: Clock) -> None:
    copy = copies[0]
    for number in range(50):
        copy.inbox.keep(f"evt_{number}", "bad" if number % 10 == 0 else "good", {})
    copy.inbox.keep("evt_only_kept", "good", {}, done=True)

    timer = Clock()

    def handler(kind: str, body: dict[str, Any]) -> None:
        timer.now += 0.001
        if kind == "bad":
            raise ProviderFailure("not like this")

    first = copy.inbox.sweep(handler, timer.now + 0.0095, timer)
    assert 0 < first < 10
    assert copy.inbox.sweep(handler, timer.now + 60, timer) == 45 - first
    assert copy.inbox.sweep(handler, timer.now + 60, timer) == 0
    assert [event["kind"] for event in copy.inbox.tasks.rows(state="waiting")] == ["bad"] * 5
    clock.now += 2
    assert copy.inbox.sweep(handler, timer.now, timer) == 0, "no time is left"
    assert [event["tries"] for event in copy.inbox.tasks.rows(state="waiting")] == [1] * 5


def test_done_events_are_deleted_and_failed_ones_kept(copies: list[ServiceCopy], clock: Clock) -> None:
    copy = copies[0]
    for name in ("done", "failed"):
        copy.inbox.keep(name, "kind", {})
    copy.handle("done")
    for _ in range(TRIES):
        copy.inbox.handle("failed", fails)
        clock.now += 10
    copy.inbox.forget()
    assert len(copy.inbox.tasks.rows(state="done")) == 1
    clock.now += KEPT_S
    copy.inbox.forget()
    assert copy.inbox.tasks.rows(state="done") == []
    assert len(copy.inbox.tasks.rows(state="failed")) == 1


@pytest.mark.parametrize(
    ("event_id", "kind"), [("", "kind"), ("e" * 256, "kind"), ("a\0b", "kind"), ("evt", ""), (None, "k")]
)
def test_event_with_an_invalid_id_or_kind_is_refused(copies: list[ServiceCopy], event_id: Any, kind: str) -> None:
    with pytest.raises(InvalidRequest):
        copies[0].inbox.keep(event_id, kind, {})


def test_event_that_cannot_be_stored_raises(copies: list[ServiceCopy]) -> None:
    with copies[0].database.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE tasks RENAME TO gone"))
    with pytest.raises((Unavailable, sa.exc.SQLAlchemyError)):
        copies[0].inbox.keep("evt_1", "kind", {})


def test_an_unknown_state_is_refused(copies: list[ServiceCopy]) -> None:
    with pytest.raises(InvalidRequest):
        listed([copies[0].inbox.tasks], "lost", 100)


@pytest.mark.parametrize("limit", [0, -1, 1001, True, 5.0, "5"])
def test_limit_outside_the_bounds_is_refused(copies: list[ServiceCopy], limit: Any) -> None:
    assert listed([copies[0].inbox.tasks], "failed", 1000) == []
    with pytest.raises(InvalidRequest) as refused:
        listed([copies[0].inbox.tasks], "failed", limit)
    assert list(refused.value.facts["errors"]) == ["limit"]
