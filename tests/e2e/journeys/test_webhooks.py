"""Webhooks from end to end: the sandbox tells, by bad roads, and every order comes out right whatever arrives."""

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
from tests.e2e.journeys.shop import TIMEOUT, Shopper, Storefront, eventually, unique

pytestmark = pytest.mark.timeout(600)

ASKING = "tok_threeDSecure2Required"
HOUR = 3600.0
SECRET = Settings.load(ROOT / "config.yml").stripe_webhook_secret


class Told:
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
        requests.put(url, json=switches, timeout=TIMEOUT).raise_for_status()

    def heal(self) -> None:
        for provider in ("stripe", "shippo", "twilio", "sendgrid"):
            requests.delete(f"{self.own.sandbox_url}/sandbox/webhooks/{provider}", timeout=TIMEOUT).raise_for_status()

    def counts(self, provider: str) -> Counter[str]:
        url = f"{self.own.sandbox_url}/sandbox/webhooks/{provider}"
        return Counter(requests.get(url, timeout=TIMEOUT).json()["counts"])

    def stripe(self, path: str, **form: Any) -> dict[str, Any]:
        """A change that somebody makes in Stripe's dashboard."""
        url = f"{self.own.sandbox_url}/stripe/v1/{path}"
        answer = requests.post(url, data=form, auth=(SANDBOX_KEYS["stripe"], ""), timeout=TIMEOUT)
        answer.raise_for_status()
        changed: dict[str, Any] = answer.json()
        return changed

    def send(
        self, body: str | dict[str, Any], secret: str = SECRET, age: float = 0, **headers: str
    ) -> requests.Response:
        """A webhook as Stripe would send it, signed so long ago."""
        text = body if isinstance(body, str) else json.dumps(body)
        proof = stripe.WebhookSignature.generate_signature_header(text, secret, int(time.time() - age))
        return self.shop.ask(
            "POST", "/api/webhooks/stripe/", data=text.encode(), headers={"Stripe-Signature": proof, **headers}
        )

    def status(self, order_id: str) -> str:
        status: str = self.cart("order", order_id)["status"]
        return status

    def logged(self, event: str) -> list[dict[str, Any]]:
        """What both copies of the cart service have logged of a kind."""
        lines = [*self.own.log("cart", 100_000).splitlines(), *self.log.read_text(errors="replace").splitlines()]
        found = [json.loads(line) for line in lines if line.startswith("{") and f'"{event}"' in line]
        return [line for line in found if line["event"] == event]


@pytest.fixture(scope="module")
def told(own: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
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
        yield Told(own, client, log)
    finally:
        client.stop()
        second.terminate()
        second.wait(timeout=60)


def asked_by_the_bank(shopper: Shopper, order: dict[str, Any]) -> str:
    """The bank asks; the payment's id."""
    asked = shopper.pay(order, ASKING)
    assert asked.status_code == 402, asked.text
    payment: str = asked.json()["client_secret"].partition("_secret_")[0]
    return payment


def says_yes(told: Told, payment: str) -> None:
    url = f"{told.own.sandbox_url}/sandbox/3ds/{payment}"
    requests.post(url, json={"result": "succeed"}, timeout=TIMEOUT).raise_for_status()


def confirmed(told: Told, shopper: Shopper, order: dict[str, Any]) -> None:
    """The bank asks, and the shopper says yes; nobody pays again."""
    says_yes(told, asked_by_the_bank(shopper, order))


def declined_first(told: Told, shopper: Shopper, order: dict[str, Any]) -> None:
    assert shopper.pay(order, "tok_chargeDeclined").status_code == 402
    assert shopper.pay(order).status_code == 200


def at_once(told: Told, shopper: Shopper, order: dict[str, Any]) -> None:
    assert shopper.pay(order).status_code == 200


@pytest.fixture(scope="module")
def storm(told: Told) -> list[dict[str, Any]]:
    """Orders that were paid while webhooks were shuffled, repeated and lost; the last one's are all lost.

    Begun before the other tests of this file, and looked at after them: what is lost is made up for in its time.
    """
    product = told.shop.product(name=unique("Storm"), inventory={"type": "finite", "quantity": 100})
    orders: list[dict[str, Any]] = []

    def buys(pay: Any) -> None:
        shopper = told.shop.shopper()
        order = shopper.order(product["id"], 2)
        pay(told, shopper, order)
        orders.append({**order, "product": product["id"]})

    for provider in ("stripe", "shippo", "twilio", "sendgrid"):
        told.switch(provider, duplicate_rate=0.5, reorder_rate=0.7, loss_rate=0.2, seed=5, events=["*"])
    stories = [confirmed, at_once, declined_first, confirmed, at_once, confirmed, declined_first, confirmed]
    threads = [threading.Thread(target=buys, args=(pay,)) for pay in stories]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(150)
    assert len(orders) == len(stories)
    assert told.counts("stripe")["lost"] > 0
    told.switch("stripe", loss_rate=1, events=["*"])
    buys(confirmed)
    told.heal()
    return orders


def test_an_order_that_waits_for_its_bank_is_paid_when_stripe_says_so(told: Told, storm: Any) -> None:
    shopper = told.shop.shopper()
    order = shopper.order(told.shop.product(name=unique("Bank"))["id"])
    payment = asked_by_the_bank(shopper, order)
    # The shop itself does not look at it for an hour: whatever settles it before that is a webhook.
    with sqlite3.connect(told.own.place.var_dir / "cart.db", timeout=30) as database:
        put_off = "UPDATE orders SET due_at = due_at + ? WHERE id = ? AND status = 'confirming'"
        assert database.execute(put_off, (HOUR, order["id"])).rowcount == 1
    says_yes(told, payment)
    eventually(lambda: told.status(order["id"]) == "paid")
    [charge] = told.shop.charged(order["id"])
    assert charge["amount"] == order["amount"]
    again = shopper.pay(order, ASKING)
    assert (again.status_code, again.json()["status"]) == (200, "paid")


def test_what_is_changed_at_stripe_is_soon_so_in_the_shop(told: Told) -> None:
    product = told.shop.product(name=unique("Before"))
    name = unique("After")
    told.stripe(f"products/{product['id']}", name=name)
    path = f"/api/products/{product['id']}/"
    eventually(lambda: told.shop.ask("GET", path).json()["name"] == name)
    assert told.shop.left(product["id"]) == 500
    told.stripe(f"products/{product['id']}", active="false")
    eventually(lambda: not told.shop.ask("GET", path).json()["active"])


def test_money_given_back_at_stripe_and_a_parcel_on_its_way_are_the_orders(told: Told) -> None:
    shopper = told.shop.shopper()
    order = shopper.order(told.shop.product(name=unique("Back"))["id"])
    paid = shopper.pay(order).json()
    [charge] = told.shop.charged(order["id"])
    told.stripe("refunds", payment_intent=charge["payment_intent"], amount=100)
    eventually(lambda: told.cart("order", order["id"])["amount_returned"] == 100)
    [label] = eventually(lambda: told.shop.arrived("labels", order_id=order["id"]))
    url = f"{told.own.sandbox_url}/sandbox/tracks/{label['tracking_number']}"
    requests.post(url, json={"status": "TRANSIT"}, timeout=TIMEOUT).raise_for_status()
    eventually(lambda: told.status(order["id"]) not in ("paid", "created"))
    assert told.cart("order", order["id"])["status_transitions"]["fulfiled"]
    assert paid["status"] == "paid"
    for provider in ("stripe", "shippo", "twilio", "sendgrid"):
        eventually(lambda provider=provider: told.counts(provider)["delivered"])
        assert told.counts(provider)["given_up"] == 0


def event(**changes: Any) -> dict[str, Any]:
    return {
        "id": unique("evt_"),
        "object": "event",
        "type": "payment_intent.succeeded",
        "data": {"object": {"id": "pi_none", "object": "payment_intent", "metadata": {}}},
        **changes,
    }


def test_only_what_stripe_signed_lately_is_taken(told: Told) -> None:
    text = json.dumps(event())
    for answer in (
        told.send(text, secret="another"),
        told.send(text, age=301),
        told.send(text, **{"Stripe-Signature": "t=1,v1=0"}),
        told.shop.ask("POST", "/api/webhooks/stripe/", data=text),
    ):
        assert answer.status_code == 400
        assert answer.headers["Content-Type"] == "application/problem+json"
    proof = stripe.WebhookSignature.generate_signature_header(text, SECRET)
    tampered = text.replace("pi_none", "pi_some")
    headers = {"Stripe-Signature": proof}
    assert told.shop.ask("POST", "/api/webhooks/stripe/", data=tampered, headers=headers).status_code == 400
    for provider in ("shippo", "twilio", "sendgrid"):
        assert told.shop.ask("POST", f"/api/webhooks/{provider}/", data=text).status_code == 400


def test_an_event_is_taken_once_and_handled_once_by_two_copies(told: Told) -> None:
    unknown = event(type="surprise.created")
    assert told.send(unknown).json() == {"received": True, "duplicate": False}
    assert told.send(unknown).json() == {"received": True, "duplicate": True}
    events = [event() for _ in range(12)]
    before = len(told.logged("not a payment of the shop's"))
    answers = []
    threads = [
        threading.Thread(target=lambda one=one: answers.append(told.send(one).json()["duplicate"]))
        for one in events
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert Counter(answers) == {False: 12, True: 24}
    eventually(lambda: len(told.logged("not a payment of the shop's")) - before == 12)
    time.sleep(1.5)  # one more look of the completer
    assert len(told.logged("not a payment of the shop's")) - before == 12


def test_an_event_that_cannot_be_handled_is_parked_and_replayed(told: Told) -> None:
    taken = told.stripe(
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
        return [one for one in told.cart("tasks") if one["queue"] == "events" and about(one) == taken["id"]]

    [failed] = eventually(parked, 120)
    assert (failed["tries"], failed["error"].split(":")[0]) == (5, "NotFound")
    assert told.cart("replay", failed["key"])["state"] == "waiting"
    assert parked() == []


@contextmanager
def no_writes(own: Shop) -> Iterator[None]:
    """Another process holds the lock of the cart service's database."""
    with closing(sqlite3.connect(own.place.var_dir / "cart.db", timeout=30, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield


def test_what_cannot_be_kept_is_not_taken_and_comes_again(told: Told) -> None:
    product = told.shop.product(name=unique("Before"))
    eventually(lambda: told.counts("stripe")["waiting"] == 0)
    before, name = told.counts("stripe"), unique("After")
    with no_writes(told.own):
        answer = told.send(event())
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        told.stripe(f"products/{product['id']}", name=name)
        eventually(lambda: told.counts("stripe")["failed"] > before["failed"])
        assert told.counts("stripe")["delivered"] == before["delivered"]
    eventually(lambda: told.shop.ask("GET", f"/api/products/{product['id']}/").json()["name"] == name)


def test_by_bad_roads_all_orders_come_out_right(told: Told, storm: list[dict[str, Any]]) -> None:
    for order in storm:
        eventually(lambda order=order: told.status(order["id"]) == "paid", 120)
    for order in storm:
        [charge] = told.shop.charged(order["id"])
        assert charge["amount"] == order["amount"]
        assert charge["amount_refunded"] == 0
        eventually(lambda order=order: len(told.shop.arrived("labels", order_id=order["id"])) == 1)
        eventually(lambda order=order: len(told.shop.arrived("emails", to=order["email"])) == 1)
    assert told.shop.left(storm[0]["product"]) == 100 - 2 * len(storm)
    paid = Counter(line["order_id"] for line in told.logged("order paid"))
    assert {order["id"]: paid[order["id"]] for order in storm} == {order["id"]: 1 for order in storm}
    for state in ("failed", "waiting"):
        subjects = [one["details"]["data"]["object"] for one in told.cart("tasks", state) if one["queue"] == "events"]
        about = {(subject.get("metadata") or {}).get("order_id") for subject in subjects}
        assert not about & {order["id"] for order in storm}
