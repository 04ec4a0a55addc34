"""Idempotency keys: processes that die during a call, and database outages, on SQLite and PostgreSQL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from chassis.answers import Replay, encoded
from chassis.db.engine import Database
from chassis.db.heartbeat import GONE_AFTER_S, Heartbeat
from chassis.db.shared_tables import answers
from chassis.work.idempotency import FORGET_INTERVAL_S, POINTS, RETRY_PAUSE_S, Idempotency
from contracts import errors
from launcher.place import ROOT
from tests.integration.chassis.idempotency_cases import Clock, Verb, asked, copy_of, leave_claim, never, rows

DIES_IN_VERB = """
import os, signal, sys, time
from chassis.db.engine import Database
from chassis.work.idempotency import Asked, Idempotency
database = Database(sys.argv[1], "cart")
def verb():
    open(sys.argv[2], "a").write("effect\\n")
    os.kill(os.getpid(), signal.SIGKILL)
Idempotency(database).run(Asked("k1", "b1", "first"), "pay", verb)
"""


def test_claim_of_a_killed_process_is_taken_over_in_seconds(
    here: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.db.heartbeat.GONE_AFTER_S", 1.0)  # so that the test need not wait longer
    effects = tmp_path / "effects"
    url = here.url.render_as_string(hide_password=False)
    killed = subprocess.run(
        [sys.executable, "-c", DIES_IN_VERB, url, str(effects)],
        cwd=ROOT,
        env={**os.environ},
        capture_output=True,
        timeout=60,
    )
    assert (killed.returncode, effects.read_text()) == (-signal.SIGKILL, "effect\n"), killed.stderr
    verb = Verb()  # a real verb makes its effect idempotent with its own key
    [row] = rows(here)
    assert Idempotency(here).run(asked(redelivered=True, request_id="again"), "pay", verb) == verb.outcome
    assert time.time() < row.claimed_until  # long before that claim would have expired
    assert Idempotency(here).run(asked(), "pay", never).request_id == "again"


DIES_AT_POINT = """
import sys
from chassis.db.engine import Database
from chassis.work.idempotency import Asked, Idempotency
def verb():
    open(sys.argv[2], "a").write("effect\\n")
    return {"n": 1}
Idempotency(Database(sys.argv[1], "cart")).run(Asked("k1", "b1", "first"), "pay", verb)
"""


@pytest.mark.parametrize("point", POINTS)
def test_death_at_a_crash_point_leaves_one_answer(
    here: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    monkeypatch.setattr("chassis.db.heartbeat.GONE_AFTER_S", 1.0)  # so that the test need not wait longer
    effects, points = tmp_path / "effects", tmp_path / "points"
    points.mkdir()
    (points / point.replace(":", "-")).touch()
    url = here.url.render_as_string(hide_password=False)
    env = {**os.environ, "CRASH_POINTS": str(points)}
    killed = subprocess.run(
        [sys.executable, "-c", DIES_AT_POINT, url, str(effects)], cwd=ROOT, env=env, capture_output=True, timeout=60
    )
    assert (killed.returncode, effects.read_text()) == (-signal.SIGKILL, "effect\n"), killed.stderr
    verb = Verb({"n": 1})  # a real verb makes its effect idempotent with its own key
    answer = Idempotency(here).run(asked(redelivered=True, request_id="again"), "pay", verb)
    kept = point == "idempotency:keep:done"
    assert verb.calls == int(not kept)
    assert (
        answer.text if isinstance(answer, Replay) else encoded(answer).decode()
    ) == '{"result":{"n":1},"error":null}'
    assert Idempotency(here).run(asked(), "pay", never).request_id == ("first" if kept else "again")


class Outage:
    """Simulates an outage of the database."""

    def __init__(self, here: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self._here = here

    def begin(self) -> None:
        def gone(*_: Any, **__: Any) -> Any:
            raise sa.exc.OperationalError("BEGIN", {}, Exception("away"))

        self._patch.setattr(self._here.engine, "connect", gone)

    def end(self) -> None:
        self._patch.undo()


def test_nothing_runs_while_the_database_is_away(here: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    Outage(here, monkeypatch).begin()
    with pytest.raises(errors.Unavailable):
        Idempotency(here).run(asked(), "pay", never)


@pytest.mark.parametrize("outcome", [{"n": 1}, errors.Conflict("No.")], ids=["result", "refusal"])
def test_answer_that_cannot_be_stored_is_deferred(
    here: Database, monkeypatch: pytest.MonkeyPatch, outcome: Any
) -> None:
    outage, once = Outage(here, monkeypatch), Idempotency(here)
    verb = Verb(outcome)

    def cut_off() -> Any:
        outage.begin()
        return verb()

    with pytest.raises(errors.Unavailable):
        once.run(asked(), "pay", cut_off)
    with pytest.raises(errors.Unavailable):
        here.deferred.catch_up()
    outage.end()
    here.deferred.catch_up()
    again = once.run(asked(request_id="second"), "pay", never)
    assert again == Replay(
        encoded(*((None, outcome) if isinstance(outcome, Exception) else (outcome,))).decode(), "first"
    )


def test_claim_that_cannot_be_released_is_released_later(here: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    outage, once = Outage(here, monkeypatch), Idempotency(here)

    def cut_off() -> Any:
        outage.begin()
        raise errors.ProviderFailure("Nonsense.")

    with pytest.raises(errors.ProviderFailure):
        once.run(asked(), "pay", cut_off)
    outage.end()
    with pytest.raises(errors.KeyInProgress):
        once.run(asked(), "pay", never)
    here.deferred.catch_up()
    once.run(asked(), "pay", Verb())


def test_invalid_request_is_correctable_after_an_outage(here: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    outage, once = Outage(here, monkeypatch), Idempotency(here)

    def cut_off() -> Any:
        outage.begin()
        raise errors.InvalidRequest("No.")

    with pytest.raises(errors.InvalidRequest):
        once.run(asked(), "pay", cut_off)
    outage.end()
    here.deferred.catch_up()
    once.run(asked(body="corrected"), "pay", Verb())


def test_late_answer_does_not_overwrite_another_copys_claim(here: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    here.heartbeat = Heartbeat(here, clock)
    outage, once, other = Outage(here, monkeypatch), Idempotency(here, clock), copy_of(here, clock)

    def cut_off() -> Any:
        outage.begin()
        return {"n": 1}

    with pytest.raises(errors.Unavailable):
        once.run(asked(), "pay", cut_off)
    outage.end()
    clock.now += GONE_AFTER_S + 1  # the outage was so long that the copy was considered dead
    leave_claim(Idempotency(other, clock))
    here.deferred.catch_up()
    [row] = rows(here)
    assert (row.holder, row.ended) == (other.heartbeat.holder, None)


def test_running_service_deletes_old_answers(here: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    class Enough(BaseException):
        """Ends the loop."""

    pauses: list[float] = []

    def tick(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            outage.end()
        if len(pauses) == 2:
            raise Enough

    outage, once = Outage(here, monkeypatch), Idempotency(here)
    once.run(asked("old"), "pay", Verb())
    with here.write() as connection:
        connection.execute(sa.update(answers).values(began=1.0, ended=2.0, claimed_until=0.0))
    outage.begin()
    with pytest.raises(Enough):
        once.run_forget(tick)
    assert rows(here) == []
    assert pauses == [RETRY_PAUSE_S, FORGET_INTERVAL_S]
