"""A locked database defers the write that ends a claim on an order, a delivery or a refund.

The deferred write follows soon after. It frees the work, or records its result, long before the claim would expire. It
changes nothing when another copy has taken the work over meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cart.rules.order import PAID
from cart.store.unit_of_work import CartStore
from chassis.db.claims import ClaimLost
from chassis.work.tasks import DONE, WAITING
from tests.integration.cart.test_cart_store import Clock, copy_of, order
from tests.locked import Locked


class Carts:
    """Two copies of the cart service: `one` holds the claims, and `other` tries to take them over."""

    def __init__(self, file: Locked) -> None:
        self.file, self.clock = file, Clock()
        self.one, self.other = copy_of(file.open(), self.clock), copy_of(file.open(), self.clock)
        self.one.orders.place(order(), "k1")

    def later(self, seconds: float) -> None:
        """Move the clock; the heartbeat of `one` stays fresh."""
        self.clock.now += seconds
        self.one.database.heartbeat.beat()

    def catch_up(self, store: CartStore | None = None) -> None:
        (store or self.one).database.deferred.catch_up()


@pytest.fixture
def carts(locked: Callable[[str], Locked]) -> Carts:
    return Carts(locked("cart"))


def test_deferred_release_frees_the_order(carts: Carts) -> None:
    held = carts.one.orders.claim("or_1", None, carts.clock.now + 30.0)
    assert held is not None
    with carts.file.held():
        carts.one.orders.let_go(held, carts.clock.now + 1.0)
    with pytest.raises(ClaimLost):  # the holder has released the claim
        carts.one.orders.keep(held)
    carts.later(2.0)
    assert carts.other.orders.claim("or_1", None, 100.0) is None
    carts.catch_up()
    assert carts.other.orders.stalled() == ["or_1"]
    assert carts.other.orders.claim("or_1", None, 100.0, fresh=False, hurry=False) is not None


def test_deferred_release_leaves_a_taken_over_order_alone(carts: Carts) -> None:
    held = carts.one.orders.claim("or_1", None, carts.clock.now + 30.0)
    assert held is not None
    with carts.file.held():
        carts.one.orders.let_go(held, carts.clock.now + 1.0)
    carts.clock.now += 29.0  # the heartbeat of `one` is stale
    taken = carts.other.orders.claim("or_1", None, 100.0)
    assert taken is not None
    carts.catch_up()
    kept = carts.one.orders.get("or_1")
    assert (kept.claim, kept.claimed_until) == (taken.claim, 100.0)
    carts.other.orders.keep(taken)


def test_deferred_result_marks_the_delivery_done(carts: Carts) -> None:
    row = claimed_mail(carts)
    with carts.file.held():
        carts.one.deliveries.settle(row["key"], row["claim"], state=DONE, answer={"status code": "202"})
    carts.later(2.0)
    assert [each["held"] for each in carts.other.deliveries.of("or_1")] == [True]
    carts.catch_up()
    [known] = carts.other.deliveries.of("or_1")
    assert (known["state"], known["answer"], known["claim"]) == (DONE, {"status code": "202"}, None)


def test_deferred_retry_makes_the_delivery_due(carts: Carts) -> None:
    row = claimed_mail(carts)
    with carts.file.held():
        carts.one.deliveries.settle(row["key"], row["claim"], state=WAITING, due_at=carts.clock.now + 1.0, error="away")
    carts.later(2.0)
    assert carts.other.deliveries.due() == []
    carts.catch_up()
    assert carts.other.deliveries.due() == [row["key"]]


def test_deferred_retry_leaves_a_taken_over_delivery_alone(carts: Carts) -> None:
    row = claimed_mail(carts)
    with carts.file.held():
        carts.one.deliveries.settle(row["key"], row["claim"], state=WAITING, due_at=carts.clock.now + 1.0, error="away")
    carts.clock.now += 26.0
    taken = carts.other.deliveries.claim(row["key"], 25.0)
    assert taken is not None
    carts.catch_up()
    [known] = carts.one.deliveries.of("or_1")
    assert (known["claim"], known["claimed_until"]) == (taken["claim"], taken["claimed_until"])


def claimed_mail(carts: Carts) -> dict[str, Any]:
    """The delivery of a mail for the order, claimed by `one`."""
    held = carts.one.orders.claim("or_1", None, 100.0)
    assert held is not None
    carts.one.deliveries.add("or_1:email", "email", "or_1")
    row = carts.one.deliveries.claim("or_1:email", 25.0)
    assert row is not None
    return row


def claimed_refund(carts: Carts) -> dict[str, Any]:
    """A refund claimed by `one`."""
    carts.one.orders.place(order(2, status=PAID, amount=100, payment="pi_1"), "k2")
    return carts.one.refunds.ask("or_2", 60, "r1", carts.clock.now + 30.0)[0]


def test_deferred_release_frees_the_refund(carts: Carts) -> None:
    row = claimed_refund(carts)
    with carts.file.held():
        carts.one.refunds.let_go(row, carts.clock.now + 1.0)
    carts.later(2.0)
    assert carts.other.refunds.stalled() == []
    carts.catch_up()
    assert carts.other.refunds.stalled() == [row["id"]]


def test_deferred_release_leaves_a_taken_over_refund_alone(carts: Carts) -> None:
    row = claimed_refund(carts)
    with carts.file.held():
        carts.one.refunds.let_go(row, carts.clock.now + 1.0)
    carts.clock.now += 29.0
    taken = carts.other.refunds.claim(row["id"], 100.0)
    assert taken is not None
    carts.catch_up()
    kept = carts.one.refunds.get(row["id"])
    assert (kept["claim"], kept["claimed_until"]) == (taken["claim"], 100.0)


# The work of a dead copy comes first


def test_work_of_a_dead_copy_comes_before_overdue_work(
    locked: Callable[[str], Locked],
) -> None:
    carts = Carts(locked("cart"))
    clock, dead, alive = carts.clock, carts.one, carts.other
    for number in (2, 3):
        alive.orders.place(order(number, status=PAID, amount=100, payment=f"pi_{number}"), f"k{number}")
    alive.orders.place(order(4), "k4")
    waiting = alive.orders.claim("or_4", None, clock.now + 30.0)
    assert waiting is not None
    alive.deliveries.add("or_4:email", "email", "or_4")
    alive.orders.let_go(waiting, clock.now + 1.0)
    alive.refunds.let_go(alive.refunds.ask("or_3", 60, "r3", clock.now + 30.0)[0], clock.now + 1.0)
    held = dead.orders.claim("or_1", None, clock.now + 30.0)
    assert held is not None
    dead.deliveries.add("or_1:email", "email", "or_1")
    assert dead.deliveries.claim("or_1:email", 25.0) is not None
    dead_refund = dead.refunds.ask("or_2", 60, "r2", clock.now + 30.0)[0]["id"]
    clock.now += 6.0  # the heartbeat of `dead` is stale; the other work has been due for five seconds
    assert alive.orders.stalled() == ["or_1", "or_4"]
    assert alive.deliveries.due() == ["or_1:email", "or_4:email"]
    assert (len(alive.refunds.stalled()), alive.refunds.stalled(1)) == (2, [dead_refund])
