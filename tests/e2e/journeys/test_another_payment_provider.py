"""A shop whose payments go to AcmePay, which the product does not know (`tests/providers/acme_pay`), with two carriers.

Stripe still has the catalogue, and must receive no payment.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from launcher.shop import Shop
from tests.e2e.journeys.operated import Operated
from tests.e2e.journeys.shop import Shopper, Storefront, eventually, unique
from tests.integration.providers.sandbox.process import Sdks
from tests.providers.acme_carrier.server import AcmeServer
from tests.providers.acme_pay.bundle import PAYMENT_CHANGED, REFUND_CHANGED
from tests.providers.acme_pay.server import BANK, BUSY, LOSE, POOR, VISA, AcmePayServer

HOUR_S = 3600.0
# For how long the shop does not ask AcmePay for a payment's state, so that only a webhook can change the order
# (seconds). A wait of more than 120 s would count as the mistake of a wrong clock.
NO_LOOK_S = 90.0


class AcmeShop:
    """The running shop with its payment provider and its second carrier."""

    def __init__(self, running: Shop, acme_pay: AcmePayServer, acme: AcmeServer) -> None:
        self.operator = Operated(running)
        self.front = Storefront(running.url, running.sandbox_url)
        self.stripe = Sdks(running.sandbox_url).stripe
        self.acme_pay, self.acme = acme_pay, acme

    def ordered(self) -> tuple[Shopper, dict[str, Any]]:
        shopper = self.front.shopper()
        return shopper, shopper.order(self.front.product()["id"])

    def paid(self) -> dict[str, Any]:
        shopper, order = self.ordered()
        answer = shopper.pay(order, VISA)
        assert answer.status_code == 200, answer.text
        paid: dict[str, Any] = answer.json()
        assert self.acme_pay.taken(order["id"]) == [order["amount"]]
        return paid

    def order(self, order_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.operator.call("cart", "order", order_id)
        return found

    def refund(self, order_id: str, **what: Any) -> dict[str, Any]:
        answer = self.front.ask("POST", f"/api/orders/{order_id}/refund/", json=what)
        assert answer.status_code == 200, answer.text
        order: dict[str, Any] = answer.json()
        return order

    def delivered(self, kind: str, payment_id: str) -> None:
        """Wait until the shop has stored AcmePay's webhook."""
        eventually(lambda: (kind, payment_id) in self.acme_pay.delivered)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcmeShop]:
    acme_pay, acme = AcmePayServer(), AcmeServer()
    env = {
        "LIVE_PROVIDERS": "none",
        "AMQP_URI": None,
        "PAYMENT_PROVIDER": "tests.providers.acme_pay.bundle:AcmePay",
        "ACMEPAY_URL": acme_pay.url,
        "ACMEPAY_SECRET": acme_pay.secret,
        "CARRIERS": "shippo,tests.providers.acme_carrier.bundle:Acme",
        "ACME_URL": acme.url,
        "ACME_SECRET": acme.secret,
    }
    with Shop.on_free_ports(tmp_path_factory.mktemp("acmepay") / "var", env=env) as running:
        yield AcmeShop(running, acme_pay, acme)
    for server in (acme_pay, acme):
        server.stop()


@pytest.fixture(autouse=True)
def healthy(shop: AcmeShop) -> None:
    """AcmePay answers, and reports to the shop."""
    shop.acme_pay.trouble = {}
    shop.acme_pay.shop_url = shop.front.url


def test_order_is_paid_and_delivered(shop: AcmeShop) -> None:
    shopper, order = shop.ordered()
    paid = shopper.pay(order, VISA).json()
    [payment] = shop.acme_pay.of_order(order["id"])
    assert (payment["status"], payment["amount"]) == ("paid", order["amount"])
    assert (paid["status"], paid["charge"], paid["livemode"]) == ("paid", payment["receipt"], False)
    [label] = [each for each in shop.acme.labels.values() if each["reference"] == order["id"]]
    assert (paid["label_url"], paid["shipping"]["tracking_number"]) == (label["url"], label["number"])
    assert paid["notifications"] == {"email": {"status code": "202"}, "sms": {"status code": "201"}}
    [mail] = eventually(lambda: shop.front.arrived("emails", to=shopper.email))
    assert label["number"] in mail["text"]
    [text] = eventually(lambda: shop.front.arrived("sms", to=shopper.phone))
    assert order["id"] in text["body"]


def test_declined_card_leaves_the_order_for_another(shop: AcmeShop) -> None:
    shopper, order = shop.ordered()
    declined = shopper.pay(order, POOR)
    assert declined.status_code == 402
    problem = declined.json()
    assert (problem["code"], problem["decline_code"]) == ("card_declined", "no_money")
    assert shopper.pay(order, "acme-nonsense").status_code == 422
    assert shopper.pay(order, "4242 4242 4242 4242").status_code == 400
    assert shop.acme_pay.taken(order["id"]) == []
    assert shopper.pay(order, VISA).json()["status"] == "paid"
    assert shop.acme_pay.taken(order["id"]) == [order["amount"]]


def test_webhook_alone_finishes_a_bank_confirmation(shop: AcmeShop) -> None:
    shopper, order = shop.ordered()
    asked = shopper.pay(order, BANK)
    assert asked.status_code == 402
    [payment] = shop.acme_pay.of_order(order["id"])
    problem = asked.json()
    assert problem["client_secret"].startswith(payment["id"])
    assert problem["next_action"] == {"type": "acme_page", "url": f"{shop.acme_pay.url}/bank/{payment['id']}"}
    shop.operator.write("cart", "UPDATE orders SET due_at = due_at + ? WHERE id = ?", NO_LOOK_S, order["id"])
    shop.acme_pay.approve(payment["id"])
    eventually(lambda: shop.order(order["id"])["status"] == "paid", NO_LOOK_S / 2)
    assert (PAYMENT_CHANGED, payment["id"]) in shop.acme_pay.delivered
    eventually(lambda: shop.front.arrived("emails", to=shopper.email))
    assert shop.acme_pay.taken(order["id"]) == [order["amount"]]


def test_repeated_payment_is_one_charge(shop: AcmeShop) -> None:
    shopper, order = shop.ordered()
    first, second = shopper.pay(order, VISA), shopper.pay(order, VISA)
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["charge"] == second.json()["charge"]
    assert [each["status"] for each in shop.acme_pay.of_order(order["id"])] == ["paid"]


@pytest.mark.parametrize("call", ["/payments", "/payments/.+/take"])
def test_lost_answers_of_acmepay_end_in_one_charge(shop: AcmeShop, call: str) -> None:
    shopper, order = shop.ordered()
    shop.acme_pay.trouble = {f"POST {call}": LOSE}
    assert shopper.pay(order, VISA).status_code == 504
    shop.acme_pay.trouble = {}
    eventually(lambda: shopper.pay(order, VISA).status_code == 200)
    # A payment whose id the shop never learned is found by its key, and canceled.
    eventually(lambda: {each["status"] for each in shop.acme_pay.of_order(order["id"])} <= {"paid", "void"})
    assert len(shop.acme_pay.of_order(order["id"])) == (2 if call == "/payments" else 1)
    assert shop.acme_pay.taken(order["id"]) == [order["amount"]]


def test_busy_acmepay_takes_nothing(shop: AcmeShop) -> None:
    shopper, order = shop.ordered()
    shop.acme_pay.trouble = {"POST /payments": BUSY}
    refused = shopper.pay(order, VISA)
    assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (503, True)
    assert shop.acme_pay.of_order(order["id"]) == []


def test_refunds_arrive_at_acmepay_and_in_the_order(shop: AcmeShop) -> None:
    paid = shop.paid()
    key = {"Idempotency-Key": unique("refund")}
    path = f"/api/orders/{paid['id']}/refund/"
    for _ in range(2):
        answer = shop.front.ask("POST", path, json={"amount": 100}, headers=key)
        assert (answer.status_code, answer.json()["amount_returned"]) == (200, 100)
    [payment] = shop.acme_pay.of_order(paid["id"])
    assert payment["refunded"] == 100
    returned = shop.refund(paid["id"], all=True)
    assert (returned["status"], returned["amount_returned"]) == ("returned", paid["amount"])
    assert payment["refunded"] == paid["amount"]
    assert len([each for each in shop.acme_pay.refunds.values() if each["payment"] == payment["id"]]) == 2
    [label] = [each for each in shop.acme.labels.values() if each["reference"] == paid["id"]]
    shop.acme.wait_for(lambda: label["refunded"])


def test_refund_made_at_acmepay_is_reported_by_webhook(shop: AcmeShop) -> None:
    paid = shop.paid()
    [payment] = shop.acme_pay.of_order(paid["id"])
    # The shop also reads the list of refunds each minute.
    shop.acme_pay.trouble = {"GET /refunds": BUSY}
    shop.acme_pay.give_back(payment["id"], 100)
    shop.delivered(REFUND_CHANGED, payment["id"])
    eventually(lambda: shop.order(paid["id"])["amount_returned"] == 100)
    assert [each["amount"] for each in shop.order(paid["id"])["returns"]["data"]] == [100]


def test_cancellation_cancels_the_payment_at_acmepay(shop: AcmeShop) -> None:
    shopper, order = shop.ordered()
    assert shopper.pay(order, POOR).status_code == 402
    [payment] = shop.acme_pay.of_order(order["id"])
    assert payment["status"] == "new"
    canceled = shopper.ask("POST", f"/api/orders/{order['id']}/cancel/")
    assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")
    assert payment["status"] == "void"
    assert shopper.pay(order, VISA).status_code == 409


def test_forged_or_old_webhook_is_refused(shop: AcmeShop) -> None:
    assert shop.acme_pay.send(PAYMENT_CHANGED, "ap-1", secret="another").status_code == 400
    assert shop.acme_pay.send(PAYMENT_CHANGED, "ap-1", age_s=HOUR_S).status_code == 400
    received = {"received": True, "duplicate": False}
    assert shop.acme_pay.send(PAYMENT_CHANGED, "ap-1", age_s=60).json() == received
    assert shop.acme_pay.send("acmepay.birthday", "ap-1").json() == received
    forged = shop.front.ask("POST", "/api/webhooks/stripe/", data=b"{}")
    assert forged.status_code == 404


def test_reconcile_names_and_repairs_a_payment_at_acmepay(shop: AcmeShop) -> None:
    shop.paid()
    output = shop.operator.agrees()
    assert output[-1] == "No differences."
    assert " payments at AcmePay, " in output[-3]
    assert " labels at Shippo and Acme, " in output[-3]

    shop.acme_pay.shop_url = ""  # AcmePay reports nothing
    _, order = shop.ordered()
    payment = shop.acme_pay.charge(order["id"], order["amount"])
    lone = shop.acme_pay.charge("or_nobody", 4242)
    status, output = shop.operator.compare()
    assert status == 1
    lines = sorted(line for line in output if " | we say: " in line)
    assert lines == [
        "charge without an order: or_nobody | we say: no such order"
        f" | AcmePay says: succeeded, 4242 usd ({lone})"
        " | --repair: nothing (refund it in AcmePay's dashboard, if it is nobody's)",
        f"payment taken, order not paid: {order['id']} | we say: created, {order['amount']} usd, no payment"
        f" | AcmePay says: succeeded, {order['amount']} usd ({payment}) | --repair: finish the order",
    ]

    shop.acme_pay.give_back(lone, 4242)
    assert shop.operator.compare("--repair")[0] == 0
    assert shop.order(order["id"])["status"] == "paid"
    eventually(lambda: shop.front.arrived("emails", order_id=order["id"]))
    assert shop.operator.agrees()[-1] == "No differences."


def test_stripe_receives_no_payment(shop: AcmeShop) -> None:
    shop.paid()
    assert shop.front.arrived("charges") == []
    assert shop.stripe.v1.payment_intents.list().data == []


def test_provider_without_discount_codes_says_so(shop: AcmeShop) -> None:
    made = shop.front.ask("POST", "/api/discounts/", json={"code": "ACME", "percent_off": 10})
    assert made.status_code == 409
    assert "keeps no discount codes" in made.json()["detail"]
    assert shop.front.shopper().ask("POST", "/api/cart/discount/", json={"code": "ACME"}).status_code == 404
    assert shop.front.ask("GET", "/api/discounts/").json()["data"] == []
