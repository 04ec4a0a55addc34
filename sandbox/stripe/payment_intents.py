"""Stripe's payment intents: created, updated, confirmed, captured, canceled; at most one success."""

from __future__ import annotations

import secrets
from typing import Any

from sandbox.ids import alphanumeric
from sandbox.stripe.confirm import capture, choose_payment_method, confirm
from sandbox.stripe.confirmation_tokens import with_token
from sandbox.stripe.currencies import Currency, check_chargeable
from sandbox.stripe.debit_outcomes import cancel_debit
from sandbox.stripe.endpoint import PUBLISHABLE, SECRET, Desk, Endpoint, Parameters
from sandbox.stripe.errors import invalid, missing_object, unexpected_state
from sandbox.stripe.lists import page
from sandbox.stripe.params import (
    EXPAND,
    PAGE,
    UNSET,
    Bool,
    CreatedRange,
    Int,
    ListOf,
    Metadata,
    Missing,
    Obj,
    Str,
    Type,
    merged,
)
from sandbox.stripe.payment_methods import INLINE

_ADDRESS: dict[str, Type] = {name: Str() for name in ("city", "country", "line1", "line2", "postal_code", "state")}
_SHIPPING: dict[str, Type] = {
    "address": Obj(_ADDRESS, required=True),
    "name": Str(required=True),
    "carrier": Str(),
    "phone": Str(),
    "tracking_number": Str(),
}
_CAPTURE = Str(choices=("automatic", "automatic_async", "manual"))


def _mandate(*, required: bool) -> Type:
    """`mandate_data`, which is accepted but not stored: the sandbox has no mandates. A new intent needs all of it."""
    acceptance: dict[str, Type] = {
        "accepted_at": Int(),
        "offline": Obj({}),
        "online": Obj({"ip_address": Str(required=required), "user_agent": Str(required=required)}),
        "type": Str(choices=("offline", "online"), required=True),
    }
    return Obj({"customer_acceptance": Obj(acceptance, required=required)}, unsettable=True)


_CONFIRMING: dict[str, Type] = {
    "confirmation_token": Str(),
    "error_on_requires_action": Bool(),
    "mandate": Missing("mandate"),
    "mandate_data": _mandate(required=False),
    "off_session": Bool(),
    "radar_options": Obj({"session": Missing("radar session")}),
    "return_url": Str(),
    "use_stripe_sdk": Bool(),
}
_PARTIES: dict[str, Type] = {"customer": Missing("customer"), "customer_account": Missing("account")}
_FUTURE = ("off_session", "on_session")
_SHARED: dict[str, Type] = {
    "allowed_payment_method_types": ListOf(Str()),
    "capture_method": _CAPTURE,
    "excluded_payment_method_types": ListOf(Str(), unsettable=True),
    "expand": EXPAND,
    "payment_method": Str(),
    "payment_method_data": Obj(INLINE),
}
CREATE: dict[str, Type] = {
    **_SHARED,
    **_CONFIRMING,
    **_PARTIES,
    "excluded_payment_method_types": ListOf(Str()),
    "mandate_data": _mandate(required=True),
    "amount": Int(required=True),
    "currency": Currency(required=True),
    "automatic_payment_methods": Obj(
        {"enabled": Bool(required=True), "allow_redirects": Str(choices=("always", "never"))}
    ),
    "confirm": Bool(),
    "confirmation_method": Str(choices=("automatic", "manual")),
    "description": Str(limit=1000),
    "metadata": Metadata(unsettable=True),
    "on_behalf_of": Missing("account"),
    "payment_method_configuration": Missing("payment_method_configuration"),
    "receipt_email": Str(limit=800),
    "setup_future_usage": Str(choices=_FUTURE),
    "shipping": Obj(_SHIPPING),
    "statement_descriptor": Str(limit=22),
    "statement_descriptor_suffix": Str(limit=22),
    "transfer_group": Str(),
}
MODIFY: dict[str, Type] = {
    **_SHARED,
    **_PARTIES,
    "amount": Int(),
    "currency": Currency(),
    "description": Str(limit=1000),
    "metadata": Metadata(unsettable=True),
    "payment_method_configuration": Missing("payment_method_configuration"),
    "receipt_email": Str(limit=800, unsettable=True),
    "setup_future_usage": Str(choices=_FUTURE, unsettable=True),
    "shipping": Obj(_SHIPPING, unsettable=True),
    "statement_descriptor": Str(limit=22),
    "statement_descriptor_suffix": Str(limit=22),
    "transfer_group": Str(),
}
CONFIRM: dict[str, Type] = {
    **_SHARED,
    **_CONFIRMING,
    "receipt_email": Str(limit=800, unsettable=True),
    "setup_future_usage": Str(choices=_FUTURE, unsettable=True),
    "shipping": Obj(_SHIPPING, unsettable=True),
}
CANCEL: dict[str, Type] = {
    "cancellation_reason": Str(choices=("abandoned", "duplicate", "fraudulent", "requested_by_customer")),
    "expand": EXPAND,
}
CAPTURE: dict[str, Type] = {
    "amount_to_capture": Int(least=1),
    "expand": EXPAND,
    "final_capture": Bool(),
    "metadata": Metadata(unsettable=True),
    "statement_descriptor": Str(limit=22),
    "statement_descriptor_suffix": Str(limit=22),
}
LIST: dict[str, Type] = {**PAGE, **_PARTIES, "created": CreatedRange()}
RETRIEVE: dict[str, Type] = {"client_secret": Str(), "expand": EXPAND}
# What a publishable key sees: "it only returns a subset of properties", says
# https://docs.stripe.com/api/payment_intents/retrieve. The sandbox assumes what a page needs, without `metadata`.
_PUBLIC = (
    *("id", "object", "amount", "amount_details", "automatic_payment_methods", "canceled_at", "cancellation_reason"),
    *("capture_method", "client_secret", "confirmation_method", "created", "currency", "description"),
    *("last_payment_error", "livemode", "next_action", "payment_method", "payment_method_configuration_details"),
    *("payment_method_types", "processing", "receipt_email", "setup_future_usage", "shipping", "source", "status"),
)

_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")
# What may still be changed after the payment.
_ALWAYS = frozenset(("description", "expand", "metadata", "receipt_email", "shipping", "transfer_group"))


def stored_intent(desk: Desk, intent_id: str) -> Parameters:
    """Return the payment intent; StripeFailure (404) when it does not exist."""
    intent = desk.state.get("payment_intent", intent_id)
    if intent is None:
        raise missing_object("payment_intent", intent_id, param="intent")
    return intent


def _create(desk: Desk, asked: Parameters) -> Parameters:
    for name in ("confirmation_token", "error_on_requires_action", "off_session", "return_url"):
        if name in asked and not asked.get("confirm"):
            raise invalid(f"You can only pass `{name}` when `confirm` is set to true.", name)
    check_chargeable(asked["amount"], asked["currency"])
    allowed, automatic = asked.get("allowed_payment_method_types"), asked.get("automatic_payment_methods")
    if allowed is not None and automatic is not None:
        raise invalid(
            "You may only specify one of these parameters: automatic_payment_methods, allowed_payment_method_types.",
            "automatic_payment_methods",
            "parameters_exclusive",
        )
    if allowed is None and automatic is None:
        automatic = {"enabled": True}
    if automatic is not None:
        automatic = {"allow_redirects": automatic.get("allow_redirects", "always"), "enabled": automatic["enabled"]}
    intent_id = alphanumeric("pi_", 24)
    asked = with_token(desk, asked, intent_id)
    intent: dict[str, Any] = {
        "id": intent_id,
        "object": "payment_intent",
        "allowed_payment_method_types": allowed,
        "amount": asked["amount"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": automatic,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": asked.get("capture_method", "automatic_async"),
        "client_secret": f"{intent_id}_secret_{alphanumeric('', 25)}",
        "confirmation_method": asked.get("confirmation_method", "automatic"),
        "created": desk.now(),
        "currency": asked["currency"],
        "customer": None,
        "customer_account": None,
        "description": asked.get("description"),
        "excluded_payment_method_types": asked.get("excluded_payment_method_types") or None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "managed_payments": None,
        "metadata": merged({}, asked.get("metadata")),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {"installments": None, "mandate_options": None, "network": None,
                                            "request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "payment_record": None,
        "processing": None,
        "receipt_email": asked.get("receipt_email"),
        "review": None,
        "setup_future_usage": asked.get("setup_future_usage"),
        "shipping": _shipping(asked.get("shipping")),
        "source": None,
        "statement_descriptor": asked.get("statement_descriptor"),
        "statement_descriptor_suffix": asked.get("statement_descriptor_suffix"),
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": asked.get("transfer_group"),
    }  # fmt: skip
    choose_payment_method(desk, intent, asked)
    if asked.get("confirm"):
        return confirm(desk, intent, asked)
    desk.state.put("payment_intent", intent_id, intent)
    return intent


def _shipping(asked: Parameters | str | None) -> Parameters | None:
    if not asked or isinstance(asked, str):
        return None
    address = {name: asked["address"].get(name) for name in _ADDRESS}
    return {**{name: asked.get(name) for name in ("carrier", "name", "phone", "tracking_number")}, "address": address}


def _retrieve(desk: Desk, asked: Parameters, intent: str) -> Parameters | bytes:
    if desk.publishable:
        return _retrieve_public(desk, asked, intent)
    body = desk.state.raw("payment_intent", intent)
    if body is None:
        raise missing_object("payment_intent", intent, param="intent")
    return body


def _retrieve_public(desk: Desk, asked: Parameters, intent: str) -> Parameters:
    """Return what a publishable key may see of an intent, whose `client_secret` it has to know.

    Stripe does not document the error without a `client_secret`; the sandbox assumes that of a missing parameter.
    """
    if "client_secret" not in asked:
        raise invalid("Missing required param: client_secret.", "client_secret", "parameter_missing")
    body = stored_intent(desk, intent)
    if not secrets.compare_digest(body["client_secret"].encode(), asked["client_secret"].encode()):
        raise invalid(
            "The client_secret provided does not match the client_secret associated with the PaymentIntent.",
            "client_secret",
            "payment_intent_invalid_parameter",
        )
    return {name: body[name] for name in _PUBLIC}


def _modify(desk: Desk, asked: Parameters, intent: str) -> Parameters:
    body = stored_intent(desk, intent)
    if body["status"] not in _OPEN:
        refused = sorted(set(asked) - _ALWAYS)
        if refused:
            raise unexpected_state(
                f"This PaymentIntent's {refused[0]} could not be updated because it has a status of "
                f"{body['status']}. You may only update the {refused[0]} of a PaymentIntent with one of the "
                f"following statuses: {', '.join(_OPEN)}.",
                body,
            )
    if "amount" in asked or "currency" in asked:
        wanted = {**body, **asked}
        check_chargeable(wanted["amount"], wanted["currency"])
        if body["status"] == "requires_action":
            # The pending authentication is for the old amount, and no longer for what would be paid.
            body |= {"status": "requires_confirmation", "next_action": None}
    _apply(body, asked)
    choose_payment_method(desk, body, asked)
    desk.state.put("payment_intent", intent, body)
    return body


def _apply(intent: Parameters, asked: Parameters) -> None:
    for name, value in asked.items():
        if name == "metadata":
            intent["metadata"] = merged(intent["metadata"], value)
        elif name == "shipping":
            intent["shipping"] = _shipping(value)
        elif name == "allowed_payment_method_types":
            intent |= {"allowed_payment_method_types": value, "automatic_payment_methods": None}
        elif name not in ("expand", "payment_method", "payment_method_data", *_CONFIRMING):
            intent[name] = None if value == UNSET else value


def _confirm(desk: Desk, asked: Parameters, intent: str) -> Parameters:
    body = stored_intent(desk, intent)
    if body["status"] in _OPEN:
        asked = with_token(desk, asked, intent)
        choose_payment_method(desk, body, asked)
        _apply(body, asked)
    return confirm(desk, body, asked)


def _capture(desk: Desk, asked: Parameters, intent: str) -> Parameters:
    body = stored_intent(desk, intent)
    if body["status"] != "requires_capture":
        raise unexpected_state(
            f"This PaymentIntent could not be captured because it has a status of {body['status']}. Only a "
            "PaymentIntent with one of the following statuses may be captured: requires_capture.",
            body,
        )
    amount: int = asked.get("amount_to_capture") or body["amount_capturable"]
    if amount > body["amount_capturable"]:
        raise invalid(
            f"The amount_to_capture of {amount} is greater than the capturable amount of {body['amount_capturable']}.",
            "amount_to_capture",
            "amount_too_large",
        )
    body["metadata"] = merged(body["metadata"], asked.get("metadata"))
    body |= {name: asked[name] for name in ("statement_descriptor", "statement_descriptor_suffix") if name in asked}
    return capture(desk, body, amount)


def _cancel(desk: Desk, asked: Parameters, intent: str) -> Parameters:
    body = stored_intent(desk, intent)
    if body["status"] not in (*_OPEN, "requires_capture", "processing"):
        raise unexpected_state(
            f"You cannot cancel this PaymentIntent because it has a status of {body['status']}. Only a "
            "PaymentIntent with one of the following statuses may be canceled: requires_payment_method, "
            "requires_capture, requires_confirmation, requires_action, processing.",
            body,
        )
    if body["status"] == "processing":
        cancel_debit(desk, body)
    body |= {
        "amount_capturable": 0,
        "canceled_at": desk.now(),
        "cancellation_reason": asked.get("cancellation_reason"),
        "next_action": None,
        "status": "canceled",
    }
    desk.state.put("payment_intent", intent, body)
    return body


def _list(desk: Desk, asked: Parameters) -> Parameters:
    return page(desk.state, "payment_intent", "/v1/payment_intents", asked)


ENDPOINTS = (
    Endpoint("POST", "/v1/payment_intents", CREATE, _create),
    Endpoint("GET", "/v1/payment_intents", LIST, _list),
    Endpoint("GET", "/v1/payment_intents/{intent}", RETRIEVE, _retrieve, SECRET | PUBLISHABLE),
    Endpoint("POST", "/v1/payment_intents/{intent}", MODIFY, _modify),
    Endpoint("POST", "/v1/payment_intents/{intent}/confirm", CONFIRM, _confirm),
    Endpoint("POST", "/v1/payment_intents/{intent}/capture", CAPTURE, _capture),
    Endpoint("POST", "/v1/payment_intents/{intent}/cancel", CANCEL, _cancel),
)
