"""The books of the fault bench, without a shop: each rule finds its violations and nothing else."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from bench.faults import books
from bench.faults.books import Books
from bench.faults.catalogue import Article, Catalogue
from bench.faults.journal import (
    BUY,
    CANCEL,
    CHECKOUT,
    LOOK,
    PAY,
    REFUND,
    SHIPPING,
    WALKED_AWAY,
    Journal,
    Lost,
    Sight,
    Unlike,
    compared_parts,
)
from bench.faults.records import Records, sale_references

SKU, SHELF, TAX = "sku_1", 10, 60


def order(order_id: str, status: str, **changes: Any) -> dict[str, Any]:
    """The public form of an order of two pieces."""
    return {
        "id": order_id,
        "object": "order",
        "status": status,
        "amount": 900,
        "currency": "usd",
        "amount_returned": None,
        "charge": None,
        "selected_shipping_method": "rate_1",
        "upstream_id": "shp_1",
        "shipping": {"tracking_number": None},
        "items": [{"type": "sku", "parent": SKU, "quantity": 2}, {"type": "tax", "parent": None, "amount": TAX}],
        "returns": {"data": []},
        **changes,
    }


def sight(what: str, cart: str, asked: dict[str, Any], status: int, answer: Any, key: str = "") -> Sight:
    return Sight(0.0, 1, what, cart, key or f"{what} {cart}", asked, status, answer, 1, False)


def tax_entry(entry_id: str, reference: str, amount: int, tax: int, reverses: str | None = None) -> dict[str, Any]:
    """A tax transaction; amount: with the tax, which is added to a line and to the shipping."""
    line = {"amount": amount - tax - 100, "amount_tax": tax, "tax_behavior": "exclusive"}
    shipping = {"amount": 100, "amount_tax": 0, "tax_behavior": "exclusive"}
    reversal = {"original_transaction": reverses} if reverses else None
    return {
        "id": entry_id,
        "reference": reference,
        "reversal": reversal,
        "line_items": [line],
        "shipping_cost": shipping,
    }


def correct_books() -> Books:
    """Books without a violation: or_a is paid, or_b declined and open, or_c refunded, or_d canceled."""
    records, journal = Records(), Journal()
    numbers = itertools.count(1)
    for order_id, status in (("or_a", "paid"), ("or_b", "created"), ("or_c", "returned"), ("or_d", "canceled")):
        cart, paid = f"cart of {order_id}", status in books.PAID
        number = f"9205{next(numbers)}" if paid else None
        made = order(order_id, status, shipping={"tracking_number": number})
        inner = {"id": order_id, "status": status, "cart_id": cart, "stock_key": None}
        inner["tax"] = {"amount": TAX, "included": False}
        if paid:
            made["charge"] = f"ch_{order_id}"
            made["amount_returned"] = 900 if status == "returned" else None
            charge = {"id": f"ch_{order_id}", "paid": True, "amount": 900, "currency": "usd"}
            records.charges[order_id] = [charge]
            bought = {"tracking_number": number, "label_url": "http://label"}
            state = "SUCCESS" if status == "paid" else "REFUNDED"
            records.labels[order_id] = [{"status": state, "tracking_status": "PRE_TRANSIT", **bought}]
            records.taxes[order_id] = [tax_entry(f"tax_{order_id}", order_id, 900, TAX)]
            if status == "returned":
                refund = {"charge": charge["id"], "status": "succeeded"}
                records.payouts[charge["id"]] = [{**refund, "amount": 890}, {**refund, "amount": 10}]
                made["returns"]["data"] += [{"id": "orret_2", "amount": 890}, {"id": "orret_1", "amount": 10}]
                records.taxes[order_id] += [
                    tax_entry("tax_1", "rf_1", -10, -1, f"tax_{order_id}"),
                    tax_entry("tax_2", "rf_2", -890, 1 - TAX, f"tax_{order_id}"),
                ]
            records.emails[order_id], records.sms[order_id] = [{"subject": "paid"}], [{"body": "paid"}]
            records.messages[f"{order_id}:email"] = {"uncertain": 0, "progress": "delivered"}
            done = {"state": "done", "tries": 1, "error": None}
            records.owed += [{"subject": order_id, "kind": kind, **done} for kind in ("label", "email", "sms")]
            inner["stock_key"] = f"{order_id}:1:stock" if status == "paid" else None
            state = "held" if status == "paid" else "released"
            records.holds.append({"key": f"{order_id}:1:stock", "state": state})
        records.orders[order_id], records.inner[order_id] = made, inner
        journal.sights.append(sight(BUY, cart, {"sku": SKU, "quality": 2}, 200, []))
        if not paid:
            records.carts[cart] = {SKU: 2}
        placed = {**compared_parts(made), "status": "created", "charge": None, "amount_returned": None}
        journal.sights.append(sight(CHECKOUT, cart, {}, 201, placed))
    messages = {"email": {"status code": "202"}, "sms": {"status code": "201"}}
    for order_id in ("or_a", "or_c"):
        paid_answer = {**compared_parts(records.orders[order_id]), "status": "paid", "notifications": messages}
        asked = {"order_id": order_id}
        journal.sights.append(
            sight(PAY, f"cart of {order_id}", asked, 200, {**paid_answer, "label_url": "http://label"})
        )
    journal.sights += [
        sight(
            SHIPPING,
            "cart of or_a",
            {"order_id": "or_a", "shipping_id": "rate_1"},
            200,
            compared_parts(order("or_a", "created")),
        ),
        sight(PAY, "cart of or_b", {"order_id": "or_b"}, 402, {"decline_code": "generic_decline"}),
        sight(REFUND, "cart of or_c", {"order_id": "or_c"}, 200, compared_parts(records.orders["or_c"])),
        sight(CANCEL, "cart of or_d", {"order_id": "or_d"}, 200, compared_parts(records.orders["or_d"])),
    ]
    records.left[SKU] = SHELF - 2
    for order_id in ("or_a", "or_d"):  # only the paid one has redeemed the code
        records.inner[order_id]["discount"] = "promo_1"
    records.redemptions["or_a"] = "promo_1"
    records.codes.append({"id": "promo_1", "code": "CODE", "max_redemptions": 1, "redeemed": 1})
    return Books(records, journal, Catalogue([Article("prod_1", SKU, 450, SHELF)], [], ["CODE"]))


def test_correct_books_break_no_rule() -> None:
    assert books.check(correct_books()) == []


def event(state: str, age: float) -> dict[str, Any]:
    return {"key": "evt_1", "service": "cart", "state": state, "kind": "any", "tries": 5, "error": "no", "age": age}


def payout(amount: int, status: str = "succeeded") -> dict[str, Any]:
    return {"amount": amount, "status": status}


def dispute(status: str, amount: int = 900) -> dict[str, Any]:
    return {"amount": amount, "status": status}


def listed(kind: str) -> dict[str, Any]:
    return {"order_id": "or_a", "kind": kind, "about": "any"}


def unsold(journal: Journal) -> dict[str, Any]:
    """A failed purchase of a label whose URL the shopper received."""
    [paid] = [sight for sight in journal.of(PAY, good=True) if sight.asked["order_id"] == "or_a"]
    paid.answer["label_url"] = "http://unsold"
    return {"status": "ERROR", "label_url": "http://unsold", "tracking_number": None, "tracking_status": None}


Change = Callable[[Records, Journal], Any]

WRONG: dict[str, tuple[str, Change]] = {
    "charged twice": (books.ONE_CHARGE, lambda r, j: r.charges["or_a"].append({**r.charges["or_a"][0], "id": "ch_2"})),
    "paid and not charged": (books.ONE_CHARGE, lambda r, j: r.charges.pop("or_a")),
    "charged too much": (books.ONE_CHARGE, lambda r, j: r.charges["or_a"][0].update(amount=901)),
    "another charge than is known": (books.ONE_CHARGE, lambda r, j: r.charges["or_a"][0].update(id="ch_other")),
    "charged and not paid": (books.NO_CHARGE, lambda r, j: r.charges.update(or_b=r.charges["or_a"])),
    "charged for nothing": (books.NO_CHARGE, lambda r, j: r.charges.update({"": r.charges["or_a"]})),
    "given back and not noted": (books.REFUNDS, lambda r, j: r.payouts.update(ch_or_a=[payout(5)])),
    "noted and not given back": (books.REFUNDS, lambda r, j: r.payouts.clear()),
    "failed, and noted as given back": (books.REFUNDS, lambda r, j: r.payouts["ch_or_c"][0].update(status="failed")),
    "charged back and not noted": (books.REFUNDS, lambda r, j: r.disputes.update(ch_or_a=[dispute("lost")])),
    "returned in part": (books.REFUNDS, lambda r, j: r.orders["or_a"].update(status="returned")),
    "stock lost": (books.STOCK, lambda r, j: r.left.update({SKU: SHELF - 3})),
    "stock sold twice": (books.STOCK, lambda r, j: r.left.update({SKU: SHELF - 1})),
    "stock below zero": (books.STOCK, lambda r, j: r.left.update({SKU: -2})),
    "no label": (books.ONE_LABEL, lambda r, j: r.labels.pop("or_a")),
    "two labels": (books.ONE_LABEL, lambda r, j: r.labels["or_a"].append(r.labels["or_a"][0])),
    "another label than is known": (books.ONE_LABEL, lambda r, j: r.labels["or_a"][0].update(tracking_number="1")),
    "a label that is not needed": (books.ONE_LABEL, lambda r, j: r.labels["or_c"][0].update(status="SUCCESS")),
    "a label that was needed": (books.ONE_LABEL, lambda r, j: r.labels["or_a"][0].update(status="REFUNDED")),
    "a label for nothing": (books.ONE_LABEL, lambda r, j: r.labels.update(or_b=r.labels["or_a"])),
    "no email": (books.EMAIL, lambda r, j: r.emails.pop("or_c")),
    "two emails": (books.EMAIL, lambda r, j: r.emails["or_a"].append({})),
    "an email for nothing": (books.EMAIL, lambda r, j: r.emails.update(or_b=[{}])),
    "no SMS": (books.ONE_SMS, lambda r, j: r.sms.pop("or_a")),
    "two SMS": (books.ONE_SMS, lambda r, j: r.sms["or_a"].append({})),
    "still being paid": (books.STUCK, lambda r, j: r.inner["or_b"].update(status="paying")),
    "a code redeemed by no paid order": (books.REDEEMED, lambda r, j: r.redemptions.update(or_b="promo_1")),
    "a redemption that was not recorded": (books.REDEEMED, lambda r, j: r.redemptions.clear()),
    "a code redeemed too often": (books.REDEEMED, lambda r, j: r.codes[0].update(max_redemptions=0)),
    "a redemption that was miscounted": (books.REDEEMED, lambda r, j: r.codes[0].update(redeemed=2)),
    "a tax that is not recorded": (books.ONE_TAX, lambda r, j: r.taxes.pop("or_a")),
    "a tax that nobody calculated": (books.ONE_TAX, lambda r, j: r.inner["or_a"].update(tax=None)),
    "a tax recorded twice": (books.ONE_TAX, lambda r, j: r.taxes["or_a"].append(tax_entry("t", "or_a", 900, TAX))),
    "another tax than the order's": (books.ONE_TAX, lambda r, j: r.inner["or_a"]["tax"].update(amount=TAX - 1)),
    "another amount than the order's": (
        books.ONE_TAX,
        lambda r, j: r.taxes.update(or_a=[tax_entry("tax_or_a", "or_a", 901, TAX)]),
    ),
    "an included tax that is added": (books.ONE_TAX, lambda r, j: r.inner["or_a"]["tax"].update(included=True)),
    "a tax for nothing": (books.ONE_TAX, lambda r, j: r.taxes.update(or_b=[tax_entry("t", "or_b", 900, TAX)])),
    "a reversal for nothing": (books.ONE_TAX, lambda r, j: r.taxes.update({"": [tax_entry("t", "rf_9", -9, -1, "x")]})),
    "a refund that is not reversed": (books.ONE_TAX, lambda r, j: r.taxes["or_c"].pop()),
    "a reversal without a refund": (
        books.ONE_TAX,
        lambda r, j: r.taxes["or_a"].append(tax_entry("t", "rf_9", -9, -1, "tax_or_a")),
    ),
    "a reversal of another amount": (
        books.ONE_TAX,
        lambda r, j: r.orders["or_c"]["returns"]["data"][0].update(amount=8),
    ),
    "a cent of tax that is not reversed": (
        books.ONE_TAX,
        lambda r, j: r.taxes["or_c"][2]["line_items"][0].update(amount=-932, amount_tax=-58),
    ),
    "more tax reversed than recorded": (
        books.ONE_TAX,
        lambda r, j: r.taxes["or_c"][2]["line_items"][0].update(amount=-930, amount_tax=-60),
    ),
    "a label still owed": (books.STUCK, lambda r, j: r.owed[0].update(state="waiting")),
    "a label given up": (books.STUCK, lambda r, j: r.owed[0].update(state="failed")),
    "money still to be given back": (
        books.STUCK,
        lambda r, j: r.refunds.append({"order_id": "or_a", "state": "asked", "amount": 5, "error": None}),
    ),
    "stock held for nobody": (books.STUCK, lambda r, j: r.holds[1].update(state="held")),
    "a dispute that is not listed": (
        books.LISTED,
        lambda r, j: r.disputes.update(ch_or_a=[dispute("needs_response")]),
    ),
    "a fraud warning that is not listed": (
        books.LISTED,
        lambda r, j: r.warnings.update(ch_or_a=[{"id": "issfr"}]),
    ),
    "a failed refund that is not listed": (
        books.LISTED,
        lambda r, j: r.payouts.update(ch_or_a=[payout(900, "failed")]),
    ),
    "a refund that failed because of a won dispute": (
        books.LISTED,
        lambda r, j: (
            r.payouts.update(ch_or_a=[{**payout(9, "failed"), "failure_reason": "charge_for_pending_refund_disputed"}]),
            r.disputes.update(ch_or_a=[dispute("won")]),
        ),
    ),
    "a lost mail that is not listed": (
        books.LISTED,
        lambda r, j: r.messages["or_a:email"].update(progress="bounced"),
    ),
    "an order on the list that needs nobody": (books.LISTED, lambda r, j: r.attention.append(listed("dispute"))),
    "not in the list": (books.STUCK, lambda r, j: r.orders.pop("or_b")),
    "an order that was answered and is not there": (
        books.TRUE,
        lambda r, j: (r.orders.pop("or_b"), r.inner.pop("or_b")),
    ),
    "more ordered than was put in": (books.TRUE, lambda r, j: j.sights.pop(0)),
    "another way to ship": (books.TRUE, lambda r, j: r.orders["or_a"].update(selected_shipping_method="rate_2")),
    "a payment that was answered and is not there": (
        books.TRUE,
        lambda r, j: r.orders["or_a"].update(status="created"),
    ),
    "an order that was seen to be paid, and is not": (
        books.TRUE,
        lambda r, j: j.sights.append(
            sight(LOOK, "cart of or_b", {"order_id": "or_b"}, 200, {**compared_parts(order("or_b", "paid"))})
        ),
    ),
    "a cancellation that was answered and is not there": (
        books.TRUE,
        lambda r, j: r.orders["or_d"].update(status="created"),
    ),
    "a refund that was answered and is not there": (
        books.TRUE,
        lambda r, j: r.orders["or_c"].update(amount_returned=5, status="paid"),
    ),
    "an SMS that was reported and is not there": (books.TRUE, lambda r, j: r.sms.pop("or_a")),
    "refused, and paid": (books.REFUSED, lambda r, j: r.orders["or_b"].update(status="paid")),
    "two orders of one checkout": (
        books.ONE_ORDER,
        lambda r, j: r.inner.update(or_e={**r.inner["or_b"], "id": "or_e"}),
    ),
    "two answers under one key": (
        books.SAME_ANSWER,
        lambda r, j: j.unlike.append(Unlike(BUY, "key", "200 []", "200 [1]")),
    ),
    "an article that was bought and vanished": (
        books.TRUE,
        lambda r, j: j.sights.insert(0, sight(BUY, "cart of or_b", {"sku": "sku_2", "quality": 1}, 200, [])),
    ),
    "a label that was never sold": (books.TRUE, lambda r, j: r.labels["or_a"].append(unsold(j))),
    "another parcel than was answered": (
        books.TRUE,
        lambda r, j: j.sights.append(
            sight(
                LOOK,
                "cart of or_a",
                {"order_id": "or_a"},
                200,
                {**compared_parts(r.orders["or_a"]), "tracking_number": "1"},
            )
        ),
    ),
    "an order that came back from canceled": (
        books.TRUE,
        lambda r, j: j.sights.append(
            sight(
                LOOK,
                "cart of or_a",
                {"order_id": "or_a"},
                200,
                {**compared_parts(r.orders["or_a"]), "status": "canceled"},
            )
        ),
    ),
    "an order that came back from returned": (
        books.TRUE,
        lambda r, j: j.sights.append(
            sight(
                LOOK,
                "cart of or_a",
                {"order_id": "or_a"},
                200,
                {**compared_parts(r.orders["or_a"]), "status": "returned"},
            )
        ),
    ),
    "a cart that still has what was paid": (books.CART, lambda r, j: r.carts.update({"cart of or_a": {SKU: 2}})),
    "a cart that has more than it should": (books.CART, lambda r, j: r.carts["cart of or_b"].update(sku_9=1)),
    "a cart that was emptied and not paid": (books.CART, lambda r, j: r.carts.pop("cart of or_b")),
    "a request that was never answered": (
        books.ANSWERED,
        lambda r, j: j.lost.append(Lost(1, PAY, "cart of or_b", "key", {"order_id": "or_b"}, "no answer in 60 s")),
    ),
    "a good card refused": (
        books.GOOD_CARD,
        lambda r, j: j.sights.append(
            sight(PAY, "cart of or_b", {"order_id": "or_b", "card": "tok_visa"}, 402, {"decline_code": "any"})
        ),
    ),
    "a good card put off for no reason": (
        books.GOOD_CARD,
        lambda r, j: j.sights.append(sight(PAY, "cart of or_b", {"order_id": "or_b", "card": "tok_visa"}, 409, {})),
    ),
    "an event that was given up": (books.STUCK, lambda r, j: r.events.append(event("failed", 20.0))),
    "an event that waits too long": (
        books.STUCK,
        lambda r, j: r.events.append(event("waiting", books.EVENT_WAIT_S + 1)),
    ),
    "a request that was put aside": (books.STUCK, lambda r, j: r.parked.update(cart=1)),
    "a parcel on its way, and paid": (books.PARCEL, lambda r, j: r.labels["or_a"][0].update(tracking_status="TRANSIT")),
    "fulfilled, and its parcel did not move": (books.PARCEL, lambda r, j: r.orders["or_a"].update(status="fulfilled")),
    "a bug": (books.NO_BUG, lambda r, j: j.bugs.append("POST /api/cart/")),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_each_violation_is_found(wrong: str) -> None:
    shop_books = correct_books()
    rule, change = WRONG[wrong]
    change(shop_books.records, shop_books.journal)
    assert rule in {violation.rule for violation in books.check(shop_books)}


RIGHT: dict[str, Change] = {
    "an open dispute": lambda r, j: (
        r.disputes.update(ch_or_a=[dispute("needs_response")]),
        r.attention.append(listed("dispute")),
        r.owed[0].update(state="on_hold"),
        r.labels.pop("or_a"),
        r.orders["or_a"]["shipping"].update(tracking_number=None),
        [answer.answer.update(label_url=None, tracking_number=None) for answer in j.of(PAY, good=True)],
    ),
    "a label that is held after a part was lost": lambda r, j: (
        r.disputes.update(ch_or_a=[dispute("lost", 450)]),
        r.orders["or_a"].update(amount_returned=450),
        r.attention.append(listed("dispute")),
        r.owed[0].update(state="on_hold"),
        r.labels.pop("or_a"),
        r.orders["or_a"]["shipping"].update(tracking_number=None),
        [answer.answer.update(label_url=None, tracking_number=None) for answer in j.of(PAY, good=True)],
    ),
    "a lost dispute of a refunded order": lambda r, j: r.disputes.update(ch_or_c=[dispute("lost")]),
    "a dispute that was won": lambda r, j: r.disputes.update(ch_or_a=[dispute("won")]),
    "a failed refund on the list": lambda r, j: (
        r.payouts.update(ch_or_a=[payout(900, "failed")]),
        r.attention.append(listed("refund")),
    ),
    "a lost mail of a returned order": lambda r, j: r.messages["or_c:email"].update(progress="bounced"),
    "a refund that failed because of a lost dispute": lambda r, j: (
        r.payouts.update(ch_or_a=[{**payout(450, "failed"), "failure_reason": "charge_for_pending_refund_disputed"}]),
        r.disputes.update(ch_or_a=[dispute("lost", 450)]),
        r.orders["or_a"].update(amount_returned=450),
    ),
    "a failed refund that was made good": lambda r, j: r.payouts["ch_or_c"].append(payout(900, "failed")),
}


@pytest.mark.parametrize("right", RIGHT)
def test_what_needs_a_person_and_is_listed_breaks_no_rule(right: str) -> None:
    shop_books = correct_books()
    RIGHT[right](shop_books.records, shop_books.journal)
    assert books.check(shop_books) == []


def test_reversed_reversal_does_not_count() -> None:
    shop_books = correct_books()
    shop_books.records.taxes["or_a"] += [
        tax_entry("tax_3", "rf_3", -300, -20, "tax_or_a"),
        tax_entry("tax_4", "rf_3:tax_undo", 300, 20, "tax_3"),
    ]
    assert books.check(shop_books) == []
    found = sale_references(shop_books.records.taxes["or_a"])
    assert found == dict.fromkeys(("tax_or_a", "tax_3", "tax_4"), "or_a")


def test_reversal_of_an_unknown_sale_has_no_order() -> None:
    assert sale_references([tax_entry("tax_1", "rf_1", -300, -20, "tax_0")]) == {"tax_1": ""}


@pytest.mark.parametrize(("order_id", "broken"), [("or_c", set()), ("or_a", {books.ONE_LABEL})])
def test_number_of_a_returned_label_may_be_unknown(order_id: str, broken: set[str]) -> None:
    shop_books = correct_books()
    shop_books.records.orders[order_id]["shipping"].update(tracking_number=None)
    shop_books.journal.sights = [sight for sight in shop_books.journal.sights if sight.what != PAY]
    assert broken_rules(shop_books) & {books.ONE_LABEL} == broken


def test_email_with_unknown_outcome_may_arrive_twice() -> None:
    shop_books = correct_books()
    shop_books.records.emails["or_a"].append({})
    shop_books.records.messages["or_a:email"]["uncertain"] = 1
    assert books.check(shop_books) == []


def test_order_with_an_unanswered_payment_may_be_paid() -> None:
    shop_books = correct_books()
    shop_books.journal.lost.append(Lost(1, PAY, "cart of or_b", "key", {"order_id": "or_b"}, "walked away"))
    shop_books.records.orders["or_b"].update(status="paid")
    assert books.REFUSED not in {violation.rule for violation in books.check(shop_books)}


def broken_rules(shop_books: Books) -> set[str]:
    return {violation.rule for violation in books.check(shop_books)}


def free_and_digital(status: str) -> Books:
    """Correct books, in which or_a costs nothing and is not shipped."""
    shop_books = correct_books()
    records = shop_books.records
    no_parcel = {"tracking_number": None}
    records.orders["or_a"].update(status=status, amount=0, charge=None, upstream_id=None, shipping=no_parcel)
    records.orders["or_a"]["items"][1]["amount"] = records.inner["or_a"]["tax"]["amount"] = 0
    records.taxes["or_a"] = [{**tax_entry("tax_or_a", "or_a", 100, 0), "shipping_cost": None}]
    records.charges.pop("or_a")
    records.labels.pop("or_a")
    for seen in shop_books.journal.sights:
        if isinstance(seen.answer, dict) and seen.answer.get("id") == "or_a" and seen.what == PAY:
            seen.answer.update(status=status, amount=0, charge=None, label_url=None, tracking_number=None)
    return shop_books


def test_free_and_digital_order_has_no_charge_and_no_label() -> None:
    assert books.check(free_and_digital("fulfilled")) == []
    assert broken_rules(free_and_digital("paid")) == {books.PARCEL}
    for kind, rule in (("charges", books.ONE_CHARGE), ("labels", books.ONE_LABEL)):
        shop_books, paid = free_and_digital("fulfilled"), correct_books()
        getattr(shop_books.records, kind)["or_a"] = getattr(paid.records, kind)["or_a"]
        assert broken_rules(shop_books) == {rule}


def test_free_order_that_is_returned_gives_nothing_back() -> None:
    shop_books = free_and_digital("returned")
    shop_books.records.left[SKU] = SHELF
    shop_books.records.inner["or_a"]["stock_key"] = None
    shop_books.records.holds[0]["state"] = "released"
    assert books.check(shop_books) == []


def test_order_whose_full_refund_failed_keeps_its_goods_given_back() -> None:
    shop_books = correct_books()
    shop_books.records.inner["or_a"]["stock_key"] = None
    assert books.STOCK not in broken_rules(shop_books), "nothing was given back"
    shop_books.records.left[SKU] += shop_books.records.orders["or_a"]["items"][0]["quantity"]
    assert books.STOCK in broken_rules(shop_books)
    shop_books.records.refunds.append({"order_id": "or_a", "state": "failed", "amount": 1, "error": None})
    shop_books.records.holds = [hold for hold in shop_books.records.holds if not hold["key"].startswith("or_a")]
    shop_books.records.labels["or_a"][0].update(status="REFUNDED")
    assert books.check(shop_books) == []


def test_free_order_needs_no_card_to_be_paid() -> None:
    shop_books = free_and_digital("fulfilled")
    shop_books.records.orders["or_b"].update(amount=0)
    assert broken_rules(shop_books) == {books.GOOD_CARD}


def test_abandoned_request_needs_no_answer() -> None:
    shop_books = correct_books()
    shop_books.journal.lost.append(Lost(1, PAY, "cart of or_b", "key", {"order_id": "or_b"}, WALKED_AWAY))
    assert books.check(shop_books) == []


@pytest.mark.parametrize("order_id", ["or_a", "or_d", "or_b"])
def test_good_card_may_fail_for_closed_or_sold_out_orders(order_id: str) -> None:
    shop_books = correct_books()
    asked = {"order_id": order_id, "card": "tok_visa"}
    shop_books.journal.sights.append(sight(PAY, f"cart of {order_id}", asked, 409, {}))
    if order_id == "or_b":
        shop_books.records.left[SKU] = 0
        shop_books.catalogue.plenty[0] = Article("prod_1", SKU, 450, 2)
    assert books.check(shop_books) == []


def test_article_that_sells_out_may_be_put_back() -> None:
    shop_books = correct_books()
    shop_books.journal.sights.insert(0, sight(BUY, "cart of or_a", {"sku": "sku_s", "quality": 1}, 200, []))
    assert broken_rules(shop_books) == {books.TRUE, books.CART}
    series = [Article("prod_s", "sku_s", 100, None)]
    catalogue = Catalogue(shop_books.catalogue.plenty, series)
    assert books.check(Books(shop_books.records, shop_books.journal, catalogue)) == []


def test_article_added_while_paying_stays_in_the_cart() -> None:
    shop_books = correct_books()
    shop_books.records.carts["cart of or_a"] = {"sku_2": 1}
    shop_books.journal.lost.append(Lost(1, BUY, "cart of or_a", "key", {"sku": "sku_2"}, WALKED_AWAY))
    assert books.check(shop_books) == []


def test_event_may_wait_for_a_short_time() -> None:
    shop_books = correct_books()
    shop_books.records.events.append(event("waiting", 5.0))
    assert books.check(shop_books) == []


def test_moved_parcel_fulfils_its_order_and_keeps_its_label() -> None:
    shop_books = correct_books()
    shop_books.records.labels["or_a"][0].update(tracking_status="DELIVERED")
    shop_books.records.orders["or_a"].update(status="fulfilled")
    # The carrier does not refund the label of a parcel that moved.
    shop_books.records.labels["or_c"][0].update(tracking_status="TRANSIT", status="SUCCESS")
    assert books.check(shop_books) == []
    shop_books.records.labels["or_c"][0].update(status="REFUNDED")
    assert broken_rules(shop_books) == {books.ONE_LABEL}


@pytest.mark.parametrize(("status", "broken"), [(202, set()), (402, {books.CART})])
def test_accepted_debit_empties_the_cart(status: int, broken: set[str]) -> None:
    shop_books = correct_books()
    shop_books.records.carts["cart of or_b"] = {}
    asked = {"order_id": "or_b", "card": "pm_usBankAccount_insufficientFunds"}
    shop_books.journal.sights.append(sight(PAY, "cart of or_b", asked, status, {}))
    assert broken_rules(shop_books) == broken


@pytest.mark.parametrize(("amount", "listed_wrongly"), [(100, False), (99, True)])
def test_refund_that_was_made_again_needs_nobody(amount: int, listed_wrongly: bool) -> None:
    shop_books = correct_books()
    shop_books.records.payouts["ch_or_a"] = [payout(100, "failed"), payout(amount, "succeeded")]
    assert (books.LISTED in broken_rules(shop_books)) == listed_wrongly


@pytest.mark.parametrize(
    ("entry", "saves_failures", "broken"),
    [(None, True, set()), (None, False, {books.STUCK}), ("tax_or_a", True, {books.STUCK})],
)
def test_sale_of_unknown_id_is_reversed_by_an_operator(
    entry: str | None, saves_failures: bool, broken: set[str]
) -> None:
    shop_books = dataclasses.replace(correct_books(), saves_failures=saves_failures)
    sale = {"subject": "or_a", "kind": "tax", "state": "done", "answer": {"entry": entry}, "tries": 1, "error": None}
    reversal = {**sale, "kind": "tax_reversal", "state": "failed", "answer": None}
    shop_books.records.owed += [sale, reversal]
    assert broken_rules(shop_books) == broken
