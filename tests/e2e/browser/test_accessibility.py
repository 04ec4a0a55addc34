"""axe-core finds nothing on any page: on a desk's screen and a phone, in light and dark.

Each page that is visited leaves a screenshot in `pages.SCREENSHOTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from launcher.demo import Demo
from launcher.shop import Shop
from tests.browser import DESKTOP, PHONE
from tests.e2e.browser.pages import ORDER, PAYMENT, Shopper, asked_bank, keep_screenshot
from tests.e2e.journeys.shop import Storefront

pytestmark = pytest.mark.timeout(600)

SIZES = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
# What a change of the colours can break.
COLOURS = {"runOnly": ["color-contrast", "link-in-text-block"]}


@pytest.fixture(scope="module")
def ball(running: Shop) -> Iterator[dict[str, Any]]:
    """A product of the demo catalogue, which is loaded so that the screenshots show the shop as its visitors see it."""
    catalogue = Demo(running.url, running.url)
    catalogue.load()
    found = requests.get(f"{running.url}/api/products/", params={"category": "Bouncy ball"}, timeout=30).json()
    yield found["data"][0]
    catalogue.delete()


def _finds_nothing(shopper: Shopper, page: str, dark: bool = True) -> None:
    for scheme, options in (("light", None), ("dark", COLOURS))[: 1 + dark]:
        shopper.page.emulate_media(color_scheme=scheme)
        keep_screenshot(shopper.tab, page, scheme)
        found = Axe().run(shopper.page, options=options)
        assert found.violations_count == 0, f"{page}, {scheme}: {found.generate_report()}"
    assert shopper.tab.run("document.documentElement.scrollWidth - innerWidth") <= 0, f"{page} scrolls sideways"


@SIZES
def test_axe_finds_nothing_in_the_storefront(
    new_shopper: Callable[..., Shopper], ball: dict[str, Any], size: dict[str, int]
) -> None:
    shopper = new_shopper(viewport=size, reduced_motion="reduce")
    shopper.open("/")
    expect(shopper.page.get_by_role("article").first).to_be_visible()
    _finds_nothing(shopper, "start")
    shopper.open(f"/?category={ball['metadata']['category']}")
    expect(shopper.page.get_by_role("article").first).to_be_visible()
    _finds_nothing(shopper, "category")
    shopper.open("/?q=nothing-of-this-name")
    expect(shopper.page.get_by_text("Nothing matches")).to_be_visible()
    _finds_nothing(shopper, "nothing found")
    shopper.open("/cart")
    expect(shopper.page.get_by_text("There is nothing in it yet.")).to_be_visible()
    _finds_nothing(shopper, "empty cart")
    shopper.put_into_cart(ball)
    _finds_nothing(shopper, "product")
    shopper.open("/cart")
    expect(shopper.page.get_by_role("link", name="Go to checkout")).to_be_visible()
    _finds_nothing(shopper, "cart")
    shopper.open("/checkout")
    shopper.press("Continue to delivery")
    expect(shopper.page.get_by_label("Full name")).to_be_focused()
    _finds_nothing(shopper, "address with errors")
    shopper.check_out()
    expect(shopper.page.get_by_role("radio").first).to_be_visible()
    _finds_nothing(shopper, "delivery")
    shopper.press("Continue to payment")
    shopper.page.wait_for_url(PAYMENT)
    shopper.pay("Visa ending in 9995")
    expect(shopper.alert()).to_be_visible()
    _finds_nothing(shopper, "declined")
    shopper.pay("Visa ending in 3184")
    expect(shopper.heading("Your bank wants you to confirm")).to_be_visible()
    _finds_nothing(shopper, "bank")
    shopper.pay()
    shopper.page.wait_for_url(ORDER)
    expect(shopper.page.get_by_role("link", name="Shipping label (PDF)")).to_be_visible(timeout=30_000)
    _finds_nothing(shopper, "order")
    shopper.open("/product/prod_none")
    expect(shopper.heading("We cannot find this page")).to_be_visible()
    _finds_nothing(shopper, "unknown product")


@SIZES
def test_axe_finds_nothing_outside_the_storefront(
    shop: Storefront, new_shopper: Callable[..., Shopper], ball: dict[str, Any], size: dict[str, int]
) -> None:
    shopper = new_shopper(viewport=size, reduced_motion="reduce")
    page = shopper.page
    buyer = shop.shopper()
    wanted = {"quality": 2, "sku": ball["skus"]["data"][0]["id"]}
    assert buyer.ask("POST", f"/api/cart/{ball['id']}/buy/", json=wanted).status_code == 200
    order = buyer.checkout().json()
    assert buyer.pay(order).status_code == 200
    page.goto(order["status_url"])
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    _finds_nothing(shopper, "order by token")
    page.emulate_media(media="print")
    _finds_nothing(shopper, "order in print")
    page.emulate_media(media="screen")
    page.goto(f"{order['status_url']}-wrong")
    _finds_nothing(shopper, "order with a wrong token")
    _, bank = asked_bank(shop)
    page.goto(bank)
    _finds_nothing(shopper, "bank asks")
    page.get_by_role("button", name="No, refuse").click()
    expect(page.get_by_role("heading", name="Payment not made")).to_be_visible()
    _finds_nothing(shopper, "bank refused")
    page.goto(shop.sandbox_url)
    expect(page.locator(".entry").first).to_be_visible()
    _finds_nothing(shopper, "sandbox")
    for kind, detail in (("mail", "iframe.mail"), ("label", "iframe.pdf"), ("webhook", ".json")):
        entry = page.locator(f".entry.is-{kind}").first
        entry.locator(".title").click()
        expect(entry.locator(detail)).to_be_visible()
    page.locator("#faults").evaluate("panel => panel.open = true")
    _finds_nothing(shopper, "sandbox with details")
    page.goto(f"{shop.sandbox_url}/?order=or_none")
    expect(page.get_by_text("Nothing matches this filter yet.")).to_be_visible()
    _finds_nothing(shopper, "sandbox without entries")


@SIZES
def test_axe_finds_nothing_in_the_viewer_of_the_api(new_shopper: Callable[..., Shopper], size: dict[str, int]) -> None:
    """The viewer has no dark style."""
    shopper = new_shopper(viewport=size)
    page = shopper.page
    shopper.open("/docs/")
    expect(page.locator(".opblock").first).to_be_visible()
    read = page.locator("#operations-Products-products_get_one_get")
    write = page.locator("#operations-Cart-cart_apply_discount_post")
    for operation in (read, write):
        operation.locator(".opblock-summary-control").click()
        expect(operation.get_by_role("button", name="Execute")).to_be_visible()
    read.get_by_placeholder("product_id").fill("prod_none")
    read.get_by_role("button", name="Execute").click()
    expect(read.get_by_text("Response headers")).to_be_visible()
    _finds_nothing(shopper, "docs", dark=False)
