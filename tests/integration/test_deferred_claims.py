"""A locked database defers the write that ends a claim on an event, or on the answer under an idempotency key.

The deferred write follows soon after. It frees the work, or records its result, long before the claim would expire. It
changes nothing when another copy has taken the work over meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chassis.answers import Replay
from chassis.work.idempotency import Asked, Idempotency
from chassis.work.inbox import CLAIM_S as EVENT_CLAIM_S
from chassis.work.inbox import Inbox
from contracts.errors import ProviderFailure, Unavailable
from tests.integration.cart.test_cart_store import Clock
from tests.integration.deferred import copy
from tests.locked import Locked


def test_deferred_retry_makes_the_event_due(locked: Callable[[str], Locked]) -> None:
    file, clock = locked("cart"), Clock()
    one, other = (Inbox(copy(file, clock), clock) for _ in range(2))
    one.keep("evt_1", "kind", {})

    def fails(kind: str, body: dict[str, Any]) -> None:
        file.lock()
        raise Unavailable("not now")

    assert not one.handle("evt_1", fails)
    file.unlock()
    clock.now += 3.0
    one.tasks.database.heartbeat.beat()
    assert other.tasks.due() == []
    one.tasks.database.deferred.catch_up()
    assert other.tasks.due() == ["evt_1"]


def test_deferred_retry_leaves_a_taken_over_event_alone(locked: Callable[[str], Locked]) -> None:
    file, clock = locked("cart"), Clock()
    one, other = (Inbox(copy(file, clock), clock) for _ in range(2))
    one.keep("evt_1", "kind", {})

    def takes_over(kind: str, body: dict[str, Any]) -> None:
        one.tasks.database.deferred.catch_up()
        assert one.tasks.due() == []

    def fails(kind: str, body: dict[str, Any]) -> None:
        file.lock()
        raise Unavailable("not now")

    assert not one.handle("evt_1", fails)
    file.unlock()
    clock.now += EVENT_CLAIM_S + 1
    assert other.handle("evt_1", takes_over)
    assert [event["tries"] for event in other.tasks.rows(state="done")] == [2]


def test_deferred_write_stores_the_answer(locked: Callable[[str], Locked]) -> None:
    file = locked("cart")
    one, other = file.open(), file.open()

    def verb() -> Any:
        file.lock()
        return {"n": 1}

    def never() -> Any:
        raise AssertionError("done again")

    with pytest.raises(Unavailable):
        Idempotency(one).run(Asked("k1", "b1"), "pay", verb)
    file.unlock()
    one.deferred.catch_up()
    assert Idempotency(other).run(Asked("k1", "b1"), "pay", never) == Replay('{"result":{"n":1},"error":null}', None)


def test_deferred_release_frees_the_idempotency_key(locked: Callable[[str], Locked]) -> None:
    file = locked("cart")
    one, other = file.open(), file.open()

    def verb() -> Any:
        file.lock()
        raise ProviderFailure("nonsense")

    with pytest.raises(ProviderFailure):
        Idempotency(one).run(Asked("k1", "b1"), "pay", verb)
    file.unlock()
    one.deferred.catch_up()
    assert Idempotency(other).run(Asked("k1", "b1"), "pay", lambda: {"n": 2}) == {"n": 2}
