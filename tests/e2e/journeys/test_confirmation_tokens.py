"""Payment as Stripe.js does it: a ConfirmationToken, a page to return to, and the bank's question."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import pytest
import requests

from tests.e2e.journeys.shop import REQUEST_TIMEOUT_S, Shopper, Storefront
from tests.integration.providers.sandbox.process import Sdks


def token(shop: Storefront, card: str, **more: str) -> str:
    """A ConfirmationToken, as the Payment Element makes it."""
    asked: Any = {"payment_method": card, **more}
    return Sdks(shop.sandbox_url).stripe.v1.test_helpers.confirmation_tokens.create(asked).id


def pay(shopper: Shopper, order: dict[str, Any], card: str, **more: str) -> requests.Response:
    return shopper.ask("POST", "/api/cart/paid/", json={"order_id": order["id"], "card": card, **more})


def ordered(shop: Storefront) -> tuple[Shopper, dict[str, Any]]:
    shopper = shop.shopper()
    return shopper, shopper.order(shop.product()["id"])


def test_options_for_stripes_script_are_public(shop: Storefront) -> None:
    answer = shop.ask("GET", "/api/payment/")
    assert answer.status_code == 200
    assert set(answer.json()) == {"publishable_key", "currency", "payment_method_types"}
    assert "card" in answer.json()["payment_method_types"]


def test_confirmation_token_pays_once(shop: Storefront) -> None:
    shopper, order = ordered(shop)
    card = token(shop, "pm_card_visa")
    for _ in range(2):
        assert pay(shopper, order, card).json()["status"] == "paid"
    assert len(shop.charged(order["id"])) == 1
    assert pay(shopper, order, token(shop, "pm_card_visa")).status_code == 409


def test_bank_sends_the_shopper_back_to_the_return_url(shop: Storefront) -> None:
    shopper, order = ordered(shop)
    back = f"{shop.url}/checkout/{order['id']}/payment"
    card = token(shop, "pm_card_authenticationRequired")
    asked = pay(shopper, order, card, return_url=back)
    assert asked.status_code == 402, asked.text
    action = asked.json()["next_action"]["redirect_to_url"]
    assert action["return_url"] == back
    answer = requests.post(action["url"], data={"result": "succeed"}, allow_redirects=False, timeout=REQUEST_TIMEOUT_S)
    assert answer.status_code == 303
    page, _, query = answer.headers["Location"].partition("?")
    assert (page, parse_qs(query)["redirect_status"]) == (back, ["succeeded"])
    assert pay(shopper, order, card, return_url=back).json()["status"] == "paid"


def test_without_return_url_the_script_asks_the_bank(shop: Storefront) -> None:
    shopper, order = ordered(shop)
    card = token(shop, "pm_card_authenticationRequired")
    asked = pay(shopper, order, card).json()
    assert asked["next_action"]["type"] == "use_stripe_sdk"
    payment = asked["client_secret"].split("_secret_")[0]
    bank = f"{shop.sandbox_url}/sandbox/3ds/{payment}"
    requests.post(bank, json={"result": "fail"}, timeout=REQUEST_TIMEOUT_S).raise_for_status()
    assert pay(shopper, order, token(shop, "pm_card_visa")).json()["status"] == "paid"


def test_token_that_the_bank_refused_is_declined(shop: Storefront) -> None:
    shopper, order = ordered(shop)
    card = token(shop, "pm_card_authenticationRequired")
    payment = pay(shopper, order, card).json()["client_secret"].split("_secret_")[0]
    bank = f"{shop.sandbox_url}/sandbox/3ds/{payment}"
    requests.post(bank, json={"result": "fail"}, timeout=REQUEST_TIMEOUT_S).raise_for_status()
    again = pay(shopper, order, card)
    assert (again.status_code, again.json()["type"]) == (402, "urn:shop:problem:payment-declined")
    assert "used" not in again.json()["detail"]
    assert pay(shopper, order, token(shop, "pm_card_visa")).json()["status"] == "paid"


@pytest.mark.parametrize("url", ["https://evil.example/", "javascript:alert(1)", "http://shop@evil.example/"])
def test_bank_cannot_send_the_shopper_elsewhere(shop: Storefront, url: str) -> None:
    shopper, order = ordered(shop)
    refused = pay(shopper, order, token(shop, "pm_card_visa"), return_url=url)
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["return_url"])
    assert shop.charged(order["id"]) == []
