"""Disputes and fraud warnings: the order shows them, the operator is notified, a loss is counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from cart.disputes.watch import WARNING_S, DisputeWatch
from cart.rules.attention import DISPUTE, REFUND
from cart.rules.dispute import Case
from cart.rules.order import FULFILLED, PAID, PAYING, RELEASE, RETURNED, VOID
from cart.rules.payments import DISPUTED
from cart.rules.public_order import render
from cart.rules.refunds import REFUND_DISPUTED
from cart.store.tables import orders
from cart.watch import MONTH_S, UNSETTLED_INTERVAL_S
from chassis.work.inbox import NotYet
from chassis.work.tasks import ON_HOLD, WAITING
from contracts.errors import Conflict, Refused, Unavailable
from tests.integration.cart.disputed import AMOUNT, CHARGEBACK, INQUIRY, WARNING, disputed, label, listed, report
from tests.integration.cart.till import Shop


def test_order_shows_its_dispute(shop: Shop) -> None:
    disputed(shop, CHARGEBACK)
    assert shop.order.dispute == CHARGEBACK.shown()
    assert shop.store.orders.page(None, None, 1, None)[0][0].dispute == CHARGEBACK.shown()
    report(shop, replace(CHARGEBACK, status="under_review"))
    assert shop.order.dispute is not None
    assert shop.order.dispute.status == "under_review"


def test_open_dispute_is_shown_before_a_newer_closed_one(shop: Shop) -> None:
    closed = replace(CHARGEBACK, id="du_2", status="won", created=950)
    disputed(shop, closed, CHARGEBACK)
    assert shop.order.dispute == CHARGEBACK.shown()


def test_operator_is_mailed_once_about_a_dispute(shop: Shop) -> None:
    disputed(shop, CHARGEBACK)
    report(shop, replace(CHARGEBACK, status="under_review"))
    shop.deliver()
    [(_, subject, text)] = shop.postman.letters.values()
    assert subject == "The charge is disputed: order or_1"
    assert "A chargeback of $5.66: fraudulent, needs_response." in text
    assert "by 2025-12-10 23:59 UTC" in text
    assert "The label is held." in text
    assert listed(shop) == [(DISPUTE, "du_1")]


def test_inquiry_that_becomes_a_chargeback_is_mailed_again(shop: Shop) -> None:
    disputed(shop, INQUIRY)
    assert shop.disputes.dismiss("or_1", DISPUTE, "du_1")
    report(shop, CHARGEBACK)
    shop.deliver()
    assert [text.split(":")[0].rpartition("\n")[2] for _, _, text in shop.postman.letters.values()] == [
        "An inquiry about $5.66",
        "A chargeback of $5.66",
    ]
    assert listed(shop) == [(DISPUTE, "du_1")]


def test_lost_dispute_counts_as_given_back(shop: Shop) -> None:
    disputed(shop, CHARGEBACK)
    key = shop.order.stock_key
    report(shop, replace(CHARGEBACK, status="lost"))
    order = shop.order
    assert (order.status, order.amount_returned, order.returns) == (RETURNED, AMOUNT, ())
    assert (listed(shop), order.stock_key) == ([], None)
    for _ in range(3):
        shop.deliver()
    assert (shop.carrier.bought, shop.carrier.voided) == ({}, [])
    assert shop.shelf.released == {key}
    assert shop.store.deliveries.rows(state=WAITING) == shop.store.deliveries.rows(state=ON_HOLD) == []


@pytest.mark.parametrize("between", ["lost", "appeal_needs_response", "appeal_under_review"])
def test_dispute_won_after_it_was_lost_needs_a_decision(shop: Shop, between: str) -> None:
    disputed(shop, CHARGEBACK)
    report(shop, replace(CHARGEBACK, status="lost"))
    report(shop, replace(CHARGEBACK, status=between))
    shop.deliver()
    mails = len(shop.postman.letters)
    report(shop, replace(CHARGEBACK, status="won"))
    shop.deliver()
    assert (shop.order.status, shop.order.amount_returned, shop.order.over) == (PAID, 0, True)
    assert (listed(shop), len(shop.postman.letters)) == ([(DISPUTE, "du_1")], mails + 1)
    assert "$5.66 came back" in shop.store.attention.list(10)[0]["detail"]
    report(shop, replace(CHARGEBACK, status="won"), replace(INQUIRY, id="du_2", status="warning_closed"))
    assert listed(shop) == [(DISPUTE, "du_1")], "it waits for the operator"
    shop.refunds.refund("or_1", None, "k1")
    assert listed(shop) == []


def test_closed_inquiry_of_a_returned_order_needs_nobody(shop: Shop) -> None:
    disputed(shop, INQUIRY)
    shop.refunds.refund("or_1", None, "k1")
    [(payment, refund)] = shop.bank.returned
    shop.bank.returned[:] = [(payment, replace(refund, failed=True))]
    shop.refunds.refresh_refunds("pi_1")
    assert (shop.order.status, shop.order.over) == (PAID, True)
    report(shop, replace(INQUIRY, status="won"))
    assert (DISPUTE, "du_1") not in listed(shop)


def test_entry_of_a_returned_order_says_nothing_of_its_label(shop: Shop) -> None:
    disputed(shop, INQUIRY)
    [before] = shop.store.attention.list(10)
    assert "The label is held." in before["detail"]
    mails = len(shop.postman.letters)
    shop.refunds.refund("or_1", None, "k1")
    [after] = shop.store.attention.list(10)
    assert before == {**after, "detail": f"{after['detail']} The label is held."}
    report(shop, replace(INQUIRY, status="warning_under_review"))  # before the label's task has ended
    assert ["The label" in row["detail"] for row in shop.store.attention.list(10)] == [False]
    shop.deliver()
    assert len(shop.postman.letters) == mails


def test_won_back_order_is_dismissed_for_good(shop: Shop) -> None:
    disputed(shop, replace(CHARGEBACK, status="lost"))
    report(shop, replace(CHARGEBACK, status="won"))
    assert shop.disputes.dismiss("or_1", DISPUTE, "du_1")
    report(shop, replace(CHARGEBACK, status="won"), replace(INQUIRY, id="du_2", status="warning_closed"))
    shop.deliver()
    assert (listed(shop), shop.carrier.bought) == ([], {})


def test_dispute_of_a_sent_order_that_is_won_back_needs_nobody(shop: Shop) -> None:
    shop.pay()
    shop.deliver()
    shop.store.orders.update("or_1", None, lambda order: order.become(FULFILLED, 1001))
    report(shop, replace(CHARGEBACK, status="lost"))
    report(shop, replace(CHARGEBACK, status="won"))
    assert (shop.order.status, listed(shop)) == (FULFILLED, [])


def test_goods_of_a_lost_order_that_was_sent_stay_sold(shop: Shop) -> None:
    shop.pay()
    shop.deliver()
    shop.store.orders.update("or_1", None, lambda order: order.become(FULFILLED, 1001))
    report(shop, replace(CHARGEBACK, status="lost"))
    assert (shop.order.status, shop.order.stock_key) == (RETURNED, "or_1:1:stock")
    assert shop.store.deliveries.of("or_1", [RELEASE, VOID]) == []


def test_order_lost_in_part_needs_a_decision(shop: Shop) -> None:
    disputed(shop, replace(CHARGEBACK, amount=166))
    report(shop, replace(CHARGEBACK, amount=166, status="lost"))
    shop.deliver()
    assert (shop.order.status, shop.order.amount_returned, label(shop)["state"]) == (PAID, 166, ON_HOLD)
    detail = shop.store.attention.list(10)[0]["detail"]
    assert "the rest cannot be refunded" in detail
    assert "Dismiss this to send the goods." in detail
    order = shop.refunds.refund("or_1", None, "k1")
    assert (order.status, order.amount_returned, listed(shop)) == (RETURNED, AMOUNT, [])
    assert [each.amount for each in order.returns] == [AMOUNT - 166]
    shop.deliver()
    assert shop.carrier.bought == {}


def test_copy_of_older_code_erases_no_dispute(shop: Shop) -> None:
    lost = replace(CHARGEBACK, amount=166, status="lost")
    disputed(shop, lost)
    older = {**render(shop.order), "amount_returned": None}
    del older["dispute"]
    with shop.database.write() as connection:
        connection.execute(sa.update(orders).where(orders.c.id == "or_1").values(document=older))
    assert (shop.order.dispute, shop.order.amount_lost, shop.order.amount_returned) == (lost.shown(), 166, 166)
    with pytest.raises(Conflict, match="by a dispute"):
        shop.refunds.refund("or_1", AMOUNT, "k1")


def test_dispute_lost_in_part_after_the_label_needs_nobody(shop: Shop) -> None:
    shop.pay()
    shop.deliver()
    report(shop, replace(CHARGEBACK, amount=166))
    report(shop, replace(CHARGEBACK, amount=166, status="lost"))
    assert (shop.order.status, shop.order.amount_returned, listed(shop)) == (PAID, 166, [])


def test_dismissed_dispute_lost_in_part_is_not_listed_again(shop: Shop) -> None:
    shop.carrier.failing = Unavailable("no answer")
    disputed(shop, replace(CHARGEBACK, amount=166))
    assert shop.disputes.dismiss("or_1", DISPUTE, "du_1")
    report(shop, replace(CHARGEBACK, amount=166, status="lost"))
    assert (listed(shop), label(shop)["state"]) == ([], WAITING)


def test_lost_amount_survives_the_orders_other_changes(shop: Shop) -> None:
    disputed(shop, replace(CHARGEBACK, amount=166, status="lost"))
    shop.refunds.refund("or_1", 100, "k1")
    assert (shop.order.amount_returned, shop.order.amount_lost) == (266, 166)


def test_refund_before_a_lost_dispute_counts_once(shop: Shop) -> None:
    disputed(shop, INQUIRY)
    shop.refunds.refund("or_1", 100, "k1")
    report(shop, CHARGEBACK)
    report(shop, replace(CHARGEBACK, status="lost"))
    assert (shop.order.status, shop.order.amount_returned) == (RETURNED, AMOUNT)
    with pytest.raises(Conflict, match="by a dispute"):
        shop.refunds.refund("or_1", 100, "k2")


def failing_by_dispute(shop: Shop, amount: int | None = None) -> None:
    """A refund of a paid order is pending, and fails because the charge is disputed."""
    shop.bank.mood = "pend"
    shop.refunds.refund("or_1", amount, "k1")
    fail_refund(shop, f"Stripe says: {REFUND_DISPUTED}.")


def fail_refund(shop: Shop, error: str) -> None:
    [(payment, refund)] = shop.bank.returned
    shop.bank.returned[0] = (payment, replace(refund, failed=True, pending=False, error=error))
    shop.refunds.refresh_refunds(payment)


def test_refund_that_a_dispute_has_taken_needs_nobody(shop: Shop) -> None:
    shop.pay()
    failing_by_dispute(shop)
    assert (shop.order.status, listed(shop)) == (PAID, [])
    report(shop, CHARGEBACK)
    assert listed(shop) == [(DISPUTE, "du_1")]
    report(shop, replace(CHARGEBACK, status="lost"))
    assert (shop.order.status, listed(shop)) == (RETURNED, [])


@pytest.mark.parametrize("known", [True, False])
def test_refund_is_listed_once_its_dispute_is_won(shop: Shop, known: bool) -> None:
    shop.pay()
    failing_by_dispute(shop, 100)
    if known:
        report(shop, CHARGEBACK)
    report(shop, replace(CHARGEBACK, status="won"))
    [failed] = shop.store.refunds.of_order("or_1")
    assert listed(shop) == [(REFUND, failed["id"])]
    assert shop.store.attention.dismiss("or_1", REFUND, failed["id"])
    report(shop, replace(CHARGEBACK, status="won"), replace(INQUIRY, id="du_2", status="warning_closed"))
    assert listed(shop) == []


def test_refund_that_fails_after_the_dispute_is_won_is_listed(shop: Shop) -> None:
    shop.pay()
    report(shop, replace(CHARGEBACK, status="won"))
    failing_by_dispute(shop, 100)
    assert [kind for kind, _ in listed(shop)] == [REFUND]


def test_lost_dispute_unlists_refunds_that_failed_before(shop: Shop) -> None:
    shop.pay()
    shop.refunds.refund("or_1", 100, "k1")
    fail_refund(shop, "Stripe says: expired_or_canceled_card.")
    assert [kind for kind, _ in listed(shop)] == [REFUND]
    report(shop, CHARGEBACK)
    report(shop, replace(CHARGEBACK, status="lost"))
    assert (shop.order.status, listed(shop)) == (RETURNED, [])


@pytest.mark.parametrize(
    ("case", "amount", "words"),
    [
        (CHARGEBACK, 100, "is disputed (du_1), and the bank has withdrawn the money"),
        (replace(CHARGEBACK, status="under_review"), None, "nothing can be given back before it decides"),
        (replace(CHARGEBACK, status="lost"), 100, "The bank has given back order or_1 by a dispute"),
        (replace(CHARGEBACK, status="lost", amount=500), 100, "Only 66 of order or_1 is left to give back"),
    ],
)
def test_disputed_money_is_not_refunded(shop: Shop, case: Case, amount: int | None, words: str) -> None:
    disputed(shop, case)
    with pytest.raises(Conflict) as error:
        shop.refunds.refund("or_1", amount, "k1")
    assert words in str(error.value)
    assert shop.bank.returned == []


@pytest.mark.parametrize("status", ["warning_needs_response", "won"])
def test_undecided_inquiry_and_won_dispute_allow_refunds(shop: Shop, status: str) -> None:
    disputed(shop, replace(CHARGEBACK, status=status))
    assert shop.refunds.refund("or_1", None, "k1").status == RETURNED


def test_refund_of_a_dispute_unknown_here_is_a_conflict(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.pay()

    def refuse(*_: Any) -> Any:
        raise Refused("Charge ch_1 has been charged back; cannot issue a refund.", {DISPUTED: True})

    monkeypatch.setattr(shop.bank, "refund", refuse)
    with pytest.raises(Conflict, match="disputed"):
        shop.refunds.refund("or_1", 100, "k1")


def test_dispute_waits_for_its_order_to_be_paid(shop: Shop) -> None:
    shop.pay()
    shop.store.orders.update("or_1", None, lambda order: setattr(order, "status", PAYING))
    shop.provider.set(CHARGEBACK)
    with pytest.raises(NotYet):
        shop.disputes.refresh("pi_1")


def test_dispute_of_no_order_is_not_recorded(shop: Shop) -> None:
    assert not shop.disputes.refresh("pi_other")
    assert shop.provider.asked == []


def test_older_answer_does_not_replace_a_newer_one(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    disputed(shop, CHARGEBACK)
    ask, answers = shop.provider.of_payment, [1]

    def overtaken(payment: str) -> list[Case]:
        old = ask(payment)
        if answers:
            answers.pop()
            report(shop, replace(CHARGEBACK, status="won"))
        return old

    monkeypatch.setattr(shop.provider, "of_payment", overtaken)
    assert shop.disputes.refresh("pi_1")
    assert shop.order.dispute is not None
    assert (shop.order.dispute.status, listed(shop)) == ("won", [])


def test_case_that_the_provider_has_no_more_is_forgotten(shop: Shop) -> None:
    disputed(shop, CHARGEBACK)
    report(shop)
    assert (shop.order.dispute, listed(shop), shop.store.disputes.of_order("or_1")) == (None, [], [])


def watch(shop: Shop) -> DisputeWatch:
    return DisputeWatch(shop.disputes, shop.provider)


def test_case_whose_event_was_lost_is_found(shop: Shop) -> None:
    shop.pay()
    watch(shop).follow()
    shop.now += 60
    shop.provider.set(replace(CHARGEBACK, created=int(shop.now)), replace(WARNING, created=int(shop.now)))
    watch(shop).follow()
    assert {case.id for case in shop.store.disputes.of_order("or_1")} == {"du_1", "issfr_1"}


def test_recorded_cases_are_not_asked_for_each_minute(shop: Shop) -> None:
    disputed(shop, CHARGEBACK)
    watch(shop).follow()
    shop.provider.asked.clear()
    shop.now += 60
    watch(shop).follow()
    assert shop.provider.asked == []


def test_end_of_an_old_dispute_is_found_within_the_hour(shop: Shop) -> None:
    disputed(shop, CHARGEBACK)
    watch(shop).follow()
    shop.now += 2 * MONTH_S
    watch(shop).follow()
    shop.provider.set(replace(CHARGEBACK, status="won"))
    shop.now += UNSETTLED_INTERVAL_S + 1
    watch(shop).follow()
    assert shop.order.dispute is not None
    assert shop.order.dispute.status == "won"


def test_old_warning_is_not_asked_for_for_ever(shop: Shop) -> None:
    old = replace(CHARGEBACK, created=int(shop.now) - int(WARNING_S) - 60)
    disputed(shop, old, replace(WARNING, created=int(shop.now)))
    watch(shop).follow()
    shop.provider.asked.clear()
    shop.now += WARNING_S + 1
    watch(shop).follow()
    assert shop.provider.asked == ["pi_1"], "of the dispute, which may last for longer"
    report(shop, replace(WARNING, created=int(shop.now - WARNING_S - 1)))
    shop.provider.asked.clear()
    shop.now += UNSETTLED_INTERVAL_S
    watch(shop).follow()
    assert shop.provider.asked == []
