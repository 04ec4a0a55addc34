"""Disputes and fraud warnings from end to end: what the shopper sees, what the operator gets, what becomes of the label
and of the money."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from cart.disputes.watch import CURSOR
from cart.watch import WATCH_INTERVAL_S
from chassis.settings import SANDBOX_KEYS, SANDBOX_OPERATOR
from launcher.shop import Shop
from tests.e2e.journeys.operated import Operated
from tests.e2e.journeys.shop import REQUEST_TIMEOUT_S, Shopper, Storefront, eventually

pytestmark = pytest.mark.timeout(600)

STOCK = 50


class Disputing(Operated):
    """The tests' own shop, with its sandbox as the bank."""

    def __init__(self, running: Shop) -> None:
        super().__init__(running)
        self.front = Storefront(running.url, running.sandbox_url)
        self.product = self.front.product(inventory={"type": "finite", "quantity": STOCK})

    def paid(self, card: str) -> tuple[Shopper, dict[str, Any]]:
        """An order that was paid with this card, as the answer to the payment shows it."""
        shopper = self.front.shopper()
        answer = shopper.pay(shopper.order(self.product["id"]), card)
        assert answer.status_code == 200, answer.text
        return shopper, answer.json()

    def shown(self, order: dict[str, Any]) -> dict[str, Any]:
        headers = {"Order-Token": order["status_url"].rpartition("token=")[2]}
        found: dict[str, Any] = self.front.ask("GET", f"/api/orders/{order['id']}/", headers=headers).json()
        return found

    def shows(self, order: dict[str, Any], status: str) -> dict[str, Any]:
        """The order once it shows a dispute with this status."""

        def look() -> dict[str, Any] | None:
            found = self.shown(order)
            return found if (found["dispute"] or {}).get("status") == status else None

        found: dict[str, Any] = eventually(look)
        return found

    def labels(self, order: dict[str, Any]) -> list[dict[str, Any]]:
        return self.front.arrived("labels", order_id=order["id"])

    def attention(self, order: dict[str, Any]) -> list[tuple[str, str]]:
        listed = self.call("cart", "attention", 1000)
        return [(row["kind"], row["about"]) for row in listed if row["order_id"] == order["id"]]

    def letters(self, order: dict[str, Any]) -> list[str]:
        """The subjects of the mails to the operator about an order."""
        mails = self.front.arrived("emails", order_id=order["id"])
        return [mail["subject"] for mail in mails if SANDBOX_OPERATOR in mail["to"]]

    def sandbox(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        url = f"{self.front.sandbox_url}/sandbox/{path}"
        answer = requests.request(method, url, json=body, timeout=REQUEST_TIMEOUT_S)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found

    def stripe(self, path: str, **form: Any) -> dict[str, Any]:
        """Ask Stripe for a change, as its dashboard does."""
        url = f"{self.front.sandbox_url}/stripe/v1/{path}"
        answer = requests.post(url, data=form, auth=(SANDBOX_KEYS["stripe"], ""), timeout=REQUEST_TIMEOUT_S)
        answer.raise_for_status()
        changed: dict[str, Any] = answer.json()
        return changed

    @contextmanager
    def no_events(self) -> Iterator[None]:
        """Stripe sends no events meanwhile."""
        self.sandbox("PUT", "webhooks/stripe", {"enabled": False})
        try:
            yield
        finally:
            self.sandbox("DELETE", "webhooks/stripe")

    @contextmanager
    def no_labels(self) -> Iterator[None]:
        """Shippo sells no labels meanwhile."""
        fault = {"error_rate": 1, "error_status": 503, "method": "POST", "path": "/transactions*"}
        self.sandbox("PUT", "faults/shippo", fault)
        try:
            yield
        finally:
            self.sandbox("DELETE", "faults/shippo")


@pytest.fixture(scope="module")
def bank(own: Shop) -> Disputing:
    return Disputing(own)


def test_won_dispute_releases_the_held_label(bank: Disputing) -> None:
    _, order = bank.paid("tok_createDispute")
    dispute = order["dispute"]
    assert (order["status"], dispute["status"], dispute["reason"]) == ("paid", "needs_response", "fraudulent")
    assert (dispute["amount"], order["label_url"], bank.labels(order)) == (order["amount"], None, [])
    assert dispute["evidence_due_by"] > order["created"]
    assert bank.attention(order) == [("dispute", dispute["id"])]
    [subject] = eventually(lambda: bank.letters(order))
    assert subject == f"The charge is disputed: order {order['id']}"

    [collected] = bank.call("cart", "dispute_evidence", order["id"])
    evidence = collected["evidence"]
    assert (evidence["customer_email_address"], evidence["customer_name"]) == (order["email"], "Chloe Taylor")
    assert f"Order {order['id']} of " in evidence["uncategorized_text"]
    assert f"POST /v1/disputes/{dispute['id']}" in collected["submit"]
    submitted = {f"evidence[{name}]": text for name, text in evidence.items()}
    assert bank.stripe(f"disputes/{dispute['id']}", **submitted)["status"] == "under_review"
    assert bank.shows(order, "under_review")["label_url"] is None

    bank.sandbox("POST", f"disputes/{dispute['id']}", {"result": "won"})
    assert bank.shows(order, "won")["status"] == "paid"
    eventually(lambda: bank.shown(order)["label_url"])
    assert [label["status"] for label in bank.labels(order)] == ["SUCCESS"]
    assert (bank.attention(order), bank.letters(order)) == ([], [subject])


def test_lost_dispute_returns_the_order_unsent(bank: Disputing) -> None:
    left = bank.front.left(bank.product["id"])
    _, order = bank.paid("tok_createDispute")
    refused = bank.front.ask("POST", f"/api/orders/{order['id']}/refund/", json={"all": True})
    assert (refused.status_code, "is disputed" in refused.json()["detail"]) == (409, True)
    bank.sandbox("POST", f"disputes/{order['dispute']['id']}", {"result": "lost"})
    lost = bank.shows(order, "lost")
    assert (lost["status"], lost["amount_returned"], lost["returns"]["data"]) == ("returned", order["amount"], [])
    eventually(lambda: bank.front.left(bank.product["id"]) == left)
    eventually(lambda: not bank.call("cart", "tasks", "waiting"))
    assert (bank.labels(order), bank.attention(order)) == ([], [])
    refused = bank.front.ask("POST", f"/api/orders/{order['id']}/refund/", json={"amount": 10})
    assert (refused.status_code, "by a dispute" in refused.json()["detail"]) == (409, True)
    page = requests.get(order["status_url"], timeout=REQUEST_TIMEOUT_S).text
    assert "Your bank has returned your payment" in page
    assert bank.agrees()[-1] == "No differences."


def test_inquiry_holds_the_label_until_it_is_closed(bank: Disputing) -> None:
    _, order = bank.paid("tok_createDisputeInquiry")
    assert (order["dispute"]["status"], order["label_url"]) == ("warning_needs_response", None)
    bank.sandbox("POST", f"disputes/{order['dispute']['id']}", {"result": "won"})
    bank.shows(order, "warning_closed")
    eventually(lambda: bank.shown(order)["label_url"])
    assert (bank.attention(order), len(bank.labels(order))) == ([], 1)


def test_inquiry_that_becomes_a_chargeback_is_mailed_again(bank: Disputing) -> None:
    _, order = bank.paid("tok_createDisputeInquiry")
    eventually(lambda: len(bank.letters(order)) == 1)
    bank.sandbox("POST", f"disputes/{order['dispute']['id']}", {"result": "escalated"})
    bank.shows(order, "needs_response")
    eventually(lambda: len(bank.letters(order)) == 2)
    assert bank.attention(order) == [("dispute", order["dispute"]["id"])]


def test_fraud_warning_holds_the_label_until_it_is_dismissed(bank: Disputing) -> None:
    with bank.no_labels():
        _, order = bank.paid("tok_createIssuerFraudRecord")
        [(kind, warning)] = eventually(lambda: bank.attention(order))
        assert (kind, order["dispute"]) == ("fraud_warning", None)
        held = f"{order['id']}:label"
        eventually(lambda: held in [task["key"] for task in bank.call("cart", "tasks", "on_hold")])
    eventually(lambda: bank.letters(order))
    [collected] = bank.call("cart", "dispute_evidence", order["id"])
    assert (collected["evidence"], "POST /v1/refunds" in collected["submit"]) == (None, True)
    assert (bank.shown(order)["label_url"], bank.labels(order)) == (None, [])
    bank.call("cart", "dismiss", order["id"], kind, warning)
    eventually(lambda: bank.shown(order)["label_url"])
    assert bank.attention(order) == []


def test_refund_after_a_fraud_warning_closes_it(bank: Disputing) -> None:
    _, order = bank.paid("tok_visa")
    bank.sandbox("POST", f"charges/{order['charge']}/fraud_warning", {"fraud_type": "misc"})
    eventually(lambda: bank.attention(order))
    refunded = bank.front.ask("POST", f"/api/orders/{order['id']}/refund/", json={"all": True}).json()
    assert refunded["status"] == "returned"
    eventually(lambda: not bank.attention(order))


def test_order_page_says_that_the_payment_is_disputed(bank: Disputing) -> None:
    _, order = bank.paid("tok_visa")
    bank.sandbox("POST", f"charges/{order['charge']}/dispute", {"claim": "product_not_received"})
    shown = bank.shows(order, "needs_response")
    assert shown["label_url"] == order["label_url"], "what is bought stays bought"
    assert "Your payment is disputed" in requests.get(order["status_url"], timeout=REQUEST_TIMEOUT_S).text
    [collected] = bank.call("cart", "dispute_evidence", order["id"])
    number = order["shipping"]["tracking_number"]
    assert (collected["evidence"]["shipping_carrier"], collected["evidence"]["shipping_tracking_number"]) == (
        "USPS",
        number,
    )


def test_partly_lost_dispute_is_part_of_what_was_returned(bank: Disputing) -> None:
    _, order = bank.paid("tok_visa")
    dispute = bank.sandbox("POST", f"charges/{order['charge']}/dispute", {"amount": 30})
    bank.shows(order, "needs_response")
    bank.sandbox("POST", f"disputes/{dispute['id']}", {"result": "lost"})
    lost = bank.shows(order, "lost")
    assert (lost["status"], lost["amount_returned"], lost["dispute"]["amount"]) == ("paid", 30, 30)
    refused = bank.front.ask("POST", f"/api/orders/{order['id']}/refund/", json={"all": True})
    assert (refused.status_code, "is disputed" in refused.json()["detail"]) == (409, True)


def test_refund_before_a_lost_dispute_counts_once(bank: Disputing) -> None:
    _, order = bank.paid("tok_visa")
    assert bank.front.ask("POST", f"/api/orders/{order['id']}/refund/", json={"amount": 30}).status_code == 200
    dispute = bank.sandbox("POST", f"charges/{order['charge']}/dispute", {"claim": "fraudulent"})
    assert dispute["amount"] == order["amount"]
    bank.sandbox("POST", f"disputes/{dispute['id']}", {"result": "lost"})
    lost = bank.shows(order, "lost")
    assert (lost["status"], lost["amount_returned"]) == ("returned", order["amount"])
    eventually(lambda: not bank.call("cart", "tasks", "waiting"))
    assert bank.agrees()[-1] == "No differences."


def test_refund_that_a_dispute_has_taken_needs_nobody(bank: Disputing) -> None:
    _, order = bank.paid("tok_pendingRefund")
    refunded = bank.front.ask("POST", f"/api/orders/{order['id']}/refund/", json={"all": True}).json()
    assert refunded["status"] == "returned"
    dispute = bank.sandbox("POST", f"charges/{order['charge']}/dispute", {"claim": "fraudulent"})
    bank.shows(order, "needs_response")
    eventually(lambda: bank.shown(order)["status"] == "paid")
    assert bank.attention(order) == [("dispute", dispute["id"])]
    bank.sandbox("POST", f"disputes/{dispute['id']}", {"result": "lost"})
    lost = bank.shows(order, "lost")
    assert (lost["status"], lost["amount_returned"], lost["returns"]["data"]) == ("returned", order["amount"], [])
    eventually(lambda: not bank.call("cart", "tasks", "waiting"))
    assert bank.attention(order) == []


def test_dispute_whose_events_were_lost_is_found_by_polling(bank: Disputing) -> None:
    with bank.no_events():
        _, order = bank.paid("tok_visa")
        dispute = bank.sandbox("POST", f"charges/{order['charge']}/dispute", {"claim": "fraudulent"})
        shown = eventually(lambda: bank.shown(order)["dispute"], 3 * WATCH_INTERVAL_S)
        assert (shown["id"], bank.attention(order)) == (dispute["id"], [("dispute", dispute["id"])])


def looked_for_disputes(bank: Disputing) -> int | None:
    """When the shop last read Stripe's lists of disputes (Unix seconds)."""
    seen: int | None = bank.read("cart", "SELECT MAX(seen) FROM cursors WHERE name = ?", CURSOR)
    return seen


def test_planted_dispute_differences_are_found_and_repaired(bank: Disputing) -> None:
    bank.agrees()
    with bank.no_events():
        (_, unknown), (_, other), (_, hidden), (_, invented), (_, warned) = [bank.paid("tok_visa") for _ in range(5)]
        for order in (other, hidden):
            bank.sandbox("POST", f"charges/{order['charge']}/dispute", {"claim": "fraudulent"})
            assert bank.call("cart", "look_at_disputes", order["id"])["dispute"] is not None
        bank.sandbox("POST", f"charges/{warned['charge']}/fraud_warning", {"fraud_type": "misc"})
        bank.call("cart", "look_at_disputes", warned["id"])
        # The shop looks for itself each minute: the last time must be just past.
        asked = looked_for_disputes(bank)
        eventually(lambda: looked_for_disputes(bank) != asked, 3 * WATCH_INTERVAL_S)
        bank.sandbox("POST", f"charges/{unknown['charge']}/dispute", {"claim": "fraudulent"})
        bank.sandbox("POST", f"charges/{unknown['charge']}/fraud_warning", {"fraud_type": "misc"})
        bank.write("cart", "UPDATE disputes SET status = 'won', open = 0 WHERE order_id = ?", other["id"])
        bank.write("cart", "UPDATE disputes SET reason = 'another' WHERE order_id = ?", warned["id"])
        bank.write("cart", "UPDATE orders SET dispute = NULL WHERE id = ?", hidden["id"])
        for name, kind in (("du_invented", "dispute"), ("issfr_invented", "fraud_warning")):
            bank.write(
                "cart",
                "INSERT INTO disputes (id, order_id, kind, payment, status, reason, amount, created, open) "
                "SELECT ?, id, ?, payment, 'needs_response', 'general', 1, created, 1 FROM orders WHERE id = ?",
                name,
                kind,
                invented["id"],
            )
        wanted = {
            f"dispute unknown here: {unknown['id']}",
            f"fraud warning unknown here: {unknown['id']}",
            f"dispute recorded differently: {other['id']}",
            f"dispute not shown by its order: {hidden['id']}",
            f"dispute unknown at Stripe: {invented['id']}",
            f"fraud warning unknown at Stripe: {invented['id']}",
            f"fraud warning recorded differently: {warned['id']}",
        }
        status, output = bank.compare()
        assert (status, {line.partition(" | ")[0] for line in output if " | we say: " in line}) == (1, wanted)
        status, output = bank.compare("--repair")
        assert (status, output[-1]) == (0, "No differences."), "\n".join(output)
    assert bank.shown(invented)["dispute"] is None
    for order in (unknown, other, hidden):
        assert bank.shown(order)["dispute"]["status"] == "needs_response"
    assert {kind for kind, _ in bank.attention(unknown)} == {"dispute"}
