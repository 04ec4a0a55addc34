"""The differences that stay, each with its reason. What is not listed here is a finding."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_CONNECT = "It belongs to Stripe Connect, which the sandbox does not play."
_CARDS_ONLY = "The sandbox plays cards, and test bank accounts by their names only."
_DETAILS = "It is information for card networks and tax, which changes no payment."
_PRICING = "The shop has one amount per price; a PaymentIntent reads no price."
_BALANCE = "It refunds to a customer's balance, and the sandbox has no customers."
_PROGRAM = "The sandbox has no such program of disputes."


class Reason(NamedTuple):
    """A pattern for the beginning of differences, and why they stay."""

    pattern: str
    why: str


REASONS = (
    # SendGrid
    Reason(
        r"sendgrid: POST /v3/mail/send \d+: errors\.\d+\.help: ",
        "The description says that `help` is an object. SendGrid answers a link or null (sendgrid/docs issue 5060).",
    ),
    Reason(r"sendgrid: POST /v3/mail/send \d+: \.id is absent", "`id` is optional: SendGrid's examples lack it."),
    Reason(
        r"sendgrid: send a mail: custom_args: .*Expected: object",
        "The description says that `custom_args` is a string. SendGrid takes an object (sendgrid-nodejs issue 288).",
    ),
    # Shippo
    Reason(
        r"shippo: CarrierAccount(WithExtraInfo)?\.carrier_images is in no model",
        "Shippo's guide to carrier accounts shows it; the SDK ignores it.",
    ),
    Reason(
        r"shippo: (Transaction\.order|Track\.test) is in no model",
        "The SDK ignores it. Whether Shippo still sends it is not documented.",
    ),
    Reason(r"shippo: TransactionCreateRequest: label_file_type: ", "The sandbox prints PDF labels only."),
    # Twilio: what the request lacks
    Reason(
        r"twilio: (create a message: ScheduleType|update a message: (Body|Status)): ",
        "It needs a state or another parameter, and the tour drives it with both.",
    ),
    # Stripe's fixtures
    Reason(r"fixtures: charge\.refunds is absent", "Since API version 2022-11-15 it is absent unless it is expanded."),
    Reason(r"fixtures: tax\.transaction\.line_items is absent", "It is absent unless it is expanded."),
    Reason(
        r"fixtures: (charge\.payment_method_details|payment_method|confirmation_token\.payment_method_preview)\."
        r"(card|us_bank_account) is absent",
        "The fixture has another type of payment method.",
    ),
    # Stripe's parameters
    Reason(
        r"stripe: \w+Params: (application_fee_amount|transfer_data|refund_application_fee|reverse_transfer)\b", _CONNECT
    ),
    Reason(r"stripe: \w*PaymentMethod\w*Params: (\w+|card\.networks) is unknown", _CARDS_ONLY),
    Reason(r"stripe: PaymentMethodCreateParams: type=", _CARDS_ONLY),
    Reason(r"stripe: [\w.]+Params: payment_method_data\.(\w+ is unknown|type=)", _CARDS_ONLY),
    Reason(
        r"stripe: [\w.]+Params: payment_method_options\b",
        "It changes how one type of payment method is confirmed; the test cards decide that in the sandbox.",
    ),
    Reason(r"stripe: \w+Params: (amount_details|payment_details|hooks)\b", _DETAILS),
    Reason(r"stripe: \w+Params: radar_options\.referrer\b", "The sandbox's Radar knows test cards only."),
    Reason(r"stripe: PaymentIntentConfirmParams: amount_to_confirm\b", _DETAILS),
    Reason(
        r"stripe: \w+Params: (default_price_data\.)?(currency_options|custom_unit_amount|tiers|tiers_mode|"
        r"transform_quantity|recurring|billing_scheme=tiered)\b",
        _PRICING,
    ),
    Reason(r"stripe: PriceCreateParams: product_data\b", "The shop creates the product first."),
    Reason(
        r"stripe: PromotionCode\w+Params: restrictions(\.currency_options)?\b",
        "The shop's codes have one currency, and their terms never change.",
    ),
    Reason(r"stripe: RefundCreateParams: (currency|origin)\b", _BALANCE),
    Reason(r"stripe: DisputeUpdateParams: evidence\.(appeal|enhanced_evidence)\b", _PROGRAM),
    Reason(
        r"stripe: Tax\.CalculationCreateParams: customer_details\.address\.postal_code: an empty value is refused",
        "The test's address is in the US, where Stripe Tax needs the ZIP code.",
    ),
)


def unused(differences: Iterable[str]) -> list[str]:
    """Return the reasons that explain none of the differences."""
    known = list(differences)
    idle = [each for each in REASONS if not any(re.match(each.pattern, difference) for difference in known)]
    return [f"reason: it explains nothing any more: {each.pattern}" for each in idle]


def sorted_out(differences: Iterable[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Return the differences without a reason, and those of each reason."""
    findings: list[str] = []
    explained: dict[str, list[str]] = {}
    for difference in differences:
        reason = next((each for each in REASONS if re.match(each.pattern, difference)), None)
        if reason is None:
            findings.append(difference)
        else:
            explained.setdefault(reason.why, []).append(difference)
    return findings, explained
