"""The confirmation of a payment intent: a charge, a decline, or the bank's authentication of the shopper."""

from __future__ import annotations

from sandbox.ids import alphanumeric
from sandbox.state import without_private
from sandbox.stripe.aftermath import follow_up
from sandbox.stripe.bank_accounts import BANK_ACCOUNT
from sandbox.stripe.bank_debits import begin_debit
from sandbox.stripe.cards import Decline
from sandbox.stripe.charges import capture_charge, make_charge
from sandbox.stripe.currencies import check_chargeable
from sandbox.stripe.endpoint import Desk, Parameters
from sandbox.stripe.errors import StripeFailure, invalid, unexpected_state
from sandbox.stripe.options import StripeOptions
from sandbox.stripe.payment_methods import card_of, new_payment_method, spend, usable_payment_method

_AUTHENTICATION_FAILED = Decline(
    "payment_intent_authentication_failure",
    None,
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new "
    "PaymentMethod to attempt to fulfill this PaymentIntent again.",
)
_NOT_HANDLED = Decline(
    "authentication_required",
    "authentication_not_handled",
    "This payment required an authentication action to complete, but `error_on_requires_action` was set.",
)
_OFF_SESSION = Decline(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)


def choose_payment_method(desk: Desk, intent: Parameters, asked: Parameters) -> None:
    """Set the intent's payment method, if the request names or describes one."""
    if "payment_method" in asked and "payment_method_data" in asked:
        raise invalid(
            "You may only specify one of these parameters: payment_method, payment_method_data.",
            "payment_method",
            "parameters_exclusive",
        )
    if "payment_method" in asked:
        intent["payment_method"] = usable_payment_method(desk, asked["payment_method"])["id"]
    elif "payment_method_data" in asked:
        data = asked["payment_method_data"]
        intent["payment_method"] = new_payment_method(desk, data, "payment_method_data")["id"]
    else:
        return
    if intent["status"] in ("requires_payment_method", "requires_action"):
        intent |= {"status": "requires_confirmation", "next_action": None}


def confirm(desk: Desk, intent: Parameters, asked: Parameters) -> Parameters:
    """Confirm a payment intent with its payment method; return it as stored.

    StripeFailure: 400 when its status forbids it, 402 when the card is declined (the failed charge stays stored).
    """
    status = intent["status"]
    if status == "succeeded":
        message = (
            "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed."
        )
        raise unexpected_state(message, intent)
    if status in ("canceled", "requires_capture", "processing"):
        raise unexpected_state(
            f"You cannot confirm this PaymentIntent because it has a status of {status}. Only a PaymentIntent with "
            "one of the following statuses may be confirmed: requires_confirmation, requires_action.",
            intent,
        )
    if intent["payment_method"] is None:
        raise unexpected_state(
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update "
            "the PaymentIntent with a payment method and then confirm it again, or confirm it again directly with "
            "a payment method or ConfirmationToken.",
            intent,
        )
    automatic = intent["automatic_payment_methods"]
    return_url = asked.get("return_url")
    if automatic and automatic["allow_redirects"] == "always" and return_url is None and not asked.get("off_session"):
        raise invalid(
            "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because some of "
            "these payment methods might redirect your customer off of your page, you must provide a `return_url`. "
            "If you don't want to accept redirect-based payment methods, set `automatic_payment_methods[enabled]` "
            "to `true` and `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and "
            "Payment Intents."
        )
    check_chargeable(intent["amount"], intent["currency"])
    payment_method = usable_payment_method(desk, intent["payment_method"])
    if payment_method["type"] == BANK_ACCOUNT:
        return begin_debit(desk, intent, payment_method)
    if not card_of(payment_method).authentication:
        return charge_now(desk, intent, payment_method)
    if asked.get("error_on_requires_action"):
        raise declined(desk, intent, payment_method, _NOT_HANDLED)
    if asked.get("off_session"):
        raise declined(desk, intent, payment_method, _OFF_SESSION)
    intent |= {
        "status": "requires_action",
        "last_payment_error": None,
        "next_action": _next_action(desk, intent["id"], return_url, by_script=asked.get("use_stripe_sdk", False)),
    }
    desk.state.put("payment_intent", intent["id"], intent)
    return intent


def _next_action(desk: Desk, intent_id: str, return_url: str | None, *, by_script: bool) -> Parameters:
    """Return what the shopper has to do: follow a redirect, or let Stripe.js open the bank's page.

    Stripe gives `use_stripe_sdk` whenever there is no `return_url`
    (https://docs.stripe.com/api/payment_intents/object#payment_intent_object-next_action). The sandbox does so for
    a ConfirmationToken, for `use_stripe_sdk`, and with the option of the same name.
    """
    url = f"{desk.public_url}/sandbox/3ds/{intent_id}"
    if by_script or (return_url is None and StripeOptions.of(desk.state).use_stripe_sdk):
        action = {"type": "three_d_secure_redirect", "stripe_js": url, "source": alphanumeric("src_", 24)}
        return {"type": "use_stripe_sdk", "use_stripe_sdk": action}
    return {"type": "redirect_to_url", "redirect_to_url": {"return_url": return_url, "url": url}}


def charge_now(desk: Desk, intent: Parameters, payment_method: Parameters) -> Parameters:
    """Charge the card when no authentication is pending; StripeFailure (402) when it is declined."""
    decline = card_of(payment_method).decline
    if decline is not None:
        raise declined(desk, intent, payment_method, decline)
    manual = intent["capture_method"] == "manual"
    charge = make_charge(desk, intent, payment_method, None, capture=not manual)
    if not manual:
        follow_up(desk, charge["id"], card_of(payment_method))
    spend(desk, payment_method["id"])
    intent |= {
        "latest_charge": charge["id"],
        "last_payment_error": None,
        "next_action": None,
        "status": "requires_capture" if manual else "succeeded",
        "amount_capturable": intent["amount"] if manual else 0,
        "amount_received": 0 if manual else intent["amount"],
    }
    desk.state.put("payment_intent", intent["id"], intent)
    return intent


def capture(desk: Desk, intent: Parameters, amount: int) -> Parameters:
    """Capture `amount` of a confirmed intent's authorized money."""
    capture_charge(desk, intent["latest_charge"], amount)
    payment_method = desk.state.get("payment_method", intent["payment_method"])
    if payment_method is not None:
        follow_up(desk, intent["latest_charge"], card_of(payment_method))
    intent |= {"status": "succeeded", "amount_capturable": 0, "amount_received": amount}
    desk.state.put("payment_intent", intent["id"], intent)
    return intent


def declined(desk: Desk, intent: Parameters, payment_method: Parameters, decline: Decline) -> StripeFailure:
    """Store the failed charge and the intent's error, with status requires_payment_method; return the 402 to raise."""
    charge = make_charge(desk, intent, payment_method, decline, capture=True)
    intent["latest_charge"] = charge["id"]
    error = set_back(desk, intent, payment_method, decline, charge["id"])
    return StripeFailure(decline.message, status=402, kind="card_error", **error, payment_intent=dict(intent))


def set_back(
    desk: Desk, intent: Parameters, payment_method: Parameters, decline: Decline, charge_id: str | None
) -> Parameters:
    """Store the error of an intent that is to be paid again; return the error's fields."""
    error: Parameters = {
        "code": decline.code,
        "decline_code": decline.decline_code,
        "charge": charge_id,
        "advice_code": "try_again_later" if decline.decline_code else None,
        "param": {"incorrect_cvc": "cvc", "expired_card": "exp_month"}.get(decline.code),
        "payment_method": without_private(payment_method),
    }
    error = {name: value for name, value in error.items() if value is not None}
    failure = StripeFailure(decline.message, kind="card_error", **error).error
    intent |= {
        "last_payment_error": {name: value for name, value in failure.items() if name != "payment_intent"},
        "next_action": None,
        "payment_method": None,
        "status": "requires_payment_method",
    }
    desk.state.put("payment_intent", intent["id"], intent)
    return error


def answer_bank(desk: Desk, intent: Parameters, *, succeed: bool) -> Parameters:
    """Simulate the shopper on the bank's page; return the intent afterwards.

    StripeFailure (400) when no authentication of this intent is pending.
    """
    if intent["status"] != "requires_action":
        raise unexpected_state(f"The bank asks nothing: the PaymentIntent has a status of {intent['status']}.", intent)
    payment_method = usable_payment_method(desk, intent["payment_method"])
    if not succeed:
        set_back(desk, intent, payment_method, _AUTHENTICATION_FAILED, None)
        return intent
    try:
        return charge_now(desk, intent, payment_method)
    except StripeFailure:
        # The shopper is authenticated, and the bank still declines; the intent's last error records it.
        return desk.state.get("payment_intent", intent["id"]) or intent
