"""The sandbox's page in Chromium: live news, its buttons and switches, filters, and mails that run nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Locator, expect

from launcher.shop import Shop
from tests.browser import Tab
from tests.e2e.browser.pages import asked_bank
from tests.e2e.journeys.shop import Storefront, eventually, unique

MAIL_TRIES_SCRIPTS = (
    "<h1>Hello</h1><script>document.title='ran'; parent.ran = true</script>"
    "<img src=x onerror=\"document.title='ran'; parent.ran = true\"><img src='https://tracker.example/pixel.gif'>"
)


class Reader:
    """Somebody with the sandbox's page open."""

    def __init__(self, shop: Storefront, tab: Tab) -> None:
        self.shop = shop
        self.tab = tab
        self.page = tab.page

    def open(self, query: str = "") -> None:
        self.page.goto(f"{self.shop.sandbox_url}/{query}")
        expect(self.page.get_by_text("Live", exact=True)).to_be_visible()

    def entry(self, kind: str, text: str = "") -> Locator:
        return self.page.locator(f".entry.is-{kind}").filter(has_text=text).first

    def said(self, sentence: str) -> None:
        expect(self.page.get_by_role("status")).to_contain_text(sentence)


@pytest.fixture
def reader(shop: Storefront, tab: Tab) -> Iterator[Reader]:
    yield Reader(shop, tab)
    for provider in ("stripe", "shippo"):
        requests.delete(f"{shop.sandbox_url}/sandbox/options/{provider}", timeout=30).raise_for_status()


def paid(shop: Storefront) -> dict[str, Any]:
    shopper = shop.shopper()
    order = shopper.order(shop.product(name=unique("Whale "))["id"])
    assert shopper.pay(order).status_code == 200
    return order


def send_mail(shop: Storefront, subject: str, html: str) -> None:
    mail = {
        "personalizations": [{"to": [{"email": "a@example.com"}], "subject": subject}],
        "from": {"email": "shop@example.com"},
        "content": [{"type": "text/plain", "value": "Hello"}, {"type": "text/html", "value": html}],
    }
    headers = {"Authorization": "Bearer SG.sandbox"}
    sent = requests.post(f"{shop.sandbox_url}/sendgrid/v3/mail/send", json=mail, headers=headers, timeout=30)
    assert sent.status_code == 202, sent.text


def test_mail_is_shown_and_its_scripts_do_not_run(reader: Reader) -> None:
    subject = unique("Hostile ")
    send_mail(reader.shop, subject, MAIL_TRIES_SCRIPTS)
    reader.open("?kind=mail")
    reader.page.get_by_role("button", name=subject).click()
    mail = reader.page.frame_locator("iframe.mail")
    expect(mail.get_by_role("heading", name="Hello")).to_be_visible()
    assert reader.tab.run("[document.title, String(window.ran)]") == ["Sandbox", "undefined"]
    blocked = [said for said in reader.tab.errors if "tracker.example" in said and "violates" in said]
    assert len(blocked) == 1, reader.tab.errors
    assert reader.tab.hosts() == {urlsplit(reader.shop.sandbox_url).netloc, "tracker.example"}  # it was not sent


def test_news_arrives_live_and_leaves_the_focus(reader: Reader) -> None:
    reader.open()
    search = reader.page.get_by_label("Order id")
    search.fill("or_half-typed")
    first, second = unique("News "), unique("News ")
    send_mail(reader.shop, first, "<p>One</p>")
    title = reader.page.get_by_role("button", name=first)
    expect(title).to_be_visible()
    expect(search).to_be_focused()
    expect(search).to_have_value("or_half-typed")
    search.fill("")  # leaving the field filters by what it holds
    title.focus()
    send_mail(reader.shop, second, "<p>Two</p>")
    expect(reader.page.get_by_role("button", name=second)).to_be_visible()
    expect(title).to_be_focused()


@pytest.mark.parametrize(
    ("button", "badge", "charges"), [("Confirm this card", "confirmed", 1), ("Refuse", "refused", 0)]
)
def test_bank_is_answered_by_keyboard_in_the_feed(reader: Reader, button: str, badge: str, charges: int) -> None:
    order, _ = asked_bank(reader.shop)
    reader.open(f"?order={order['id']}")
    reader.entry("payment").get_by_role("button", name=button).focus()
    reader.page.keyboard.press("Enter")
    expect(reader.entry("payment")).to_contain_text(badge)
    expect(reader.entry("payment").get_by_role("button", name=button)).to_have_count(0)
    assert len(reader.shop.charged(order["id"])) == charges


def test_charge_is_disputed_and_lost_on_the_page(reader: Reader) -> None:
    order = paid(reader.shop)
    reader.open(f"?order={order['id']}")
    reader.entry("charge").get_by_role("button", name="Dispute this charge").click()
    reader.said("The charge is disputed.")
    expect(reader.entry("charge")).to_contain_text("disputed")
    expect(reader.entry("charge").get_by_role("button", name="Dispute this charge")).to_have_count(0)
    reader.entry("dispute", "needs response").get_by_role("button", name="The shop loses").click()
    expect(reader.entry("dispute")).to_contain_text("lost")
    expect(reader.entry("dispute").get_by_role("button", name="The shop wins")).to_have_count(0)


def test_webhook_sent_twice_is_handled_once(reader: Reader) -> None:
    order = paid(reader.shop)
    reader.open(f"?order={order['id']}")
    webhook = reader.entry("webhook", "payment_intent.succeeded")
    expect(webhook).to_contain_text("delivered · 200")
    webhook.get_by_role("button", name="Send this webhook twice").click()
    expect(webhook).to_contain_text(re.compile("delivered 3. · 200"))
    mails = reader.shop.arrived("emails", order_id=order["id"])
    assert len(reader.shop.charged(order["id"])) == 1
    assert len(mails) == 1
    assert reader.shop.ask("GET", f"/api/orders/{order['id']}", headers=token(order)).json()["status"] == "paid"


def token(order: dict[str, Any]) -> dict[str, str]:
    return {"Order-Token": order["status_url"].partition("token=")[2]}


def test_fault_is_switched_on_and_off(reader: Reader) -> None:
    reader.open()
    errors = reader.page.get_by_role("group", name="Twilio: its calls").get_by_role("switch", name="Errors")
    faults = f"{reader.shop.sandbox_url}/sandbox/faults/twilio"
    errors.focus()
    reader.page.keyboard.press("Space")
    expect(errors).to_be_checked()
    expect(errors).to_be_focused()
    assert requests.get(faults, timeout=30).json()["error_rate"] == 1
    reader.page.get_by_role("button", name="Clear all faults").click()
    reader.said("All faults are off.")
    expect(errors).not_to_be_checked()
    assert requests.get(faults, timeout=30).json()["error_rate"] == 0


def test_waiting_label_refund_is_decided(reader: Reader) -> None:
    order = paid(reader.shop)
    url = reader.shop.sandbox_url
    label = eventually(lambda: reader.shop.arrived("labels", order_id=order["id"]))[0]["object_id"]
    reader.open(f"?order={order['id']}")
    waits = reader.page.get_by_role("group", name="Shippo: its options").get_by_role("switch", name="Refunds wait")
    waits.click()
    expect(waits).to_be_checked()
    key = {"Authorization": "ShippoToken shippo_sandbox"}
    requests.post(f"{url}/shippo/refunds", json={"transaction": label}, headers=key, timeout=30).raise_for_status()
    entry = reader.entry("label")
    expect(entry).to_contain_text("refund pending")
    entry.get_by_role("button", name="Refund this label").click()
    reader.said("The label is refunded.")
    expect(entry).to_contain_text("refunded")
    reader.page.get_by_role("button", name="Clear all faults").click()
    expect(waits).not_to_be_checked()
    assert requests.get(f"{url}/sandbox/options/shippo", timeout=30).json()["refund_seconds"] == 0


def test_pending_refund_fails_by_its_button(reader: Reader) -> None:
    order = paid(reader.shop)
    reader.open(f"?order={order['id']}")
    pend = reader.page.get_by_role("group", name="Stripe: its options").get_by_role("switch", name="Refunds pend")
    pend.click()
    expect(pend).to_be_checked()
    path = f"{reader.shop.url}/api/orders/{order['id']}/refund/"
    requests.post(path, json={"amount": 100}, timeout=30).raise_for_status()
    entry = reader.entry("refund")
    expect(entry).to_contain_text("pending")
    entry.get_by_role("button", name="Let this refund fail").click()
    reader.said("The refund failed.")
    expect(entry).to_contain_text("not refunded")
    reader.page.get_by_role("button", name="Clear all faults").click()
    expect(pend).not_to_be_checked()


def test_parcel_is_moved_until_it_is_delivered(reader: Reader) -> None:
    order = paid(reader.shop)
    reader.open(f"?order={order['id']}")
    label = reader.entry("label")
    for step in ("in transit", "delivered"):
        label.get_by_role("button", name=f"Move this parcel: {step}").click()
        reader.said(f"The parcel is now: {step}.")
        expect(label.locator(".badge")).to_have_text(step)
    expect(label.get_by_role("button", name="Move this parcel")).to_have_count(0)


def test_stream_connects_again_after_a_restart(running: Shop, reader: Reader) -> None:
    reader.open()
    reader.page.get_by_label("Order id").focus()
    running.kill("sandbox")  # supervisord restarts it
    expect(reader.page.get_by_text("Reconnecting…")).to_be_visible()
    expect(reader.page.get_by_text("Live", exact=True)).to_be_visible()
    news = unique("Back ")
    send_mail(reader.shop, news, "<p>Hello</p>")
    expect(reader.page.get_by_role("button", name=news)).to_be_visible()
    expect(reader.page.get_by_label("Order id")).to_be_focused()


def test_filter_by_order_survives_reload_and_way_back(reader: Reader) -> None:
    order = paid(reader.shop)
    send_mail(reader.shop, other := unique("Other "), "<p>Other</p>")
    reader.open()
    stranger = reader.page.get_by_role("button", name=other)
    expect(stranger).to_be_visible()
    reader.page.get_by_role("link", name=order["id"]).first.click()
    expect(stranger).to_have_count(0)
    expect(reader.page.get_by_text(f"Only order {order['id']}")).to_be_visible()
    reader.page.reload()
    expect(reader.entry("mail")).to_be_visible()
    expect(stranger).to_have_count(0)
    reader.page.go_back()
    expect(stranger).to_be_visible()


def test_filter_without_matches_offers_everything(reader: Reader) -> None:
    reader.open("?order=or_none")
    expect(reader.page.get_by_text("Nothing matches this filter yet.")).to_be_visible()
    reader.page.get_by_role("button", name="Show everything").click()
    expect(reader.page.get_by_text("Nothing matches this filter yet.")).to_be_hidden()


def test_page_is_strict_and_asks_no_other_host(reader: Reader) -> None:
    reader.open()
    policy = requests.get(reader.shop.sandbox_url, timeout=30).headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert reader.tab.hosts() == {urlsplit(reader.shop.sandbox_url).netloc}
    assert reader.tab.errors == []
