"""A refund that is pending, or fails after it was made: the order follows it, and it is repeated or reported."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from cart.deliveries.parcels import Parcels
from cart.refunds.watch import RefundWatch
from cart.rules.attention import REFUND
from cart.rules.order import FULFILLED, PAID, RETURNED
from cart.rules.public_order import render
from cart.watch import MONTH_S
from contracts.errors import Conflict, OutcomeUnknown, Refused, Unavailable
from tests.integration.cart.test_completer import Feed
from tests.integration.cart.test_refund import AMOUNT, Listed
from tests.integration.cart.till import Killed, Shop

CLOSED = "Stripe says: expired_or_canceled_card."


def change(shop: Shop, number: int = 0, **changes: Any) -> None:
    """The provider reports another state of a refund."""
    payment, refund = shop.bank.returned[number]
    shop.bank.returned[number] = (payment, dataclasses.replace(refund, **changes))
    shop.refunds.refresh_refunds(payment)


def fail(shop: Shop, number: int = 0, passing: bool = False) -> None:
    change(shop, number, failed=True, pending=False, passing=passing, error=CLOSED)


def complete(shop: Shop) -> None:
    """Do what the completer does within some seconds."""
    for _ in range(3):
        for refund_id in shop.store.refunds.stalled():
            shop.refunds.resume(refund_id)
        shop.deliver()
        shop.now += 2


def listed(shop: Shop) -> list[str]:
    """The refunds on the operator's list."""
    return [row["about"] for row in shop.store.attention.list(10) if row["kind"] == REFUND]


def state(shop: Shop) -> tuple[str, int | None]:
    return shop.order.status, shop.order.amount_returned


def test_order_is_paid_again_and_reported(shop: Shop) -> None:
    shop.pay()
    shop.deliver()
    shop.refunds.refund("or_1", None, "k1")
    complete(shop)
    fail(shop)
    assert state(shop) == (PAID, 0)
    [failed] = shop.store.refunds.of_order("or_1")
    [entry] = shop.store.attention.list(10)
    assert (entry["kind"], entry["about"]) == (REFUND, failed["id"])
    assert CLOSED in entry["detail"]
    assert "$5.66" in entry["detail"]
    fail(shop)  # a second look changes nothing
    complete(shop)
    assert len(shop.postman.letters) == 1
    assert len(shop.bank.returned) == 1, "it is not repeated"


def test_failed_refund_can_be_made_again(shop: Shop) -> None:
    shop.pay()
    shop.deliver()
    shop.refunds.refund("or_1", None, "k1")
    complete(shop)
    fail(shop)
    shop.now += 1
    with pytest.raises(Refused, match="expired"):
        shop.refunds.refund("or_1", None, "k1")
    assert shop.refunds.refund("or_1", None, "k2").status == RETURNED
    complete(shop)
    assert listed(shop) == []
    assert (shop.shelf.left, shop.carrier.voided) == (10, [("shp", "or_1:void")]), "both once"


def test_goods_stay_given_back_when_the_refund_fails(shop: Shop) -> None:
    shop.pay()
    shop.refunds.refund("or_1", None, "k1")
    fail(shop)
    complete(shop)
    assert (shop.shelf.left, shop.order.over) == (10, True)
    assert (shop.carrier.bought, shop.carrier.voided) == ({}, []), "a label that nobody wants is not bought"
    assert shop.store.deliveries.rows(state="waiting") == []


def test_entry_stays_until_the_failed_part_is_made_good(shop: Shop) -> None:
    shop.pay()
    shop.refunds.refund("or_1", 100, "k1")
    shop.now += 1
    fail(shop)
    assert state(shop) == (PAID, 0)
    shop.now += 1
    shop.refunds.refund("or_1", 60, "k2")
    assert len(listed(shop)) == 1
    shop.bank.give_back("pi_1", 40)
    shop.bank.returned[-1] = ("pi_1", dataclasses.replace(shop.bank.returned[-1][1], created=shop.now))
    shop.refunds.refresh_refunds("pi_1")
    assert listed(shop) == []
    assert state(shop) == (PAID, 100)


def test_dismissed_entry_does_not_come_back(shop: Shop) -> None:
    shop.pay()
    shop.refunds.refund("or_1", None, "k1")
    fail(shop)
    [about] = listed(shop)
    shop.store.attention.dismiss("or_1", REFUND, about)
    shop.refunds.refresh_refunds("pi_1")
    assert listed(shop) == []


def test_failed_refund_of_the_dashboard_is_reported(shop: Shop) -> None:
    shop.pay()
    shop.bank.give_back("pi_1", 100)
    fail(shop, passing=True)
    complete(shop)
    assert state(shop) == (PAID, None)
    assert (len(listed(shop)), len(shop.bank.returned)) == (1, 1)


def test_failure_that_may_pass_is_repeated_once(shop: Shop) -> None:
    shop.pay()
    shop.refunds.refund("or_1", None, "k1")
    fail(shop, passing=True)
    assert state(shop) == (PAID, 0)
    assert listed(shop) == []
    complete(shop)
    assert state(shop) == (RETURNED, AMOUNT)
    assert shop.bank.given_back("pi_1") == AMOUNT
    fail(shop, 1, passing=True)
    complete(shop)
    assert state(shop) == (PAID, 0)
    assert len(shop.bank.returned) == 2
    assert len(listed(shop)) == 1
    shop.refunds.refund("or_1", None, "k2")
    assert (state(shop), listed(shop)) == ((RETURNED, AMOUNT), [])


@pytest.mark.parametrize("mood", ["lose", "drop", "break", "break late"])
def test_repeated_refund_is_made_once_in_trouble(shop: Shop, mood: str) -> None:
    shop.pay()
    shop.refunds.refund("or_1", 100, "k1")
    fail(shop, passing=True)
    shop.bank.mood = mood
    for refund_id in shop.store.refunds.stalled():
        with pytest.raises(OutcomeUnknown):
            shop.refunds.resume(refund_id)
    shop.now += 60
    complete(shop)
    assert (state(shop), shop.bank.given_back("pi_1")) == ((PAID, 100), 100)


@pytest.mark.parametrize("acted", [True, False])
def test_repeated_refund_survives_a_killed_copy(shop: Shop, monkeypatch: pytest.MonkeyPatch, acted: bool) -> None:
    shop.pay()
    shop.refunds.refund("or_1", 100, "k1")
    fail(shop, passing=True)
    monkeypatch.setattr(shop.bank, "refund", Killed.at(shop.bank.refund if acted else None))
    [refund_id] = shop.store.refunds.stalled()
    with pytest.raises(Killed):
        shop.refunds.resume(refund_id)
    monkeypatch.undo()
    shop.bank.answers.clear()
    shop.dies()
    complete(shop)
    assert (state(shop), shop.bank.given_back("pi_1")) == ((PAID, 100), 100)


def test_refund_made_elsewhere_is_not_repeated(shop: Shop) -> None:
    shop.pay()
    shop.refunds.refund("or_1", 100, "k1")
    fail(shop, passing=True)
    shop.bank.give_back("pi_1", 100)  # in the dashboard, before the completer repeats it
    complete(shop)
    assert (state(shop), shop.bank.given_back("pi_1")) == ((PAID, 100), 100)
    assert shop.store.deliveries.rows(state="waiting") == []


def test_repetition_counts_before_it_is_made(shop: Shop) -> None:
    shop.pay()
    shop.refunds.refund("or_1", None, "k1")
    fail(shop, passing=True)
    with pytest.raises(Conflict, match="given back already, or on its way"):
        shop.refunds.refund("or_1", None, "k2")


def test_refused_repetition_is_reported(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.pay()
    shop.refunds.refund("or_1", 100, "k1")
    fail(shop, passing=True)

    def refuses(*_: Any) -> Any:
        raise Refused("The charge is disputed.")

    monkeypatch.setattr(shop.bank, "refund", refuses)
    complete(shop)
    [entry] = shop.store.attention.list(10)
    assert "The charge is disputed." in entry["detail"]
    assert state(shop) == (PAID, 0)


def test_refusal_that_nobody_waits_for_is_reported(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.pay()
    shop.bank.mood = "drop"
    with pytest.raises(OutcomeUnknown):
        shop.refunds.refund("or_1", 100, "k1")

    def refuses(*_: Any) -> Any:
        raise Refused("No.")

    monkeypatch.setattr(shop.bank, "refund", refuses)
    shop.now += 60
    complete(shop)
    assert len(listed(shop)) == 1
    with pytest.raises(Refused):
        shop.refunds.refund("or_1", 100, "k2")
    assert len(listed(shop)) == 1, "its caller knows"


@pytest.mark.parametrize("succeeds", [True, False])
def test_pending_refund_counts_until_it_fails(shop: Shop, succeeds: bool) -> None:
    shop.pay()
    shop.deliver()
    shop.bank.mood = "pend"
    order = shop.refunds.refund("or_1", None, "k1")
    assert (order.status, order.amount_returned) == (RETURNED, AMOUNT)
    assert [each["status"] for each in render(order)["returns"]["data"]] == ["pending"]
    complete(shop)
    assert (shop.shelf.left, len(shop.carrier.voided)) == (10, 1)
    if succeeds:
        change(shop, pending=False)
        assert [each["status"] for each in render(shop.order)["returns"]["data"]] == ["succeeded"]
        assert state(shop) == (RETURNED, AMOUNT)
    else:
        fail(shop)
        assert (state(shop), len(listed(shop))) == ((PAID, 0), 1)


@pytest.mark.parametrize("age", [0.0, MONTH_S + 1])
def test_watch_follows_a_pending_refund(shop: Shop, monkeypatch: pytest.MonkeyPatch, age: float) -> None:
    shop.pay()
    shop.bank.mood = "pend"
    shop.refunds.refund("or_1", 100, "k1")
    lists = Listed(shop)
    watch = RefundWatch(shop.refunds, lists)
    watch.follow()
    shop.now += age + 60
    payment, refund = shop.bank.returned[0]
    shop.bank.returned[0] = (payment, dataclasses.replace(refund, pending=False))
    if age:  # Stripe lists none that old
        monkeypatch.setattr(lists, "refunds", lambda after, since: ([], None))
    watch.follow()
    assert [each.pending for each in shop.order.returns] == [False]


def test_parcel_that_moved_while_returned_is_fulfilled(shop: Shop) -> None:
    shop.pay()
    shop.deliver()
    shop.refunds.refund("or_1", None, "k1")
    Parcels(shop.store, Feed(("shp", "TRANSIT")), shop.clock).follow()
    assert state(shop) == (RETURNED, AMOUNT)
    fail(shop)
    assert state(shop) == (FULFILLED, 0)


def test_taxes_and_code_follow_a_failed_refund(shop: Shop) -> None:
    shop.discounts(max_redemptions=1)
    shop.taxed(included=True)
    shop.pay()
    shop.refunds.refund("or_1", None, "k1")
    complete(shop)
    fail(shop, passing=True)
    complete(shop)
    assert state(shop)[0] == RETURNED
    amounts = [entry.amount for entry in shop.office.entries.values()]
    assert amounts == [AMOUNT, -AMOUNT, AMOUNT, -AMOUNT]
    fail(shop, 1)
    complete(shop)
    assert sum(entry.amount for entry in shop.office.entries.values()) == AMOUNT
    assert shop.redeemed == 1
    assert shop.store.deliveries.rows(state="failed") == []


def test_stock_that_is_not_released_yet_is_released(shop: Shop) -> None:
    shop.pay()
    shop.shelf.down = True
    shop.refunds.refund("or_1", None, "k1")
    shop.carrier.failing = Unavailable("no answer")
    shop.deliver()
    fail(shop)
    shop.shelf.down, shop.carrier.failing = False, None
    for _ in range(5):
        complete(shop)
    assert shop.shelf.left == 10
    assert shop.store.deliveries.rows(state="waiting") == []


def test_failure_is_not_replaced_by_an_older_answer(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.pay()
    shop.refunds.refund("or_1", None, "k1")
    asked = shop.bank.refunds

    def late(payment: str) -> list[Any]:
        """While the answer is on its way, the refund fails, and another copy records that."""
        monkeypatch.setattr(shop.bank, "refunds", asked)
        answer = asked(payment)
        fail(shop)
        return answer

    monkeypatch.setattr(shop.bank, "refunds", late)
    assert shop.refunds.refresh_refunds("pi_1")
    assert state(shop) == (PAID, 0)


def test_refunds_that_always_change_are_looked_at_later(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.pay()
    shop.refunds.refund("or_1", 100, "k1")
    recorded = iter(range(100))
    monkeypatch.setattr(shop.refunds, "_recorded", lambda order_id: [(next(recorded),)])
    with pytest.raises(Unavailable):
        shop.refunds.refresh_refunds("pi_1")


def test_two_refunds_of_one_request_are_both_counted(shop: Shop) -> None:
    shop.pay()
    shop.refunds.refund("or_1", 100, "k1")
    [first] = shop.bank.refunds("pi_1")
    shop.refunds._take_up("or_1", [first, dataclasses.replace(first, id="re_twin")])
    assert state(shop) == (PAID, 200)
