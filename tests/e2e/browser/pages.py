"""What a shopper does in the storefront, found by what a screen reader says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Locator, Route, expect

from tests.browser import Tab
from tests.e2e.journeys.shop import HOME, Storefront, unique

DELIVERY = re.compile(r"/checkout/[\w-]+/delivery$")
PAYMENT = re.compile(r"/checkout/[\w-]+/payment$")
ORDER = re.compile(r"/order/[\w-]+(\?thanks)?$")
# Kept by continuous integration, and ignored by git.
SCREENSHOTS = Path(__file__).parents[3] / "test-output" / "screenshots"
CUSTOMER = {"email": "chloe@example.com", "phone": "+14155550123", "name": "Chloe Taylor", "address": HOME}


def asked_bank(shop: Storefront) -> tuple[dict[str, Any], str]:
    """A new order whose payment waits for the shopper's bank, and the URL of the bank's page."""
    shopper = shop.shopper()
    order = shopper.order(shop.product(name=unique("Whale "))["id"])
    answer = shopper.pay(order, "pm_card_authenticationRequired")
    assert answer.status_code == 402, answer.text
    page: str = answer.json()["next_action"]["redirect_to_url"]["url"]
    return order, page


def keep_screenshot(tab: Tab, page: str, scheme: str) -> None:
    """Keep what a page looks like; `scheme` is light or dark."""
    name = f"{page.replace(' ', '-')}-{tab.run('innerWidth')}-{scheme}.jpg"
    tab.page.screenshot(path=SCREENSHOTS / name, type="jpeg", quality=60)


def lose_answer(route: Route) -> None:
    """Let the shop do what is asked, and say that the outcome is unknown. The client does not repeat it."""
    route.fetch()
    refuse(route)


def refuse(route: Route) -> None:
    """Answer in place of the shop."""
    problem = {"type": "about:blank", "title": "Refused", "status": 503, "detail": "Nothing was done."}
    route.fulfill(status=503, json=problem, content_type="application/problem+json")


class Shopper:
    """Somebody with the storefront in a browser.

    Attributes:
        page: Playwright's.
    """

    def __init__(self, shop: Storefront, tab: Tab) -> None:
        self.shop = shop
        self.tab = tab
        self.page = tab.page

    @property
    def order_id(self) -> str:
        """The id in the page's address."""
        found = re.search(r"or_\w+", self.page.url)
        assert found
        return found[0]

    @property
    def path(self) -> str:
        return urlsplit(self.page.url).path

    def open(self, path: str) -> None:
        self.page.goto(self.shop.url + path)

    def heading(self, text: str | re.Pattern[str]) -> Locator:
        return self.page.get_by_role("heading", name=text)

    def press(self, name: str | re.Pattern[str]) -> None:
        self.page.get_by_role("button", name=name).click()

    def follow(self, name: str | re.Pattern[str]) -> None:
        self.page.get_by_role("link", name=name).first.click()

    def product(self, **changes: Any) -> dict[str, Any]:
        """A new product of the shop, in a category of its own."""
        name = unique("Whale ")
        return self.shop.product(**{"name": name, "metadata": {"category": unique("c")}, "price": 1290, **changes})

    def put_into_cart(self, product: dict[str, Any]) -> None:
        self.open(f"/product/{product['id']}")
        self.press("Add to cart")
        expect(self.page.get_by_text("in your cart.")).to_be_visible()

    def order(self, product: dict[str, Any]) -> dict[str, Any]:
        """A new, unpaid order of this browser's cart, made without the pages: a file of the shop has its origin."""
        self.open("/storefront/client.js")
        made: dict[str, Any] = self.tab.run(
            """async ([id, customer]) => {
                const shop = new (await import("/storefront/client.js")).Shop();
                await shop.buy(id);
                return shop.checkout(customer);
            }""",
            [product["id"], CUSTOMER],
        )
        return made

    def check_out(self) -> None:
        """From the cart to the choice of delivery."""
        self.open("/cart")
        self.follow("Go to checkout")
        self.press("Use the example address")
        self.press("Continue to delivery")
        self.page.wait_for_url(DELIVERY)

    def reach_payment(self, product: dict[str, Any]) -> dict[str, Any]:
        """Open the payment of a new order, which it returns."""
        order = self.order(product)
        self.open(f"/checkout/{order['id']}/payment")
        return order

    def hold(self, urls: str) -> list[Route]:
        """The requests to these URLs, from now on. Each waits until the test answers it."""
        held: list[Route] = []

        def keep(route: Route) -> None:
            held.append(route)

        self.page.route(urls, keep)
        return held

    def pay(self, card: str = "Visa ending in 4242") -> None:
        self.page.get_by_role("radio", name=re.compile(re.escape(card))).check()
        self.press(re.compile("^Pay "))

    def answer_bank(self, answer: str) -> None:
        """Press a button in the bank's tab, and wait until that shows the result.

        The tab stays open: closing one that may still navigate can hang. The profile ends it.
        """
        with self.page.context.expect_page() as opened:
            self.follow("Open my bank")
        bank = opened.value
        bank.get_by_role("button", name=answer, exact=True).click()
        expect(bank.get_by_text("go back to the shop")).to_be_visible()

    def alert(self) -> Locator:
        return self.page.get_by_role("alert")
