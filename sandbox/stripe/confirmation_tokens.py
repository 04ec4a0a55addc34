"""Stripe's ConfirmationTokens: what the shopper entered on the page, used once to confirm a PaymentIntent.

The object: https://docs.stripe.com/api/confirmation_tokens/object
The test helper: https://docs.stripe.com/api/confirmation_tokens/test_create
Stripe.js makes one with the publishable key; a secret key cannot. Then `use_stripe_sdk` holds: Stripe.js asks the bank.
Stripe does not document the error for an expired token; the sandbox assumes its text.
"""

from __future__ import annotations

from typing import Any

from sandbox.ids import alphanumeric
from sandbox.state import without_private
from sandbox.stripe.endpoint import PUBLISHABLE, Desk, Endpoint, Parameters
from sandbox.stripe.errors import StripeFailure, invalid, missing_object
from sandbox.stripe.options import StripeOptions
from sandbox.stripe.params import EXPAND, UNSET, Obj, Str, Type
from sandbox.stripe.payment_methods import (
    COLLECTED,
    INLINE,
    collected_payment_method,
    new_payment_method,
    usable_payment_method,
)

# A token can be used for twelve hours (seconds).
LIFETIME_S = 12 * 3600
_ADDRESS: dict[str, Type] = {name: Str() for name in ("city", "country", "line1", "line2", "postal_code", "state")}
CREATE: dict[str, Type] = {
    "expand": EXPAND,
    "payment_method": Str(),
    "payment_method_data": Obj(INLINE),
    "return_url": Str(),
    "setup_future_usage": Str(choices=("off_session", "on_session")),
    "shipping": Obj(
        {"address": Obj(_ADDRESS, required=True), "name": Str(required=True), "phone": Str(unsettable=True)}
    ),
}


# What Stripe.js sends. A test bank account counts as verified, as if its holder had logged in at the bank.
COLLECT: dict[str, Type] = {
    "payment_method_data": Obj(COLLECTED, required=True),
    "return_url": Str(),
    "setup_future_usage": CREATE["setup_future_usage"],
    "shipping": CREATE["shipping"],
}


def with_token(desk: Desk, asked: Parameters, intent_id: str) -> Parameters:
    """Return the parameters of a confirmation with those of its ConfirmationToken, which is used up.

    What the request says itself takes precedence. StripeFailure when the token is unknown, used, or expired.
    """
    if "confirmation_token" not in asked:
        return asked
    token = desk.state.get("confirmation_token", asked["confirmation_token"])
    if token is None:
        noun = "confirmation_token"
        raise missing_object(noun, asked["confirmation_token"], param=noun, in_path=False)
    if token["payment_intent"] is not None:
        raise _refused("The confirmation token has already been used to confirm a previous PaymentIntent")
    if desk.state.now() >= token["expires_at"]:
        raise _refused("The confirmation token has expired")
    desk.state.put("confirmation_token", token["id"], {**token, "payment_intent": intent_id})
    kept = {"return_url": token["return_url"], "shipping": token["shipping"], "use_stripe_sdk": True}
    if "payment_method_data" not in asked:
        kept["payment_method"] = token["_payment_method"]
    returns = kept["return_url"] is not None or "return_url" in asked
    # The test helper's token has no script that could ask the bank.
    if returns and (not token.get("_by_script") or StripeOptions.of(desk.state).redirect_to_url):
        del kept["use_stripe_sdk"]
    return {name: value for name, value in kept.items() if value is not None} | asked


def _refused(message: str) -> StripeFailure:
    return StripeFailure(message, param="confirmation_token")


def _create(desk: Desk, asked: Parameters) -> Parameters:
    if ("payment_method" in asked) == ("payment_method_data" in asked):
        raise invalid(
            "You must provide exactly one of these parameters: payment_method, payment_method_data.",
            "payment_method",
            "parameter_missing" if "payment_method" not in asked else "parameters_exclusive",
        )
    if "payment_method" in asked:
        method = usable_payment_method(desk, asked["payment_method"])
    else:
        method = new_payment_method(desk, asked["payment_method_data"], "payment_method_data")
    return _store(desk, asked, method, by_script=False)


def _collect(desk: Desk, asked: Parameters) -> Parameters:
    method = collected_payment_method(desk, asked["payment_method_data"], "payment_method_data")
    return _store(desk, asked, method, by_script=True)


def _store(desk: Desk, asked: Parameters, method: Parameters, *, by_script: bool) -> Parameters:
    preview = ("allow_redisplay", "billing_details", "customer", "customer_account", "type", method["type"])
    token: dict[str, Any] = {
        "id": alphanumeric("ctoken_", 24),
        "object": "confirmation_token",
        "created": desk.now(),
        "expires_at": desk.now() + LIFETIME_S,
        "livemode": False,
        "mandate_data": None,
        "metadata": None,
        "payment_intent": None,
        "payment_method_options": None,
        "payment_method_preview": {name: method.get(name) for name in preview},
        "return_url": asked.get("return_url"),
        "setup_future_usage": asked.get("setup_future_usage"),
        "setup_intent": None,
        "shipping": _shipping(asked.get("shipping")),
        "use_stripe_sdk": True,
        "_payment_method": method["id"],
        "_by_script": by_script,
    }
    desk.state.put("confirmation_token", token["id"], token)
    return without_private(token)


def _shipping(asked: Parameters | None) -> Parameters | None:
    if asked is None:
        return None
    phone = asked.get("phone")
    address = {name: asked["address"].get(name) for name in _ADDRESS}
    return {"address": address, "name": asked["name"], "phone": None if phone == UNSET else phone}


def _retrieve(desk: Desk, asked: Parameters, confirmation_token: str) -> Parameters:
    token = desk.state.get("confirmation_token", confirmation_token)
    if token is None:
        raise missing_object("confirmation_token", confirmation_token, param="confirmation_token")
    return without_private(token)


ENDPOINTS = (
    Endpoint("POST", "/v1/test_helpers/confirmation_tokens", CREATE, _create),
    Endpoint("POST", "/v1/confirmation_tokens", COLLECT, _collect, PUBLISHABLE),
    Endpoint("GET", "/v1/confirmation_tokens/{confirmation_token}", {"expand": EXPAND}, _retrieve),
)
