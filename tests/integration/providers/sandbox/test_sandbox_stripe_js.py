"""The stand-in for Stripe.js in Chromium, in the page of a shop of another origin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import stripe
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import FrameLocator, Locator, expect

from tests.browser import PHONE, Tab
from tests.integration.providers.sandbox.process import Sdks
from tests.integration.providers.sandbox.test_sandbox_stripe_payments import new_intent

PAGE = """<!doctype html><html lang="en"><head><title>A shop</title>
<meta name="viewport" content="width=device-width"><meta http-equiv="Content-Security-Policy" content="default-src
'none'; script-src {sandbox} {own}; frame-src {sandbox}; style-src 'self'; require-trusted-types-for 'script'">
<script src="{sandbox}/sandbox/js/stripe.js"></script><script src="shop.js"></script></head>
<body><main><h1>A shop</h1><form><div id="payment"></div><button>Pay</button></form></main></body></html>"""
SCRIPT = """
const stripe = Stripe("pk_test_sandbox", { locale: "en" });
const happened = [];
let elements, element, presses = 0;
addEventListener("DOMContentLoaded", () => {
  elements = stripe.elements({ mode: "payment", amount: 446, currency: "usd" });
  element = elements.create("payment");
  for (const name of ["ready", "change", "loaderror"]) element.on(name, (event) => {
    happened.push([name, event]);
    document.body.dataset.happened = name;
  });
  element.mount("#payment");
  document.forms[0].addEventListener("submit", (event) => { event.preventDefault();
    document.body.dataset.presses = ++presses; });
});
async function collect(params) {
  const { error } = await elements.submit();
  return error ? { error } : stripe.createConfirmationToken({ elements, params });
}
"""
# The page around the frame has the landmarks and the heading.
RULES_OF_WHOLE_PAGES = {name: {"enabled": False} for name in ("landmark-one-main", "page-has-heading-one", "region")}


@pytest.fixture
def shop(sdks: Sdks, tmp_path: Path, serve_folder: Callable[[Path], int]) -> Iterator[str]:
    """The address of a page with a Payment Element."""
    port = serve_folder(tmp_path)
    own = f"http://127.0.0.1:{port}"
    (tmp_path / "index.html").write_text(PAGE.format(sandbox=sdks.url, own=own))
    (tmp_path / "shop.js").write_text(SCRIPT)
    yield own
    assert sdks.delete("/sandbox/options/stripe").status_code == 200


@pytest.fixture
def fields(shop: str, tab: Tab) -> FrameLocator:
    """The fields of the Payment Element, which is ready."""
    tab.page.goto(shop)
    frame = tab.page.frame_locator("#payment iframe")
    expect(frame.get_by_label("Card number")).to_be_visible()
    return frame


def type_card(fields: FrameLocator, number: str = "4242424242424242", expiry: str = "1234", cvc: str = "123") -> None:
    for label, text in (("Card number", number), ("Expiration date", expiry), ("Security code", cvc)):
        fields.get_by_label(label).fill("")
        fields.get_by_label(label).press_sequentially(text)


def collect(tab: Tab, **params: Any) -> Any:
    return tab.run("(params) => collect(params)", params)


def asked(sdks: Sdks, tab: Tab, fields: FrameLocator, number: str, **params: Any) -> stripe.PaymentIntent:
    """An intent whose card, as the Element collects it, requires a confirmation."""
    type_card(fields, number)
    token = collect(tab, **params)["confirmationToken"]["id"]
    changes: Any = {"confirmation_token": token}
    return sdks.stripe.v1.payment_intents.confirm(new_intent(sdks).id, changes)


def begin_action(tab: Tab, intent: stripe.PaymentIntent) -> None:
    tab.run(
        """(clientSecret) => {
        const late = new Promise((resolve) => setTimeout(resolve, 30000, "no outcome"));
        const action = stripe.handleNextAction({ clientSecret }).catch((error) => ({ thrown: error.name }));
        window.outcome = Promise.race([action, late]);
        }""",
        intent.client_secret,
    )


def outcome(tab: Tab) -> Any:
    return tab.run("window.outcome")


def bank(tab: Tab) -> Locator:
    return tab.page.get_by_role("dialog", name="Confirm the payment with your bank")


def press_in_bank(tab: Tab, name: str) -> None:
    bank(tab).locator("iframe").content_frame.get_by_role("button", name=name).click()


def test_typed_card_becomes_a_token_that_pays(sdks: Sdks, tab: Tab, fields: FrameLocator) -> None:
    type_card(fields)
    expect(fields.get_by_label("Card number")).to_have_value("4242 4242 4242 4242")
    expect(fields.get_by_label("Expiration date")).to_have_value("12 / 34")
    params = {"payment_method_data": {"billing_details": {"email": "chloe@example.com"}}}
    made = collect(tab, return_url="https://shop.example/back", **params)["confirmationToken"]
    preview = made["payment_method_preview"]
    assert (preview["card"]["last4"], preview["billing_details"]["email"]) == ("4242", "chloe@example.com")
    assert made["return_url"] == "https://shop.example/back"
    changes: Any = {"confirmation_token": made["id"]}
    assert sdks.stripe.v1.payment_intents.confirm(new_intent(sdks).id, changes).status == "succeeded"
    events = tab.run("happened")
    assert events[0] == ["ready", {"elementType": "payment"}]
    last = {"elementType": "payment", "empty": False, "complete": True, "collapsed": False, "value": {"type": "card"}}
    assert events[-1] == ["change", last]
    assert tab.errors == []


def test_page_of_the_shop_sees_no_card_number(tab: Tab, fields: FrameLocator, shop: str) -> None:
    type_card(fields, "5555555555554444")
    made = collect(tab)["confirmationToken"]
    assert "5555555555554444" not in str(made) + str(tab.run("happened")) + str(tab.run("document.body.outerHTML"))
    assert tab.run("document.querySelector('#payment iframe').contentDocument") is None


@pytest.mark.parametrize(
    ("typed", "code", "label"),
    [
        ({"number": "4242"}, "incomplete_number", "Card number"),
        ({"number": "4242424242424241"}, "invalid_number", "Card number"),
        ({"expiry": "1220"}, "invalid_expiry_year_past", "Expiration date"),
        ({"cvc": "1"}, "incomplete_cvc", "Security code"),
    ],
)
def test_wrong_field_is_marked_and_focused(
    tab: Tab, fields: FrameLocator, typed: dict[str, str], code: str, label: str
) -> None:
    type_card(fields, **typed)
    error = collect(tab)["error"]
    assert (error["type"], error["code"]) == ("validation_error", code)
    field = fields.get_by_label(label)
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(error["message"])


def test_refused_card_is_an_error_of_the_token(sdks: Sdks, tab: Tab, fields: FrameLocator) -> None:
    type_card(fields)
    sdks.put("/sandbox/faults/stripe", json={"error_rate": 1, "error_status": 500, "times": 1})
    assert collect(tab)["error"]["type"] == "api_error"
    assert "confirmationToken" in collect(tab)


def test_bank_account_becomes_a_token(tab: Tab, fields: FrameLocator) -> None:
    fields.get_by_label("US bank account").check()
    assert collect(tab)["error"]["code"] == "incomplete_name"
    fields.get_by_label("Full name of the account holder").fill("Chloe Taylor")
    fields.get_by_label("Routing number").fill("110000000")
    fields.get_by_label("Account number").fill("000222222227")
    preview = collect(tab)["confirmationToken"]["payment_method_preview"]
    assert (preview["type"], preview["us_bank_account"]["last4"]) == ("us_bank_account", "2227")
    assert preview["billing_details"]["name"] == "Chloe Taylor"
    tab.run("elements.update({ currency: 'eur' })")
    expect(fields.get_by_label("US bank account")).to_be_hidden()
    expect(fields.get_by_label("Card number")).to_be_visible()


def test_element_works_with_the_keyboard_alone(tab: Tab, fields: FrameLocator) -> None:
    tab.page.keyboard.press("Tab")
    expect(fields.get_by_label("Card", exact=True)).to_be_focused()
    for text in ("4242424242424242", "1234", "123"):
        tab.page.keyboard.press("Tab")
        tab.page.keyboard.type(text)
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("body")).to_have_attribute("data-presses", "1")
    assert collect(tab)["confirmationToken"]["payment_method_preview"]["card"]["last4"] == "4242"


def test_token_needs_a_submit_first(tab: Tab, fields: FrameLocator) -> None:
    type_card(fields)
    said = tab.run("stripe.createConfirmationToken({ elements }).catch((error) => `${error.name}: ${error.message}`)")
    assert said.startswith("IntegrationError: elements.submit() must be called")
    assert tab.run("(() => { try { Stripe('sk_test_1'); } catch (error) { return error.name; } })()") == (
        "IntegrationError"
    )


def test_element_says_that_it_cannot_be_loaded(tab: Tab, shop: str) -> None:
    tab.page.clock.install()
    tab.page.route("**/sandbox/js/frame.html", lambda route: route.abort())
    tab.page.goto(shop)
    tab.page.clock.fast_forward(20_000)
    expect(tab.page.locator("body")).to_have_attribute("data-happened", "loaderror")
    assert tab.run("happened[0][0] + happened[0][1].error.type") == "loaderrorapi_connection_error"


def test_confirmed_challenge_pays(sdks: Sdks, tab: Tab, fields: FrameLocator) -> None:
    intent = asked(sdks, tab, fields, "4000000000003220", return_url="https://shop.example/back")
    begin_action(tab, intent)
    expect(bank(tab).locator("iframe").content_frame.get_by_text("4.46")).to_be_visible()
    press_in_bank(tab, "Yes, confirm")
    assert outcome(tab)["paymentIntent"]["status"] == "succeeded"
    expect(bank(tab)).to_have_count(0)
    assert tab.run("(secret) => stripe.retrievePaymentIntent(secret)", intent.client_secret) == outcome(tab)
    begin_action(tab, intent)
    assert outcome(tab) == {"thrown": "IntegrationError"}
    assert tab.errors == []


@pytest.mark.parametrize("how", ["refuse", "cancel", "escape"])
def test_refused_challenge_is_an_error(sdks: Sdks, tab: Tab, fields: FrameLocator, how: str) -> None:
    intent = asked(sdks, tab, fields, "4000000000003220")
    begin_action(tab, intent)
    expect(bank(tab).locator("iframe").content_frame.get_by_role("button").first).to_be_visible()
    if how == "refuse":
        press_in_bank(tab, "No, refuse")
    elif how == "cancel":
        bank(tab).get_by_role("button", name="Cancel").click()
    else:
        bank(tab).get_by_role("button", name="Cancel").press("Escape")
    error = outcome(tab)["error"]
    assert error["code"] == "payment_intent_authentication_failure"
    assert error["message"].startswith("We are unable to authenticate your payment method.")
    assert error["payment_intent"]["status"] == "requires_payment_method"
    expect(bank(tab)).to_have_count(0)


def test_decline_after_the_challenge_is_an_error(sdks: Sdks, tab: Tab, fields: FrameLocator) -> None:
    begin_action(tab, asked(sdks, tab, fields, "4000008260003178"))
    press_in_bank(tab, "Yes, confirm")
    error = outcome(tab)["error"]
    assert (error["type"], error["decline_code"]) == ("card_error", "insufficient_funds")


def test_redirect_leads_to_the_bank_and_back(sdks: Sdks, tab: Tab, fields: FrameLocator, shop: str) -> None:
    sdks.put("/sandbox/options/stripe", json={"redirect_to_url": True})
    intent = asked(sdks, tab, fields, "4000000000003220", return_url=f"{shop}/index.html?order=1")
    begin_action(tab, intent)
    tab.page.get_by_role("button", name="Yes, confirm").click()
    tab.page.wait_for_url("**/index.html?order=1&*")
    assert parse_qs(urlsplit(tab.page.url).query) == {
        "order": ["1"],
        "payment_intent": [intent.id],
        "payment_intent_client_secret": [intent.client_secret],
        "redirect_status": ["succeeded"],
    }


def test_bank_page_is_framed_only_with_its_secret(sdks: Sdks) -> None:
    intent = new_intent(sdks, confirm=True, payment_method="pm_card_authenticationRequired")
    page = f"/sandbox/3ds/{intent.id}"

    def ancestors(secret: str) -> str:
        policy = sdks.get(page, params={"client_secret": secret}).headers["Content-Security-Policy"]
        return policy.partition("frame-ancestors ")[2]

    assert (ancestors("wrong"), ancestors(str(intent.client_secret))) == ("'none'", "http: https:")


def test_foreign_window_cannot_connect_to_the_fields(tab: Tab, sdks: Sdks) -> None:
    # Opened by itself: its parent is itself, and nobody may connect.
    tab.page.goto(f"{sdks.url}/sandbox/js/frame.html")
    answered = tab.run(
        """() => new Promise((resolve) => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => resolve(true);
        window.postMessage({ sandbox: "connect", part: "fields", options: {} }, "*", [port2]);
        window.addEventListener("message", () => setTimeout(() => resolve(false)));
        })"""
    )
    assert answered is False


@pytest.mark.parametrize("size", [None, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("theme", ["stripe", "night"])
def test_axe_finds_nothing_in_the_fields(
    open_tab: Callable[..., Tab], sdks: Sdks, shop: str, theme: str, size: Any
) -> None:
    tab = open_tab(**({"viewport": size} if size else {}))
    tab.page.goto(shop)
    fields = tab.page.frame_locator("#payment iframe")
    expect(fields.get_by_label("Card number")).to_be_visible()
    tab.run("(theme) => elements.update({ appearance: { theme } })", theme)
    collect(tab)
    expect(fields.get_by_text("Your card number is incomplete.")).to_be_visible()
    # axe examines the frame as a page of its own: it is of another origin.
    frame = tab.page.frames[1]
    background = "#1a1a22" if theme == "night" else "#fff"
    frame.evaluate("(colour) => { document.documentElement.style.background = colour; }", background)
    found = Axe().run(frame, options={"rules": RULES_OF_WHOLE_PAGES})  # type: ignore[arg-type]
    assert found.violations_count == 0, found.generate_report()
    assert frame.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
