"""What Stripe.js may do in the sandbox with the publishable key, and what nobody may."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import stripe

from sandbox.settings import STRIPE_PUBLISHABLE_KEY
from tests.integration.providers.sandbox.process import Sdks
from tests.integration.providers.sandbox.test_sandbox_stripe_payments import new_intent

RETURN_URL = "https://shop.example/back"
ACCOUNT = {
    "payment_method_data[type]": "us_bank_account",
    "payment_method_data[us_bank_account][routing_number]": "110000000",
    "payment_method_data[us_bank_account][account_number]": "000123456789",
    "payment_method_data[billing_details][name]": "Chloe Taylor",
}


@pytest.fixture(autouse=True)
def _usual_options(sdks: Sdks) -> Iterator[None]:
    yield
    assert sdks.delete("/sandbox/options/stripe").status_code == 200


def ask(sdks: Sdks, method: str, path: str, key: str = STRIPE_PUBLISHABLE_KEY, **more: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return requests.request(method, f"{sdks.url}/stripe/v1/{path}", headers=headers, timeout=sdks.seconds, **more)


def card(number: str, **more: str) -> dict[str, str]:
    fields = {"number": number, "exp_month": "12", "exp_year": "34", "cvc": "123", **more}
    return {"payment_method_data[type]": "card"} | {
        f"payment_method_data[card][{name}]": value for name, value in fields.items()
    }


def collected(sdks: Sdks, data: dict[str, str], **more: str) -> dict[str, Any]:
    answer = ask(sdks, "POST", "confirmation_tokens", data={**data, **more})
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def error(answer: requests.Response) -> tuple[int, str | None, str | None]:
    return answer.status_code, answer.json()["error"].get("code"), answer.json()["error"].get("param")


def confirm(sdks: Sdks, token: str, **asked: Any) -> stripe.PaymentIntent:
    changes: Any = {"confirmation_token": token, **asked}
    return sdks.stripe.v1.payment_intents.confirm(new_intent(sdks).id, changes)


def test_script_collects_a_card_that_pays(sdks: Sdks) -> None:
    made = collected(sdks, card("4242424242424242"))
    assert (made["object"], made["use_stripe_sdk"]) == ("confirmation_token", True)
    assert made["payment_method_preview"]["card"]["last4"] == "4242"
    assert not [name for name in made if name.startswith("_")]
    assert confirm(sdks, made["id"]).status == "succeeded"


def test_script_collects_a_bank_account(sdks: Sdks) -> None:
    made = collected(sdks, ACCOUNT)
    assert made["payment_method_preview"]["us_bank_account"]["last4"] == "6789"
    assert made["payment_method_preview"]["billing_details"]["name"] == "Chloe Taylor"
    assert confirm(sdks, made["id"]).status == "processing"


@pytest.mark.parametrize(
    ("data", "status", "code", "param"),
    [
        (card("4242424242424241"), 402, "incorrect_number", "payment_method_data[card][number]"),
        (card("4242424242424242", exp_year="20"), 402, "invalid_expiry_year", "payment_method_data[card][exp_year]"),
        (card("4242424242424242", token="tok_visa"), 400, None, "payment_method_data[card][token]"),
        (
            {**ACCOUNT, "payment_method_data[us_bank_account][routing_number]": "123456789"},
            *(400, "routing_number_invalid", "payment_method_data[us_bank_account][routing_number]"),
        ),
        (
            {**ACCOUNT, "payment_method_data[us_bank_account][account_number]": "1"},
            *(400, "account_number_invalid", "payment_method_data[us_bank_account][account_number]"),
        ),
        (
            {name: value for name, value in ACCOUNT.items() if "billing" not in name},
            *(400, "parameter_missing", "payment_method_data[billing_details][name]"),
        ),
    ],
)
def test_wrong_card_or_account_is_refused(
    sdks: Sdks, data: dict[str, str], status: int, code: str | None, param: str
) -> None:
    assert error(ask(sdks, "POST", "confirmation_tokens", data=data)) == (status, code, param)


def test_bank_is_asked_by_script_despite_a_return_url(sdks: Sdks) -> None:
    made = collected(sdks, card("4000000000003220"), return_url=RETURN_URL)
    asked = confirm(sdks, made["id"], return_url=RETURN_URL)
    assert asked.next_action is not None
    assert asked.next_action.type == "use_stripe_sdk"


def test_option_redirects_to_the_bank_instead(sdks: Sdks) -> None:
    sdks.put("/sandbox/options/stripe", json={"redirect_to_url": True})
    made = collected(sdks, card("4000000000003220"), return_url=RETURN_URL)
    asked = confirm(sdks, made["id"])
    assert asked.next_action is not None
    assert asked.next_action.redirect_to_url is not None
    assert asked.next_action.redirect_to_url.return_url == RETURN_URL


def test_client_secret_shows_a_part_of_the_intent(sdks: Sdks) -> None:
    intent = new_intent(sdks, metadata={"order_id": "or_1"})
    answer = ask(sdks, "GET", f"payment_intents/{intent.id}", params={"client_secret": intent.client_secret})
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["id"], shown["status"], shown["amount"]) == (intent.id, intent.status, intent.amount)
    assert not {"metadata", "latest_charge", "amount_received", "customer"} & set(shown)


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({}, "parameter_missing", "client_secret"),
        ({"client_secret": "pi_1_secret_2"}, "payment_intent_invalid_parameter", "client_secret"),
        ({"client_secret": "…"}, "payment_intent_invalid_parameter", "client_secret"),
    ],
)
def test_intent_is_not_shown_without_its_secret(sdks: Sdks, params: dict[str, str], code: str, param: str) -> None:
    intent = new_intent(sdks)
    assert error(ask(sdks, "GET", f"payment_intents/{intent.id}", params=params)) == (400, code, param)


def test_client_secret_does_not_expand_the_intent(sdks: Sdks) -> None:
    intent = new_intent(sdks, payment_method="pm_card_visa", confirm=True)
    params = {"client_secret": str(intent.client_secret), "expand[]": "latest_charge"}
    assert error(ask(sdks, "GET", f"payment_intents/{intent.id}", params=params)) == (400, None, "expand")


def test_publishable_key_may_do_nothing_else(sdks: Sdks) -> None:
    routes = [
        *(("GET", "charges"), ("GET", "payment_intents"), ("POST", "refunds"), ("POST", "payment_intents")),
        *(("POST", "test_helpers/confirmation_tokens"), ("GET", "confirmation_tokens/ctoken_1"), ("GET", "nothing")),
    ]
    for method, path in routes:
        assert error(ask(sdks, method, path)) == (403, "secret_key_required", None), path
    with pytest.raises(stripe.PermissionError, match="publishable API key"):
        sdks.stripe_with(STRIPE_PUBLISHABLE_KEY).v1.charges.list()


def test_secret_key_collects_no_card(sdks: Sdks) -> None:
    answer = ask(sdks, "POST", "confirmation_tokens", "sk_sandbox", data=card("4242424242424242"))
    assert answer.status_code == 404
    assert ask(sdks, "GET", "charges", "pk_test_other").status_code == 401
