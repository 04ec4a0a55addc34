"""A copy is killed at every crash point and another copy finishes its work: the records are correct at the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cart.deliveries import outbox
from cart.payment import cancel, pay, settlement, steps
from cart.refunds import refund
from cart.rules.attention import DISPUTE
from cart.rules.order import CANCELED, CANCELING, CREATED, PAID, PAYING, RETURNED
from cart.rules.payments import CANCELED as CALLED_OFF
from cart.rules.payments import OPEN, SUCCEEDED
from contracts.errors import Conflict, OutcomeUnknown, PaymentActionRequired, PaymentDeclined
from tests.integration.cart.test_taxes import fail_refund
from tests.integration.cart.till import Killed, Shop

AMOUNT = 100 + 120 + 346
MODULES = (pay, steps, settlement, outbox, cancel, refund)
POINTS = (*steps.POINTS, *outbox.POINTS, *refund.POINTS)
CANCEL = steps.points("cancel", steps.CANCEL)
PROCESSING = [point for point in POINTS if ":processing:" in point]
PAY = [point for point in steps.points("pay", steps.PAY) if ":undo:" not in point and point not in PROCESSING]
AFTER_PAYING = [point for point in outbox.POINTS if point.split(":")[1] in ("label", "email", "sms", "tax")]
UNDO = [point for point in POINTS if point.split(":")[1] in ("undo", "release")]
REFUND = [
    *refund.POINTS,
    *(point for point in outbox.POINTS if point.split(":")[1] in ("void", "release", "tax_reversal")),
]


class Reaper:
    """Kills the flow that reaches the chosen crash point, once."""

    def __init__(self) -> None:
        self.point: str | None = None
        self.reached: list[str] = []

    def __call__(self, point: str) -> None:
        self.reached.append(point)
        if point == self.point:
            self.point = None
            raise Killed(point)


@pytest.fixture(autouse=True)
def discounted(shop: Shop) -> None:
    """The order has a code and a tax, so that its payment has every step. One order may redeem the code. The tax is
    included, so that the amount stays."""
    shop.discounts(max_redemptions=1)
    shop.taxed(included=True)


@pytest.fixture
def reaper(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reaper]:
    kills = Reaper()
    for module in MODULES:
        monkeypatch.setattr(module, "crash_point", kills)
    yield kills
    assert kills.point is None, f"{kills.point} was not reached"


def completes(shop: Shop) -> None:
    """Do what the completer of another copy does within a minute."""
    shop.dies()
    for _ in range(20):
        for order_id in shop.store.orders.stalled():
            canceling = shop.order.status == CANCELING
            (shop.cancellation if canceling else shop.purchase).resume(order_id)
        for refund_id in shop.store.refunds.stalled():
            shop.refunds.resume(refund_id)
        shop.deliver()
        shop.now += 3
        shop.database.heartbeat.beat()
    assert shop.store.deliveries.rows(state="waiting") == []
    assert (shop.store.orders.stalled(), shop.store.refunds.stalled()) == ([], [])


def pays(shop: Shop) -> None:
    shop.pay()
    shop.outbox.deliver_order("or_1")
    shop.deliver()


@pytest.mark.parametrize("point", [*PAY, *AFTER_PAYING])
def test_payment_killed_at_any_point_charges_once(shop: Shop, reaper: Reaper, point: str) -> None:
    reaper.point = point
    with pytest.raises(Killed):
        pays(shop)
    completes(shop)
    assert (shop.order.status, len(shop.bank.charges)) in ((CREATED, 0), (PAID, 1))
    assert shop.shelf.left == 10 - 3 * len(shop.bank.charges)
    assert shop.redeemed == len(shop.bank.charges)
    assert len(shop.office.entries) == len(shop.bank.charges)
    pays(shop)  # the shopper received no answer and pays again
    completes(shop)
    assert (shop.order.status, len(shop.bank.charges), shop.shelf.left, shop.redeemed) == (PAID, 1, 7, 1)
    assert (len(shop.carrier.bought), len(shop.postman.mails), len(shop.postman.texts)) == (1, 1, 1)
    assert [(each.reference, each.amount) for each in shop.office.entries.values()] == [("or_1", AMOUNT)]
    assert shop.postman.mails["or_1:email"][1] is not None  # the mail contains the label
    assert OPEN not in shop.bank.states


@pytest.mark.parametrize("point", [point for point in outbox.POINTS if ":call_off:" in point])
def test_killed_call_off_of_a_lost_payment_is_finished(shop: Shop, reaper: Reaper, point: str) -> None:
    shop.bank.opening = ["lose"]
    with pytest.raises(OutcomeUnknown):
        shop.pay()
    reaper.point = point
    with pytest.raises(Killed):
        shop.deliver()
    pays(shop)
    completes(shop)
    assert (shop.order.status, shop.bank.states) == (PAID, [CALLED_OFF, SUCCEEDED])


@pytest.mark.parametrize("point", PAY)
def test_repeated_payment_does_not_wait_for_the_completer(shop: Shop, reaper: Reaper, point: str) -> None:
    reaper.point = point
    with pytest.raises(Killed):
        pays(shop)
    shop.dies()
    assert shop.pay().status == PAID
    assert (len(shop.bank.charges), shop.shelf.left, shop.redeemed) == (1, 7, 1)


@pytest.mark.parametrize("point", PROCESSING)
def test_payment_killed_while_the_bank_accepts_it_waits(shop: Shop, reaper: Reaper, point: str) -> None:
    offer = {"sku": "sku_bone", "name": "", "inventory": {"type": "infinite"}}
    shop.store.carts.add("cart_1", "prod_bone", offer, 3, "k")
    reaper.point = point
    shop.bank.mood = "process"
    with pytest.raises(Killed):
        pays(shop)
    shop.dies()
    for order_id in shop.store.orders.stalled():
        shop.purchase.resume(order_id)
    assert (shop.order.processing, shop.shelf.left, shop.redeemed) == (True, 7, 1)
    assert [item["quantity"] for item in shop.store.carts.items("cart_1")] == [1]
    assert shop.pay().processing
    shop.bank.take("pi_1")
    shop.purchase.look_now("pi_1")
    completes(shop)
    assert (shop.order.status, len(shop.bank.charges), shop.shelf.left) == (PAID, 1, 7)
    assert len(shop.postman.mails) == 1


@pytest.mark.parametrize("point", UNDO)
def test_payment_killed_after_a_decline_is_undone(shop: Shop, reaper: Reaper, point: str) -> None:
    reaper.point = point
    shop.bank.mood = "decline"
    with pytest.raises(Killed):
        pays(shop)
    completes(shop)
    assert (shop.order.status, shop.bank.charges, shop.shelf.left, shop.redeemed) == (CREATED, [], 10, 0)
    shop.pay("tok_mastercard")
    assert (len(shop.bank.charges), shop.shelf.left) == (1, 7)


@pytest.mark.parametrize("point", [*CANCEL, *(point for point in UNDO if ":release:" in point)])
def test_cancellation_killed_at_any_point_is_finished(shop: Shop, reaper: Reaper, point: str) -> None:
    shop.bank.mood = "ask"
    with pytest.raises(PaymentActionRequired):
        shop.pay()
    reaper.point = point
    with pytest.raises(Killed):
        shop.cancellation.cancel("or_1", "cart_1")
    begun = shop.order.status in (CANCELING, CANCELED)
    completes(shop)
    assert (shop.order.status == CANCELED) == begun
    assert shop.cancellation.cancel("or_1", "cart_1").status == CANCELED
    completes(shop)
    assert (shop.bank.charges, shop.bank.payments["pi_1"]["state"], shop.shelf.left) == ([], "canceled", 10)
    assert shop.redeemed == 0
    assert len(shop.shelf.released) == 1


@pytest.mark.parametrize("point", REFUND)
def test_refund_killed_at_any_point_is_made_once(shop: Shop, reaper: Reaper, point: str) -> None:
    pays(shop)
    reaper.point = point

    def refunds() -> None:
        shop.refunds.refund("or_1", None, "k1")
        shop.deliver()

    with pytest.raises(Killed):
        refunds()
    begun = point != "refund:claim:begun"
    completes(shop)
    assert (shop.order.status == RETURNED) == begun
    assert shop.refunds.refund("or_1", None, "k1").status == RETURNED
    completes(shop)
    assert (shop.bank.given_back("pi_1"), len(shop.bank.returned), shop.shelf.left) == (AMOUNT, 1, 10)
    assert shop.carrier.voided == [("shp", "or_1:void")]
    [back] = shop.order.returns
    assert [(each.reference, each.amount) for each in shop.office.entries.values()] == [
        ("or_1", AMOUNT),
        (back.id, -AMOUNT),
    ]


@pytest.mark.parametrize("point", [point for point in outbox.POINTS if ":tax_reversal:" in point])
def test_failed_refund_leaves_no_tax_reversed_after_a_kill(shop: Shop, reaper: Reaper, point: str) -> None:
    pays(shop)
    shop.refunds.refund("or_1", 100, "k1")
    reaper.point = point
    with pytest.raises(Killed):
        shop.deliver()
    fail_refund(shop)
    completes(shop)
    assert shop.order.amount_returned == 0
    assert sum(each.amount for each in shop.office.entries.values()) == AMOUNT
    assert shop.store.deliveries.rows(state="failed") == []


def test_every_crash_point_is_unique_and_reached(shop: Shop, reaper: Reaper) -> None:
    assert len(POINTS) == len(set(POINTS))
    shop.bank.opening = ["lose"]
    with pytest.raises(OutcomeUnknown):
        shop.pay()
    shop.deliver()
    shop.bank.mood = "decline"
    with pytest.raises(PaymentDeclined):
        pays(shop)
    pays(shop)
    shop.refunds.refund("or_1", None, "k1")
    shop.deliver()
    shop.store.orders.place(other(), "key 2")
    shop.bank.mood = "decline"
    with pytest.raises(PaymentDeclined):
        shop.purchase.pay("or_2", "cart_1", "tok_visa")
    shop.cancellation.cancel("or_2", "cart_1")
    shop.store.orders.place(other("or_3"), "key 3")
    shop.bank.mood = "process"
    shop.purchase.pay("or_3", "cart_1", "pm_bank")
    with shop.store.write():
        shop.store.attention.open("or_1", DISPUTE, "du_1", "fraudulent")
    shop.deliver()
    assert set(reaper.reached) == set(POINTS)


def other(order_id: str = "or_2") -> Any:
    from tests.unit.cart.test_order import placed

    order = placed()
    order.id = order_id
    return order


def test_every_step_records_its_outcome(shop: Shop) -> None:
    shop.bank.mood = "decline"
    with pytest.raises(PaymentDeclined):
        shop.pay()
    shop.pay()
    steps = {(step["attempt"], step["step"]): step for step in shop.store.journal.of_order("or_1")}
    names = ("claim", "redeem", "stock", "open", "method", "confirm")
    assert set(steps) == {(attempt, name) for attempt in (1, 2) for name in names} | {(2, "paid")}
    assert all(step["ended"] is not None and step["outcome"] for step in steps.values())
    assert "Declined" in steps[1, "confirm"]["outcome"]["error"]
    assert steps[2, "confirm"]["outcome"] == {"state": "succeeded", "charge": "ch_pi_1"}
    assert steps[1, "claim"]["outcome"]["holder"] == shop.database.heartbeat.holder


def test_next_copy_records_the_outcome_of_a_killed_step(shop: Shop, reaper: Reaper) -> None:
    reaper.point = "pay:confirm:asked"
    with pytest.raises(Killed):
        pays(shop)
    completes(shop)
    steps = {step["step"]: step["outcome"] for step in shop.store.journal.of_order("or_1")}
    assert steps["confirm"] == {"state": "succeeded", "charge": "ch_pi_1"}


def test_refused_step_records_its_error(shop: Shop) -> None:
    shop.shelf.left = 1
    with pytest.raises(Conflict):
        shop.pay()
    assert {step["step"]: step["outcome"] for step in shop.store.journal.of_order("or_1")}["stock"] == {
        "error": "Conflict: Not enough."
    }
    assert shop.order.status != PAYING
