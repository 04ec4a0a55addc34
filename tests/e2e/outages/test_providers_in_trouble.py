"""A provider hangs, fails, or loses its answer after the work. No money and no message is lost or doubled."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import requests

from launcher.shop import Shop
from tests.e2e.journeys.shop import BONE, REQUEST_TIMEOUT_S, Storefront, eventually


@contextlib.contextmanager
def trouble(shop: Storefront, provider: str, **fault: Any) -> Iterator[None]:
    url = f"{shop.sandbox_url}/sandbox/faults/{provider}"
    requests.put(url, json=fault, timeout=REQUEST_TIMEOUT_S).raise_for_status()
    try:
        yield
    finally:
        requests.delete(url, timeout=REQUEST_TIMEOUT_S).raise_for_status()
    # A service keeps its circuit to a failed provider open for some seconds. The next test must not meet it.
    eventually(lambda: shop.ask("POST", "/api/products/", json=BONE).status_code == 201)


def hits(shop: Storefront, provider: str) -> int:
    """How many calls have met the active fault."""
    return int(requests.get(f"{shop.sandbox_url}/sandbox/faults/{provider}", timeout=REQUEST_TIMEOUT_S).json()["hits"])


def test_mail_outage_loses_neither_payment_nor_mail(shop: Storefront) -> None:
    shopper = shop.shopper()
    order = shopper.order(shop.product()["id"])
    with trouble(shop, "sendgrid", error_rate=1, error_status=503):
        paid = shopper.pay(order)
        assert (paid.status_code, paid.json()["status"]) == (200, "paid")
        assert paid.json()["notifications"]["email"] == {"status code": "queued"}
        assert paid.json()["notifications"]["sms"] == {"status code": "201"}
        assert shop.arrived("emails", to=shopper.email) == []
    [mail] = eventually(lambda: shop.arrived("emails", to=shopper.email))
    assert order["id"] in mail["subject"]
    assert shopper.pay(order).json()["notifications"]["email"] == {"status code": "202"}


def test_a_carrier_that_loses_the_answer_prints_one_label(shop: Storefront) -> None:
    shopper = shop.shopper()
    order = shopper.order(shop.product()["id"])
    with trouble(shop, "shippo", lose_answer_rate=1, times=1, path="/transactions"):
        paid = shopper.pay(order)
    assert paid.status_code == 200
    path = f"/api/shipments/{order['upstream_id']}/label/"
    eventually(lambda: shopper.ask("GET", path).status_code == 200)
    assert len(shop.arrived("labels", order_id=order["id"])) == 1


def test_a_bank_that_loses_its_answers_charges_once(shop: Storefront) -> None:
    shopper = shop.shopper()
    product = shop.product(inventory={"type": "finite", "quantity": 5})
    order = shopper.order(product["id"])
    with trouble(shop, "stripe", lose_answer_rate=1, path="/v1/payment_intents"):
        answer = shopper.pay(order)
        assert answer.status_code in (502, 503, 504)
        assert answer.headers["Retry-After"]
    paid = eventually(lambda: answer if (answer := shopper.pay(order)).status_code == 200 else None)
    assert paid.json()["status"] == "paid"
    assert len(shop.charged(order["id"])) == 1
    eventually(lambda: shop.left(product["id"]) == 4)


def test_payment_at_a_hanging_bank_ends_with_an_error(running: Shop, shop: Storefront) -> None:
    shopper = shop.shopper()
    product = shop.product(inventory={"type": "finite", "quantity": 5})
    order = shopper.order(product["id"])
    with trouble(shop, "stripe", hang_rate=1):
        assert shopper.pay(order).status_code in (503, 504)
    eventually(lambda: shop.left(product["id"]) == 5)  # the held stock is given back
    paid = eventually(lambda: answer if (answer := shopper.pay(order)).status_code == 200 else None)
    assert paid.json()["status"] == "paid"
    assert len(shop.charged(order["id"])) == 1
    assert shop.left(product["id"]) == 4


def test_a_text_whose_answer_was_lost_is_sent_once(shop: Storefront) -> None:
    shopper = shop.shopper()
    order = shopper.order(shop.product()["id"])
    with trouble(shop, "twilio", lose_answer_rate=1, times=1):
        assert shopper.pay(order).status_code == 200
    eventually(lambda: shopper.pay(order).json()["notifications"]["sms"] == {"status code": "201"})
    assert len(shop.arrived("sms", to=shopper.phone)) == 1
