"""What the storefront says, and does, when something goes wrong between the cart and the receipt."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import requests
from playwright.sync_api import Route, expect

from launcher.shop import Shop
from tests.e2e.browser.pages import ORDER, Shopper


def test_declined_card_is_explained_and_another_one_pays(shopper: Shopper) -> None:
    shopper.reach_payment(shopper.product())
    shopper.pay("Visa ending in 9995")
    expect(shopper.alert()).to_contain_text("insufficient funds")
    expect(shopper.alert()).to_contain_text("Nothing was charged.")
    why, charged = (paragraph.bounding_box() for paragraph in shopper.alert().locator("p").all())
    assert why
    assert charged
    assert charged["y"] >= why["y"] + why["height"]
    shopper.pay()
    shopper.page.wait_for_url(ORDER)
    assert len(shopper.shop.charged(shopper.order_id)) == 1


@pytest.mark.parametrize("reload", [False, True], ids=["open", "reloaded"])
def test_bank_confirms_in_another_tab(shopper: Shopper, reload: bool) -> None:
    shopper.reach_payment(shopper.product())
    shopper.pay("Visa ending in 3184")
    expect(shopper.heading("Your bank wants you to confirm")).to_be_visible()
    if reload:
        shopper.page.reload()
        expect(shopper.heading("Your bank wants you to confirm")).to_be_visible()
    shopper.answer_bank("Yes, confirm")
    shopper.page.wait_for_url(ORDER, timeout=60_000)
    assert len(shopper.shop.charged(shopper.order_id)) == 1


def test_bank_that_refuses_leaves_the_order_open(shopper: Shopper) -> None:
    shopper.reach_payment(shopper.product())
    shopper.pay("Visa ending in 3184")
    shopper.answer_bank("No, refuse")
    shopper.pay()
    shopper.page.wait_for_url(ORDER)
    assert len(shopper.shop.charged(shopper.order_id)) == 1


def test_stock_gone_before_the_payment_is_said(shopper: Shopper) -> None:
    product = shopper.product(inventory={"type": "finite", "quantity": 1})
    shopper.reach_payment(product)
    other = shopper.shop.shopper()
    assert other.pay(other.order(product["id"])).status_code == 200
    shopper.pay()
    expect(shopper.alert()).to_contain_text(product["name"])
    expect(shopper.page.get_by_role("link", name="Change the cart")).to_be_visible()
    assert shopper.shop.charged(shopper.order_id) == []


def test_provider_that_is_down_is_said_and_paying_again_works(shopper: Shopper) -> None:
    shopper.reach_payment(shopper.product())
    fault = f"{shopper.shop.sandbox_url}/sandbox/faults/stripe"
    requests.put(fault, json={"error_rate": 1, "error_status": 503}, timeout=30).raise_for_status()
    shopper.pay()
    expect(shopper.alert()).to_be_visible(timeout=120_000)
    requests.delete(fault, timeout=30).raise_for_status()
    shopper.page.get_by_role("button", name="Try again").click()
    shopper.page.wait_for_url(ORDER, timeout=60_000)
    assert len(shopper.shop.charged(shopper.order_id)) == 1


def test_lost_answer_is_repeated_under_the_same_key(shopper: Shopper) -> None:
    shopper.reach_payment(shopper.product())
    keys: list[str] = []

    def lose_first(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            route.fetch()  # the shop is paid, the answer is lost
            route.abort("connectionreset")
        else:
            route.continue_()

    shopper.page.route("**/api/cart/paid/", lose_first)
    shopper.pay()
    shopper.page.wait_for_url(ORDER)
    assert len(keys) >= 2
    assert len(set(keys)) == 1
    assert len(shopper.shop.charged(shopper.order_id)) == 1


def test_each_press_of_add_to_cart_adds(shopper: Shopper) -> None:
    product = shopper.product()
    for pieces in ("1 item", "2 items"):
        shopper.put_into_cart(product)
        expect(shopper.page.get_by_role("link", name=f"Cart {pieces}")).to_be_visible()


def test_gateway_restarted_in_the_middle_loses_nothing(running: Shop, shopper: Shopper) -> None:
    shopper.reach_payment(shopper.product())
    keys: list[str] = []

    def kill_first(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            running.kill("gateway")  # supervisord restarts it
        route.continue_()

    shopper.page.route("**/api/cart/paid/", kill_first)
    shopper.pay()
    again = shopper.page.get_by_role("button", name="Try again")
    expect(again.or_(shopper.heading("Thank you"))).to_be_visible(timeout=120_000)
    running.wait_ready()
    if again.is_visible():
        shopper.page.reload()  # the key survives it
        shopper.pay()
    shopper.page.wait_for_url(ORDER, timeout=60_000)
    assert len(set(keys)) == 1
    assert len(shopper.shop.charged(shopper.order_id)) == 1


def test_order_of_another_browser_is_not_shown(shopper: Shopper, new_shopper: Callable[..., Shopper]) -> None:
    shopper.reach_payment(shopper.product())
    shopper.pay()
    shopper.page.wait_for_url(ORDER)
    stranger = new_shopper()
    stranger.put_into_cart(stranger.product())
    stranger.open(f"/order/{shopper.order_id}")
    expect(stranger.heading("We cannot find this page")).to_be_visible()


def test_unreachable_shop_is_said(shopper: Shopper) -> None:
    shopper.open("/cart")
    expect(shopper.heading("Your cart")).to_be_visible()
    shopper.page.route(re.compile("/api/"), lambda route: route.abort())
    shopper.follow("Wally")
    expect(shopper.heading("This page could not be loaded")).to_be_visible()
    shopper.page.unroute(re.compile("/api/"))
    shopper.press("Try again")
    expect(shopper.page.get_by_role("heading", level=1)).not_to_have_text("This page could not be loaded")
