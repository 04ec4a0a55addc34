"""A key is answered once: kept answers, claims, and whoever dies or is away in between; over SQLite and PostgreSQL."""

from __future__ import annotations

import contextvars
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from chassis import deadline, turns
from chassis.answers import Replay, encoded
from chassis.database import Database
from chassis.once import AGAIN, FORGET_EVERY, KEPT, LEASE, MARGIN, POINTS, Asked, Once, answers
from chassis.presence import GONE, Presence, presence
from contracts import errors

Opens = Callable[[str], Database]
ROOT = Path(__file__).parents[2]


class Clock:
    """Time that passes when somebody waits."""

    def __init__(self) -> None:
        self.now = time.time()
        self.during: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.during()


class Waiting:
    """A clock that stands still: whoever goes by it waits for as long as it takes."""

    def __init__(self) -> None:
        self.now = time.time()
        self.waits = threading.Event()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.set()
        time.sleep(seconds)


@pytest.fixture(autouse=True)
def no_deadline() -> None:
    deadline.begin(None)


@pytest.fixture
def here(database: Opens) -> Database:
    return database("cart")


def copy_of(here: Database, clock: Callable[[], float] = time.time) -> Database:
    """Another process's view of the same database."""
    other = Database(here.url, here.service)
    other.presence = Presence(other, clock)
    return other


def asked(key: str = "k1", body: str = "b1", request_id: str = "first", **more: Any) -> Asked:
    return Asked(key, body, request_id, **more)


class Verb:
    """Counts its calls; returns or raises what it was told."""

    def __init__(self, outcome: Any = None) -> None:
        self.calls = 0
        self.outcome = {"n": 1.10, "b": [None, "ü"], "a": 1} if outcome is None else outcome

    def __call__(self) -> Any:
        self.calls += 1
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def never(*_seconds: float) -> Any:
    raise AssertionError("asked again, or waited")


def rows(here: Database) -> list[Any]:
    with here.read() as connection:
        return list(connection.execute(sa.select(answers)))


def busy(once: Once, key: str = "k1") -> None:
    """Claim `key` as a process does that is then killed: it neither answers nor lets go."""
    assert once._claim(asked(key), "pay", once._database.presence.hold()) is not None


# What is kept


def test_a_result_is_given_again_byte_for_byte_also_after_a_restart(here: Database) -> None:
    verb = Verb()
    assert Once(here).run(asked(), "pay", verb) == verb.outcome
    replay = Once(copy_of(here)).run(asked(request_id="second"), "pay", never)
    assert isinstance(replay, Replay)
    assert replay == Replay(encoded(verb.outcome).decode(), "first")
    wire = encoded(replay)
    assert wire == encoded(verb.outcome)[:-1] + b',"replayed":true,"request_id":"first"}'
    assert verb.calls == 1


@pytest.mark.parametrize(
    "error",
    [
        errors.PaymentDeclined("No money.", {"code": "card_declined", "decline_code": "insufficient_funds"}),
        errors.NotFound("There is no order or_1."),
        errors.Conflict("The cart is empty."),
        errors.Refused("Nobody knows the address.", {"errors": {"address": ["unknown"]}}),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_definitive_refusal_is_given_again(here: Database, error: errors.ShopError) -> None:
    with pytest.raises(type(error)) as raised:
        Once(here).run(asked(), "pay", Verb(error))
    assert raised.value is error
    assert Once(here).run(asked(), "pay", never) == Replay(encoded(None, error).decode(), "first")


@pytest.mark.parametrize(
    "error",
    [
        errors.Unavailable("Away.", {"retry_after": 1}),
        errors.OutcomeUnknown("Perhaps."),
        errors.DeadlineExceeded("Too late."),
        errors.ProviderFailure("Nonsense."),
        errors.PaymentActionRequired("Ask the bank.", {"client_secret": "s"}),
        errors.Conflict("Being paid.", {"retry_after": 1}),
        errors.InvalidRequest("No.", {"errors": {}}),
        ZeroDivisionError("a bug"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_may_be_otherwise_next_time_is_not_kept_and_the_verb_runs_again(here: Database, error: Exception) -> None:
    once = Once(here)
    with pytest.raises(type(error)):
        once.run(asked(), "pay", Verb(error))
    again = Verb()
    assert once.run(asked(request_id="second"), "pay", again) == again.outcome
    assert once.run(asked(request_id="third"), "pay", never) == Replay(encoded(again.outcome).decode(), "second")


def test_what_no_json_can_tell_is_a_bug_and_lets_the_key_go(here: Database) -> None:
    with pytest.raises(TypeError):
        Once(here).run(asked(), "pay", Verb(object()))
    Once(here).run(asked(), "pay", Verb())


def test_another_body_is_refused_and_names_the_header(here: Database) -> None:
    Once(here).run(asked(), "pay", Verb())
    with pytest.raises(errors.KeyReused) as raised:
        Once(here).run(asked(body="b2"), "pay", never)
    assert list(raised.value.facts["errors"]) == ["Idempotency-Key"]


def test_another_body_is_refused_after_a_failure_that_may_have_done_something(here: Database) -> None:
    with pytest.raises(errors.Unavailable):
        Once(here).run(asked(), "pay", Verb(errors.Unavailable("Away.")))
    with pytest.raises(errors.KeyReused):
        Once(here).run(asked(body="b2"), "pay", never)
    with pytest.raises(errors.InvalidRequest):  # not the first to run: the first may have done something
        Once(here).run(asked(), "pay", Verb(errors.InvalidRequest("No.")))
    with pytest.raises(errors.KeyReused):
        Once(here).run(asked(body="b2"), "pay", never)


def test_an_invalid_request_may_be_corrected_under_its_key(here: Database) -> None:
    with pytest.raises(errors.InvalidRequest):
        Once(here).run(asked(), "pay", Verb(errors.InvalidRequest("No.")))
    Once(here).run(asked(body="corrected"), "pay", Verb())


def test_keys_do_not_meet(here: Database) -> None:
    once = Once(here)
    once.run(asked("k1"), "pay", Verb({"n": 1}))
    assert once.run(asked("k2", "other"), "pay", Verb({"n": 2})) == {"n": 2}
    assert once.run(asked("k1"), "pay", never).text == '{"result":{"n":1},"error":null}'


def test_answers_are_kept_for_two_days_and_then_forgotten(here: Database) -> None:
    clock = Clock()
    once = Once(here, clock)
    once.run(asked("old"), "pay", Verb())
    with pytest.raises(errors.Unavailable):
        once.run(asked("late"), "pay", Verb(errors.Unavailable("Away.")))
    clock.now += KEPT - 60
    once.run(asked("late"), "pay", Verb())  # begun long ago, answered just now
    once.forget()
    assert {row.key for row in rows(here)} == {"old", "late"}
    clock.now += 120
    once.run(asked("new"), "pay", Verb())
    once.forget()
    assert {row.key for row in rows(here)} == {"late", "new"}
    assert KEPT >= 24 * 3600


# Claims


def test_a_call_waits_for_the_one_that_is_at_work_and_gets_its_answer(
    here: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.presence.GONE", 60.0)  # nobody is taken for dead because the machine is busy
    began, go, got = threading.Event(), threading.Event(), []

    def slow() -> Any:
        began.set()
        assert go.wait(30)
        return {"n": 1}

    waiter = Waiting()
    waits = Once(copy_of(here), waiter, waiter.sleep)
    first = threading.Thread(target=lambda: got.append(Once(here).run(asked(), "pay", slow)))
    first.start()
    assert began.wait(30)
    second = threading.Thread(target=lambda: got.append(waits.run(asked(), "pay", never)))
    second.start()
    assert waiter.waits.wait(30)
    assert not got
    go.set()
    first.join(30)
    second.join(30)
    # Kept by the one, the answer may be told by the other first.
    assert sorted(got, key=lambda answer: isinstance(answer, Replay)) == [
        {"n": 1},
        Replay('{"result":{"n":1},"error":null}', "first"),
    ]


def test_a_call_does_not_wait_long_and_says_when_to_come_back(here: Database) -> None:
    busy(Once(here))
    clock = Clock()
    began = clock.now
    with pytest.raises(errors.KeyInProgress) as raised:
        Once(copy_of(here), clock, clock.sleep).run(asked(), "pay", never)
    assert raised.value.facts["retry_after"] == 1
    assert 0.9 <= clock.now - began <= 1.5
    with pytest.raises(errors.KeyReused):  # no need to wait to say this
        Once(here, clock, never).run(asked(body="b2"), "pay", never)


def test_nobody_gives_way_to_a_call_that_waits_for_another(here: Database) -> None:
    busy(Once(here))
    clock, shared, seen = Clock(), turns.Turns(), set()
    shared.quick = 1

    def sleep(seconds: float) -> None:
        seen.add(shared.quick)
        clock.sleep(seconds)

    def call() -> None:
        turns.begin(shared, quick=True)
        with pytest.raises(errors.KeyInProgress):
            Once(here, clock, sleep).run(asked(), "pay", never)

    contextvars.copy_context().run(call)
    assert (seen, shared.quick) == ({0}, 1)


def test_nobody_waits_past_the_deadline_of_their_caller(here: Database) -> None:
    busy(Once(here))
    clock = Clock()
    began = clock.now
    deadline.begin(time.time() + 0.4)
    with pytest.raises(errors.KeyInProgress):
        Once(here, clock, clock.sleep).run(asked(), "pay", never)
    assert clock.now - began < 0.4


def test_a_message_that_comes_again_waits_until_its_first_holder_is_known_to_be_gone(here: Database) -> None:
    clock = Clock()
    here.presence = Presence(here, clock)
    busy(Once(here, clock))
    other = copy_of(here, clock)
    clock.during = other.presence.beat
    verb = Verb()
    began = clock.now
    assert Once(other, clock, clock.sleep).run(asked(redelivered=True), "pay", verb) == verb.outcome
    assert GONE <= clock.now - began < GONE + 1


def test_the_claim_of_a_holder_that_has_gone_is_void(here: Database) -> None:
    clock = Clock()
    here.presence = Presence(here, clock)
    busy(Once(here, clock))
    clock.now += GONE + 0.1
    verb = Verb()
    assert Once(copy_of(here, clock), clock, never).run(asked(), "pay", verb) == verb.outcome


def test_the_claim_of_a_living_holder_holds_until_its_callers_deadline_and_no_longer(here: Database) -> None:
    clock = Clock()
    here.presence = Presence(here, clock)
    deadline.begin(time.time() + 20)
    clock.now = time.time()
    busy(Once(here, clock))
    deadline.begin(None)
    other = copy_of(here, clock)
    clock.now += 20 + MARGIN - 2
    here.presence.beat()
    with pytest.raises(errors.KeyInProgress):
        Once(other, clock, clock.sleep).run(asked(), "pay", never)
    clock.now += 2
    here.presence.beat()
    verb = Verb()
    assert Once(other, clock, never).run(asked(), "pay", verb) == verb.outcome


def test_whoever_lost_the_claim_keeps_nothing_and_learns_what_was_answered(here: Database) -> None:
    clock = Clock()
    here.presence = Presence(here, clock)
    other = copy_of(here, clock)

    def overtaken() -> Any:
        clock.now += GONE + 1  # it stood still, and was taken for dead
        assert Once(other, clock).run(asked(request_id="second"), "pay", Verb({"n": 2})) == {"n": 2}
        return {"n": 1}

    assert Once(here, clock).run(asked(), "pay", overtaken) == Replay('{"result":{"n":2},"error":null}', "second")
    assert Once(here, clock).run(asked(), "pay", never).text == '{"result":{"n":2},"error":null}'


@pytest.mark.parametrize("error", [errors.Conflict("No."), errors.Unavailable("Away."), errors.InvalidRequest("No.")])
@pytest.mark.parametrize("how", ["by another copy", "by the same copy"])
def test_whoever_lost_the_claim_leaves_the_next_ones_alone(here: Database, error: errors.ShopError, how: str) -> None:
    clock = Clock()
    here.presence = Presence(here, clock)
    other = copy_of(here, clock)

    def overtaken() -> Any:
        if how == "by the same copy":
            clock.now += LEASE + 1  # it took too long
            busy(Once(here, clock))
        else:
            with here.write() as connection:  # it was taken for dead, at the very moment that it began
                connection.execute(sa.delete(presence))
            busy(Once(other, clock))
        raise error

    expected = errors.OutcomeUnknown if isinstance(error, errors.Conflict) else type(error)
    with pytest.raises(expected):
        Once(here, clock).run(asked(), "pay", overtaken)
    [row] = rows(here)
    holder = (here if how == "by the same copy" else other).presence.holder
    assert (row.holder, row.ended) == (holder, None)


def test_a_void_claim_is_taken_by_one_of_many(here: Database) -> None:
    copies = [copy_of(here) for _ in range(6)]
    for copy in copies:
        copy.presence.beat()
    for round_ in range(5):
        key = f"k{round_}"
        assert Once(here)._claim(asked(key), "pay", "whoever was killed") is not None
        ready = threading.Barrier(len(copies))
        got: list[Any] = []

        def take(copy: Database, key: str = key, ready: threading.Barrier = ready, got: list[Any] = got) -> None:
            once = Once(copy)
            ready.wait(20)
            got.append(once._claim(asked(key), "pay", copy.presence.hold()))

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
    monkeypatch.setattr("chassis.presence.GONE", 60.0)  # nobody is taken for dead because the machine is busy
    copies = [Once(each, Waiting()) for each in (here, copy_of(here), copy_of(here))]
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


# Processes that die, databases that are away

DIES = """
import os, signal, sys, time
from chassis.database import Database
from chassis.once import Asked, Once
database = Database(sys.argv[1], "cart")
def verb():
    open(sys.argv[2], "a").write("effect\\n")
    os.kill(os.getpid(), signal.SIGKILL)
Once(database).run(Asked("k1", "b1", "first"), "pay", verb)
"""


def test_a_process_that_is_killed_after_its_effect_is_taken_over_within_seconds(
    here: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.presence.GONE", 1.0)  # so that the test takes as long
    effects = tmp_path / "effects"
    url = here.url.render_as_string(hide_password=False)
    killed = subprocess.run(
        [sys.executable, "-c", DIES, url, str(effects)], cwd=ROOT, env={**os.environ}, capture_output=True, timeout=60
    )
    assert (killed.returncode, effects.read_text()) == (-signal.SIGKILL, "effect\n"), killed.stderr
    verb = Verb()  # which does its effect once by its own key
    [row] = rows(here)
    assert Once(here).run(asked(redelivered=True, request_id="again"), "pay", verb) == verb.outcome
    assert time.time() < row.until  # long before that claim would have run out
    assert Once(here).run(asked(), "pay", never).request_id == "again"


DIES_AT = """
import sys
from chassis.database import Database
from chassis.once import Asked, Once
def verb():
    open(sys.argv[2], "a").write("effect\\n")
    return {"n": 1}
Once(Database(sys.argv[1], "cart")).run(Asked("k1", "b1", "first"), "pay", verb)
"""


@pytest.mark.parametrize("point", POINTS)
def test_a_process_that_is_killed_around_the_keeping_of_its_answer_leaves_one_answer(
    here: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    monkeypatch.setattr("chassis.presence.GONE", 1.0)  # so that the test takes as long
    effects, points = tmp_path / "effects", tmp_path / "points"
    points.mkdir()
    (points / point.replace(":", "-")).touch()
    url = here.url.render_as_string(hide_password=False)
    env = {**os.environ, "CRASH_POINTS": str(points)}
    killed = subprocess.run(
        [sys.executable, "-c", DIES_AT, url, str(effects)], cwd=ROOT, env=env, capture_output=True, timeout=60
    )
    assert (killed.returncode, effects.read_text()) == (-signal.SIGKILL, "effect\n"), killed.stderr
    verb = Verb({"n": 1})  # which does its effect once by its own key
    answer = Once(here).run(asked(redelivered=True, request_id="again"), "pay", verb)
    kept = point == "once:keep:done"
    assert verb.calls == int(not kept)
    assert (
        answer.text if isinstance(answer, Replay) else encoded(answer).decode()
    ) == '{"result":{"n":1},"error":null}'
    assert Once(here).run(asked(), "pay", never).request_id == ("first" if kept else "again")


class Away:
    """Takes the database away, and gives it back."""

    def __init__(self, here: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self._here = here

    def go(self) -> None:
        def gone(*_: Any, **__: Any) -> Any:
            raise sa.exc.OperationalError("BEGIN", {}, Exception("away"))

        self._patch.setattr(self._here.engine, "connect", gone)

    def back(self) -> None:
        self._patch.undo()


def test_nothing_runs_while_the_database_is_away(here: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    Away(here, monkeypatch).go()
    with pytest.raises(errors.Unavailable):
        Once(here).run(asked(), "pay", never)


@pytest.mark.parametrize("outcome", [{"n": 1}, errors.Conflict("No.")], ids=["result", "refusal"])
def test_an_answer_that_cannot_be_kept_is_not_given_and_is_kept_later(
    here: Database, monkeypatch: pytest.MonkeyPatch, outcome: Any
) -> None:
    away, once = Away(here, monkeypatch), Once(here)
    verb = Verb(outcome)

    def cut_off() -> Any:
        away.go()
        return verb()

    with pytest.raises(errors.Unavailable):
        once.run(asked(), "pay", cut_off)
    with pytest.raises(errors.Unavailable):
        here.late.catch_up()
    away.back()
    here.late.catch_up()
    again = once.run(asked(request_id="second"), "pay", never)
    assert again == Replay(
        encoded(*((None, outcome) if isinstance(outcome, Exception) else (outcome,))).decode(), "first"
    )


def test_a_claim_that_cannot_be_let_go_is_let_go_later(here: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    away, once = Away(here, monkeypatch), Once(here)

    def cut_off() -> Any:
        away.go()
        raise errors.ProviderFailure("Nonsense.")

    with pytest.raises(errors.ProviderFailure):
        once.run(asked(), "pay", cut_off)
    away.back()
    with pytest.raises(errors.KeyInProgress):
        once.run(asked(), "pay", never)
    here.late.catch_up()
    once.run(asked(), "pay", Verb())


def test_an_invalid_request_whose_key_cannot_be_freed_may_be_corrected_later(
    here: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    away, once = Away(here, monkeypatch), Once(here)

    def cut_off() -> Any:
        away.go()
        raise errors.InvalidRequest("No.")

    with pytest.raises(errors.InvalidRequest):
        once.run(asked(), "pay", cut_off)
    away.back()
    here.late.catch_up()
    once.run(asked(body="corrected"), "pay", Verb())


def test_an_answer_that_comes_late_is_not_written_over_another_ones(
    here: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    here.presence = Presence(here, clock)
    away, once, other = Away(here, monkeypatch), Once(here, clock), copy_of(here, clock)

    def cut_off() -> Any:
        away.go()
        return {"n": 1}

    with pytest.raises(errors.Unavailable):
        once.run(asked(), "pay", cut_off)
    away.back()
    clock.now += GONE + 1  # it was away for so long that it was taken for dead
    busy(Once(other, clock))
    here.late.catch_up()
    [row] = rows(here)
    assert (row.holder, row.ended) == (other.presence.holder, None)


def test_old_answers_are_forgotten_by_the_service_as_it_runs(here: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    class Enough(BaseException):
        """Ends the loop."""

    pauses: list[float] = []

    def tick(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            away.back()
        if len(pauses) == 2:
            raise Enough

    away, once = Away(here, monkeypatch), Once(here)
    once.run(asked("old"), "pay", Verb())
    with here.write() as connection:
        connection.execute(sa.update(answers).values(began=1.0, ended=2.0, until=0.0))
    away.go()
    with pytest.raises(Enough):
        once.run_forget(tick)
    assert rows(here) == []
    assert pauses == [AGAIN, FORGET_EVERY]
