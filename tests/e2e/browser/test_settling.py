"""The order's page while a bank settles the payment, and when it does not."""

from __future__ import annotations

from typing import Any

import requests
from playwright.sync_api import expect

from tests.e2e.browser.pages import ORDER, Shopper
from tests.e2e.journeys.shop import REQUEST_TIMEOUT_S, eventually

PROCESSING = "Your bank is processing your payment"
STATUS = "async ([id]) => (await (await import('/storefront/shop.js')).order(id)).payment.status"


def _debited(shopper: Shopper) -> dict[str, Any]:
    """An order of this browser's cart that is paid from a bank account; its page is open."""
    order = shopper.order(shopper.product())
    paid = "async ([id, card]) => (await import('/storefront/shop.js')).pay(id, card)"
    assert shopper.tab.run(paid, [order["id"], "pm_usBankAccount_processing"])["payment"]["status"] == "processing"
    shopper.open(f"/order/{order['id']}")
    expect(shopper.heading(PROCESSING)).to_be_visible()
    return order


def _settle(shopper: Shopper, order: dict[str, Any], **outcome: str) -> None:
    """The bank pays or returns the debit of an order."""
    [charge] = shopper.shop.arrived("charges", order_id=order["id"])
    url = f"{shopper.shop.sandbox_url}/sandbox/payments/{charge['payment_intent']}"
    requests.post(url, json=outcome, timeout=REQUEST_TIMEOUT_S).raise_for_status()


def test_settling_order_cannot_be_paid_again(shopper: Shopper) -> None:
    order = _debited(shopper)
    page = shopper.page
    expect(page.get_by_text("You need not do anything")).to_be_visible()
    expect(page.get_by_role("link", name="Pay")).to_have_count(0)
    expect(page.get_by_role("link", name="Cart", exact=True)).to_be_visible()
    shopper.open(f"/checkout/{order['id']}/payment")
    page.wait_for_url(ORDER)
    expect(shopper.heading(PROCESSING)).to_be_visible()


def test_settled_payment_appears_on_the_open_page(shopper: Shopper) -> None:
    order = _debited(shopper)
    _settle(shopper, order, result="succeed")
    expect(shopper.heading("Your parcel")).to_be_visible(timeout=60_000)
    expect(shopper.heading(PROCESSING)).to_have_count(0)
    expect(shopper.page.locator(".number")).to_be_visible(timeout=60_000)


def test_returned_debit_is_explained_and_paid_again(shopper: Shopper) -> None:
    order = _debited(shopper)
    _settle(shopper, order, result="fail", reason="account_closed")
    expect(shopper.heading("Your payment was not made")).to_be_visible(timeout=60_000)
    expect(shopper.page.get_by_text("account has been closed")).to_be_visible()
    shopper.follow("Pay again")
    shopper.pay()
    shopper.page.wait_for_url(ORDER)
    expect(shopper.heading("Thank you")).to_be_visible()
    assert len(shopper.shop.charged(order["id"])) == 1


def test_money_without_stock_is_not_asked_for_again(shopper: Shopper) -> None:
    """The shopper's own page has confirmed the payment after a decline, when the last piece was sold."""
    product = shopper.product()
    order = shopper.order(product)
    declined = "async ([id]) => (await import('/storefront/shop.js')).pay(id, 'tok_chargeDeclined').catch(() => {})"
    shopper.tab.run(declined, [order["id"]])
    sold_out = {"inventory": {"type": "finite", "quantity": 0}}
    shopper.shop.ask("PUT", f"/api/products/{product['id']}/", json=sold_out).raise_for_status()
    [charge] = shopper.shop.arrived("charges", order_id=order["id"])
    stripe = f"{shopper.shop.sandbox_url}/stripe/v1"
    payment, key = charge["payment_intent"], ("sk_sandbox", "")
    asked = {"url": f"{stripe}/payment_intents/{payment}/confirm", "data": {"payment_method": "pm_card_visa"}}
    requests.post(**asked, auth=key, timeout=REQUEST_TIMEOUT_S).raise_for_status()
    eventually(lambda: shopper.tab.run(STATUS, [order["id"]]) == "taken")
    shopper.open(f"/order/{order['id']}")
    expect(shopper.heading("We have your payment")).to_be_visible()
    expect(shopper.page.get_by_role("link", name="Pay")).to_have_count(0)
    refund = {"url": f"{stripe}/refunds", "data": {"payment_intent": payment}}
    requests.post(**refund, auth=key, timeout=REQUEST_TIMEOUT_S).raise_for_status()
    expect(shopper.page.get_by_role("link", name="Pay")).to_be_visible(timeout=60_000)
