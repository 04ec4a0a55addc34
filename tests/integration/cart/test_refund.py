"""Refunds: each is made once, and their sum never exceeds the payment. A full refund returns stock and label."""

from __future__ import annotations

import dataclasses
import threading
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa

from cart.payment import settlement
from cart.refunds.watch import RefundWatch
from cart.rules.order import PAID, PAYING, RETURNED
from cart.rules.payments import OrderRefund
from cart.rules.public_order import render
from cart.rules.reconcile import Refunded
from cart.store.refunds import checked_amount
from cart.watch import MONTH_S, OVERLAP_S
from chassis.db.shared_tables import tasks
from chassis.records import SetAside
from chassis.work.tasks import TRIES
from contracts.errors import Conflict, InvalidRequest, NotFound, OutcomeUnknown, Refused, Unavailable
from tests.integration.cart.till import Killed, Shop

AMOUNT = 100 + 120 + 346


def test_full_refund_returns_stock_and_label(shop: Shop) -> None:
    shop.pay()
    shop.deliver()
    shop.deliver()
    order = shop.refunds.refund("or_1", None, "k1")
    assert (order.status, order.amount_returned) == (RETURNED, AMOUNT)
    assert order.times[RETURNED] == 1000
    assert shop.bank.given_back("pi_1") == AMOUNT
    returns = render(order)["returns"]
    assert (returns["total_count"], returns["has_more"], returns["url"]) == (1, False, "/v1/order_returns?order=or_1")
    [entry] = returns["data"]
    assert entry == {
        "id": entry["id"],
        "object": "order_return",
        "amount": AMOUNT,
        "created": 1000,
        "currency": "usd",
        "items": render(order)["items"],
        "livemode": False,
        "order": "or_1",
        "refund": "re_1",
        "status": "succeeded",
    }
    assert entry["id"].startswith("orret_")
    shop.deliver()
    assert shop.shelf.left == 10
    assert shop.carrier.voided == [("shp", "or_1:void")]
    assert shop.store.deliveries.rows(state="waiting") == []


def test_part_is_refunded_and_then_the_rest(shop: Shop) -> None:
    shop.pay()
    order = shop.refunds.refund("or_1", 100, "k1")
    assert (order.status, order.amount_returned) == (PAID, 100)
    assert sum(item["amount"] for item in render(order)["returns"]["data"][0]["items"]) == 100
    shop.now += 1
    order = shop.refunds.refund("or_1", None, "k2")
    assert (order.status, order.amount_returned) == (RETURNED, AMOUNT)
    assert [entry["amount"] for entry in render(order)["returns"]["data"]] == [AMOUNT - 100, 100]
    assert shop.store.orders.get("or_1") == order


@pytest.mark.parametrize("amount", [0, -1, AMOUNT - 99, True, 1.5])
def test_invalid_refund_amount_is_refused_by_name(shop: Shop, amount: Any) -> None:
    shop.pay()
    shop.refunds.refund("or_1", 100, "k1")
    with pytest.raises(InvalidRequest) as caught:
        shop.refunds.refund("or_1", amount, "k2")
    assert "amount" in caught.value.facts["errors"]
    assert shop.bank.given_back("pi_1") == 100


def test_only_a_paid_order_is_refunded(shop: Shop) -> None:
    with pytest.raises(Conflict):
        shop.refunds.refund("or_1", None, "k1")
    shop.pay()
    shop.refunds.refund("or_1", None, "k2")
    with pytest.raises(Conflict):
        shop.refunds.refund("or_1", None, "k3")
    with pytest.raises(NotFound):
        shop.refunds.refund("or_none", None, "k4")


def test_same_key_refunds_once(shop: Shop) -> None:
    shop.pay()
    shop.refunds.refund("or_1", 100, "k1")
    assert shop.refunds.refund("or_1", 100, "k1").amount_returned == 100
    assert len(shop.bank.returned) == 1


@pytest.mark.parametrize("mood", ["lose", "drop"])
def test_refund_with_a_lost_answer_is_made_once(shop: Shop, mood: str) -> None:
    shop.pay()
    shop.bank.mood = mood
    with pytest.raises(OutcomeUnknown):
        shop.refunds.refund("or_1", 100, "k1")
    shop.bank.answers.clear()  # after a day, the provider forgets keys and only lists the refund
    assert shop.refunds.refund("or_1", 100, "k1").amount_returned == 100
    assert shop.bank.given_back("pi_1") == 100


def test_refund_not_listed_yet_is_made_once_by_its_key(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.pay()
    shop.bank.mood = "lose"
    with pytest.raises(OutcomeUnknown):
        shop.refunds.refund("or_1", 100, "k1")
    monkeypatch.setattr(shop.bank, "refunds", lambda payment_id: [])
    assert shop.refunds.refund("or_1", 100, "k1").amount_returned == 100
    assert shop.bank.given_back("pi_1") == 100


@pytest.mark.parametrize("mood", ["break", "break late"])
def test_kept_failure_is_retried_under_another_key(shop: Shop, mood: str) -> None:
    shop.pay()
    for spent in (1, 2):
        shop.bank.mood = mood
        with suppress(OutcomeUnknown):
            shop.refunds.refund("or_1", 100, "k1")
        [row] = shop.store.refunds.of_order("or_1")
        assert row["spent"] == (spent if mood == "break" else 1), "recorded before another key is used"
    shop.bank.mood = "take"
    assert shop.refunds.refund("or_1", 100, "k1").amount_returned == 100
    assert shop.bank.given_back("pi_1") == 100


def test_completer_finishes_an_unrepeated_refund(shop: Shop) -> None:
    shop.pay()
    shop.bank.mood = "lose"
    with pytest.raises(OutcomeUnknown):
        shop.refunds.refund("or_1", None, "k1")
    assert shop.store.refunds.stalled() == []
    shop.now += settlement.FIRST_LOOK_S
    [refund_id] = shop.store.refunds.stalled()
    shop.bank.down = True
    with pytest.raises(OutcomeUnknown):
        shop.refunds.resume(refund_id)
    assert shop.store.refunds.stalled() == []  # the next look comes later
    shop.bank.down = False
    shop.now += 2 * settlement.FIRST_LOOK_S
    shop.refunds.resume(refund_id)
    assert (shop.order.status, shop.bank.given_back("pi_1")) == (RETURNED, AMOUNT)
    assert shop.store.refunds.stalled() == []


@pytest.mark.parametrize("acted", [True, False])
def test_killed_refund_is_taken_over_within_seconds(shop: Shop, monkeypatch: Any, acted: bool) -> None:
    shop.pay()
    monkeypatch.setattr(shop.bank, "refund", Killed.at(shop.bank.refund if acted else None))
    with pytest.raises(Killed):
        shop.refunds.refund("or_1", None, "k1")
    monkeypatch.undo()
    shop.bank.answers.clear()
    assert shop.store.refunds.stalled() == []
    shop.dies()
    for refund_id in shop.store.refunds.stalled():
        shop.refunds.resume(refund_id)
    assert (shop.order.status, shop.bank.given_back("pi_1")) == (RETURNED, AMOUNT)


def test_refund_counts_before_it_is_made(shop: Shop) -> None:
    shop.pay()
    shop.bank.mood = "drop"
    with pytest.raises(OutcomeUnknown):
        shop.refunds.refund("or_1", AMOUNT - 100, "k1")
    with pytest.raises(InvalidRequest):
        shop.refunds.refund("or_1", 101, "k2")
    shop.refunds.refund("or_1", 100, "k3")
    shop.refunds.refund("or_1", AMOUNT - 100, "k1")
    assert shop.bank.given_back("pi_1") == AMOUNT


def test_parallel_refunds_never_exceed_the_payment(shop: Shop) -> None:
    shop.pay()
    outcomes: list[Any] = []

    def refunds(number: int) -> None:
        try:
            outcomes.append(shop.refunds.refund("or_1", 200, f"k{number}").status)
        except (Conflict, InvalidRequest) as error:
            outcomes.append(error)

    threads = [threading.Thread(target=refunds, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [type(outcome) for outcome in outcomes if outcome != PAID] == [InvalidRequest] * 4
    assert shop.bank.given_back("pi_1") == 400
    assert shop.order.amount_returned == 400


def test_refund_made_elsewhere_is_recorded(shop: Shop) -> None:
    shop.pay()
    shop.refunds.refund("or_1", 100, "k1")
    shop.bank.give_back("pi_1", 66)
    assert shop.refunds.refresh_refunds("pi_1")
    assert shop.refunds.refresh_refunds("pi_1")  # a second look changes nothing
    assert (shop.order.status, shop.order.amount_returned) == (PAID, 166)
    shop.bank.give_back("pi_1", AMOUNT - 166)
    shop.refunds.refresh_refunds("pi_1")
    assert (shop.order.status, len(shop.order.returns)) == (RETURNED, 3)
    shop.deliver()
    shop.deliver()
    assert shop.shelf.left == 10
    assert not shop.refunds.refresh_refunds("pi_of_nobody")


def test_refund_above_the_rest_names_what_is_left(shop: Shop) -> None:
    shop.pay()
    shop.bank.give_back("pi_1", 500)  # made elsewhere, without an event
    with pytest.raises(Conflict, match=f"Only {AMOUNT - 500} of order or_1 is left"):
        shop.refunds.refund("or_1", AMOUNT, "k1")
    assert shop.order.amount_returned == 500
    assert shop.refunds.refund("or_1", None, "k2").status == RETURNED
    with pytest.raises(Refused):
        shop.refunds.refund("or_1", AMOUNT, "k1")  # the refused refund stays failed


def test_rest_is_refunded_after_a_refund_made_elsewhere(shop: Shop) -> None:
    shop.pay()
    shop.bank.give_back("pi_1", 500)
    order = shop.refunds.refund("or_1", None, "k1")
    assert (order.status, order.amount_returned) == (RETURNED, AMOUNT)
    assert [row["amount"] for row in shop.store.refunds.of_order("or_1")] == [AMOUNT - 500, 500]
    assert shop.refunds.refund("or_1", None, "k1").status == RETURNED
    assert shop.bank.given_back("pi_1") == AMOUNT


def test_full_refund_made_elsewhere_leaves_no_rest(shop: Shop) -> None:
    shop.pay()
    shop.bank.give_back("pi_1", AMOUNT)
    with pytest.raises(Conflict, match="All of order or_1 is given back already"):
        shop.refunds.refund("or_1", None, "k1")
    assert (shop.order.status, shop.bank.given_back("pi_1")) == (RETURNED, AMOUNT)


@pytest.mark.parametrize("others", [2, 20])
def test_the_rest_is_refunded_while_others_refund_too(shop: Shop, monkeypatch: Any, others: int) -> None:
    shop.pay()
    refund, gone = shop.bank.refund, iter(range(others))

    def refund_elsewhere_first(payment_id: str, *asked: Any) -> Any:
        if next(gone, None) is not None:
            shop.bank.give_back(payment_id, 1)
        return refund(payment_id, *asked)

    monkeypatch.setattr(shop.bank, "refund", refund_elsewhere_first)
    if others > 5:
        with pytest.raises(Conflict) as caught:
            shop.refunds.refund("or_1", None, "k1")
        assert caught.value.facts["retry_after"]
        list(gone)  # the other refunds end
    assert shop.refunds.refund("or_1", None, "k1").status == RETURNED
    assert shop.bank.given_back("pi_1") == AMOUNT


@pytest.mark.parametrize("mood", ["lose", "drop"])
def test_the_rest_is_refunded_once_when_its_answer_is_lost(shop: Shop, monkeypatch: Any, mood: str) -> None:
    shop.pay()
    shop.bank.give_back("pi_1", 500)
    lower = shop.store.refunds.lower

    def lower_then_lose(row: dict[str, Any]) -> bool:
        shop.bank.mood = mood
        return lower(row)

    monkeypatch.setattr(shop.store.refunds, "lower", lower_then_lose)
    with pytest.raises(OutcomeUnknown):
        shop.refunds.refund("or_1", None, "k1")
    shop.now += 60
    for refund_id in shop.store.refunds.stalled():
        shop.refunds.resume(refund_id)
    assert (shop.order.status, shop.bank.given_back("pi_1"), len(shop.bank.returned)) == (RETURNED, AMOUNT, 2)


def test_refusal_after_a_made_refund_counts_as_success(shop: Shop, monkeypatch: Any) -> None:
    shop.pay()

    def gives_and_refuses(payment_id: str, amount: int, refund_id: str, *_: Any) -> Any:
        shop.bank.give_back(payment_id, amount, refund_id)
        raise Refused("It has already been refunded.")

    monkeypatch.setattr(shop.bank, "refund", gives_and_refuses)
    assert shop.refunds.refund("or_1", None, "k1").status == RETURNED


def test_a_refund_that_fails_later_is_taken_back(shop: Shop) -> None:
    shop.pay()
    shop.refunds.refund("or_1", 100, "k1")
    [(payment, refund)] = shop.bank.returned
    shop.bank.returned[:] = [(payment, dataclasses.replace(refund, failed=True, error="The bank sent it back."))]
    shop.refunds.refresh_refunds("pi_1")
    assert (shop.order.amount_returned, shop.order.returns) == (0, ())
    assert shop.store.refunds.of_order("or_1")[0]["state"] == "failed"
    assert shop.refunds.refund("or_1", None, "k2").status == RETURNED


def test_refund_waits_while_its_payment_is_unknown(shop: Shop) -> None:
    shop.bank.mood = "lose"
    with pytest.raises(OutcomeUnknown):
        shop.pay()
    shop.bank.give_back("pi_1", AMOUNT)
    with pytest.raises(Conflict):
        shop.refunds.refresh_refunds("pi_1")
    shop.pay()
    shop.refunds.refresh_refunds("pi_1")
    assert shop.order.status == RETURNED


def test_label_not_requested_yet_is_not_bought(shop: Shop) -> None:
    shop.pay()
    shop.refunds.refund("or_1", None, "k1")
    for _ in range(3):
        shop.deliver()
    assert (shop.carrier.bought, shop.carrier.voided) == ({}, [])
    assert list(shop.postman.mails) == ["or_1:email"]
    assert shop.outbox.outcome("or_1")["label_url"] is None


@pytest.mark.parametrize(("status", "labels"), [("refunded", 0), ("pending", 0), ("used", 1), ("none", 1)])
def test_label_is_shown_until_it_is_given_back(shop: Shop, status: str, labels: int) -> None:
    shop.carrier.taken_back = status
    shop.pay()
    shop.deliver()
    shop.refunds.refund("or_1", None, "k1")
    shop.deliver()
    outcome = shop.outbox.outcome("or_1")
    assert (len(outcome["labels"]), outcome["label_url"] is not None) == (labels, labels == 1)


def test_only_labels_that_were_not_given_back_are_shown(shop: Shop) -> None:
    shop.carrier.parcels, shop.carrier.taken_back = 3, "used"
    statuses = ("refunded", "used", "pending")
    each = [{"tracking_number": f"940{place}", "status": status} for place, status in enumerate(statuses)]
    shop.carrier.taken_back_each = {"labels": each}
    shop.pay()
    shop.deliver()
    shop.refunds.refund("or_1", None, "k1")
    shop.deliver()
    outcome = shop.outbox.outcome("or_1")
    assert [label["tracking_number"] for label in outcome["labels"]] == ["9401"]
    assert outcome["label_url"] == outcome["labels"][0]["label_url"]


def test_label_with_an_unknown_outcome_is_returned(shop: Shop) -> None:
    shop.carrier.failing = Unavailable("no answer")
    shop.pay()
    shop.deliver()
    shop.refunds.refund("or_1", None, "k1")
    shop.carrier.failing = None
    for _ in range(4):
        shop.now += 10
        shop.deliver()
    assert (shop.carrier.bought, shop.carrier.voided) == ({}, [("shp", "or_1:void")])
    assert shop.store.deliveries.rows(state="waiting") == []


def give_up_the_label(shop: Shop) -> None:
    shop.carrier.failing = Refused("never")
    shop.pay()
    for _ in range(2 * TRIES):
        shop.deliver()
        shop.now += 10
    assert [row["kind"] for row in shop.store.deliveries.rows(state="failed")] == ["label"]
    shop.carrier.failing = None


def test_label_that_was_given_up_is_returned(shop: Shop) -> None:
    give_up_the_label(shop)
    shop.refunds.refund("or_1", None, "k1")
    shop.deliver()
    assert (shop.carrier.bought, shop.carrier.voided) == ({}, [("shp", "or_1:void")])


def test_given_up_label_of_a_returned_order_needs_nobody(shop: Shop) -> None:
    give_up_the_label(shop)
    assert [row["kind"] for row in shop.store.attention.list(10)] == ["label"]
    shop.refunds.refund("or_1", None, "k1")
    assert shop.store.attention.list(10) == []
    shop.deliver()
    assert shop.store.deliveries.rows(state="failed") == shop.store.deliveries.rows(state="waiting") == []


def test_label_given_up_after_its_return_is_not_listed(shop: Shop) -> None:
    shop.carrier.failing = Refused("never", {"permanent": True})
    shop.pay()
    shop.refunds.refund("or_1", None, "k1")
    shop.store.deliveries.claim("or_1:label", 0.0)  # the try was begun before, and its copy has died
    shop.now += 60
    shop.outbox.deliver("or_1:label")
    assert [row["kind"] for row in shop.store.deliveries.rows(state="failed")] == ["label"]
    assert "label" not in [row["kind"] for row in shop.store.attention.list(10)]


def test_label_replayed_after_its_return_is_not_bought(shop: Shop) -> None:
    give_up_the_label(shop)
    shop.refunds.refund("or_1", None, "k1")
    shop.deliver()
    with shop.store.write() as connection:  # as a shop of the previous release has left it
        connection.execute(sa.update(tasks).where(tasks.c.key == "or_1:label").values(state="failed", error="Refused"))
    assert shop.store.attention.list(10) == []
    shop.store.deliveries.again("or_1:label")
    shop.deliver()
    assert shop.carrier.bought == {}
    assert shop.store.deliveries.rows(state="failed") == shop.store.deliveries.rows(state="waiting") == []


def test_label_replayed_before_its_return_is_returned(shop: Shop) -> None:
    give_up_the_label(shop)
    shop.refunds.refund("or_1", None, "k1")
    shop.store.deliveries.again("or_1:label")
    for _ in range(3):
        shop.deliver()
        shop.now += 10
    assert (shop.carrier.bought, shop.carrier.voided) == ({}, [("shp", "or_1:void")])


def test_pending_label_refund_is_not_waited_for(shop: Shop) -> None:
    shop.pay()
    shop.deliver()
    shop.carrier.taken_back = "pending"
    shop.refunds.refund("or_1", None, "k1")
    shop.deliver()
    (void,) = [row for row in shop.store.deliveries.rows() if row["kind"] == "void"]
    assert (void["state"], void["answer"]["status"]) == ("done", "pending"), "the shipping service follows it"


def state_of(refund: OrderRefund) -> str:
    return "failed" if refund.failed else "pending" if refund.pending else "succeeded"


class Listed:
    """The provider's list of refunds, with one refund per page."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.asked: list[tuple[str | None, float]] = []

    def refunds(self, after: str | None, since: float) -> tuple[list[Refunded], str | None]:
        self.asked.append((after, since))
        self.shop.bank._answers()
        at = int(after or 0)
        page = [
            Refunded(refund.id, payment, refund.amount, state_of(refund))
            for payment, refund in self.shop.bank.returned[at : at + 1]
        ]
        return page, str(at + 1) if at + 1 < len(self.shop.bank.returned) else None


def test_watch_finds_a_refund_made_elsewhere(shop: Shop, monkeypatch: Any) -> None:
    shop.pay()
    shop.refunds.refund("or_1", 100, "k1")
    shop.bank.give_back("pi_1", 50)
    shop.bank.payments["pi_other"] = {"amount": 10}
    shop.bank.give_back("pi_other", 10)
    lists = Listed(shop)
    watch = RefundWatch(shop.refunds, lists)
    shop.bank.down = True
    with pytest.raises(OutcomeUnknown):
        watch.follow()
    shop.bank.down = False
    shop.now += 3600
    lists.asked.clear()
    watch.follow()
    assert shop.order.amount_returned == 150
    assert len(lists.asked) == 3
    looked: list[str] = []
    monkeypatch.setattr(shop.refunds, "refresh_refunds", looked.append)
    shop.now += 60
    lists.asked.clear()
    watch.follow()
    assert looked == ["pi_other"]  # it belongs to no order; recorded refunds are not looked at again
    assert lists.asked[0] == (None, shop.now - 60 - OVERLAP_S)


def test_watch_reads_a_month_once_a_day(shop: Shop) -> None:
    lists = Listed(shop)
    watch = RefundWatch(shop.refunds, lists)
    asked: list[float] = []
    shop.now += MONTH_S
    for hour in range(50):
        shop.now += 3600
        lists.asked.clear()
        shop.bank.down = hour == 24
        with suppress(OutcomeUnknown):
            watch.follow()
            asked.append(shop.now - lists.asked[0][1])
    month_reads = [number for number, span in enumerate(asked) if span == MONTH_S]
    assert month_reads == [0, 24, 48]  # the read at hour 24 fails and succeeds an hour later
    assert all(span < 2 * 3600 + OVERLAP_S + 1 for number, span in enumerate(asked) if number not in month_reads)


def test_clock_set_back_causes_one_read_of_a_month(shop: Shop) -> None:
    lists = Listed(shop)
    watch = RefundWatch(shop.refunds, lists)
    shop.now += MONTH_S + 2 * 86400
    watch.follow()
    shop.now -= 2 * 86400
    watch.follow()
    assert lists.asked[-1][1] == shop.now - MONTH_S
    shop.now += 60
    watch.follow()
    assert lists.asked[-1][1] == shop.now - 60 - OVERLAP_S


def test_unrecorded_refund_is_looked_for_again(shop: Shop, monkeypatch: Any) -> None:
    shop.pay()
    watch = RefundWatch(shop.refunds, Listed(shop))
    watch.follow()
    seen = shop.store.positions.get("refunds")
    shop.bank.give_back("pi_1", 50)
    shop.now += 60
    with monkeypatch.context() as patched:
        patched.setattr(shop.refunds, "_take_up_after", lambda *_: False)  # others record something all the time
        watch.follow()
    assert (shop.order.amount_returned, shop.store.positions.get("refunds")) == (None, seen)
    watch.follow()
    assert (shop.order.amount_returned, shop.store.positions.get("refunds")) == (50, seen + 60)


def test_refund_of_an_unpaid_order_holds_up_no_others(shop: Shop) -> None:
    shop.pay()
    watch = RefundWatch(shop.refunds, Listed(shop))
    watch.follow()
    seen = shop.store.positions.get("refunds")
    shop.store.orders.update("or_1", None, lambda order: setattr(order, "status", PAYING))
    shop.bank.give_back("pi_1", 50)
    shop.now += 60
    watch.follow()
    assert (shop.order.amount_returned, shop.store.positions.get("refunds")) == (None, seen + 60)
    shop.store.orders.update("or_1", None, lambda order: setattr(order, "status", PAID))
    watch.follow()
    assert shop.order.amount_returned == 50


def test_refund_in_isk_is_in_whole_kronur(shop: Shop) -> None:
    shop.pay()
    order = shop.store.orders.get("or_1")
    order.currency = "isk"
    with pytest.raises(InvalidRequest) as error:
        checked_amount(order, 150, AMOUNT)
    assert error.value.facts["errors"] == {"amount": ["must be a multiple of 100 in isk"]}
    assert checked_amount(order, 100, AMOUNT) == 100


def test_unreadable_refund_does_not_hold_up_the_others(shop: Shop, monkeypatch: Any) -> None:
    shop.pay()
    shop.bank.give_back("pi_1", 50)
    shop.bank.payments["pi_other"] = {"amount": 10}
    shop.bank.give_back("pi_other", 10)
    lists = Listed(shop)
    page = lists.refunds
    monkeypatch.setattr(
        lists, "refunds", lambda *asked: ([SetAside("re_9", "no amount"), *page(*asked)[0]], page(*asked)[1])
    )
    looked = shop.refunds.refresh_refunds

    def broken(payment: str) -> bool:
        if payment == "pi_other":
            raise KeyError("document")
        return looked(payment)

    monkeypatch.setattr(shop.refunds, "refresh_refunds", broken)
    watch = RefundWatch(shop.refunds, lists)
    shop.now += 60
    watch.follow()
    assert shop.order.amount_returned == 50
    assert shop.store.positions.get("refunds") == int(shop.now)
