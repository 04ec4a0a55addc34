"""The outbox sends each delivery of a paid order once, immediately or later."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from cart.deliveries import outbox
from cart.deliveries.parcels import Parcels
from cart.rules.order import FULFILLED, PAID, RETURNED, Order
from chassis import deadline
from chassis.work import tasks
from contracts.errors import Conflict, InvalidRequest, OutcomeUnknown, Refused, Unavailable
from tests.integration.cart.till import Shop


def test_paid_order_sends_label_mail_and_text_once(shop: Shop) -> None:
    shop.pay()
    shop.outbox.deliver_order("or_1")
    shop.outbox.deliver_order("or_1")
    assert list(shop.carrier.bought) == ["or_1:label"]
    assert list(shop.postman.mails) == ["or_1:email"]
    assert list(shop.postman.texts) == ["or_1:sms"]
    outcome = shop.outbox.outcome("or_1")
    assert outcome["label_url"] == "http://labels/or_1:label"
    assert outcome["notifications"] == {"email": {"status code": "202"}, "sms": {"status code": "201"}}
    assert shop.order.tracking_number == "9400"
    mailed, label = shop.postman.mails["or_1:email"]
    assert label["tracking_number"] == "9400"
    assert mailed["shipping"]["carrier"] == "USPS"


def test_many_failed_payments_hide_no_delivery(shop: Shop) -> None:
    shop.crowded()
    shop.pay()
    shop.outbox.deliver_order("or_1")
    outcome = shop.outbox.outcome("or_1")
    assert outcome["label_url"] == "http://labels/or_1:label"
    assert outcome["notifications"] == {"email": {"status code": "202"}, "sms": {"status code": "201"}}
    assert shop.postman.mails["or_1:email"][1] is not None
    shop.refunds.refund("or_1", None, "refund")
    shop.deliver()
    assert shop.carrier.voided == [("shp", "or_1:void")]
    assert shop.outbox.outcome("or_1")["label_url"] is None


def _nothing_to_ship(shop: Shop) -> None:
    def digital(order: Order) -> None:
        order.shipment, order.methods, order.method_id = None, (), None

    shop.store.orders.update("or_1", None, digital)


def test_order_with_nothing_to_ship_is_fulfilled_by_its_mail(shop: Shop) -> None:
    _nothing_to_ship(shop)
    shop.pay()
    assert shop.order.status == PAID
    shop.outbox.deliver_order("or_1")
    assert (shop.carrier.bought, list(shop.postman.mails)) == ({}, ["or_1:email"])
    assert shop.outbox.outcome("or_1")["label_url"] is None
    assert shop.order.status == FULFILLED
    assert shop.order.times.keys() == {PAID, FULFILLED}


def test_order_with_nothing_to_ship_is_paid_until_it_is_mailed(shop: Shop) -> None:
    _nothing_to_ship(shop)
    shop.postman.failing = Unavailable("no answer")
    shop.pay()
    shop.outbox.deliver_order("or_1")
    assert shop.order.status == PAID
    shop.postman.failing = None
    shop.now += 3600
    shop.deliver()
    assert shop.order.status == FULFILLED


def test_refunded_order_with_nothing_to_ship_stays_returned(shop: Shop) -> None:
    _nothing_to_ship(shop)
    shop.postman.failing = Unavailable("no answer")
    shop.pay()
    shop.refunds.refund("or_1", None, "refund")
    shop.postman.failing = None
    shop.now += 3600
    shop.deliver()
    assert (shop.order.status, shop.carrier.voided) == (RETURNED, [])
    assert shop.store.deliveries.rows(state="failed") == []


def test_no_message_goes_out_while_its_label_is_being_bought(shop: Shop, monkeypatch: Any) -> None:
    """The timer of any copy may run at any moment. It must not send a mail without its tracking number."""
    shop.pay()
    buy = shop.carrier.buy_label

    def run_timer() -> None:
        for key in sorted(shop.store.deliveries.due()):
            shop.outbox.deliver(key)

    def buy_label(*asked: Any) -> Any:
        run_timer()
        return buy(*asked)

    monkeypatch.setattr(shop.carrier, "buy_label", buy_label)
    assert sorted(shop.store.deliveries.due())[0] == "or_1:email"
    run_timer()
    assert list(shop.postman.texts) == ["or_1:sms"]  # in key order, the text message comes after the label
    run_timer()
    assert shop.postman.mails["or_1:email"][1]["tracking_number"] == "9400"


def test_message_does_not_wait_for_an_unavailable_label(shop: Shop) -> None:
    shop.carrier.failing = Unavailable("no answer")
    shop.pay()
    shop.outbox.deliver_order("or_1")
    assert shop.postman.mails["or_1:email"][1] is None
    assert shop.outbox.outcome("or_1")["notifications"] == {
        "email": {"status code": "202"},
        "sms": {"status code": "201"},
    }


def test_payer_waits_for_a_label_claimed_by_the_timer(shop: Shop) -> None:
    shop.pay()
    claimed = shop.store.deliveries.claim("or_1:label", 30)
    assert claimed is not None
    label = {"label_url": "http://labels/timer", "carrier": "USPS", "tracking_number": "9400"}

    def timer() -> None:
        time.sleep(0.3)
        shop.store.deliveries.settle("or_1:label", claimed["claim"], state="done", answer=label)

    def payer() -> None:
        deadline.begin(time.monotonic() + 60)
        shop.outbox.deliver_order("or_1")

    both = [threading.Thread(target=part) for part in (timer, payer)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(90)
    assert shop.postman.mails["or_1:email"][1] == label
    assert shop.outbox.outcome("or_1")["label_url"] == "http://labels/timer"


def test_label_of_the_first_parcel_alone_is_asked_for_again(shop: Shop, monkeypatch: Any) -> None:
    """During a rolling upgrade, a copy of the previous release buys one label, and does not say how many there are."""
    shop.carrier.parcels = 3
    buy = shop.carrier.buy_label

    def older(*asked: Any) -> dict[str, Any]:
        return {name: value for name, value in buy(*asked).items() if name not in ("parcels", "labels")}

    monkeypatch.setattr(shop.carrier, "buy_label", older)
    shop.pay()
    shop.outbox.deliver_order("or_1")
    assert shop.outbox.outcome("or_1")["labels"] == []
    monkeypatch.setattr(shop.carrier, "buy_label", buy)
    shop.now += 5
    shop.deliver()
    numbers = [each["tracking_number"] for each in shop.outbox.outcome("or_1")["labels"]]
    assert numbers == ["9400", "9401", "9402"]


def test_mail_outage_does_not_lose_the_payment(shop: Shop) -> None:
    shop.postman.failing = Unavailable("no answer")
    shop.pay()
    shop.outbox.deliver_order("or_1")
    assert shop.outbox.outcome("or_1")["notifications"]["email"] == {"status code": "queued"}
    assert shop.order.status == PAID
    shop.postman.failing = None
    shop.now += 3600
    for key in shop.store.deliveries.due():
        shop.outbox.deliver(key)
    assert shop.outbox.outcome("or_1")["notifications"]["email"] == {"status code": "202"}


def test_retry_pause_grows_with_the_outage(shop: Shop) -> None:
    shop.carrier.failing = Unavailable("no answer")
    shop.pay()

    def waits(tries: int) -> list[float]:
        found = []
        for _ in range(tries):
            shop.outbox.deliver("or_1:label")
            [row] = shop.store.deliveries.of("or_1", ["label"])
            found.append(row["due_at"] - shop.now)
            shop.now = row["due_at"]
        return found

    # At first, the pause stays short.
    first = waits(12)
    assert all(0.5 <= wait <= 1.0 for wait in first[:4])
    assert all(0.5 <= wait <= 3.0 for wait in first)
    assert len(set(first)) == 12  # with jitter, no two pauses are equal
    # During an outage of hours, the pause grows, so that the provider is not flooded.
    shop.now = 1000 + 600
    assert 10 <= waits(1)[0] <= 21
    while shop.now < 1000 + 3 * 3600:
        waits(1)
    assert all(150 <= wait <= 300 for wait in waits(4))


def test_mail_outage_of_an_hour_loses_no_mail(shop: Shop) -> None:
    shop.pay()
    shop.postman.failing = Unavailable("no answer")
    while shop.now < 1000 + 3600:
        shop.deliver()
        shop.now += 60
    assert shop.postman.mails == {}
    assert shop.store.deliveries.rows(state="failed") == []
    shop.postman.failing = None
    for _ in range(6):
        shop.deliver()
        shop.now += 60
    assert (list(shop.postman.mails), list(shop.postman.texts)) == (["or_1:email"], ["or_1:sms"])


def test_outage_of_a_day_fails_all_but_the_stock_release(shop: Shop) -> None:
    shop.shelf.down = True
    shop.bank.mood = "decline"
    shop.carrier.failing = shop.postman.failing = Unavailable("no answer")
    with pytest.raises(OutcomeUnknown):
        shop.pay()
    shop.shelf.down = False
    shop.bank.mood = "take"
    shop.pay()
    shop.shelf.down = True
    while shop.now < 1000 + 25 * 3600:
        shop.deliver()
        shop.now += 600
    assert {row["kind"] for row in shop.store.deliveries.rows(state="failed")} == {"label", "email", "sms"}
    assert [row["kind"] for row in shop.store.deliveries.rows(state="waiting")] == ["release"]
    shop.shelf.down = False
    shop.deliver()
    assert shop.shelf.released == {"or_1:1:stock"}


def test_downtime_of_a_day_fails_no_delivery(shop: Shop) -> None:
    shop.carrier.failing = shop.postman.failing = Unavailable("no answer")
    shop.pay()
    shop.deliver()
    shop.now += 25 * 3600
    shop.deliver()
    assert shop.store.deliveries.rows(state="failed") == []
    shop.carrier.failing = shop.postman.failing = None
    shop.now += tasks.LONGEST_OUTAGE_PAUSE_S
    for _ in range(2):
        shop.deliver()
    assert {row["state"] for row in shop.store.deliveries.rows()} == {"done"}, "each is retried as soon as at first"


def test_failed_deliveries_are_replayed_by_kind_or_all(shop: Shop) -> None:
    shop.carrier.failing = shop.postman.failing = Refused("never")
    shop.pay()
    for _ in range(2 * tasks.TRIES):
        shop.deliver()
        shop.now += 10
    assert len(shop.store.deliveries.rows(state="failed")) == 3
    shop.carrier.failing = shop.postman.failing = None
    assert shop.store.deliveries.again(kind="email") == ["or_1:email"]
    assert sorted(shop.store.deliveries.again()) == ["or_1:label", "or_1:sms"]
    assert shop.store.deliveries.again() == []
    shop.deliver()
    shop.deliver()
    assert (len(shop.carrier.bought), len(shop.postman.mails), len(shop.postman.texts)) == (1, 1, 1)


def test_message_stops_waiting_for_a_hanging_label(shop: Shop) -> None:
    shop.pay()
    assert shop.store.deliveries.claim("or_1:label", 1000) is not None
    shop.deliver()
    assert shop.postman.mails == {}
    shop.now += outbox.LABEL_PATIENCE_S
    shop.database.heartbeat.beat()
    shop.deliver()
    assert list(shop.postman.mails) == ["or_1:email"]


def test_delivery_with_a_bug_releases_its_claim(shop: Shop, monkeypatch: Any) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("label_url")

    monkeypatch.setattr(shop.carrier, "buy_label", broken)
    shop.pay()
    shop.outbox.deliver("or_1:label")
    monkeypatch.undo()
    assert shop.store.deliveries.rows(key="or_1:label")[0]["error"] == "KeyError: 'label_url'"
    shop.now += tasks.LONGEST_OUTAGE_PAUSE_S
    shop.deliver()
    assert shop.outbox.outcome("or_1")["label_url"]


@pytest.mark.parametrize(
    "refusal", [Refused("STOP", {"code": 21610, "permanent": True}), InvalidRequest("The number is not one.")]
)
def test_permanent_refusal_is_final_at_once(shop: Shop, monkeypatch: Any, refusal: Exception) -> None:
    tries = []

    def refuse(_order: Any, key: str) -> Any:
        tries.append(key)
        raise refusal

    monkeypatch.setattr(shop.postman, "order_paid_sms", refuse)
    shop.pay()
    shop.outbox.deliver_order("or_1")
    for _ in range(5):
        shop.now += 600
        shop.deliver()
    assert tries == ["or_1:sms"]
    assert [row["key"] for row in shop.store.deliveries.rows(state="failed")] == ["or_1:sms"]
    assert shop.outbox.outcome("or_1")["notifications"] == {
        "email": {"status code": "202"},
        "sms": {"status code": "failed"},
    }


def test_refusal_that_may_pass_is_tried_again(shop: Shop) -> None:
    shop.postman.failing = Refused("The queue is full.", {"permanent": False})
    shop.pay()
    shop.outbox.deliver_order("or_1")
    assert shop.store.deliveries.rows(state="failed") == []


def test_refused_label_is_listed_and_can_be_replayed(shop: Shop) -> None:
    shop.carrier.failing = Refused("The rate has expired.")
    shop.pay()
    for _ in range(5):
        assert shop.store.deliveries.rows(state="failed") == []
        shop.outbox.deliver("or_1:label")
        shop.now += 60
    assert [(row["key"], row["error"]) for row in shop.store.deliveries.rows(state="failed")] == [
        ("or_1:label", "Refused: The rate has expired.")
    ]
    assert shop.outbox.outcome("or_1")["label_url"] is None
    shop.carrier.failing = None
    assert shop.store.deliveries.again("or_1:label") == ["or_1:label"]
    shop.outbox.deliver("or_1:label")
    assert shop.outbox.outcome("or_1")["label_url"] == "http://labels/or_1:label"


def test_label_given_up_is_bought_on_an_operators_terms(shop: Shop) -> None:
    shop.carrier.failing = Refused("Ground costs 7.10 USD by now.", {"permanent": True})
    shop.pay()
    with pytest.raises(Conflict, match="given up"):
        shop.outbox.buy_label_at("or_1", 710, None)
    shop.outbox.deliver("or_1:label")
    assert shop.outbox.buy_label_at("or_1", 700, "ups_ground")["state"] == "failed"
    shop.carrier.failing = Unavailable("away")
    assert shop.outbox.buy_label_at("or_1", 710, None)["state"] == "waiting"
    shop.carrier.failing = None
    shop.now += 600
    shop.deliver()
    assert shop.outbox.outcome("or_1")["label_url"] == "http://labels/or_1:label"
    assert shop.carrier.terms == [(), (700, "ups_ground"), (710, None), (710, None)]  # kept for later tries
    with pytest.raises(Conflict, match="given up"):
        shop.outbox.buy_label_at("or_1", 710, None)


def test_label_of_a_returned_order_is_not_bought(shop: Shop) -> None:
    shop.carrier.failing = Refused("Ground costs 7.10 USD by now.", {"permanent": True})
    shop.pay()
    shop.outbox.deliver("or_1:label")
    shop.refunds.refund("or_1", None, "refund")
    with pytest.raises(Conflict, match="given back"):
        shop.outbox.buy_label_at("or_1", 710, None)


def test_order_is_fulfilled_once_its_last_parcel_moves(shop: Shop) -> None:
    shop.pay()
    step = {"shipment_id": "shp", "tracking_number": "1", "status": "TRANSIT", "at": 5.0}
    feed: list[dict[str, Any]] = [{**step, "seq": 1, "whole": False}]
    shop.carrier.movements = lambda after, limit: [each for each in feed if each["seq"] > after]  # type: ignore[attr-defined]
    parcels = Parcels(shop.store, shop.carrier)
    parcels.follow()
    assert shop.order.status == PAID
    feed.append({**step, "seq": 2, "tracking_number": "2", "whole": True})
    parcels.follow()
    assert shop.order.status == FULFILLED
