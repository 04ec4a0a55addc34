"""The evidence of a dispute in Stripe's fields, within Stripe's limits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cart.rules.evidence import Facts
from cart.rules.order import FULFILLED, PAID, Order, Return
from cart.stripe.evidence import LONGEST_FIELD, LONGEST_TOGETHER, MAX_STEPS, bounded, evidence_of
from tests.unit.cart.test_order import placed

MAIL = {"message_id": "m1", "to": "work@example.com"}
TEXT = {"sid": "SM1", "to": "+15005550011"}


def paid(**changes: Any) -> Order:
    order = placed()
    order.charge, order.carrier, order.tracking_number = "ch_1", "USPS", "9400"
    order.times = {PAID: 1_795_000_000, FULFILLED: 1_795_100_000}
    return replace(order, **changes)


def test_evidence_names_who_got_what_and_when() -> None:
    found = evidence_of(Facts(paid(), mail=MAIL, text=TEXT))
    assert found["customer_name"] == "Chloe Taylor"
    assert found["shipping_date"] == "2026-11-19"
    assert found["shipping_address"] == "Chloe Taylor, 1092 Indian Summer Ct, San Jose CA, US"
    assert found["product_description"] == "2 x Wally bone: $1.00\n1 x Ball: $1.20"
    assert "A mail with the receipt was sent to work@example.com (message m1)." in found["uncategorized_text"]
    assert "A text message was sent to +15005550011 (message SM1)." in found["uncategorized_text"]


ADDRESS = "Chloe Taylor, 1092 Indian Summer Ct, San Jose CA, US"


def account_of(order: Order, *steps: str) -> str:
    """The account of an order whose parcel has made these steps."""
    tracking = {"carrier": "USPS", "tracking_number": "9400", "tracking_history": [{"status": each} for each in steps]}
    return evidence_of(Facts(order, tracking if steps else None))["uncategorized_text"]


@pytest.mark.parametrize("status", ["TRANSIT", "DELIVERED"])
def test_evidence_says_sent_once_the_parcel_moves(status: str) -> None:
    assert f"It was sent to {ADDRESS}." in account_of(packed(), "PRE_TRANSIT", status)


def test_fulfilled_order_was_sent_even_without_tracking() -> None:
    assert f"It was sent to {ADDRESS}." in account_of(packed(times={PAID: 1, FULFILLED: 2}))


def test_label_that_has_not_moved_is_no_proof_of_sending() -> None:
    account = account_of(packed(), "UNKNOWN", "PRE_TRANSIT")
    assert "A label was bought; the carrier does not have the parcel yet." in account
    assert "sent to" not in account


def test_evidence_counts_the_parcels_that_move() -> None:
    parcels = [{"tracking_number": "1", "status": "TRANSIT"}, {"tracking_number": "2", "status": None}]
    tracking = {"tracking_number": "1", "tracking_history": [{"status": "TRANSIT"}], "parcels": parcels}
    account = evidence_of(Facts(packed(), tracking))["uncategorized_text"]
    assert f"The carrier has 1 of 2 parcels to {ADDRESS}." in account
    assert "It was sent" not in account


def test_order_without_a_label_is_to_be_sent() -> None:
    account = account_of(packed(carrier=None, tracking_number=None))
    assert f"It is to be sent to {ADDRESS}." in account
    assert "was sent" not in account


def test_returned_order_that_never_moved_was_not_sent() -> None:
    account = account_of(packed(carrier=None, tracking_number=None, stock_key=None))
    assert "It was not sent." in account
    assert "sent to" not in account


def packed(**changes: Any) -> Order:
    """An order that is paid and not on its way."""
    return paid(**{"status": PAID, "stock_key": "s1", "times": {PAID: 1}, **changes})


def test_evidence_leaves_out_what_is_not_known() -> None:
    found = evidence_of(Facts(paid(carrier=None, tracking_number=None, times={PAID: 1})))
    assert not {"shipping_carrier", "shipping_date", "shipping_tracking_number"} & found.keys()
    assert "sent to +" not in found["uncategorized_text"]
    assert "mail" not in found["uncategorized_text"]


def test_text_that_was_not_sent_is_no_evidence() -> None:
    found = evidence_of(Facts(paid(), text={"status code": "not sent", "to": "+15005550011"}))
    assert "text message" not in found["uncategorized_text"]


def test_digital_goods_have_a_service_date() -> None:
    found = evidence_of(Facts(paid(shipment=None, methods=(), method_id=None)))
    assert found["service_date"] == "2026-11-19"
    assert not {name for name in found if name.startswith("shipping")}


def test_evidence_names_refunds_and_the_last_steps_of_the_parcel() -> None:
    steps = [{"status": "TRANSIT", "status_date": f"2026-11-20T{hour:04}"} for hour in range(MAX_STEPS + 5)]
    order = paid(returns=(Return("rf_1", 100, 1_795_000_000, "re_1"),))
    found = evidence_of(Facts(order, {"carrier": "UPS", "tracking_number": "1Z", "tracking_history": steps}))
    assert (found["shipping_carrier"], found["shipping_tracking_number"]) == ("UPS", "1Z")
    assert found["uncategorized_text"].count("TRANSIT") == MAX_STEPS
    assert "2026-11-20T0054" in found["uncategorized_text"]
    assert "$1.00 was refunded on 2026-11-18 11:06 UTC (re_1)." in found["uncategorized_text"]


def test_each_field_is_cut_to_its_limit() -> None:
    assert bounded({"a": "x" * (LONGEST_FIELD + 1), "b": "", "c": "y"}) == {"a": "x" * LONGEST_FIELD, "c": "y"}


def test_all_fields_together_are_cut_to_their_limit() -> None:
    fields = {f"field_{number}": "x" * LONGEST_FIELD for number in range(9)}
    found = bounded(fields)
    assert sum(map(len, found.values())) == LONGEST_TOGETHER
    assert list(found) == list(fields)[:8]
    assert len(found["field_7"]) == LONGEST_TOGETHER - 7 * LONGEST_FIELD
