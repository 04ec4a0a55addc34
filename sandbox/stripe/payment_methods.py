"""Stripe's payment methods: a card from a token or a test number, or a test bank account. Without a customer, one can
be used once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sandbox.ids import alphanumeric
from sandbox.state import without_private
from sandbox.stripe.bank_accounts import BANK_ACCOUNT, ROUTING_NUMBER, account_named, account_numbered, method_details
from sandbox.stripe.card_switch import behaviour_of
from sandbox.stripe.cards import INCORRECT_CVC, Card, card_named, card_numbered, real_card
from sandbox.stripe.endpoint import Desk, Endpoint, Parameters
from sandbox.stripe.errors import StripeFailure, invalid, missing_object
from sandbox.stripe.params import EXPAND, UNSET, Int, Metadata, Missing, Obj, Str, Type, merged

_ADDRESS: dict[str, Type] = {name: Str() for name in ("city", "country", "line1", "line2", "postal_code", "state")}
BILLING = Obj(
    {
        "address": Obj(_ADDRESS, unsettable=True),
        "email": Str(unsettable=True),
        "name": Str(unsettable=True),
        "phone": Str(unsettable=True),
        "tax_id": Str(),
    }
)
CARD = Obj({"token": Str(), "number": Str(), "exp_month": Int(), "exp_year": Int(), "cvc": Str()})
RADAR = Obj({"session": Missing("radar session")})
CREATE: dict[str, Type] = {
    "type": Str(choices=("card",)),
    "allow_redisplay": Str(choices=("always", "limited", "unspecified")),
    "billing_details": BILLING,
    "card": CARD,
    "customer": Missing("customer"),
    "expand": EXPAND,
    "metadata": Metadata(unsettable=True),
    "radar_options": RADAR,
}
MODIFY: dict[str, Type] = {
    "allow_redisplay": Str(choices=("always", "limited", "unspecified")),
    "billing_details": BILLING,
    "card": Obj({"exp_month": Int(least=1, most=12), "exp_year": Int(least=1)}),
    "expand": EXPAND,
    "metadata": Metadata(unsettable=True),
}
# The fields of a payment intent's `payment_method_data`: the SDK's types lack `card`, but the API accepts it.
INLINE: dict[str, Type] = {
    "type": Str(choices=("card",), required=True),
    "allow_redisplay": Str(choices=("always", "limited", "unspecified")),
    "billing_details": BILLING,
    "card": CARD,
    "metadata": Metadata(unsettable=True),
    "radar_options": RADAR,
}

# What the Payment Element collects; only Stripe.js sends it.
COLLECTED: dict[str, Type] = {
    **INLINE,
    "type": Str(choices=("card", BANK_ACCOUNT), required=True),
    BANK_ACCOUNT: Obj(
        {
            "account_holder_type": Str(choices=("company", "individual")),
            "account_number": Str(),
            "account_type": Str(choices=("checking", "savings")),
            "routing_number": Str(),
        }
    ),
}


def collected_payment_method(desk: Desk, asked: Parameters, within: str) -> Parameters:
    """Create and store the payment method that the Payment Element collected; StripeFailure when it is invalid."""
    if asked["type"] == BANK_ACCOUNT:
        return _collected_account(desk, asked, within)
    if "token" in asked.get("card", {}):
        raise invalid("A card that was collected has a number, not a token.", f"{within}[card][token]")
    return new_payment_method(desk, asked, within)


def _collected_account(desk: Desk, asked: Parameters, within: str) -> Parameters:
    given, name = asked.get(BANK_ACCOUNT, {}), f"{within}[{BANK_ACCOUNT}]"
    for field in ("account_number", "routing_number"):
        if field not in given:
            raise invalid(f"Missing required param: {name}[{field}].", f"{name}[{field}]", "parameter_missing")
    if not asked.get("billing_details", {}).get("name"):
        holder = f"{within}[billing_details][name]"
        raise invalid(f"Missing required param: {holder}.", holder, "parameter_missing")
    if given["routing_number"] != ROUTING_NUMBER:
        raise invalid(
            f"You must use a test bank routing number in test mode. Try {ROUTING_NUMBER}.",
            f"{name}[routing_number]",
            "routing_number_invalid",
        )
    account = account_numbered(given["account_number"])
    if account is None:
        raise invalid(
            "You must use a test bank account number in test mode. Try 000123456789.",
            f"{name}[account_number]",
            "account_number_invalid",
        )
    return _store(desk, {"type": BANK_ACCOUNT, BANK_ACCOUNT: method_details(account)}, account.number, asked)


def new_payment_method(desk: Desk, asked: Parameters, within: str = "") -> Parameters:
    """Create and store the payment method that `asked` describes; StripeFailure when the card is invalid."""
    if asked.get("type") is None:
        raise invalid("Missing required param: type.", "type", "parameter_missing")
    name = f"{within}[card]" if within else "card"
    if "card" not in asked:
        raise invalid(f"Missing required param: {name}.", name, "parameter_missing")
    card = asked["card"]
    if "token" in card:
        found = card_named(card["token"]) if card["token"].startswith("tok_") else None
        if found is None:
            raise missing_object("token", card["token"], param=f"{name}[token]", in_path=False)
        month, year = 12, _year(desk) + 3
    else:
        found, month, year = _typed_card(desk, card, name)
    return _store(desk, _card_fields(found, month, year), behaviour_of(desk.state, found).number, asked)


def usable_payment_method(desk: Desk, payment_method_id: str) -> Parameters:
    """Return the payment method to pay with; `pm_card_…` and `pm_usBankAccount_…` create one. StripeFailure when it
    does not exist or is used up."""
    stored = desk.state.get("payment_method", payment_method_id)
    if stored is None:
        account = account_named(payment_method_id)
        if account is not None:
            return _store(desk, {"type": BANK_ACCOUNT, BANK_ACCOUNT: method_details(account)}, account.number, {})
        card = card_named(payment_method_id) if payment_method_id.startswith("pm_card_") else None
        if card is None:
            raise missing_object("PaymentMethod", payment_method_id, param="payment_method", in_path=False)
        return _store(desk, _card_fields(card, 12, _year(desk) + 3), behaviour_of(desk.state, card).number, {})
    if stored["_spent"]:
        raise StripeFailure(
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, "
            "shared with a connected account without Customer attachment, or was detached from a Customer. It may "
            "not be used again. To use a PaymentMethod multiple times, you must attach it to a Customer first."
        )
    return stored


def spend(desk: Desk, payment_method_id: str) -> None:
    """Mark a payment method as used up: without a customer it pays only once."""
    stored = desk.state.get("payment_method", payment_method_id)
    if stored is not None:
        stored["_spent"] = True
        desk.state.put("payment_method", payment_method_id, stored)


def card_of(payment_method: Parameters) -> Card:
    """Return the test card behind a stored payment method.

    With default settings Stripe declines a payment whose CVC check fails: https://docs.stripe.com/testing#fraud-prevention.
    """
    number = payment_method["_number"]
    card = (card_numbered(number) if number.isdigit() else None) or real_card(number)
    if card.wrong_cvc and payment_method.get("_has_cvc", True):
        return card._replace(decline=INCORRECT_CVC)
    return card


def _typed_card(desk: Desk, card: Parameters, name: str) -> tuple[Card, int, int]:
    for field in ("number", "exp_month", "exp_year"):
        if field not in card:
            raise invalid(f"Missing required param: {name}[{field}].", f"{name}[{field}]", "parameter_missing")
    number = card["number"].replace(" ", "").replace("-", "")
    found = card_numbered(number) if number.isdigit() and 12 <= len(number) <= 19 else None
    if found is None:
        raise _card_error("Your card number is incorrect.", "incorrect_number", f"{name}[number]")
    month, year = card["exp_month"], card["exp_year"]
    if not 1 <= month <= 12:
        raise _card_error("Your card's expiration month is invalid.", "invalid_expiry_month", f"{name}[exp_month]")
    year += 2000 if year < 100 else 0
    today = datetime.fromtimestamp(desk.now(), UTC)
    if not today.year <= year <= today.year + 50:
        raise _card_error("Your card's expiration year is invalid.", "invalid_expiry_year", f"{name}[exp_year]")
    if year == today.year and month < today.month:
        raise _card_error("Your card's expiration month is invalid.", "invalid_expiry_month", f"{name}[exp_month]")
    cvc = card.get("cvc")
    if cvc is not None and not (cvc.isdigit() and 3 <= len(cvc) <= 4):
        raise _card_error("Your card's security code is invalid.", "invalid_cvc", f"{name}[cvc]")
    return found, month, year


def _card_error(message: str, code: str, param: str) -> StripeFailure:
    return StripeFailure(message, status=402, kind="card_error", code=code, param=param)


def _year(desk: Desk) -> int:
    return datetime.fromtimestamp(desk.now(), UTC).year


def _card_fields(card: Card, month: int, year: int) -> Parameters:
    return {
        "card": {
            "brand": card.brand,
            "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": None},
            "country": "US",
            "display_brand": card.brand,
            "exp_month": month,
            "exp_year": year,
            "fingerprint": f"sandbox{card.number[-9:]}",
            "funding": card.funding,
            "generated_from": None,
            "last4": card.number[-4:],
            "networks": {"available": [card.brand], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        "type": "card",
    }


def _store(desk: Desk, details: Parameters, number: str, asked: Parameters) -> Parameters:
    billing = {**asked.get("billing_details", {})}
    address = billing.get("address") or {}
    payment_method: dict[str, Any] = {
        "id": alphanumeric("pm_", 24),
        "object": "payment_method",
        "allow_redisplay": asked.get("allow_redisplay", "unspecified"),
        "billing_details": {
            "address": {name: address.get(name) for name in _ADDRESS},
            **{name: billing.get(name) or None for name in ("email", "name", "phone", "tax_id")},
        },
        "created": desk.now(),
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": merged({}, asked.get("metadata")),
        **details,
        "_number": number,
        "_has_cvc": "cvc" in asked.get("card", {}) or "number" not in asked.get("card", {}),
        "_spent": False,
    }
    desk.state.put("payment_method", payment_method["id"], payment_method)
    return payment_method


def _create(desk: Desk, asked: Parameters) -> Parameters:
    return without_private(new_payment_method(desk, asked))


def _retrieve(desk: Desk, asked: Parameters, payment_method: str) -> Parameters:
    stored = desk.state.get("payment_method", payment_method)
    if stored is None:
        raise missing_object("PaymentMethod", payment_method, param="payment_method")
    return without_private(stored)


def _modify(desk: Desk, asked: Parameters, payment_method: str) -> Parameters:
    stored = desk.state.get("payment_method", payment_method)
    if stored is None:
        raise missing_object("PaymentMethod", payment_method, param="payment_method")
    billing = asked.get("billing_details", {})
    for name, value in billing.items():
        if name == "address" and value != UNSET:
            stored["billing_details"]["address"] |= value
        elif name == "address":
            stored["billing_details"]["address"] = dict.fromkeys(_ADDRESS)
        else:
            stored["billing_details"][name] = value or None
    if "allow_redisplay" in asked:
        stored["allow_redisplay"] = asked["allow_redisplay"]
    if "card" in asked:
        if stored["type"] != "card":
            raise invalid("You cannot update the card of a payment method that is no card.", "card")
        stored["card"] |= asked["card"]
    stored["metadata"] = merged(stored["metadata"], asked.get("metadata"))
    desk.state.put("payment_method", payment_method, stored)
    return without_private(stored)


ENDPOINTS = (
    Endpoint("POST", "/v1/payment_methods", CREATE, _create),
    Endpoint("GET", "/v1/payment_methods/{payment_method}", {"expand": EXPAND}, _retrieve),
    Endpoint("POST", "/v1/payment_methods/{payment_method}", MODIFY, _modify),
)
