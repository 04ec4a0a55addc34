"""axe-core finds nothing on any page of the storefront: on a desk's screen and a phone, in light and dark."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from launcher.place import ROOT
from tests.browser import DESKTOP, PHONE
from tests.e2e.browser.pages import ORDER, PAYMENT, Shopper

RESULT = """axe.run(document).then((found) => found.violations.map(
    (each) => [each.id, each.help, each.nodes.slice(0, 3).map((node) => node.html)]))"""


@functools.cache
def _axe() -> str:
    return Path(ROOT, "tests", "axe", "axe.min.js").read_text(encoding="utf-8")


def _finds_nothing(shopper: Shopper, page: str) -> None:
    shopper.page.evaluate(_axe())
    violations: list[Any] = shopper.page.evaluate(RESULT)
    assert violations == [], page
    assert shopper.tab.run("document.documentElement.scrollWidth - innerWidth") <= 0, f"{page} scrolls sideways"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing(new_shopper: Callable[..., Shopper], size: dict[str, int], scheme: str) -> None:
    shopper = new_shopper(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    product = shopper.product(attributes=["size"], attributes_sku={"size": "large"})
    shopper.open("/")
    expect(shopper.page.get_by_role("article").first).to_be_visible()
    _finds_nothing(shopper, "start")
    shopper.open(f"/?category={product['metadata']['category']}")
    expect(shopper.page.get_by_role("article").first).to_be_visible()
    _finds_nothing(shopper, "category")
    shopper.open("/?q=nothing-of-this-name")
    expect(shopper.page.get_by_text("Nothing matches")).to_be_visible()
    _finds_nothing(shopper, "nothing found")
    shopper.open("/cart")
    expect(shopper.page.get_by_text("There is nothing in it yet.")).to_be_visible()
    _finds_nothing(shopper, "empty cart")
    shopper.put_into_cart(product)
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
