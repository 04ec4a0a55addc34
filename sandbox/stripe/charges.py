"""Stripe's charges and their refunds."""

from __future__ import annotations

from typing import Any

from sandbox.ids import alphanumeric
from sandbox.stripe.async_capture import capture_later
from sandbox.stripe.bank_accounts import BANK_ACCOUNT, charge_details
from sandbox.stripe.cards import Decline
from sandbox.stripe.currencies import check_step, spelled
from sandbox.stripe.dispute_cases import check_refundable
from sandbox.stripe.endpoint import Desk, Endpoint, Parameters
from sandbox.stripe.errors import StripeFailure, invalid, missing_object
from sandbox.stripe.fraud_warnings import update_warnings
from sandbox.stripe.lists import page
from sandbox.stripe.outcomes import is_blocked, outcome_of
from sandbox.stripe.params import EXPAND, PAGE, UNSET, CreatedRange, Int, Metadata, Missing, Obj, Str, Type, merged
from sandbox.stripe.payment_methods import card_of
from sandbox.stripe.refund_outcomes import begin_refund

_ADDRESS: dict[str, Type] = {name: Str() for name in ("city", "country", "line1", "line2", "postal_code", "state")}
LIST_CHARGES: dict[str, Type] = {
    **PAGE,
    "created": CreatedRange(),
    "customer": Missing("customer"),
    "payment_intent": Str(),
    "transfer_group": Str(),
}
MODIFY_CHARGE: dict[str, Type] = {
    "customer": Missing("customer"),
    "description": Str(),
    "expand": EXPAND,
    "fraud_details": Obj({"user_report": Str(choices=("fraudulent", "safe"), required=True, unsettable=True)}),
    "metadata": Metadata(unsettable=True),
    "receipt_email": Str(),
    "shipping": Obj(
        {
            "address": Obj(_ADDRESS, required=True),
            "carrier": Str(),
            "name": Str(required=True),
            "phone": Str(),
            "tracking_number": Str(),
        }
    ),
    "transfer_group": Str(),
}
CREATE_REFUND: dict[str, Type] = {
    "amount": Int(least=1),
    "charge": Str(),
    "customer": Missing("customer"),
    "expand": EXPAND,
    "instructions_email": Str(),
    "metadata": Metadata(unsettable=True),
    "payment_intent": Str(),
    "reason": Str(choices=("duplicate", "fraudulent", "requested_by_customer")),
}
MODIFY_REFUND: dict[str, Type] = {"expand": EXPAND, "metadata": Metadata(unsettable=True)}
LIST_REFUNDS: dict[str, Type] = {**PAGE, "charge": Str(), "created": CreatedRange(), "payment_intent": Str()}


def make_charge(
    desk: Desk, intent: Parameters, payment_method: Parameters, decline: Decline | None, *, capture: bool
) -> Parameters:
    """Create and store the charge of a payment intent: a failed one if there is a decline.

    capture: whether the money is captured now, or only authorized.
    """
    paid = decline is None
    charge: dict[str, Any] = {
        "id": alphanumeric("ch_", 24),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if paid and capture else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": alphanumeric("txn_", 24) if paid and capture else None,
        "billing_details": payment_method["billing_details"],
        "calculated_statement_descriptor": "SANDBOX",
        "captured": paid and capture,
        "created": desk.now(),
        "currency": intent["currency"],
        "customer": None,
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None if decline is None else decline.code,
        "failure_message": None if decline is None else decline.message,
        "fraud_details": {"stripe_report": "fraudulent"} if is_blocked(decline) else {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": outcome_of(decline, _risk(payment_method)),
        "paid": paid,
        "payment_intent": intent["id"],
        "payment_method": payment_method["id"],
        "payment_method_details": _details(payment_method, intent["amount"] if paid else None),
        "radar_options": {},
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": intent["shipping"],
        "source": None,
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "succeeded" if paid else "failed",
        "transfer_data": None,
        "transfer_group": intent["transfer_group"],
    }
    if payment_method["type"] == BANK_ACCOUNT:
        charge |= {"id": alphanumeric("py_", 24), "status": "pending", "paid": False, "balance_transaction": None}
    capture_later(desk, intent, charge)
    desk.state.put("charge", charge["id"], charge)
    return charge


def _details(payment_method: Parameters, authorized: int | None) -> Parameters:
    if payment_method["type"] == BANK_ACCOUNT:
        return charge_details(payment_method)
    card, paid = payment_method["card"], authorized is not None
    return {
        "card": {
            "amount_authorized": authorized,
            "authorization_code": None,
            "brand": card["brand"],
            "checks": {**card["checks"], "cvc_check": _cvc_check(payment_method, paid=paid)},
            "country": card["country"],
            "electronic_commerce_indicator": None,
            "exp_month": card["exp_month"],
            "exp_year": card["exp_year"],
            "extended_authorization": {"status": "disabled"},
            "fingerprint": card["fingerprint"],
            "funding": card["funding"],
            "incremental_authorization": {"status": "unavailable"},
            "installments": None,
            "last4": card["last4"],
            "mandate": None,
            "multicapture": {"status": "unavailable"},
            "network": card["brand"],
            "network_token": {"used": False},
            "network_transaction_id": None,
            "overcapture": {"maximum_amount_capturable": authorized or 0, "status": "unavailable"},
            "regulated_status": card["regulated_status"],
            "three_d_secure": None,
            "transaction_link_id": None,
            "wallet": None,
        },
        "type": "card",
    }


def _risk(payment_method: Parameters) -> str:
    return "normal" if payment_method["type"] == BANK_ACCOUNT else card_of(payment_method).risk


def _cvc_check(payment_method: Parameters, *, paid: bool) -> str | None:
    if card_of(payment_method).wrong_cvc:
        return None if paid else "fail"
    return "pass" if paid else None


def capture_charge(desk: Desk, charge_id: str, amount: int) -> None:
    """Capture `amount` of a charge's authorized money."""
    charge = desk.state.get("charge", charge_id)
    assert charge is not None
    charge |= {
        "captured": True,
        "amount_captured": amount,
        "amount_refunded": charge["amount"] - amount,
        "balance_transaction": alphanumeric("txn_", 24),
    }
    desk.state.put("charge", charge_id, charge)


def _retrieve_charge(desk: Desk, asked: Parameters, charge: str) -> bytes:
    body = desk.state.raw("charge", charge)
    if body is None:
        raise missing_object("charge", charge, param="charge")
    return body


def _modify_charge(desk: Desk, asked: Parameters, charge: str) -> Parameters:
    body = desk.state.get("charge", charge)
    if body is None:
        raise missing_object("charge", charge, param="charge")
    body |= {name: asked[name] for name in ("description", "receipt_email", "transfer_group") if name in asked}
    report = asked.get("fraud_details", {}).get("user_report")
    if report is not None:
        kept = {name: value for name, value in body["fraud_details"].items() if name != "user_report"}
        body["fraud_details"] = {**kept, **({"user_report": report} if report != UNSET else {})}
    if "shipping" in asked:
        address = {name: asked["shipping"]["address"].get(name) for name in _ADDRESS}
        own = {name: asked["shipping"].get(name) for name in ("carrier", "name", "phone", "tracking_number")}
        body["shipping"] = {**own, "address": address}
    body["metadata"] = merged(body["metadata"], asked.get("metadata"))
    desk.state.put("charge", charge, body)
    return body


def _list_charges(desk: Desk, asked: Parameters) -> Parameters:
    where: dict[str, str] = {name: asked[name] for name in ("payment_intent", "transfer_group") if name in asked}
    return page(desk.state, "charge", "/v1/charges", asked, where)


def _charge_to_refund(desk: Desk, asked: Parameters) -> Parameters:
    if ("charge" in asked) == ("payment_intent" in asked):
        raise invalid(
            "You must provide exactly one of these parameters: charge, payment_intent.",
            "payment_intent",
            "parameter_missing" if "charge" not in asked else "parameters_exclusive",
        )
    if "charge" in asked:
        charge = desk.state.get("charge", asked["charge"])
        if charge is None:
            raise missing_object("charge", asked["charge"], param="charge", in_path=False)
        if not charge["captured"] or not charge["paid"]:
            raise StripeFailure(
                f"Charge {charge['id']} cannot be refunded: it was never paid.", code="charge_not_refundable"
            )
        return charge
    intent = desk.state.get("payment_intent", asked["payment_intent"])
    if intent is None:
        raise missing_object("payment_intent", asked["payment_intent"], param="payment_intent", in_path=False)
    charge = desk.state.get("charge", intent["latest_charge"]) if intent["latest_charge"] else None
    if charge is None or not charge["captured"] or not charge["paid"]:
        raise StripeFailure(
            f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
            param="payment_intent",
        )
    return charge


def _create_refund(desk: Desk, asked: Parameters) -> Parameters:
    charge = _charge_to_refund(desk, asked)
    check_refundable(desk, charge)
    left = charge["amount"] - charge["amount_refunded"]
    if left == 0:
        raise StripeFailure(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    amount = asked.get("amount", left)
    check_step(amount, charge["currency"])
    if amount > left:
        currency = charge["currency"]
        raise StripeFailure(
            f"Refund amount ({spelled(amount, currency)}) is greater than unrefunded amount on charge "
            f"({spelled(left, currency)})",
            param="amount",
        )
    refund: dict[str, Any] = {
        "id": alphanumeric("re_", 24),
        "object": "refund",
        "amount": amount,
        "balance_transaction": alphanumeric("txn_", 24),
        "charge": charge["id"],
        "created": desk.now(),
        "currency": charge["currency"],
        "customer": None,
        "customer_account": None,
        "destination_details": {"card": {"type": "refund"}, "type": "card"},
        "metadata": merged({}, asked.get("metadata")),
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": asked.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
    if "instructions_email" in asked:
        refund["instructions_email"] = asked["instructions_email"]
    begin_refund(desk, refund, charge)
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    desk.state.put("refund", refund["id"], refund)
    desk.state.put("charge", charge["id"], charge)
    update_warnings(desk, charge["id"])
    return refund


def _retrieve_refund(desk: Desk, asked: Parameters, refund: str) -> bytes:
    body = desk.state.raw("refund", refund)
    if body is None:
        raise missing_object("refund", refund, param="refund")
    return body


def _modify_refund(desk: Desk, asked: Parameters, refund: str) -> Parameters:
    body = desk.state.get("refund", refund)
    if body is None:
        raise missing_object("refund", refund, param="refund")
    body["metadata"] = merged(body["metadata"], asked.get("metadata"))
    desk.state.put("refund", refund, body)
    return body


def _list_refunds(desk: Desk, asked: Parameters) -> Parameters:
    where: dict[str, str] = {name: asked[name] for name in ("charge", "payment_intent") if name in asked}
    return page(desk.state, "refund", "/v1/refunds", asked, where)


ENDPOINTS = (
    Endpoint("GET", "/v1/charges", LIST_CHARGES, _list_charges),
    Endpoint("GET", "/v1/charges/{charge}", {"expand": EXPAND}, _retrieve_charge),
    Endpoint("POST", "/v1/charges/{charge}", MODIFY_CHARGE, _modify_charge),
    Endpoint("POST", "/v1/refunds", CREATE_REFUND, _create_refund),
    Endpoint("GET", "/v1/refunds", LIST_REFUNDS, _list_refunds),
    Endpoint("GET", "/v1/refunds/{refund}", {"expand": EXPAND}, _retrieve_refund),
    Endpoint("POST", "/v1/refunds/{refund}", MODIFY_REFUND, _modify_refund),
)
