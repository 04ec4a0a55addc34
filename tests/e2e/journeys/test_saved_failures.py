"""Stripe saves a 500 of its own under a key, and repeats it for a day: each step of the shop gets past one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from tests.e2e.journeys.shop import REQUEST_TIMEOUT_S, Storefront, eventually, unique

SAVED = {"undone": "saved_error_rate", "done": "saved_error_done_rate"}


@pytest.fixture(autouse=True)
def no_fault(shop: Storefront) -> Iterator[None]:
    yield
    requests.delete(f"{shop.sandbox_url}/sandbox/faults/stripe", timeout=REQUEST_TIMEOUT_S).raise_for_status()


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("saved", SAVED)
def test_whole_story_gets_past_saved_failures(shop: Storefront, saved: str, times: int) -> None:
    url = f"{shop.sandbox_url}/sandbox/faults/stripe"

    @contextmanager
    def failing(path: str) -> Iterator[None]:
        """The next requests to that path get a saved 500."""
        asked = {SAVED[saved]: 1, "method": "POST", "path": path, "times": times}
        requests.put(url, json=asked, timeout=REQUEST_TIMEOUT_S).raise_for_status()
        yield
        assert requests.get(url, timeout=REQUEST_TIMEOUT_S).json()["hits"] >= 1, f"{path} was not asked"

    with failing("/v1/products"):
        product = shop.product(name=unique("Bone "), inventory={"type": "finite", "quantity": 9})
    with failing("/v1/prices"):
        changed = shop.ask("PUT", f"/api/products/{product['id']}", json={"price": 990})
    assert (changed.status_code, changed.json()["skus"]["data"][0]["price"]) == (200, 990)
    code = unique("SAVED")
    with failing("/v1/coupons"):
        answer = shop.ask("POST", "/api/discounts/", json={"code": code, "percent_off": 10})
    assert answer.status_code == 201, answer.text

    shopper = shop.shopper()
    order = shopper.order(product["id"])
    with failing("/v1/payment_intents"):
        # Also refuses the first confirmation, if the payment was opened without a second try.
        paid = shopper.pay(order)
    assert (paid.status_code, paid.json()["status"]) == (200, "paid"), paid.text
    for path in ("/v1/payment_methods", "/v1/payment_intents/*/confirm"):
        other = shopper.order(product["id"])
        with failing(path):
            paid = shopper.pay(other, "tok_visa")
        assert (paid.status_code, paid.json()["status"]) == (200, "paid"), paid.text
        assert [charge["amount"] for charge in shop.charged(other["id"])] == [other["amount"]]

    with failing("/v1/refunds"):
        part = refund(shop, order, amount=100)
    assert (part["amount_returned"], len(part["returns"]["data"])) == (100, 1)
    whole = refund(shop, order, all=True)
    assert (whole["status"], whole["amount_returned"]) == ("returned", order["amount"])
    [charge] = shop.charged(order["id"])
    assert charge["amount_refunded"] == charge["amount"] == order["amount"]
    eventually(lambda: shop.left(product["id"]) == 9 - 2)


def refund(shop: Storefront, order: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = shop.ask("POST", f"/api/orders/{order['id']}/refund/", json=body)
    assert answer.status_code == 200, answer.text
    refunded: dict[str, Any] = answer.json()
    return refunded
