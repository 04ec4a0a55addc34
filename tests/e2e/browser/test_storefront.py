"""The demo storefront in Chromium: the whole purchase, at two widths, by keyboard, and after a reload at each step."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import expect

from launcher.demo import Demo
from launcher.shop import Shop
from tests.browser import DESKTOP, PHONE
from tests.e2e.browser.pages import DELIVERY, ORDER, PAYMENT, Shopper
from tests.e2e.journeys.shop import eventually


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_shopper_buys(new_shopper: Callable[..., Shopper], size: dict[str, int]) -> None:
    shopper = new_shopper(viewport=size)
    product = shopper.product()
    shopper.open(f"/?category={product['metadata']['category']}")
    shopper.follow(product["name"])
    shopper.press(re.compile("^One more"))
    shopper.press("Add to cart")
    expect(shopper.page.get_by_role("link", name="Cart 2 items")).to_be_visible()
    shopper.check_out()
    shopper.page.get_by_role("radio", name=re.compile("Priority Mail Express")).check()
    expect(shopper.page.get_by_role("row", name=re.compile("Priority Mail Express"))).to_be_visible()
    shopper.press("Continue to payment")
    shopper.page.wait_for_url(PAYMENT)
    shopper.pay()
    shopper.page.wait_for_url(ORDER)
    expect(shopper.heading("Thank you")).to_be_visible()
    assert [charge["paid"] for charge in shopper.shop.arrived("charges", order_id=shopper.order_id)] == [True]
    width = shopper.tab.run("document.documentElement.scrollWidth - innerWidth")
    assert width <= 0, "the page scrolls sideways"
    assert shopper.tab.hosts() == {urlsplit(shopper.shop.url).netloc}
    assert shopper.tab.errors == []


def test_every_step_survives_a_reload_and_the_way_back(shopper: Shopper) -> None:
    product = shopper.product()
    shopper.put_into_cart(product)
    shopper.open("/cart")
    shopper.page.reload()
    expect(shopper.page.get_by_role("link", name=product["name"])).to_be_visible()
    shopper.follow("Go to checkout")
    shopper.press("Use the example address")
    shopper.page.reload()
    expect(shopper.page.get_by_label("Full name")).to_have_value("Chloe Taylor")
    shopper.press("Continue to delivery")
    shopper.page.wait_for_url(DELIVERY)
    shopper.page.get_by_role("radio", name=re.compile("Priority Mail Express")).check()
    expect(shopper.page.get_by_role("row", name=re.compile("Priority Mail Express"))).to_be_visible()
    shopper.page.reload()
    expect(shopper.page.get_by_role("radio", name=re.compile("Priority Mail Express"))).to_be_checked()
    shopper.press("Continue to payment")
    shopper.page.wait_for_url(PAYMENT)
    shopper.page.go_back()
    expect(shopper.heading("How should it travel?")).to_be_visible()
    shopper.page.go_back()
    expect(shopper.page.get_by_label("Full name")).to_have_value("Chloe Taylor")
    shopper.page.go_forward()
    shopper.page.go_forward()
    shopper.page.reload()
    shopper.pay()
    shopper.page.wait_for_url(ORDER)
    shopper.page.reload()
    expect(shopper.page.get_by_text(re.compile("tracking number"))).to_be_visible()
    shopper.page.go_back()  # the payment of a paid order shows the order
    expect(shopper.page.get_by_role("heading", name="Receipt")).to_be_visible()
    assert len(shopper.shop.charged(shopper.order_id)) == 1


def test_order_of_two_parcels_shows_both_numbers(shopper: Shopper) -> None:
    heavy = {"height": 20, "length": 20, "width": 20, "weight": 1120}
    for product in (shopper.product(package_dimensions=heavy), shopper.product(package_dimensions=heavy)):
        shopper.put_into_cart(product)
    shopper.check_out()
    shopper.press("Continue to payment")
    shopper.page.wait_for_url(PAYMENT)
    shopper.pay()
    shopper.page.wait_for_url(ORDER)
    expect(shopper.page.get_by_text(re.compile("tracking numbers"))).to_be_visible()
    expect(shopper.page.locator(".parcel .number")).to_have_count(2)


def test_keyboard_reaches_everything(shopper: Shopper) -> None:
    product = shopper.product()
    shopper.open(f"/?category={product['metadata']['category']}")
    expect(shopper.page.get_by_role("link", name=product["name"])).to_be_visible()
    keys = shopper.page.keyboard
    keys.press("Tab")
    expect(shopper.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    keys.press("Enter")
    expect(shopper.page.get_by_role("main")).to_be_focused()
    keys.press("Tab")
    expect(shopper.page.get_by_role("link", name=product["name"])).to_be_focused()
    keys.press("Enter")
    expect(shopper.heading(product["name"])).to_be_focused()
    shopper.page.get_by_role("button", name="Add to cart").focus()
    keys.press("Enter")
    expect(shopper.page.get_by_role("status")).to_have_text(f"{product['name']} added to your cart.")
    shopper.open("/checkout")
    shopper.page.get_by_role("button", name="Use the example address").focus()
    keys.press("Enter")
    expect(shopper.page.get_by_role("button", name="Continue to delivery")).to_be_focused()
    keys.press("Enter")
    expect(shopper.heading("How should it travel?")).to_be_focused()
    shopper.page.get_by_role("radio").first.focus()
    keys.press("ArrowDown")
    expect(shopper.page.get_by_role("status")).to_have_text(re.compile(r"The total is \$"))


def test_wrong_field_is_named_at_the_field(shopper: Shopper) -> None:
    shopper.put_into_cart(shopper.product())
    shopper.open("/checkout")
    shopper.press("Continue to delivery")
    name = shopper.page.get_by_label("Full name")
    expect(name).to_be_focused()
    expect(name).to_have_accessible_description("Enter your name.")
    shopper.press("Use the example address")
    shopper.page.get_by_label("Email").fill("nobody@nowhere")
    shopper.page.get_by_label("Postal code").fill("")
    shopper.press("Continue to delivery")
    email = shopper.page.get_by_label("Email")
    expect(email).to_have_attribute("aria-invalid", "true")
    expect(email).to_be_focused()
    assert shopper.path == "/checkout"


@pytest.mark.parametrize("choice", ["Use the suggested address", "Keep my address"])
def test_misspelt_address_is_suggested_and_chosen(shopper: Shopper, choice: str) -> None:
    shopper.put_into_cart(shopper.product())
    shopper.open("/checkout")
    shopper.press("Use the example address")
    city = shopper.page.get_by_label("City")
    city.fill("San Jse")
    shopper.press("Continue to delivery")
    expect(shopper.page.get_by_role("alert")).to_contain_text("It suggests: 1092 Indian Summer Ct, San Jose, CA, 95122")
    expect(city).to_have_attribute("aria-invalid", "true")
    shopper.press(choice)
    expect(shopper.heading("How should it travel?")).to_be_visible()


def test_cart_is_changed_and_emptied(shopper: Shopper) -> None:
    first, second = shopper.product(), shopper.product()
    shopper.put_into_cart(first)
    shopper.put_into_cart(second)
    shopper.open("/cart")
    shopper.page.get_by_role("textbox", name=f"Quantity of {first['name']}").fill("3")
    shopper.page.keyboard.press("Tab")
    expect(shopper.page.get_by_role("link", name="Cart 4 items")).to_be_visible()
    expect(shopper.page.get_by_text("$51.60").first).to_be_visible()
    for product in (first, second):
        shopper.press(f"Remove {product['name']}")
        expect(shopper.page.get_by_role("link", name=product["name"])).to_have_count(0)
    expect(shopper.page.get_by_text("There is nothing in it yet.")).to_be_visible()


def test_parcel_moves_while_the_page_is_open(shopper: Shopper) -> None:
    shopper.reach_payment(shopper.product())
    shopper.pay()
    shopper.page.wait_for_url(ORDER)
    number = shopper.page.locator(".number")
    expect(number).to_be_visible()
    for status, said in (("TRANSIT", "On its way."), ("DELIVERED", "Delivered.")):
        track = f"{shopper.shop.sandbox_url}/sandbox/tracks/{number.text_content()}"
        requests.post(track, json={"status": status}, timeout=30).raise_for_status()
        expect(shopper.page.get_by_text(said, exact=True)).to_be_visible()
        expect(shopper.page.get_by_role("status")).to_have_text(f"Your parcel: {said}")


def test_demo_catalogue_is_browsed(running: Shop, new_shopper: Callable[..., Shopper]) -> None:
    catalogue = Demo(running.url, running.url)
    catalogue.load()
    try:
        shopper = new_shopper()
        shopper.open("/")
        expect(shopper.heading("Good things for good animals")).to_be_visible()
        eventually(lambda: shopper.page.get_by_role("article").count() == 12)
        shopper.press("Show more")
        eventually(lambda: shopper.page.get_by_role("article").count() == 24)
        shopper.page.reload()
        eventually(lambda: shopper.page.get_by_role("article").count() == 24)
        shopper.page.get_by_label("Sort by").select_option("-price")
        expect(shopper.page.get_by_role("article").first).to_contain_text("Felt cave")
        shopper.page.get_by_role("searchbox").fill("salmon")
        shopper.page.keyboard.press("Enter")
        expect(shopper.page.get_by_role("status")).to_have_text("Results for “salmon”: 1 product found")
        expect(shopper.page.get_by_role("article")).to_have_count(1)
        shopper.page.go_back()
        expect(shopper.page.get_by_label("Sort by")).to_have_value("-price")
        loaded = "[...document.images].every((each) => each.complete && each.naturalWidth > 0)"
        shopper.page.evaluate("scrollTo(0, document.body.scrollHeight)")
        shopper.page.wait_for_function(loaded)
        assert shopper.tab.errors == []
    finally:
        catalogue.delete()
