"""The bank's page in Chromium: what it says, by keyboard, and where its answer leads."""

from __future__ import annotations

from urllib.parse import urlsplit

import requests
from playwright.sync_api import expect

from sandbox.settings import STRIPE_KEY
from tests.browser import Tab
from tests.e2e.browser.pages import asked_bank
from tests.e2e.journeys.shop import Storefront, unique


def test_bank_is_answered_by_keyboard(shop: Storefront, tab: Tab) -> None:
    order, page = asked_bank(shop)
    tab.page.goto(page)
    expect(tab.page.get_by_role("heading", name="Confirm a payment")).to_be_visible()
    expect(tab.page.get_by_text(order["id"])).to_be_visible()
    expect(tab.page.get_by_text("Visa ending in 3184")).to_be_visible()
    tab.page.keyboard.press("Tab")
    expect(tab.page.get_by_role("button", name="Yes, confirm")).to_be_focused()
    tab.page.keyboard.press("Enter")
    expect(tab.page.get_by_role("heading", name="Payment confirmed")).to_be_visible()
    assert len(shop.charged(order["id"])) == 1
    tab.page.goto(page)
    expect(tab.page.get_by_text("Nothing to confirm")).to_be_visible()
    assert tab.hosts() == {urlsplit(shop.sandbox_url).netloc}
    assert tab.errors == []


def test_answer_leads_to_the_return_url_of_another_origin(shop: Storefront, tab: Tab) -> None:
    headers = {"Authorization": f"Bearer {STRIPE_KEY}"}
    payment = {
        "amount": "1290",
        "currency": "usd",
        "confirm": "true",
        "payment_method": "pm_card_authenticationRequired",
        "return_url": f"{shop.url}/cart",
        "metadata[order_id]": unique("or_"),
    }
    intents = f"{shop.sandbox_url}/stripe/v1/payment_intents"
    asked = requests.post(intents, data=payment, headers=headers, timeout=30).json()
    tab.page.goto(asked["next_action"]["redirect_to_url"]["url"])
    tab.page.get_by_role("button", name="No, refuse").click()
    tab.page.wait_for_url(f"{shop.url}/cart?payment_intent={asked['id']}&*redirect_status=failed")
    assert tab.errors == []
