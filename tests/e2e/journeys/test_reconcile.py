"""The reconciliation of the databases with the providers' lists.

The tests cause every kind of difference. The comparison must report it, and the repair must remove it.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import pairwise
from typing import Any

import pytest
from shippo.models import components

from cart.refunds.watch import CURSOR
from cart.watch import WATCH_INTERVAL_S
from contracts.errors import Conflict
from launcher.shop import Shop
from tests.e2e.journeys.operated import GIVEN_UP, RECONCILE, Operated
from tests.e2e.journeys.shop import Shopper, Storefront, eventually, unique
from tests.integration.providers.sandbox.parcels import buy, ship
from tests.integration.providers.sandbox.process import Sdks

DECLINED = "tok_chargeDeclined"
PROVIDERS = ("stripe", "shippo", "twilio", "sendgrid")


class Books(Operated):
    """A running shop with access to its databases, its providers and the commands of its operator."""

    def __init__(self, running: Shop) -> None:
        super().__init__(running)
        self._before: list[tuple[str, str, tuple[Any, ...]]] = []
        self.front = Storefront(running.url, running.sandbox_url)
        self.sdks = Sdks(running.sandbox_url)
        self.product = self.front.product(inventory={"type": "finite", "quantity": 100})
        self.sku = self.product["skus"]["data"][0]["id"]

    def paid(self) -> dict[str, Any]:
        """A paid order whose tasks are all done."""
        shopper = self.front.shopper()
        order: dict[str, Any] = shopper.pay(shopper.order(self.product["id"])).json()
        assert order["status"] == "paid"
        eventually(lambda: not self.call("cart", "tasks", "waiting"))
        return order

    def placed(self) -> tuple[Shopper, dict[str, Any]]:
        shopper = self.front.shopper()
        return shopper, shopper.order(self.product["id"])

    def charge(self, amount: int, **metadata: str) -> str:
        """Charge a card at Stripe without the shop; return the id of the payment."""
        intent = self.sdks.stripe.v1.payment_intents.create(
            {
                "amount": amount,
                "currency": "usd",
                "confirm": True,
                "payment_method": "pm_card_visa",
                "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
                "metadata": metadata,
            }
        )
        return intent.id

    def looked_for_refunds(self) -> int | None:
        """When the shop last asked Stripe for refunds made elsewhere (Unix seconds)."""
        seen: int | None = self.read("cart", "SELECT MAX(seen) FROM cursors WHERE name = ?", CURSOR)
        return seen

    def right_after_a_look(self) -> None:
        """Wait until the shop has just asked Stripe for refunds; it asks again a minute later."""
        asked = self.looked_for_refunds()
        eventually(lambda: self.looked_for_refunds() != asked, 2 * WATCH_INTERVAL_S)

    def alter(self, service: str, table: str, column: str, value: str, **changes: Any) -> None:
        """Change one row, found by a column, until `restore`."""
        names = ", ".join(changes)
        with closing(sqlite3.connect(self.running.place.var_dir / f"{service}.db", timeout=30)) as connection:
            query = f"SELECT {names} FROM {table} WHERE {column} = ?"  # noqa: S608 - of this module
            [before] = connection.execute(query, [value]).fetchall()
        update = f"UPDATE {table} SET {', '.join(f'{name} = ?' for name in changes)} WHERE {column} = ?"  # noqa: S608
        self.write(service, update, *changes.values(), value)
        self._before.append((service, update, (*before, value)))

    def restore(self) -> None:
        """Undo `alter`, so that nothing differs for the tests that follow."""
        while self._before:
            service, update, values = self._before.pop()
            self.write(service, update, *values)

    def has_status(self, order_id: str, status: str) -> None:
        """Give an order another status until `restore`, and let nothing take it up for an hour."""
        document = json.loads(self.read("cart", "SELECT document FROM orders WHERE id = ?", order_id))
        changes = {"status": status, "waits_for": None, "due_at": time.time() + 3600}
        self.alter("cart", "orders", "id", order_id, **changes, document=json.dumps({**document, "status": status}))

    def payment(self, order_id: str) -> str:
        found: str = self.read("cart", "SELECT payment FROM orders WHERE id = ?", order_id)
        return found


@pytest.fixture(scope="module")
def books(own: Shop) -> Iterator[Books]:
    """The shop without webhooks, so that no event repairs a difference before the comparison."""
    books = Books(own)
    for provider in PROVIDERS:
        assert books.sdks.put(f"/sandbox/webhooks/{provider}", json={"enabled": False}).ok
    # Orders that other journeys left waiting for a bank would be differences for a moment, once their time is over.
    asked = "SELECT json_group_array(id) FROM orders WHERE status = 'confirming' AND waits_for = 'action'"
    for order_id in json.loads(books.read("cart", asked)):
        with suppress(Conflict):  # it is paid by now
            books.call("cart", "cancel", None, order_id, unique("cancel"))
    yield books
    for provider in PROVIDERS:
        assert books.sdks.delete(f"/sandbox/webhooks/{provider}").ok


def test_undisturbed_shop_agrees_with_its_providers(books: Books) -> None:
    books.paid()
    shopper, order = books.placed()
    assert shopper.pay(order, DECLINED).status_code == 402
    output = books.agrees()
    assert output[-1] == "No differences."
    assert "SendGrid gives no list" in output[-2]
    assert {"orders,", "reservations,", "Twilio,"} <= set(output[-3].split())


def test_payments_whose_answers_were_lost_need_no_repair(books: Books) -> None:
    (payer, paid), (leaver, left) = books.placed(), books.placed()
    fault = {"lose_answer_rate": 1, "method": "POST", "path": "/v1/payment_intents"}
    assert books.sdks.put("/sandbox/faults/stripe", json=fault).ok
    for shopper, order in ((payer, paid), (leaver, left), (payer, paid)):
        assert shopper.pay(order).status_code in (503, 504)
    assert books.sdks.delete("/sandbox/faults/stripe").ok
    eventually(lambda: payer.pay(paid).status_code == 200)

    def states(order: dict[str, Any]) -> list[str]:
        listed = books.sdks.stripe.v1.payment_intents.list({"limit": 100}).auto_paging_iter()
        return sorted(intent.status for intent in listed if intent.metadata["order_id"] == order["id"])

    eventually(lambda: set(states(paid)) == {"canceled", "succeeded"} and set(states(left)) == {"canceled"})
    assert states(paid).count("succeeded") == 1
    assert books.agrees()[-1] == "No differences."


def test_refund_returns_the_rest_after_a_dashboard_refund(books: Books) -> None:
    order = books.paid()
    books.sdks.stripe.v1.refunds.create({"payment_intent": books.payment(order["id"]), "amount": 100})
    returned = books.call("cart", "refund", order["id"], None, unique("rest"))
    assert (returned["status"], returned["amount_returned"]) == ("returned", order["amount"])
    assert sorted(each["amount"] for each in returned["returns"]["data"]) == sorted((100, order["amount"] - 100))
    assert books.agrees()[-1] == "No differences."


@pytest.mark.timeout(900)
def test_differences_are_reported_and_safe_ones_repaired(books: Books) -> None:
    wanted: dict[str, list[str]] = {}

    # Payments that the shop did not see: of an order without a payment, and of an order with a declined one.
    _, bare = books.placed()
    bare_payment = books.charge(bare["amount"], order_id=bare["id"])
    shopper, declined = books.placed()
    assert shopper.pay(declined, DECLINED).status_code == 402
    books.sdks.stripe.v1.payment_intents.confirm(books.payment(declined["id"]), {"payment_method": "pm_card_visa"})
    for order, payment in ((bare, bare_payment), (declined, books.payment(declined["id"]))):
        wanted[f"payment taken, order not paid: {order['id']}"] = ["created", payment, "succeeded", "finish the order"]

    # A payment that is still open although its order is canceled.
    shopper, canceled = books.placed()
    assert shopper.pay(canceled, DECLINED).status_code == 402
    books.write(
        "cart",
        "UPDATE orders SET status = 'canceled', document = json_set(document, '$.status', 'canceled') WHERE id = ?",
        canceled["id"],
    )
    wanted[f"open payment of a canceled order: {canceled['id']}"] = ["canceled", "open", "cancel the payment"]

    # A delivery, a label and an SMS that are missing from our databases.
    forgotten = books.paid()
    books.write("cart", "DELETE FROM tasks WHERE subject = ? AND kind = 'email'", forgotten["id"])
    wanted[f"paid, and nothing owed: {forgotten['id']}"] = ["paid", "no email", "owe it email"]
    unlabelled = books.paid()
    books.write("shipping", "DELETE FROM labels WHERE shipment_id = ?", unlabelled["upstream_id"])
    number = unlabelled["shipping"]["tracking_number"]
    wanted[f"label unknown here: {unlabelled['id']}"] = ["not asked for", number, "record it"]
    wanted[f"label lost: {unlabelled['id']}"] = ["paid", unlabelled["upstream_id"], "nothing"]
    unrecorded = books.paid()
    books.write("notifications", "DELETE FROM messages WHERE key = ?", f"{unrecorded['id']}:sms")
    wanted[f"SMS unknown here: {unrecorded['id']}"] = ["no such message", "record it"]
    stray = books.sdks.twilio.messages.create(to="+14155550188", from_="+15005550006", body=unique("hello "))
    wanted[f"SMS of nobody: {stray.sid}"] = ["…0188", "take note of it"]

    # Stock that is held for no open order.
    item = [{"parent": books.sku, "quantity": 3}]
    left = books.front.left(books.product["id"])
    books.call("products", "reserve", "or_nobody:1:stock", item)
    books.call("products", "reserve", f"{canceled['id']}:7:stock", item)
    wanted["stock held for nobody: or_nobody:1:stock"] = ["no such order", "give it back"]
    wanted[f"stock held for nobody: {canceled['id']}"] = ["canceled", f"{canceled['id']}:7:stock", "give it back"]

    # Differences that need the decision of a person.
    by_hand: dict[str, list[str]] = {}
    orphan = books.charge(4242)
    by_hand[f"charge without an order: {orphan}"] = ["no such order", "4242 usd", "refund it"]
    twice = books.paid()
    second = books.charge(twice["amount"], order_id=twice["id"])
    by_hand[f"charged twice: {twice['id']}"] = ["paid", second, "refund the payment"]
    lone = buy(books.sdks, ship(books.sdks, metadata="of nobody"), metadata="of nobody")
    by_hand[f"label without a shipment: {lone.object_id}"] = ["no such shipment", lone.tracking_number, "refund it"]
    again = components.TransactionCreateRequest(
        rate=twice["shipping_methods"][0]["id"], async_=False, metadata=twice["id"]
    )
    doubled = books.sdks.shippo.transactions.create(again)
    by_hand[f"two labels for one shipment: {twice['id']}"] = ["bought", doubled.tracking_number, "refund it"]

    # A refund in Stripe's dashboard. The shop asks for such refunds each minute; the last time must be just past.
    returned = books.paid()
    books.right_after_a_look()
    books.sdks.stripe.v1.refunds.create({"payment_intent": books.payment(returned["id"])})
    wanted[f"refund unknown here: {returned['id']}"] = [
        "paid",
        f"{returned['amount']} given back",
        "take it into the order",
    ]

    status, output = books.compare()
    assert status == 1
    _assert_reported(output, {**wanted, **by_hand})
    assert f"{len(wanted) + len(by_hand)} differences, of which --repair would mend {len(wanted) - 1}." in output

    status, output = books.compare("--repair")
    assert status == 1
    second_comparison = output.index("Compared again:")
    _assert_reported(output[second_comparison:], by_hand)
    # An order that is still being paid when its turn comes is in two lists: there may be more lines than differences.
    for line, following in pairwise(output[:second_comparison]):
        mendable = " | we say: " in line and "--repair: nothing" not in line
        assert following.startswith("  mended: ") == mendable, line
    assert not [line for line in output if "not mended" in line]

    for order in (bare, declined):
        assert books.call("cart", "order", order["id"])["status"] == "paid"
        assert len(books.front.charged(order["id"])) == 1
        eventually(lambda order=order: len(books.front.arrived("labels", order_id=order["id"])) == 1)
        eventually(lambda order=order: books.front.arrived("sms", order_id=order["id"]))
    intent = books.sdks.stripe.v1.payment_intents.retrieve(books.payment(canceled["id"]))
    assert intent.status == "canceled"
    after = books.call("cart", "order", returned["id"])
    assert (after["status"], after["amount_returned"]) == ("returned", returned["amount"])
    # Two orders turned out to be paid, and one was paid since. The returned stock is back.
    eventually(lambda: books.front.left(books.product["id"]) == left - 3)
    assert len(books.front.arrived("emails", order_id=forgotten["id"])) == 1
    assert books.call("shipping", "label", unlabelled["upstream_id"])["label_url"]

    # A person follows the advice, and no difference remains.
    for payment in (orphan, second):
        books.sdks.stripe.v1.refunds.create({"payment_intent": payment})
    for label in (lone, doubled):
        books.sdks.shippo.refunds.create(label.object_id, async_=False)
    assert books.agrees()[-1] == "No differences."


def test_recent_payments_are_not_compared(books: Books) -> None:
    payment = books.charge(77)
    assert books.operate(RECONCILE, "--since", "1")[0] == 0
    assert books.compare("--since", "1")[0] == 1
    books.sdks.stripe.v1.refunds.create({"payment_intent": payment})


def test_failing_provider_breaks_off_the_comparison(books: Books) -> None:
    try:
        assert books.sdks.put("/sandbox/faults/shippo", json={"error_rate": 1, "error_status": 401}).ok
        status, output = books.compare()
    finally:
        books.sdks.delete("/sandbox/faults/shippo")
    assert status == 2
    assert output[-1] == "The comparison broke off. Shippo answered with status 401."


def test_failed_tasks_are_listed_and_replayed(books: Books) -> None:
    assert books.operate(GIVEN_UP, "replay", "--all")[0] == 0  # tasks that other journeys left behind
    for row in books.call("cart", "attention", 1000):
        books.call("cart", "dismiss", row["order_id"], row["kind"], row["about"])
    order, key = books.paid(), ""
    for kind in ("email", "sms"):
        key = f"{order['id']}:{kind}"
        books.write("cart", "UPDATE tasks SET state = 'failed', tries = 5, error = 'Refused: no' WHERE key = ?", key)
    status, output = books.operate(GIVEN_UP, "list")
    assert status == 0
    assert f"{key}  sms of {order['id']}, tried 5 times: Refused: no" in output
    assert "given up; " in output.splitlines()[-1]
    assert books.operate(GIVEN_UP, "replay", key) == (0, f"{key}: done\n")
    status, output = books.operate(GIVEN_UP, "replay", "--all")
    assert (status, output) == (0, f"{order['id']}:email: done\n")
    assert books.operate(GIVEN_UP, "list") == (0, "Nothing was given up.\n")
    assert books.operate(GIVEN_UP, "replay", "--all") == (0, "Nothing was given up.\n")
    status, output = books.operate(GIVEN_UP, "replay", key)
    assert status == 1
    assert output.startswith(f"Nothing was given up under {key}")
    assert len(books.front.arrived("sms", order_id=order["id"])) == 1


@pytest.mark.timeout(900)
def test_other_differences_are_reported(books: Books) -> None:
    """Planted in the databases: those that neither the test above nor an integration test causes."""
    planted = []

    def plant(kind: str, order: dict[str, Any]) -> dict[str, Any]:
        planted.append(f"{kind}: {order['id']}")
        return order

    def declined() -> dict[str, Any]:
        shopper, order = books.placed()
        assert shopper.pay(order, DECLINED).status_code == 402
        return order

    def refunded() -> dict[str, Any]:
        order = books.paid()
        books.call("cart", "refund", order["id"], 100, unique("refund"))
        return order

    unknown, other = refunded(), refunded()
    shopper, settling = books.placed()
    assert shopper.pay(settling, "pm_usBankAccount_processing").status_code == 202
    books.has_status(plant("payment is being settled, order open", settling)["id"], "created")

    twice = plant("open payment of a paid order", books.paid())
    left_open = books.sdks.stripe.v1.payment_intents.create(
        {"amount": twice["amount"], "currency": "usd", "metadata": {"order_id": twice["id"]}}
    )
    another = plant("charge that its order does not name", declined())
    _, dearer = books.placed()
    plant("another amount was taken", dearer)
    charged = [books.charge(each["amount"] + more, order_id=each["id"]) for each, more in ((another, 0), (dearer, 1))]
    lost = plant("payment unknown at Stripe", books.paid())
    books.alter("cart", "orders", "id", lost["id"], payment="pi_unknown")

    canceled = plant("label of a canceled order", plant("charge of a canceled order", books.paid()))
    books.has_status(canceled["id"], "canceled")
    books.has_status(plant("label of an order that is not paid", books.paid())["id"], "created")
    bought = plant("label given up, and bought", books.paid())
    books.alter("cart", "tasks", "key", f"{bought['id']}:label", state="failed")
    voided = plant("label of a shipment that was given up", books.paid())
    books.alter("shipping", "labels", "shipment_id", voided["upstream_id"], state="free", transaction_id=None, voided=1)

    books.right_after_a_look()
    plant("refund unknown at Stripe", unknown)
    books.alter("cart", "refunds", "order_id", unknown["id"], provider_id="re_unknown")
    plant("another amount was given back", other)
    books.alter("cart", "refunds", "order_id", other["id"], amount=99)

    status, output = books.compare()
    books.restore()
    assert status == 1
    reported = {line.partition(" | ")[0] for line in output if " | we say: " in line}
    assert set(planted) - reported == set(), "\n".join(output)
    books.sdks.stripe.v1.payment_intents.cancel(left_open.id)
    for payment in charged:
        books.sdks.stripe.v1.refunds.create({"payment_intent": payment})
    assert books.agrees()[-1] == "No differences."


def _assert_reported(output: list[str], wanted: dict[str, list[str]]) -> None:
    """Assert that exactly these differences were reported. Each line has the given words, with the repair last."""
    lines = {line.partition(" | ")[0]: line for line in output if " | we say: " in line}
    assert sorted(lines) == sorted(wanted), "\n".join(output)
    for begins, words in wanted.items():
        for word in words:
            assert word in lines[begins], lines[begins]
        assert words[-1] in lines[begins].rpartition("--repair: ")[2]
