"""Refunds that Stripe reports as pending or failed: the order, the operator's list and the books follow."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from cart.refunds.watch import CURSOR
from cart.watch import WATCH_INTERVAL_S
from launcher.shop import Shop
from tests.e2e.journeys.operated import Operated
from tests.e2e.journeys.shop import REQUEST_TIMEOUT_S, Storefront, eventually

FAILING, PENDING, ORDINARY = "tok_refundFail", "tok_pendingRefund", "tok_visa"


class Till(Operated):
    """A running shop, and its Stripe, which decides what becomes of a refund."""

    def __init__(self, running: Shop) -> None:
        super().__init__(running)
        self.front = Storefront(running.url, running.sandbox_url)
        self.product = self.front.product(inventory={"type": "finite", "quantity": 100})

    def paid(self, card: str) -> dict[str, Any]:
        """An order that was paid with `card`, and whose label is bought."""
        shopper = self.front.shopper()
        order: dict[str, Any] = shopper.pay(shopper.order(self.product["id"]), card).json()
        assert order["status"] == "paid", order
        return eventually(lambda: self.labelled(order["id"]))

    def labelled(self, order_id: str) -> dict[str, Any] | None:
        order = self.order(order_id)
        return order if order["label_url"] else None

    def order(self, order_id: str) -> dict[str, Any]:
        order: dict[str, Any] = self.call("cart", "order", order_id)
        return order

    def refund(self, order: dict[str, Any], **body: Any) -> dict[str, Any]:
        answer = self.front.ask("POST", f"/api/orders/{order['id']}/refund/", json=body or {"all": True})
        assert answer.status_code == 200, answer.text
        refunded: dict[str, Any] = answer.json()
        return refunded

    def settle(self, refund_id: str, **result: str) -> None:
        """Stripe decides about a refund, and reports it."""
        url = f"{self.front.sandbox_url}/sandbox/refunds/{refund_id}"
        requests.post(url, json=result, timeout=REQUEST_TIMEOUT_S).raise_for_status()

    def listed(self, order_id: str) -> list[dict[str, Any]]:
        return [entry for entry in self.call("cart", "attention") if entry["order_id"] == order_id]

    def dismiss(self, order_id: str) -> None:
        """The operator has dealt with the order's only entry."""
        [entry] = self.listed(order_id)
        assert self.call("cart", "dismiss", order_id, entry["kind"], entry["about"]) == {"dismissed": True}
        assert self.listed(order_id) == []

    def kept(self, order_id: str) -> int:
        """The money of an order that is still the shop's, as Stripe says."""
        return sum(charge["amount"] - charge["amount_refunded"] for charge in self.front.charged(order_id))

    def reports(self, kind: str, *orders: dict[str, Any]) -> None:
        """Compare; the difference must be reported for each of the orders."""
        _, output = self.compare()
        for order in orders:
            assert [line for line in output if line.startswith(f"{kind}: {order['id']}")], output

    def watched(self) -> int:
        """When the shop last listed Stripe's refunds (Unix seconds)."""
        return int(self.read("cart", "SELECT COALESCE(MAX(seen), 0) FROM cursors WHERE name = ?", CURSOR))

    def becomes(self, order_id: str, status: str, returned: int) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            order = self.order(order_id)
            return order if (order["status"], order["amount_returned"]) == (status, returned) else None

        found: dict[str, Any] = eventually(there)
        assert self.kept(order_id) == found["amount"] - returned
        return found


@pytest.fixture(scope="module")
def till(own: Shop) -> Till:
    return Till(own)


def test_failed_refund_is_reported_and_can_be_made_again(till: Till) -> None:
    order, left = till.paid(FAILING), till.front.left(till.product["id"])
    refunded = till.refund(order)
    assert (refunded["status"], refunded["amount_returned"]) == ("returned", order["amount"])
    [made] = refunded["returns"]["data"]
    assert made["status"] == "succeeded"
    eventually(lambda: till.front.left(till.product["id"]) == left + 1)
    eventually(lambda: till.order(order["id"])["label_url"] is None)
    till.settle(made["refund"], result="fail")
    paid = till.becomes(order["id"], "paid", 0)
    assert paid["status_transitions"] == order["status_transitions"]
    assert paid["returns"]["data"] == []
    [entry] = till.listed(order["id"])
    assert (entry["kind"], entry["about"]) == ("refund", made["id"].replace("orret_", "rf_"))
    assert "expired_or_canceled_card" in entry["detail"]
    assert till.agrees()[-1] == "No differences."
    again = till.refund(order)
    assert (again["status"], again["amount_returned"], till.listed(order["id"])) == ("returned", order["amount"], [])
    assert till.front.left(till.product["id"]) == left + 1, "its stock was released once"
    till.settle(again["returns"]["data"][0]["refund"], result="fail")
    till.becomes(order["id"], "paid", 0)
    till.dismiss(order["id"])


def test_refund_whose_failure_may_pass_is_repeated(till: Till) -> None:
    order = till.paid(ORDINARY)
    [made] = till.refund(order, amount=100)["returns"]["data"]
    till.settle(made["refund"], result="fail", reason="declined")

    def repeated() -> bool:
        returns = till.order(order["id"])["returns"]["data"]
        return [each["amount"] for each in returns] == [100] and returns[0]["refund"] != made["refund"]

    eventually(repeated)
    till.becomes(order["id"], "paid", 100)
    assert till.listed(order["id"]) == []
    assert [row["state"] for row in till.call("cart", "refunds", order["id"])] == ["failed", "done"]


@pytest.mark.parametrize("result", ["succeed", "fail"])
def test_pending_refund_is_shown_until_it_ends(till: Till, result: str) -> None:
    order = till.paid(PENDING)
    refunded = till.refund(order)
    [made] = refunded["returns"]["data"]
    assert (refunded["status"], made["status"]) == ("returned", "pending")
    page = till.front.ask("GET", order["status_url"].removeprefix(till.front.url), allow_redirects=False)
    assert "Your order is being refunded" in page.text
    till.settle(made["refund"], result=result)
    if result == "fail":
        till.becomes(order["id"], "paid", 0)
        till.dismiss(order["id"])
    else:
        eventually(lambda: till.order(order["id"])["returns"]["data"][0]["status"] == "succeeded")
        till.becomes(order["id"], "returned", order["amount"])
        assert till.listed(order["id"]) == []


def test_reconcile_finds_refunds_that_are_counted_wrongly(till: Till) -> None:
    # Any event of Stripe's about the orders would be a reason to look at their refunds.
    webhooks = f"{till.front.sandbox_url}/sandbox/webhooks/stripe"
    requests.put(webhooks, json={"enabled": False}, timeout=REQUEST_TIMEOUT_S).raise_for_status()
    try:
        order, other = till.paid(ORDINARY), till.paid(ORDINARY)
        [made] = till.refund(order, amount=100)["returns"]["data"]
        [kept] = till.refund(other, amount=100)["returns"]["data"]
        # The watch would find both; right after it has looked, the comparison comes first.
        watched = till.watched()
        eventually(lambda: till.watched() != watched, 3 * WATCH_INTERVAL_S)
        till.settle(made["refund"], result="fail")  # and no event says so
        till.write("cart", "UPDATE refunds SET state = 'failed' WHERE provider_id = ?", kept["refund"])
        till.reports("refund recorded differently", order, other)
        assert till.compare("--repair")[0] == 0
        till.becomes(order["id"], "paid", 0)
        till.becomes(other["id"], "paid", 100)
        till.dismiss(order["id"])
        assert till.listed(other["id"]) == []
        assert till.agrees()[-1] == "No differences."
    finally:
        requests.delete(webhooks, timeout=REQUEST_TIMEOUT_S)
