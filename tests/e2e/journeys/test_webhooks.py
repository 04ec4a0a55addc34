"""Webhooks from end to end: the sandbox repeats, reorders and loses events, and every order still ends right."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import stripe

from chassis.rpc.client import RpcClient
from chassis.settings import SANDBOX_KEYS, Settings
from launcher.place import ROOT
from launcher.shop import Shop
from tests.e2e.journeys.shop import REQUEST_TIMEOUT_S, Shopper, Storefront, eventually, unique

pytestmark = pytest.mark.timeout(600)

ASKING_CARD = "tok_threeDSecure2Required"
HOUR_S = 3600.0
SECRET = Settings.load(ROOT / "config.yml").stripe_webhook_secret


class WebhookShop:
    """The tests' own shop, with a second copy of the cart service."""

    def __init__(self, own: Shop, client: RpcClient, log: Path) -> None:
        self.own = own
        self.shop = Storefront(own.url, own.sandbox_url)
        self.client = client
        self.log = log

    def cart(self, verb: str, *args: Any) -> Any:
        return self.client.call("cart", verb, args, timeout=40)

    def switch(self, provider: str, **switches: Any) -> None:
        url = f"{self.own.sandbox_url}/sandbox/webhooks/{provider}"
        requests.put(url, json=switches, timeout=REQUEST_TIMEOUT_S).raise_for_status()

    def heal(self) -> None:
        for provider in ("stripe", "shippo", "twilio", "sendgrid"):
            requests.delete(
                f"{self.own.sandbox_url}/sandbox/webhooks/{provider}", timeout=REQUEST_TIMEOUT_S
            ).raise_for_status()

    def counts(self, provider: str) -> Counter[str]:
        url = f"{self.own.sandbox_url}/sandbox/webhooks/{provider}"
        return Counter(requests.get(url, timeout=REQUEST_TIMEOUT_S).json()["counts"])

    def stripe(self, path: str, **form: Any) -> dict[str, Any]:
        """Make a change in Stripe's dashboard."""
        url = f"{self.own.sandbox_url}/stripe/v1/{path}"
        answer = requests.post(url, data=form, auth=(SANDBOX_KEYS["stripe"], ""), timeout=REQUEST_TIMEOUT_S)
        answer.raise_for_status()
        changed: dict[str, Any] = answer.json()
        return changed

    def send(
        self, body: str | dict[str, Any], secret: str = SECRET, age: float = 0, **headers: str
    ) -> requests.Response:
        """Send an event as Stripe does, signed `age` seconds ago."""
        text = body if isinstance(body, str) else json.dumps(body)
        proof = stripe.WebhookSignature.generate_signature_header(text, secret, int(time.time() - age))
        return self.shop.ask(
            "POST", "/api/webhooks/stripe/", data=text.encode(), headers={"Stripe-Signature": proof, **headers}
        )

    def status(self, order_id: str) -> str:
        status: str = self.cart("order", order_id)["status"]
        return status

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The log entries of both copies of the cart service for an event."""
        lines = [*self.own.log("cart", 100_000).splitlines(), *self.log.read_text(errors="replace").splitlines()]
        found = [json.loads(line) for line in lines if line.startswith("{") and f'"{event}"' in line]
        return [line for line in found if line["event"] == event]


@pytest.fixture(scope="module")
def webhooks(own: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebhookShop]:
    log = tmp_path_factory.mktemp("second") / "cart.log"
    nameko = str(Path(sys.executable).with_name("nameko"))
    with log.open("wb") as out:
        second = subprocess.Popen(
            [nameko, "run", "--config", "config.yml", "cart.service"],
            cwd=ROOT,
            env=own.process_env(own.amqp_uri),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    client = RpcClient(own.amqp_uri, name="webhook tests").start()
    client.link.wait(30)
    try:
        yield WebhookShop(own, client, log)
    finally:
        client.stop()
        second.terminate()
        second.wait(timeout=60)


def pay_until_asked(shopper: Shopper, order: dict[str, Any]) -> str:
    """Pay with a card that needs a confirmation; return the id of the payment."""
    asked = shopper.pay(order, ASKING_CARD)
    assert asked.status_code == 402, asked.text
    payment: str = asked.json()["client_secret"].partition("_secret_")[0]
    return payment


def confirm(webhooks: WebhookShop, payment: str) -> None:
    url = f"{webhooks.own.sandbox_url}/sandbox/3ds/{payment}"
    requests.post(url, json={"result": "succeed"}, timeout=REQUEST_TIMEOUT_S).raise_for_status()


def pays_with_confirmation(webhooks: WebhookShop, shopper: Shopper, order: dict[str, Any]) -> None:
    """The shopper confirms the payment, and does not pay again."""
    confirm(webhooks, pay_until_asked(shopper, order))


def pays_after_a_decline(webhooks: WebhookShop, shopper: Shopper, order: dict[str, Any]) -> None:
    assert shopper.pay(order, "tok_chargeDeclined").status_code == 402
    assert shopper.pay(order).status_code == 200


def pays_at_once(webhooks: WebhookShop, shopper: Shopper, order: dict[str, Any]) -> None:
    assert shopper.pay(order).status_code == 200


@pytest.fixture(scope="module")
def storm(webhooks: WebhookShop) -> list[dict[str, Any]]:
    """Orders that were paid while webhooks were reordered, repeated and lost. The last order lost all its webhooks.

    The first test of this file starts it, and the last test checks the orders. The shop needs that time to replace the
    lost events.
    """
    product = webhooks.shop.product(name=unique("Storm"), inventory={"type": "finite", "quantity": 100})
    orders: list[dict[str, Any]] = []

    def buys(pay: Any) -> None:
        shopper = webhooks.shop.shopper()
        order = shopper.order(product["id"], 2)
        pay(webhooks, shopper, order)
        orders.append({**order, "product": product["id"]})

    for provider in ("stripe", "shippo", "twilio", "sendgrid"):
        webhooks.switch(provider, duplicate_rate=0.5, reorder_rate=0.7, loss_rate=0.2, seed=5, events=["*"])
    stories = [
        pays_with_confirmation,
        pays_at_once,
        pays_after_a_decline,
        pays_with_confirmation,
        pays_at_once,
        pays_with_confirmation,
        pays_after_a_decline,
        pays_with_confirmation,
    ]
    threads = [threading.Thread(target=buys, args=(pay,)) for pay in stories]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(150)
    assert len(orders) == len(stories)
    assert webhooks.counts("stripe")["lost"] > 0
    webhooks.switch("stripe", loss_rate=1, events=["*"])
    buys(pays_with_confirmation)
    webhooks.heal()
    return orders


def test_stripe_event_completes_a_waiting_payment(webhooks: WebhookShop, storm: Any) -> None:
    shopper = webhooks.shop.shopper()
    order = shopper.order(webhooks.shop.product(name=unique("Bank"))["id"])
    payment = pay_until_asked(shopper, order)
    # The shop does not check the payment for an hour, so only a webhook can complete it earlier.
    with sqlite3.connect(webhooks.own.place.var_dir / "cart.db", timeout=30) as database:
        put_off = "UPDATE orders SET due_at = due_at + ? WHERE id = ? AND status = 'confirming'"
        assert database.execute(put_off, (HOUR_S, order["id"])).rowcount == 1
    confirm(webhooks, payment)
    eventually(lambda: webhooks.status(order["id"]) == "paid")
    [charge] = webhooks.shop.charged(order["id"])
    assert charge["amount"] == order["amount"]
    again = shopper.pay(order, ASKING_CARD)
    assert (again.status_code, again.json()["status"]) == (200, "paid")


def test_product_change_at_stripe_reaches_the_shop(webhooks: WebhookShop) -> None:
    product = webhooks.shop.product(name=unique("Before"))
    name = unique("After")
    webhooks.stripe(f"products/{product['id']}", name=name)
    path = f"/api/products/{product['id']}/"
    eventually(lambda: webhooks.shop.ask("GET", path).json()["name"] == name)
    assert webhooks.shop.left(product["id"]) == 500
    webhooks.stripe(f"products/{product['id']}", active="false")
    eventually(lambda: not webhooks.shop.ask("GET", path).json()["active"])


def test_dashboard_refund_and_parcel_step_reach_the_order(webhooks: WebhookShop) -> None:
    shopper = webhooks.shop.shopper()
    order = shopper.order(webhooks.shop.product(name=unique("Back"))["id"])
    paid = shopper.pay(order).json()
    [charge] = webhooks.shop.charged(order["id"])
    webhooks.stripe("refunds", payment_intent=charge["payment_intent"], amount=100)
    eventually(lambda: webhooks.cart("order", order["id"])["amount_returned"] == 100)
    [label] = eventually(lambda: webhooks.shop.arrived("labels", order_id=order["id"]))
    url = f"{webhooks.own.sandbox_url}/sandbox/tracks/{label['tracking_number']}"
    requests.post(url, json={"status": "TRANSIT"}, timeout=REQUEST_TIMEOUT_S).raise_for_status()
    eventually(lambda: webhooks.status(order["id"]) not in ("paid", "created"))
    assert webhooks.cart("order", order["id"])["status_transitions"]["fulfiled"]
    assert paid["status"] == "paid"
    for provider in ("stripe", "shippo", "twilio", "sendgrid"):
        eventually(lambda provider=provider: webhooks.counts(provider)["delivered"])
        assert webhooks.counts(provider)["given_up"] == 0


def event(**changes: Any) -> dict[str, Any]:
    return {
        "id": unique("evt_"),
        "object": "event",
        "type": "payment_intent.succeeded",
        "data": {"object": {"id": "pi_none", "object": "payment_intent", "metadata": {}}},
        **changes,
    }


def test_only_recently_signed_events_are_accepted(webhooks: WebhookShop) -> None:
    text = json.dumps(event())
    for answer in (
        webhooks.send(text, secret="another"),
        webhooks.send(text, age=301),
        webhooks.send(text, **{"Stripe-Signature": "t=1,v1=0"}),
        webhooks.shop.ask("POST", "/api/webhooks/stripe/", data=text),
    ):
        assert answer.status_code == 400
        assert answer.headers["Content-Type"] == "application/problem+json"
    proof = stripe.WebhookSignature.generate_signature_header(text, SECRET)
    tampered = text.replace("pi_none", "pi_some")
    headers = {"Stripe-Signature": proof}
    assert webhooks.shop.ask("POST", "/api/webhooks/stripe/", data=tampered, headers=headers).status_code == 400
    for provider in ("shippo", "twilio", "sendgrid"):
        assert webhooks.shop.ask("POST", f"/api/webhooks/{provider}/", data=text).status_code == 400


def test_two_copies_handle_each_event_once(webhooks: WebhookShop) -> None:
    unknown = event(type="surprise.created")
    assert webhooks.send(unknown).json() == {"received": True, "duplicate": False}
    assert webhooks.send(unknown).json() == {"received": True, "duplicate": True}
    events = [event() for _ in range(12)]
    before = len(webhooks.logged("not a payment of the shop's"))
    answers = []
    threads = [
        threading.Thread(target=lambda one=one: answers.append(webhooks.send(one).json()["duplicate"]))
        for one in events
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert Counter(answers) == {False: 12, True: 24}
    eventually(lambda: len(webhooks.logged("not a payment of the shop's")) - before == 12)
    time.sleep(1.5)  # one more sweep of the completer
    assert len(webhooks.logged("not a payment of the shop's")) - before == 12


def test_an_event_that_cannot_be_handled_is_parked_and_replayed(webhooks: WebhookShop) -> None:
    taken = webhooks.stripe(
        "payment_intents",
        amount=500,
        currency="usd",
        confirm="true",
        payment_method="pm_card_visa",
        **{"automatic_payment_methods[enabled]": "true", "automatic_payment_methods[allow_redirects]": "never"},
        **{"metadata[order_id]": "or_nobody"},
    )

    def about(event: dict[str, Any]) -> str:
        return str(event["details"]["data"]["object"]["id"])

    def parked() -> list[dict[str, Any]]:
        return [one for one in webhooks.cart("tasks") if one["queue"] == "events" and about(one) == taken["id"]]

    [failed] = eventually(parked, 120)
    assert (failed["tries"], failed["error"].split(":")[0]) == (5, "NotFound")
    assert webhooks.cart("replay", failed["key"])["state"] == "waiting"
    assert parked() == []


@contextmanager
def no_writes(own: Shop) -> Iterator[None]:
    """Hold the write lock of the cart service's database inside the block."""
    with closing(sqlite3.connect(own.place.var_dir / "cart.db", timeout=30, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield


def test_event_is_redelivered_after_a_failed_write(webhooks: WebhookShop) -> None:
    product = webhooks.shop.product(name=unique("Before"))
    eventually(lambda: webhooks.counts("stripe")["waiting"] == 0)
    before, name = webhooks.counts("stripe"), unique("After")
    with no_writes(webhooks.own):
        answer = webhooks.send(event())
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        webhooks.stripe(f"products/{product['id']}", name=name)
        eventually(lambda: webhooks.counts("stripe")["failed"] > before["failed"])
        assert webhooks.counts("stripe")["delivered"] == before["delivered"]
    eventually(lambda: webhooks.shop.ask("GET", f"/api/products/{product['id']}/").json()["name"] == name)


def test_orders_are_right_despite_unreliable_webhooks(webhooks: WebhookShop, storm: list[dict[str, Any]]) -> None:
    for order in storm:
        eventually(lambda order=order: webhooks.status(order["id"]) == "paid", 120)
    for order in storm:
        [charge] = webhooks.shop.charged(order["id"])
        assert charge["amount"] == order["amount"]
        assert charge["amount_refunded"] == 0
        eventually(lambda order=order: len(webhooks.shop.arrived("labels", order_id=order["id"])) == 1)
        eventually(lambda order=order: len(webhooks.shop.arrived("emails", to=order["email"])) == 1)
    assert webhooks.shop.left(storm[0]["product"]) == 100 - 2 * len(storm)
    paid = Counter(line["order_id"] for line in webhooks.logged("order paid"))
    assert {order["id"]: paid[order["id"]] for order in storm} == {order["id"]: 1 for order in storm}
    for state in ("failed", "waiting"):
        subjects = [
            one["details"]["data"]["object"] for one in webhooks.cart("tasks", state) if one["queue"] == "events"
        ]
        about = {(subject.get("metadata") or {}).get("order_id") for subject in subjects}
        assert not about & {order["id"] for order in storm}
