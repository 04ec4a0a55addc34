"""Idempotency keys: one call claims the key and the others wait, on SQLite and PostgreSQL."""

from __future__ import annotations

import contextvars
import threading
import time
from typing import Any

import pytest
import sqlalchemy as sa

from chassis import deadline, fair_scheduling
from chassis.answers import Replay, encoded
from chassis.db.engine import Database
from chassis.db.heartbeat import GONE_AFTER_S, Heartbeat
from chassis.db.shared_tables import answers, presence
from chassis.work.idempotency import CLAIM_MARGIN_S, CLAIM_S, Idempotency
from contracts import errors
from tests.integration.chassis.idempotency_cases import (
    Clock,
    FrozenClock,
    Verb,
    asked,
    copy_of,
    leave_claim,
    never,
    rows,
)


def test_second_call_waits_for_the_answer_of_the_first(here: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.db.heartbeat.GONE_AFTER_S", 60.0)  # no copy is considered dead on a busy machine
    began, go, got = threading.Event(), threading.Event(), []

    def slow() -> Any:
        began.set()
        assert go.wait(30)
        return {"n": 1}

    waiter = FrozenClock()
    waits = Idempotency(copy_of(here), waiter, waiter.sleep, waiter)
    first = threading.Thread(target=lambda: got.append(Idempotency(here).run(asked(), "pay", slow)))
    first.start()
    assert began.wait(30)
    second = threading.Thread(target=lambda: got.append(waits.run(asked(), "pay", never)))
    second.start()
    assert waiter.waits.wait(30)
    assert not got
    go.set()
    first.join(30)
    second.join(30)
    # The second call may return the kept answer before the first call returns.
    assert sorted(got, key=lambda answer: isinstance(answer, Replay)) == [
        {"n": 1},
        Replay('{"result":{"n":1},"error":null}', "first"),
    ]


def test_call_waits_briefly_then_says_when_to_retry(here: Database) -> None:
    leave_claim(Idempotency(here))
    clock = Clock()
    began = clock.now
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock.sleep(seconds)

    with pytest.raises(errors.KeyInProgress) as raised:
        Idempotency(copy_of(here), clock, sleep, clock).run(asked(), "pay", never)
    assert raised.value.facts["retry_after"] == 1
    assert 0.9 <= clock.now - began <= 1.5
    assert len(pauses) < 10  # thirty callers that look every 0.05 s take most of a core
    with pytest.raises(errors.KeyReused):  # this refusal needs no wait
        Idempotency(here, clock, never).run(asked(body="b2"), "pay", never)


def test_wait_ends_although_the_clock_is_set_back(here: Database) -> None:
    leave_claim(Idempotency(here))
    clock, timer = Clock(), Clock()
    began = timer.now

    def set_back() -> None:
        clock.now -= 3600
        assert timer.now - began < 60

    timer.during = set_back
    with pytest.raises(errors.KeyInProgress):
        Idempotency(copy_of(here), clock, timer.sleep, timer).run(asked(), "pay", never)


def test_waiting_call_does_not_count_as_quick(here: Database) -> None:
    leave_claim(Idempotency(here))
    clock, shared, seen = Clock(), fair_scheduling.FairScheduling(), set()
    shared.quick = 1

    def sleep(seconds: float) -> None:
        seen.add(shared.quick)
        clock.sleep(seconds)

    def call() -> None:
        fair_scheduling.begin(shared, quick=True)
        with pytest.raises(errors.KeyInProgress):
            Idempotency(here, clock, sleep, clock).run(asked(), "pay", never)

    contextvars.copy_context().run(call)
    assert (seen, shared.quick) == ({0}, 1)


def test_wait_ends_before_the_callers_deadline(here: Database) -> None:
    leave_claim(Idempotency(here))
    clock = Clock()
    began = clock.now
    deadline.begin(time.monotonic() + 0.4)
    with pytest.raises(errors.KeyInProgress):
        Idempotency(here, clock, clock.sleep, clock).run(asked(), "pay", never)
    assert clock.now - began < 0.4


def test_redelivered_message_waits_until_the_holder_is_gone(here: Database) -> None:
    clock = Clock()
    here.heartbeat = Heartbeat(here, clock)
    leave_claim(Idempotency(here, clock))
    other = copy_of(here, clock)
    clock.during = other.heartbeat.beat
    verb = Verb()
    began = clock.now
    assert Idempotency(other, clock, clock.sleep, clock).run(asked(redelivered=True), "pay", verb) == verb.outcome
    assert GONE_AFTER_S <= clock.now - began < GONE_AFTER_S + 1


def test_claim_of_a_gone_holder_is_void(here: Database) -> None:
    clock = Clock()
    here.heartbeat = Heartbeat(here, clock)
    leave_claim(Idempotency(here, clock))
    clock.now += GONE_AFTER_S + 0.1
    verb = Verb()
    assert Idempotency(copy_of(here, clock), clock, never).run(asked(), "pay", verb) == verb.outcome


def test_claim_of_a_live_holder_ends_at_the_callers_deadline(here: Database) -> None:
    clock = Clock()
    here.heartbeat = Heartbeat(here, clock)
    deadline.begin(time.monotonic() + 20)
    clock.now = time.time()
    leave_claim(Idempotency(here, clock))
    deadline.begin(None)
    other = copy_of(here, clock)
    clock.now += 20 + CLAIM_MARGIN_S - 2
    here.heartbeat.beat()
    with pytest.raises(errors.KeyInProgress):
        Idempotency(other, clock, clock.sleep, clock).run(asked(), "pay", never)
    clock.now += 2
    here.heartbeat.beat()
    verb = Verb()
    assert Idempotency(other, clock, never).run(asked(), "pay", verb) == verb.outcome


def test_loser_of_the_claim_returns_the_kept_answer(here: Database) -> None:
    clock = Clock()
    here.heartbeat = Heartbeat(here, clock)
    other = copy_of(here, clock)

    def overtaken() -> Any:
        clock.now += GONE_AFTER_S + 1  # the copy stood still and was considered dead
        assert Idempotency(other, clock).run(asked(request_id="second"), "pay", Verb({"n": 2})) == {"n": 2}
        return {"n": 1}

    assert Idempotency(here, clock).run(asked(), "pay", overtaken) == Replay(
        '{"result":{"n":2},"error":null}', "second"
    )
    assert Idempotency(here, clock).run(asked(), "pay", never).text == '{"result":{"n":2},"error":null}'


@pytest.mark.parametrize("error", [errors.Conflict("No."), errors.Unavailable("Away."), errors.InvalidRequest("No.")])
@pytest.mark.parametrize("how", ["by another copy", "by the same copy"])
def test_loser_of_the_claim_does_not_touch_the_next_claim(here: Database, error: errors.ShopError, how: str) -> None:
    clock = Clock()
    here.heartbeat = Heartbeat(here, clock)
    other = copy_of(here, clock)

    def overtaken() -> Any:
        if how == "by the same copy":
            clock.now += CLAIM_S + 1  # the claim expired
            leave_claim(Idempotency(here, clock))
        else:
            with here.write() as connection:  # the copy is considered dead as soon as it begins
                connection.execute(sa.delete(presence))
            leave_claim(Idempotency(other, clock))
        raise error

    expected = errors.OutcomeUnknown if isinstance(error, errors.Conflict) else type(error)
    with pytest.raises(expected):
        Idempotency(here, clock).run(asked(), "pay", overtaken)
    [row] = rows(here)
    holder = (here if how == "by the same copy" else other).heartbeat.holder
    assert (row.holder, row.ended) == (holder, None)


def test_one_of_many_copies_takes_a_void_claim(here: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.db.heartbeat.GONE_AFTER_S", 60.0)  # no copy is considered dead on a busy machine
    copies = [copy_of(here) for _ in range(6)]
    for copy in copies:
        copy.heartbeat.beat()
    for round_ in range(5):
        key = f"k{round_}"
        assert Idempotency(here)._claim(asked(key), "pay") is not None
        with here.write() as connection:
            connection.execute(sa.update(answers).where(answers.c.key == key).values(holder="a copy that was killed"))
        ready = threading.Barrier(len(copies))
        got: list[Any] = []

        def take(copy: Database, key: str = key, ready: threading.Barrier = ready, got: list[Any] = got) -> None:
            once = Idempotency(copy)
            ready.wait(20)
            got.append(once._claim(asked(key), "pay"))

        threads = [threading.Thread(target=take, args=(copy,)) for copy in copies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(got) == len(copies)
        assert len([claim for claim in got if claim is not None]) == 1
    for copy in copies:
        copy.dispose()


def test_many_calls_at_once_run_the_verb_once(here: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.db.heartbeat.GONE_AFTER_S", 60.0)  # no copy is considered dead on a busy machine
    copies = [Idempotency(each, FrozenClock()) for each in (here, copy_of(here), copy_of(here))]
    ready = threading.Barrier(18)
    ran: list[str] = []
    got: list[Any] = []

    def verb() -> Any:
        ran.append("once")
        time.sleep(0.1)
        return {"n": 1}

    def call(number: int) -> None:
        ready.wait(20)
        for round_ in range(3):
            answer = copies[number % 3].run(asked(f"k{round_}"), "pay", verb)
            got.append(answer.text if isinstance(answer, Replay) else encoded(answer).decode())

    threads = [threading.Thread(target=call, args=(number,)) for number in range(18)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(ran) == 3
    assert got == ['{"result":{"n":1},"error":null}'] * 54
