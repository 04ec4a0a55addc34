"""Stripe's test cards: their numbers, the names of their tokens and payment methods, and how each behaves."""

from __future__ import annotations

import re
from typing import NamedTuple


class Decline(NamedTuple):
    """How an issuer declines: Stripe's error code, decline code (None: the error code suffices), and message."""

    code: str
    decline_code: str | None
    message: str


class Card(NamedTuple):
    """A test card. decline: the outcome of its charge (None: success). authentication: the bank asks the shopper
    first. aftermath: what follows a successful charge at once (see `sandbox.stripe.aftermath`). refunds: its refunds
    "fail" later, or "pend" first (None: they succeed at once). risk: Radar's risk level of a successful charge.
    wrong_cvc: a CVC that is given is wrong, and the payment is declined then."""

    number: str
    brand: str
    funding: str = "credit"
    decline: Decline | None = None
    authentication: bool = False
    aftermath: str | None = None
    refunds: str | None = None
    risk: str = "normal"
    wrong_cvc: bool = False


_GENERIC = Decline("card_declined", "generic_decline", "Your card was declined.")
_FUNDS = Decline("card_declined", "insufficient_funds", "Your card has insufficient funds.")
INCORRECT_CVC = Decline("incorrect_cvc", None, "Your card's security code is incorrect.")
_DECLINES = {
    "chargeDeclined": ("4000000000000002", _GENERIC),
    "chargeDeclinedInsufficientFunds": ("4000000000009995", _FUNDS),
    "chargeDeclinedLostCard": ("4000000000009987", _GENERIC._replace(decline_code="lost_card")),
    "chargeDeclinedStolenCard": ("4000000000009979", _GENERIC._replace(decline_code="stolen_card")),
    "chargeDeclinedExpiredCard": ("4000000000000069", Decline("expired_card", None, "Your card has expired.")),
    "chargeDeclinedIncorrectCvc": ("4000000000000127", INCORRECT_CVC),
    "chargeDeclinedProcessingError": (
        "4000000000000119",
        Decline(
            "processing_error", None, "An error occurred while processing your card. Try again in a little bit."
        ),
    ),
    "chargeDeclinedVelocityLimitExceeded": (
        "4000000000006975",
        Decline("card_declined", "card_velocity_exceeded", "Your card was declined for making repeated attempts too "
                "frequently or exceeding its amount limit."),
    ),
    "chargeDeclinedFraudulent": ("4100000000000019", _GENERIC._replace(decline_code="fraudulent")),
    "chargeCustomerFail": ("4000000000000341", _GENERIC),
    "radarBlock": ("4100000000000019", _GENERIC._replace(decline_code="fraudulent")),
}  # fmt: skip
_GOOD = {
    "visa": Card("4242424242424242", "visa"),
    "visa_debit": Card("4000056655665556", "visa", "debit"),
    "mastercard": Card("5555555555554444", "mastercard"),
    "mastercard_debit": Card("5200828282828210", "mastercard", "debit"),
    "mastercard_prepaid": Card("5105105105105100", "mastercard", "prepaid"),
    "amex": Card("378282246310005", "amex"),
    "discover": Card("6011111111111117", "discover"),
    "diners": Card("3056930009020004", "diners"),
    "jcb": Card("3566002020360505", "jcb"),
    "unionpay": Card("6200000000000005", "unionpay"),
    "threeDSecureOptional": Card("4000000000003055", "visa"),
    "threeDSecureNotSupported": Card("378282246310005", "amex"),
}
_AUTHENTICATED = {
    "threeDSecure2Required": ("4000000000003220", None),
    "threeDSecureRequired": ("4000000000003063", None),
    "threeDSecureRequiredChargeDeclined": ("4000008400001629", _GENERIC),
    "authenticationRequired": ("4000002760003184", None),
    "authenticationRequiredOnSetup": ("4000002500003155", None),
    "authenticationRequiredSetupForOffSession": ("4000003800000446", None),
    "authenticationRequiredChargeDeclinedInsufficientFunds": ("4000008260003178", _FUNDS),
}
# "Disputes" of "Test your application", https://docs.stripe.com/testing#disputes
_DISPUTED = {
    "createDispute": ("4000000000000259", "fraudulent"),
    "createDisputeProductNotReceived": ("4000000000002685", "product_not_received"),
    "createDisputeInquiry": ("4000000000001976", "inquiry"),
    "createIssuerFraudRecord": ("4000000000005423", "fraud_warning"),
}
# "Simulate an asynchronous refund", https://docs.stripe.com/testing#refunds
_REFUNDED_LATER = {"refundFail": ("4000000000005126", "fail"), "pendingRefund": ("4000000000007726", "pend")}
# "Fraud prevention" of https://docs.stripe.com/testing, and its card whose money is available at once: the shop sees no
# difference from another card, because the sandbox has no balance.
_SPECIAL = {
    "riskLevelElevated": Card("4000000000009235", "visa", risk="elevated"),
    "cvcCheckFail": Card("4000000000000101", "visa", wrong_cvc=True),
    "bypassPending": Card("4000000000000077", "visa"),
}
_CARDS: dict[str, Card] = {
    **_GOOD,
    **_SPECIAL,
    **{name: Card(number, "visa", aftermath=aftermath) for name, (number, aftermath) in _DISPUTED.items()},
    **{name: Card(number, "visa", refunds=refunds) for name, (number, refunds) in _REFUNDED_LATER.items()},
    **{name: Card(number, "visa", decline=decline) for name, (number, decline) in _DECLINES.items()},
    **{
        name: Card(number, "visa", decline=decline, authentication=True)
        for name, (number, decline) in _AUTHENTICATED.items()
    },
}
_NUMBERS = {card.number: card for card in reversed(_CARDS.values())}
# Several spellings of names occur: tok_visa_chargeDeclined, pm_card_chargeDeclined, tok_three_d_secure_2_required.
_BY_PLAIN_NAME = {re.sub(r"[^a-z0-9]", "", name.lower()): card for name, card in _CARDS.items()}


def card_named(name: str) -> Card | None:
    """Return the test card of a token (`tok_mastercard`) or payment method (`pm_card_visa`); None for an unknown
    name."""
    for prefix in ("tok_", "pm_card_"):
        if name.startswith(prefix):
            plain = re.sub(r"[^a-z0-9]", "", name.removeprefix(prefix).lower())
            return _BY_PLAIN_NAME.get(plain) or _BY_PLAIN_NAME.get(plain.removeprefix("visa"))
    return None


def card_numbered(number: str) -> Card | None:
    """Return the test card of that number; None when it is not a card number.

    Any other number that passes the Luhn check is declined, as real cards are in test mode. Only the last four digits
    of such a number are stored.
    """
    known = _NUMBERS.get(number)
    if known is not None or not _passes_luhn(number):
        return known
    return real_card("*" * (len(number) - 4) + number[-4:])


def real_card(masked: str) -> Card:
    """Return a card that is not a test card, by its masked number."""
    message = "Your card was declined. Your request was in test mode, but used a non test card."
    return Card(masked, "visa", decline=Decline("card_declined", "test_mode_live_card", message))


def _passes_luhn(number: str) -> bool:
    digits = [int(digit) for digit in reversed(number)]
    return sum(digits[0::2]) % 10 == -sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2]) % 10
