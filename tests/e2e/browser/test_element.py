"""Stripe's Payment Element in the storefront of a shop with a publishable key; the sandbox plays Stripe.js."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import FrameLocator, Request, Route, expect

from launcher.shop import Shop
from tests.browser import DESKTOP, PHONE
from tests.e2e.browser.pages import ORDER, PAYMENT, Shopper, keep_screenshot, refuse
from tests.e2e.journeys.shop import REQUEST_TIMEOUT_S
from tests.process_coverage import coverage_env

pytestmark = pytest.mark.timeout(600)

GOOD, DECLINED, ASKED = "4242424242424242", "4000000000009995", "4000000000003220"
# The debit of this account is paid after some time.
ACCOUNT = "000123456789"
BACKGROUND = "colour => { document.documentElement.style.background = colour; }"
# A frame is a part of a page, which has the heading and the landmarks.
OF_FRAMES = {"rules": {name: {"enabled": False} for name in ("landmark-one-main", "page-has-heading-one", "region")}}
SCRIPT, PAID, TOKENS = "**/sandbox/js/stripe.js", "**/api/cart/paid/", "**/v1/confirmation_tokens"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The whole shop, with a publishable key."""
    env = {**coverage_env(), "STRIPE_PUBLISHABLE_KEY": "pk_test_sandbox"}
    with Shop.on_free_ports(tmp_path_factory.mktemp("element") / "var", env=env) as shop:
        yield shop


@pytest.fixture
def by_redirect(running: Shop) -> Iterator[None]:
    """The bank asks on a page of its own."""
    options = f"{running.sandbox_url}/sandbox/options/stripe"
    requests.put(options, json={"redirect_to_url": True}, timeout=REQUEST_TIMEOUT_S).raise_for_status()
    yield
    requests.delete(options, timeout=REQUEST_TIMEOUT_S).raise_for_status()


def _fields(shopper: Shopper) -> FrameLocator:
    """The frame of the Payment Element, once it takes entries."""
    frame = shopper.page.frame_locator("iframe[title='Secure payment input frame']")
    expect(frame.get_by_label("Card number").or_(frame.get_by_label("Account number")).first).to_be_visible()
    return frame


def _enter_card(shopper: Shopper, number: str) -> None:
    fields = _fields(shopper)
    fields.get_by_label("Card number").fill(number)
    fields.get_by_label("Expiration date").fill("12 / 40")
    fields.get_by_label("Security code").fill("123")


def _pay(shopper: Shopper) -> None:
    shopper.press(re.compile("^Pay "))


def _opened(shopper: Shopper, number: str) -> dict[str, Any]:
    """A new order whose payment is open, with a card entered."""
    order = shopper.reach_payment(shopper.product())
    _enter_card(shopper, number)
    return order


def _card(request: Request) -> str:
    """What a payment names as its card."""
    card: str = (request.post_data_json or {})["card"]
    return card


def _confirmed(shopper: Shopper, order: dict[str, Any]) -> None:
    """The order is paid, once, and its page says so."""
    shopper.page.wait_for_url(ORDER, timeout=60_000)
    expect(shopper.heading("Thank you")).to_be_visible(timeout=60_000)
    assert urlsplit(shopper.page.url).query == "thanks"
    assert len(shopper.shop.charged(order["id"])) == 1


def _bank(shopper: Shopper) -> FrameLocator:
    """The bank's window over the page."""
    return shopper.page.frame_locator("dialog iframe")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_card_pays_in_the_element(new_shopper: Callable[..., Shopper], size: dict[str, int]) -> None:
    shopper = new_shopper(viewport=size)
    order = _opened(shopper, GOOD)
    expect(shopper.page.get_by_text("Test mode: no money moves.")).to_be_visible()
    _pay(shopper)
    _confirmed(shopper, order)
    assert shopper.tab.run("localStorage.getItem('storefront:attempt ' + location.pathname.split('/')[2])") is None
    own = {urlsplit(url).netloc for url in (shopper.shop.url, shopper.shop.sandbox_url)}
    assert shopper.tab.hosts() == own
    width = shopper.tab.run("document.documentElement.scrollWidth - innerWidth")
    assert width <= 0, "the page scrolls sideways"
    policies = [each for each in shopper.tab.errors if "Content Security Policy" in each or "Trusted" in each]
    assert policies == []


def test_script_is_loaded_on_the_payment_page_only(shopper: Shopper) -> None:
    sandbox = urlsplit(shopper.shop.sandbox_url).netloc
    shopper.put_into_cart(shopper.product())
    shopper.check_out()
    expect(shopper.page.get_by_role("radio").first).to_be_visible()
    assert sandbox not in shopper.tab.hosts()
    shopper.press("Continue to payment")
    shopper.page.wait_for_url(PAYMENT)
    _enter_card(shopper, GOOD)
    assert sandbox in shopper.tab.hosts()
    _pay(shopper)
    shopper.page.wait_for_url(ORDER)


def test_incomplete_card_is_said_and_nothing_is_sent(shopper: Shopper) -> None:
    order = shopper.reach_payment(shopper.product())
    sent = shopper.hold(PAID)
    _fields(shopper).get_by_label("Card number").fill("4242")
    _pay(shopper)
    expect(shopper.alert()).to_contain_text("incomplete")
    expect(_fields(shopper).get_by_label("Card number")).to_have_attribute("aria-invalid", "true")
    assert sent == []
    assert shopper.shop.arrived("charges", order_id=order["id"]) == []


def test_declined_card_is_explained_and_the_next_has_a_new_token(shopper: Shopper) -> None:
    order = _opened(shopper, DECLINED)
    with shopper.page.expect_request(PAID) as first:
        _pay(shopper)
    expect(shopper.alert()).to_contain_text("insufficient funds")
    expect(shopper.alert()).to_contain_text("Nothing was charged.")
    _enter_card(shopper, GOOD)
    with shopper.page.expect_request(PAID) as second:
        _pay(shopper)
    _confirmed(shopper, order)
    tokens = [_card(each.value) for each in (first, second)]
    assert all(token.startswith("ctoken_") for token in tokens)
    assert len(set(tokens)) == 2


def test_bank_confirms_in_a_window_of_the_page(shopper: Shopper) -> None:
    order = _opened(shopper, ASKED)
    _pay(shopper)
    _bank(shopper).get_by_role("button", name="Yes, confirm").click()
    _confirmed(shopper, order)


def test_bank_that_refuses_in_its_window_leaves_the_order_open(shopper: Shopper) -> None:
    order = _opened(shopper, ASKED)
    _pay(shopper)
    _bank(shopper).get_by_role("button", name="No, refuse").click()
    expect(shopper.alert()).to_contain_text("unable to authenticate")
    assert shopper.shop.charged(order["id"]) == []
    _enter_card(shopper, GOOD)
    _pay(shopper)
    _confirmed(shopper, order)


@pytest.mark.usefixtures("by_redirect")
def test_bank_confirms_on_a_page_of_its_own(shopper: Shopper) -> None:
    order = _opened(shopper, ASKED)
    _pay(shopper)
    shopper.page.get_by_role("button", name="Yes, confirm").click()
    _confirmed(shopper, order)


@pytest.mark.usefixtures("by_redirect")
def test_bank_that_refuses_on_its_page_leads_back_to_the_form(shopper: Shopper) -> None:
    order = _opened(shopper, ASKED)
    _pay(shopper)
    shopper.page.get_by_role("button", name="No, refuse").click()
    shopper.page.wait_for_url(PAYMENT)
    expect(shopper.alert()).to_contain_text("Nothing was charged.")
    assert "secret" not in shopper.page.url
    shopper.page.reload()
    expect(shopper.page.get_by_text("its outcome is not known")).to_have_count(0)
    _enter_card(shopper, GOOD)
    _pay(shopper)
    _confirmed(shopper, order)


@pytest.mark.usefixtures("by_redirect")
def test_shopper_who_turns_back_from_the_bank_goes_on(shopper: Shopper) -> None:
    order = _opened(shopper, ASKED)
    _pay(shopper)
    expect(shopper.heading("Confirm a payment")).to_be_visible()
    shopper.page.go_back()
    shopper.press("Go on with the payment")
    shopper.page.get_by_role("button", name="Yes, confirm").click()
    _confirmed(shopper, order)


@pytest.mark.usefixtures("by_redirect")
def test_shop_that_has_not_heard_from_the_bank_is_asked(shopper: Shopper) -> None:
    order = _opened(shopper, ASKED)
    with shopper.page.expect_request(PAID) as first:
        _pay(shopper)
    expect(shopper.heading("Confirm a payment")).to_be_visible()
    # The order's page, the payment page, and the look before a payment see the order as it was.
    unpaid = {**order, "payment": {"status": "requires_action", "failure": None}}
    shopper.page.route(f"**/api/orders/{order['id']}/", lambda route: route.fulfill(json=unpaid), times=3)
    with shopper.page.expect_request(PAID) as second:
        shopper.page.get_by_role("button", name="Yes, confirm").click()
    _confirmed(shopper, order)
    assert _card(first.value) == _card(second.value)


@pytest.mark.usefixtures("by_redirect")
def test_refusal_that_the_page_has_not_seen_is_learned(shopper: Shopper) -> None:
    order = _opened(shopper, ASKED)
    _pay(shopper)
    expect(shopper.heading("Confirm a payment")).to_be_visible()
    refusal = requests.post(shopper.page.url, json={"result": "fail"}, timeout=REQUEST_TIMEOUT_S)
    refusal.raise_for_status()
    shopper.page.go_back()
    shopper.press("Go on with the payment")
    expect(shopper.alert()).to_contain_text("Nothing was charged.")
    _enter_card(shopper, GOOD)
    _pay(shopper)
    _confirmed(shopper, order)


def test_bank_debit_is_shown_as_processing(shopper: Shopper) -> None:
    order = shopper.reach_payment(shopper.product())
    fields = _fields(shopper)
    fields.get_by_text("US bank account", exact=True).click()
    fields.get_by_label("Full name").fill("Chloe Taylor")
    fields.get_by_label("Routing number").fill("110000000")
    fields.get_by_label("Account number").fill(ACCOUNT)
    _pay(shopper)
    shopper.page.wait_for_url(ORDER)
    expect(shopper.heading("Your bank is processing your payment")).to_be_visible()
    [charge] = shopper.shop.arrived("charges", order_id=order["id"])
    url = f"{shopper.shop.sandbox_url}/sandbox/payments/{charge['payment_intent']}"
    requests.post(url, json={"result": "succeed"}, timeout=REQUEST_TIMEOUT_S).raise_for_status()
    expect(shopper.heading("Your parcel")).to_be_visible(timeout=60_000)
    assert len(shopper.shop.charged(order["id"])) == 1


@pytest.mark.parametrize("reload", [False, True], ids=["open", "reloaded"])
def test_lost_answer_is_asked_for_with_the_same_token(shopper: Shopper, reload: bool) -> None:
    order = _opened(shopper, GOOD)
    tokens: list[str] = []

    def note(route: Route) -> None:
        tokens.append(_card(route.request))
        if len(tokens) == 1:
            refuse(route)
        else:
            route.continue_()

    shopper.page.route(PAID, note)
    _pay(shopper)
    expect(shopper.alert()).to_contain_text("Nothing was done.")
    if reload:
        shopper.page.reload()
        expect(shopper.alert()).to_contain_text("its outcome is not known")
    shopper.press("Go on with the payment" if reload else "Try again")
    _confirmed(shopper, order)
    assert len(tokens) == 2
    assert len(set(tokens)) == 1


def test_wrong_entry_keeps_the_attempt_whose_outcome_is_unknown(shopper: Shopper) -> None:
    order = _opened(shopper, GOOD)
    shopper.page.route(PAID, refuse, times=1)
    _pay(shopper)
    expect(shopper.alert()).to_contain_text("Nothing was done.")
    _fields(shopper).get_by_label("Card number").fill("4242")
    _pay(shopper)
    expect(shopper.alert()).to_contain_text("incomplete")
    shopper.page.reload()
    shopper.press("Go on with the payment")
    _confirmed(shopper, order)


def test_total_that_changes_while_the_token_is_made_is_not_charged(shopper: Shopper) -> None:
    order = _opened(shopper, GOOD)
    dearest = max(order["shipping_methods"], key=lambda each: each["amount"])
    held, sent = shopper.hold(TOKENS), shopper.hold(PAID)
    with shopper.page.expect_request(TOKENS):
        _pay(shopper)
    choose = "async ([id, method]) => (await import('/storefront/shop.js')).chooseShipping(id, method)"
    changed = shopper.tab.run(choose, [order["id"], dearest["id"]])  # as in another tab
    assert changed["amount"] != order["amount"]
    held[0].continue_()
    expect(shopper.alert()).to_contain_text("The total has changed")
    assert sent == []


def test_long_wait_is_said_and_the_next_press_has_a_new_token(shopper: Shopper) -> None:
    order = _opened(shopper, GOOD)
    tokens: list[str] = []

    def busy(route: Route) -> None:
        tokens.append(_card(route.request))
        if len(tokens) == 1:
            problem = {"type": "about:blank", "title": "Busy", "status": 409, "detail": "Too much waits for banks."}
            headers = {"Retry-After": "60", "Content-Type": "application/problem+json"}
            route.fulfill(status=409, headers=headers, body=json.dumps(problem))
        else:
            route.continue_()

    shopper.page.route(PAID, busy)
    _pay(shopper)
    expect(shopper.alert()).to_contain_text("Too much waits for banks.")
    shopper.press("Try again")
    _confirmed(shopper, order)
    assert len(set(tokens)) == 2


def test_canceled_window_shows_what_another_tab_has_paid(shopper: Shopper) -> None:
    order = _opened(shopper, ASKED)
    _pay(shopper)
    expect(_bank(shopper).get_by_role("button", name="Yes, confirm")).to_be_visible()
    paid = "async ([id, card]) => (await import('/storefront/shop.js')).pay(id, card)"
    assert shopper.tab.run(paid, [order["id"], "tok_visa"])["status"] in ("paid", "fulfilled")  # as in another tab
    shopper.press("Cancel")
    _confirmed(shopper, order)


def test_bank_that_leads_to_another_browser_is_explained(shopper: Shopper) -> None:
    for status, said in (("succeeded", "Your payment goes on"), ("failed", "Your payment was not made")):
        shopper.open(f"/order/or_none?payment_intent_client_secret=pi_1_secret_1&redirect_status={status}")
        expect(shopper.heading(said)).to_be_visible()
        assert "secret" not in shopper.page.url


def test_two_presses_pay_once(shopper: Shopper) -> None:
    order = _opened(shopper, GOOD)
    made: list[str] = []
    shopper.page.on(
        "request", lambda request: made.append(request.url) if "confirmation_tokens" in request.url else None
    )
    shopper.page.get_by_role("button", name=re.compile("^Pay ")).dblclick()
    _confirmed(shopper, order)
    assert len(made) == 1


def test_form_that_cannot_be_loaded_is_said_and_tried_again(shopper: Shopper) -> None:
    shopper.page.route(SCRIPT, lambda route: route.abort())
    order = shopper.reach_payment(shopper.product())
    expect(shopper.alert()).to_contain_text("The payment form could not be loaded.")
    shopper.page.unroute(SCRIPT)
    shopper.press("Try again")
    _enter_card(shopper, GOOD)
    _pay(shopper)
    _confirmed(shopper, order)


def test_script_that_arrives_late_is_used(shopper: Shopper) -> None:
    held = shopper.hold(SCRIPT)
    order = shopper.reach_payment(shopper.product())
    expect(shopper.alert()).to_contain_text("The payment form could not be loaded.", timeout=60_000)
    held[0].continue_()
    shopper.press("Try again")
    _enter_card(shopper, GOOD)
    _pay(shopper)
    _confirmed(shopper, order)
    assert len(held) == 1


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_around_and_in_the_element(new_shopper: Callable[..., Shopper], size: dict[str, int]) -> None:
    shopper = new_shopper(viewport=size, reduced_motion="reduce")
    _opened(shopper, DECLINED)
    _finds_nothing(shopper, "element")
    _pay(shopper)
    expect(shopper.alert()).to_contain_text("insufficient funds")
    _finds_nothing(shopper, "element declined")
    _enter_card(shopper, ASKED)
    _pay(shopper)
    expect(_bank(shopper).get_by_role("button", name="Yes, confirm")).to_be_visible()
    _finds_nothing(shopper, "element bank")


def _finds_nothing(shopper: Shopper, page: str) -> None:
    for scheme in ("light", "dark"):
        shopper.page.emulate_media(color_scheme=scheme)
        keep_screenshot(shopper.tab, page, scheme)
        # The fields are transparent. axe would think that there is white behind them.
        paper = shopper.tab.run("getComputedStyle(document.body).backgroundColor")
        for frame in shopper.page.frames:
            if frame.url.endswith("/frame.html"):
                frame.evaluate(BACKGROUND, paper)
            found = Axe().run(frame, options=None if frame == shopper.page.main_frame else OF_FRAMES)
            assert found.violations_count == 0, f"{page}, {scheme}, {frame.url}: {found.generate_report()}"
            if frame.url.endswith("/frame.html"):
                frame.evaluate(BACKGROUND, "")
