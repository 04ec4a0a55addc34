"""Idempotency keys: which answers are kept, for whom and for how long, on SQLite and PostgreSQL."""

from __future__ import annotations

import pytest

from chassis.answers import Replay, encoded
from chassis.db.engine import Database
from chassis.work.idempotency import ANSWER_KEPT_S, Idempotency
from contracts import errors
from tests.integration.chassis.idempotency_cases import Clock, Verb, asked, copy_of, never, rows


def test_replayed_result_is_identical_after_a_restart(here: Database) -> None:
    verb = Verb()
    assert Idempotency(here).run(asked(), "pay", verb) == verb.outcome
    replay = Idempotency(copy_of(here)).run(asked(request_id="second"), "pay", never)
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
def test_definitive_refusal_is_replayed(here: Database, error: errors.ShopError) -> None:
    with pytest.raises(type(error)) as raised:
        Idempotency(here).run(asked(), "pay", Verb(error))
    assert raised.value is error
    assert Idempotency(here).run(asked(), "pay", never) == Replay(encoded(None, error).decode(), "first")


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
def test_non_definitive_failure_is_not_kept(here: Database, error: Exception) -> None:
    once = Idempotency(here)
    with pytest.raises(type(error)):
        once.run(asked(), "pay", Verb(error))
    again = Verb()
    assert once.run(asked(request_id="second"), "pay", again) == again.outcome
    assert once.run(asked(request_id="third"), "pay", never) == Replay(encoded(again.outcome).decode(), "second")


def test_unserializable_result_releases_the_key(here: Database) -> None:
    with pytest.raises(TypeError):
        Idempotency(here).run(asked(), "pay", Verb(object()))
    Idempotency(here).run(asked(), "pay", Verb())


def test_different_body_is_refused_naming_the_header(here: Database) -> None:
    Idempotency(here).run(asked(), "pay", Verb())
    with pytest.raises(errors.KeyReused) as raised:
        Idempotency(here).run(asked(body="b2"), "pay", never)
    assert list(raised.value.facts["errors"]) == ["Idempotency-Key"]


def test_different_body_is_refused_after_a_temporary_failure(here: Database) -> None:
    with pytest.raises(errors.Unavailable):
        Idempotency(here).run(asked(), "pay", Verb(errors.Unavailable("Away.")))
    with pytest.raises(errors.KeyReused):
        Idempotency(here).run(asked(body="b2"), "pay", never)
    with pytest.raises(errors.InvalidRequest):  # the key stays bound: the first run may have had an effect
        Idempotency(here).run(asked(), "pay", Verb(errors.InvalidRequest("No.")))
    with pytest.raises(errors.KeyReused):
        Idempotency(here).run(asked(body="b2"), "pay", never)


def test_an_invalid_request_may_be_corrected_under_its_key(here: Database) -> None:
    with pytest.raises(errors.InvalidRequest):
        Idempotency(here).run(asked(), "pay", Verb(errors.InvalidRequest("No.")))
    Idempotency(here).run(asked(body="corrected"), "pay", Verb())


def test_keys_are_independent(here: Database) -> None:
    once = Idempotency(here)
    once.run(asked("k1"), "pay", Verb({"n": 1}))
    assert once.run(asked("k2", "other"), "pay", Verb({"n": 2})) == {"n": 2}
    assert once.run(asked("k1"), "pay", never).text == '{"result":{"n":1},"error":null}'


def test_answers_are_deleted_after_two_days(here: Database) -> None:
    clock = Clock()
    once = Idempotency(here, clock)
    once.run(asked("old"), "pay", Verb())
    with pytest.raises(errors.Unavailable):
        once.run(asked("late"), "pay", Verb(errors.Unavailable("Away.")))
    clock.now += ANSWER_KEPT_S - 60
    once.run(asked("late"), "pay", Verb())  # it began long ago, but its answer is new
    once.forget()
    assert {row.key for row in rows(here)} == {"old", "late"}
    clock.now += 120
    once.run(asked("new"), "pay", Verb())
    once.forget()
    assert {row.key for row in rows(here)} == {"late", "new"}
    assert ANSWER_KEPT_S >= 24 * 3600
