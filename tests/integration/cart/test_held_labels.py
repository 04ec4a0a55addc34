"""The label of an order waits while its charge is disputed or suspected, and is given back when the money is lost."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from cart.bootstrap import Parts
from cart.rules.attention import DISPUTE, FRAUD_WARNING
from cart.rules.dispute import OVER, Case
from cart.rules.order import PAID, RETURNED
from chassis.settings import Settings
from chassis.work.tasks import DONE, ON_HOLD, WAITING
from contracts.errors import OutcomeUnknown, Unavailable
from tests.integration.cart.disputed import CHARGEBACK, DUE, INQUIRY, WARNING, disputed, label, listed, report
from tests.integration.cart.till import Shop


@pytest.mark.parametrize("case", [CHARGEBACK, INQUIRY, WARNING])
def test_label_waits_while_a_case_is_open(shop: Shop, case: Case) -> None:
    disputed(shop, case)
    for _ in range(10):
        shop.now += 600
        shop.deliver()
    assert (shop.carrier.bought, label(shop)["state"], label(shop)["tries"]) == ({}, ON_HOLD, 0)
    assert list(shop.postman.mails) == ["or_1:email"], "the messages do not wait"


@pytest.mark.parametrize(
    ("case", "end"),
    [(CHARGEBACK, "won"), (INQUIRY, "warning_closed"), (CHARGEBACK, "prevented"), (WARNING, OVER)],
)
def test_label_is_bought_once_the_case_is_over(shop: Shop, case: Case, end: str) -> None:
    disputed(shop, case)
    shop.now += 60 * 86400
    report(shop, replace(case, status=end))
    assert listed(shop) == []
    shop.deliver()
    assert list(shop.carrier.bought) == ["or_1:label"]
    assert (shop.order.status, shop.order.amount_returned) == (PAID, None)


def test_second_case_holds_the_label_after_the_first(shop: Shop) -> None:
    disputed(shop, CHARGEBACK, WARNING)
    report(shop, replace(CHARGEBACK, status="won"), WARNING)
    shop.deliver()
    assert (listed(shop), label(shop)["state"]) == ([(FRAUD_WARNING, "issfr_1")], ON_HOLD)


def test_dismissed_case_releases_the_label(shop: Shop) -> None:
    disputed(shop, CHARGEBACK)
    assert not shop.disputes.dismiss("or_1", DISPUTE, "du_2")
    assert shop.disputes.dismiss("or_1", DISPUTE, "du_1")
    shop.deliver()
    assert list(shop.carrier.bought) == ["or_1:label"]
    report(shop, replace(CHARGEBACK, evidence_due_by=DUE + 1))
    assert listed(shop) == [], "a dismissed dispute returns only when it gets worse"


def test_label_released_after_long_is_not_given_up_at_once(shop: Shop) -> None:
    disputed(shop, CHARGEBACK)
    shop.now += 60 * 86400
    report(shop, replace(CHARGEBACK, status="won"))
    shop.carrier.failing = Unavailable("no answer")
    for _ in range(10):
        shop.deliver()
        shop.now += 600
    assert label(shop)["state"] == WAITING


def test_label_that_was_bought_before_the_dispute_is_recorded(shop: Shop) -> None:
    """The first try has bought it, and nobody has recorded its answer."""
    shop.pay()
    buy = shop.carrier.buy_label

    def loses_the_answer(*asked: Any) -> Any:
        buy(*asked)
        shop.carrier.buy_label = buy  # type: ignore[method-assign]
        raise OutcomeUnknown("no answer")

    shop.carrier.buy_label = loses_the_answer  # type: ignore[method-assign]
    shop.deliver()
    report(shop, CHARGEBACK)
    shop.now += 600
    shop.deliver()
    assert (label(shop)["state"], shop.order.tracking_number) == (DONE, "9400")


def test_label_that_no_try_has_bought_waits(shop: Shop) -> None:
    shop.pay()
    shop.carrier.failing = OutcomeUnknown("no answer")
    shop.deliver()
    shop.carrier.failing = None
    report(shop, CHARGEBACK)
    shop.now += 600
    shop.deliver()
    assert (shop.carrier.bought, label(shop)["state"]) == ({}, ON_HOLD)


def test_setting_lets_labels_be_bought_all_the_same(shop: Shop) -> None:
    shop.outbox._holds_label = False
    disputed(shop, CHARGEBACK)
    assert list(shop.carrier.bought) == ["or_1:label"]


@pytest.mark.parametrize(("setting", "bought"), [("", []), ("true", []), ("false", ["or_1:label"])])
def test_setting_reaches_the_outbox_and_the_list(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, setting: str, bought: list[str]
) -> None:
    monkeypatch.setenv("DISPUTE_HOLDS_LABEL", setting)
    provider: Any = {"stripe": SimpleNamespace(payments=shop.bank, disputes=shop.provider)}
    parts = Parts(shop.store, Settings.load(), provider, shop.shelf, shop.carrier, shop.postman)
    shop.pay()
    shop.provider.set(CHARGEBACK)
    assert parts.disputes.refresh("pi_1")
    held = "The label is held." in shop.store.attention.list(10)[0]["detail"]
    parts.outbox.deliver("or_1:label")
    assert (list(shop.carrier.bought), held) == (bought, not bought)


def test_payment_that_is_disputed_at_once_is_looked_at_first(shop: Shop) -> None:
    shop.bank.disputes = True
    shop.provider.set(CHARGEBACK)
    shop.pay()
    shop.provider.down = True
    shop.deliver()
    assert (shop.carrier.bought, label(shop)["state"]) == ({}, WAITING)
    shop.provider.down = False
    shop.now += 60
    shop.deliver()
    assert (shop.carrier.bought, label(shop)["state"]) == ({}, ON_HOLD)
    assert shop.order.dispute == CHARGEBACK.shown()


@pytest.mark.parametrize("held", [True, False])
def test_label_is_not_bought_once_the_look_finds_a_loss(shop: Shop, held: bool) -> None:
    shop.outbox._holds_label = held
    shop.bank.disputes = True
    shop.provider.set(replace(CHARGEBACK, status="lost"))
    shop.pay()
    shop.deliver()
    assert (shop.order.status, shop.carrier.bought) == (RETURNED, {})


def test_other_payments_are_not_asked_about_before_the_label(shop: Shop) -> None:
    shop.pay()
    shop.deliver()
    assert (list(shop.carrier.bought), shop.provider.asked) == (["or_1:label"], [])


def test_label_that_may_have_been_bought_is_returned_when_lost(shop: Shop) -> None:
    shop.carrier.failing = Unavailable("no answer")
    shop.pay()
    shop.deliver()
    shop.carrier.failing = None
    report(shop, CHARGEBACK)
    shop.now += 60
    shop.deliver()
    assert label(shop)["state"] == ON_HOLD
    report(shop, replace(CHARGEBACK, status="lost"))
    for _ in range(3):
        shop.deliver()
        shop.now += 60
    assert (shop.carrier.bought, shop.carrier.voided) == ({}, [("shp", "or_1:void")])


def test_unused_label_of_a_lost_order_is_returned(shop: Shop) -> None:
    shop.pay()
    shop.deliver()
    report(shop, replace(CHARGEBACK, status="lost"))
    shop.deliver()
    assert (shop.order.status, shop.carrier.voided) == (RETURNED, [("shp", "or_1:void")])


def test_label_of_a_refunded_order_is_not_held(shop: Shop) -> None:
    shop.carrier.failing = Unavailable("no answer")
    shop.pay()
    shop.deliver()
    report(shop, INQUIRY)
    shop.refunds.refund("or_1", None, "k1")
    shop.carrier.failing = None
    for _ in range(3):
        shop.now += 60
        shop.deliver()
    assert (label(shop)["state"], shop.carrier.voided) == ("done", [("shp", "or_1:void")])


def test_refunded_order_lets_its_label_go(shop: Shop) -> None:
    disputed(shop, INQUIRY)
    shop.refunds.refund("or_1", None, "k1")
    for _ in range(3):
        shop.deliver()
    assert (shop.carrier.bought, label(shop)["state"]) == ({}, "done")
    assert listed(shop) == [(DISPUTE, "du_1")], "the bank has not closed it"
