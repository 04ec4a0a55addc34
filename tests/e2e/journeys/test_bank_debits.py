"""A bank debit is settled days after the shopper has paid: by an event, or because the shop asks."""

from __future__ import annotations

from typing import Any

import requests

from tests.e2e.journeys.shop import REQUEST_TIMEOUT_S, Shopper, Storefront, eventually

WAITING = "pm_usBankAccount_processing"


def debited(shop: Storefront, pieces: int = 2) -> tuple[Shopper, dict[str, Any], str]:
    """A shopper who has paid from a bank account: the order, and its product's id."""
    product = shop.product(inventory={"type": "finite", "quantity": 4})
    shopper = shop.shopper()
    order = shopper.order(product["id"], pieces)
    answer = shopper.pay(order, WAITING)
    assert answer.status_code == 202, answer.text
    assert answer.json()["payment"] == {"status": "processing", "failure": None}
    assert answer.json()["status"] == "created"
    return shopper, order, product["id"]


def settle(shop: Storefront, order: dict[str, Any], **outcome: str) -> None:
    """The bank pays or returns the debit of an order."""
    [charge] = shop.arrived("charges", order_id=order["id"])
    url = f"{shop.sandbox_url}/sandbox/payments/{charge['payment_intent']}"
    assert requests.post(url, json=outcome, timeout=REQUEST_TIMEOUT_S).status_code == 200


def read(shopper: Shopper, order: dict[str, Any]) -> Any:
    return shopper.ask("GET", f"/api/orders/{order['id']}").json()


def test_debit_holds_its_stock_and_sends_nothing(shop: Storefront) -> None:
    shopper, order, product = debited(shop)
    assert read(shopper, order)["payment"]["status"] == "processing"
    assert shop.left(product) == 2
    assert shopper.ask("GET", "/api/cart/").json() == []
    assert "Your bank is processing your payment" in requests.get(order["status_url"], timeout=REQUEST_TIMEOUT_S).text
    again = shopper.pay(order, WAITING)
    assert (again.status_code, again.json()["payment"]["status"]) == (202, "processing")
    assert shopper.pay(order, "tok_visa").status_code == 409
    assert shopper.ask("POST", f"/api/orders/{order['id']}/cancel/").status_code == 409
    assert shop.charged(order["id"]) == []
    assert shop.arrived("emails", to=shopper.email) == []


def test_settled_debit_pays_the_order_and_sends_everything(shop: Storefront) -> None:
    shopper, order, _ = debited(shop)
    settle(shop, order, result="succeed")
    eventually(lambda: read(shopper, order)["status"] == "paid")
    assert read(shopper, order)["payment"] == {"status": "succeeded", "failure": None}
    assert len(shop.charged(order["id"])) == 1
    eventually(lambda: shop.arrived("emails", to=shopper.email))
    eventually(lambda: read(shopper, order)["shipping"]["tracking_number"])
    assert shopper.pay(order, WAITING).status_code == 200


def test_returned_debit_opens_the_order_again(shop: Storefront) -> None:
    shopper, order, product = debited(shop)
    settle(shop, order, result="fail", reason="account_closed")
    eventually(lambda: read(shopper, order)["payment"]["status"] == "failed")
    now = read(shopper, order)
    assert (now["status"], now["payment"]["failure"]["code"]) == ("created", "account_closed")
    eventually(lambda: shop.left(product) == 4)
    assert "account has been closed" in requests.get(order["status_url"], timeout=REQUEST_TIMEOUT_S).text
    paid = shopper.pay(order, "tok_visa")
    assert (paid.status_code, paid.json()["payment"]["status"]) == (200, "succeeded")
    assert len(shop.charged(order["id"])) == 1
