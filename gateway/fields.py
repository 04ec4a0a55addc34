"""The kinds of values in public requests, each as Cerberus rules; `gateway.schemas` combines them."""

from __future__ import annotations

import re
from typing import Any

from chassis.cursors import LONGEST
from contracts import product_limits
from contracts.contacts import E164, MAX_MAIL_ADDRESS_LENGTH, mail_address_fault, phone_fault
from contracts.texts import ONE_LINE_PATTERN, PLAIN_PATTERN, is_one_line, is_plain
from gateway.shape import Check
from gateway.visit import ID as ID_PATTERN
from gateway.visit import is_id

Rules = dict[str, Any]

MAX_REDEMPTIONS = 2_147_483_647
MAX_TIME = 99_999_999_999  # Unix seconds; a time in milliseconds is more

_STRIPE_CARD = re.compile(r"(tok|pm|ctoken)_[A-Za-z0-9_]{1,200}")
# A letter is required, so that a card's number does not pass.
_CARD = re.compile(r"(?=.*[A-Za-z])[!-~]{1,255}")
_URL = re.compile(r"https?://[^\s/?#@]+([/?#]\S*)?")
_DISCOUNT_CODE = re.compile(r"[A-Za-z0-9_-]{1,500}")
_CURSOR = re.compile(r"c[0-9]+\.[A-Za-z0-9_-]+")
_SORT_KEY = re.compile(r"-?[^\s\[\]\-][^\[\]]*")


def is_discount_code(value: str) -> bool:
    """Whether `value` has the form of a discount code at Stripe."""
    return _DISCOUNT_CODE.fullmatch(value) is not None


def whole(*patterns: re.Pattern[str]) -> str:
    """The pattern, for JSON Schema, of a text that is one of `patterns` as a whole."""
    return f"^(?:{'|'.join(pattern.pattern for pattern in patterns)})$"


def _matching(pattern: re.Pattern[str], message: str) -> Check:
    return Check(lambda text: None if pattern.fullmatch(text) else message, pattern=whole(pattern))


_an_id = _matching(ID_PATTERN, "must be an id: 1 to 100 of A-Z a-z 0-9 _ - ~")
_a_place = Check(
    lambda text: None if is_id(text) or _CURSOR.fullmatch(text) else "must be the page's next_cursor, or an id",
    pattern=whole(ID_PATTERN, _CURSOR),
)
_not_blank = Check(lambda text: None if text.strip() else "must not be blank", pattern=r"\S")
_a_mail_address = Check(mail_address_fault, format="idn-email", pattern=r"^[!-~]+@[^\s@]+\.[^\s@]+$")
# As a number, it lacks the plus.
_a_phone_number = Check(
    lambda given: phone_fault(f"+{given}" if isinstance(given, int) else given),
    (str, int),
    pattern=whole(E164),
)
_one_line = Check(
    lambda text: None if is_one_line(text) else "must be one line without control, bidi or invisible characters",
    pattern=ONE_LINE_PATTERN,
)
_plain = Check(
    lambda text: None if is_plain(text) else "must not have control or bidi override characters",
    pattern=PLAIN_PATTERN,
)
_unique = Check(
    lambda values: "names one thing twice" if len({str(each) for each in values}) < len(values) else None,
    list,
    uniqueItems=True,
)
_metadata_key = _matching(re.compile(r"[^\[\]]*"), "must not have square brackets")
_positive = Check(lambda number: None if number > 0 else "must be more than 0", (int, float), exclusiveMinimum=0)
# `multipleOf` would be computed with binary fractions, of which 0.07 is no multiple of 0.01.
_two_decimals = Check(
    lambda number: None if round(number, 2) == number else "must have at most two decimals",
    float,
    description="At most two decimals, such as 33.33.",
)


def required(rules: Rules) -> Rules:
    """The same kind of value, mandatory."""
    return {**rules, "required": True}


def nullable(rules: Rules) -> Rules:
    """The same kind of value, or null."""
    return {**rules, "nullable": True}


def described(rules: Rules, description: str) -> Rules:
    """The same kind of value, with what `/openapi.json` says of it."""
    return {**rules, "meta": {"description": description}}


def line(most: int, least: int = 0) -> Rules:
    """One line of `least` to `most` characters; not only blanks when `least` is positive."""
    return _text(most, least, _one_line)


def text(most: int, least: int = 0) -> Rules:
    """A text of several lines, otherwise like `line`."""
    return _text(most, least, _plain)


def _text(most: int, least: int, check: Check) -> Rules:
    rules: Rules = {"type": "string", "maxlength": most}
    return {**rules, "minlength": least, "check_with": [check, _not_blank]} if least else {**rules, "check_with": check}


ID: Rules = {"type": "string", "check_with": _an_id}
STARTING_AFTER = described(
    {"type": "string", "maxlength": LONGEST, "check_with": _a_place},
    "The previous page's `next_cursor`, or the id of an element.",
)
EMAIL: Rules = {"type": "string", "maxlength": MAX_MAIL_ADDRESS_LENGTH, "check_with": _a_mail_address}
PHONE = described({"type": "string", "check_with": _a_phone_number}, "With its country code: `+14155550123`.")
PHONE_OR_NUMBER: Rules = {"type": ["string", "integer"], "check_with": _a_phone_number}
CARD = described(
    {
        "type": "string",
        "check_with": _matching(_CARD, "must be a token of the payment provider, not a card's number"),
    },
    "A token of the payment provider; never a card's number. An order of 0 needs none.",
)
STRIPE_CARD = described(
    {
        "type": "string",
        "check_with": _matching(_STRIPE_CARD, "must be a token (tok_… or ctoken_…) or a payment method (pm_…)"),
    },
    "Stripe's token (`tok_…`), payment method (`pm_…`) or ConfirmationToken (`ctoken_…`), which Stripe.js makes with "
    "the shop's publishable key; never a card's number. An order of 0 needs none.",
)
COUNTRY = described(
    {"type": "string", "check_with": _matching(re.compile(r"[A-Za-z]{2}"), "must be a country's two letters")},
    "Two letters, such as `US`.",
)
CURRENCY = described(
    {"type": "string", "check_with": _matching(re.compile(r"[A-Za-z]{3}"), "must be a currency's three letters")},
    "Three letters, such as `usd`.",
)
IMAGE: Rules = {
    "type": "string",
    "maxlength": product_limits.SKU_IMAGE_LENGTH,
    "check_with": [_matching(_URL, "must be an http or https URL"), _one_line],
}
URLS: Rules = {
    "type": "list",
    "maxlength": product_limits.IMAGES,
    "schema": {**IMAGE, "maxlength": product_limits.URL_LENGTH},
}
RETURN_URL = described(
    {"type": "string", "maxlength": 2000, "check_with": [_matching(_URL, "must be an http or https URL"), _one_line]},
    "The page to which a bank sends the shopper back: of the shop's own origin, or of one that may call this API. With "
    "it, methods that redirect the shopper can pay.",
)
TAX_CODE = described(
    {"type": "string", "check_with": _matching(product_limits.TAX_CODE, product_limits.TAX_CODE_MESSAGE)},
    "What it is for the tax, as Stripe lists it: `txcd_99999999` is goods in general.",
)
PRICE = described(
    {"type": "integer", "min": 1, "max": product_limits.MAX_PRICE}, "Of one piece, in the currency's smallest unit."
)
QUANTITY: Rules = {"type": "integer", "min": 1, "max": product_limits.MAX_QUANTITY}
PAGE_LENGTH = described({"type": "integer", "min": 1, "max": 100}, "Elements of a page; default 100.")
ORDER_BY: Rules = {
    "type": "string",
    "maxlength": product_limits.METADATA_NAME_LENGTH + 1,
    "check_with": [_matching(_SORT_KEY, "must name what to sort by; a leading - reverses"), _one_line],
}


DISCOUNT_CODE = described(
    {"type": "string", "check_with": _matching(_DISCOUNT_CODE, "must be 1 to 500 of A-Z a-z 0-9 _ -")},
    "Capitals make no difference.",
)
PERCENT_OFF: Rules = {"type": "number", "max": 100, "check_with": [_positive, _two_decimals]}
_DIMENSION: Rules = required({"type": "number", "max": product_limits.MAX_DIMENSION, "check_with": _positive})
PACKAGE_DIMENSIONS = described(
    {"type": "dict", "schema": dict.fromkeys(("height", "length", "width", "weight"), _DIMENSION)},
    "Of one piece, in inches and ounces. Required, unless nothing is shipped.",
)
METADATA: Rules = {
    "type": "dict",
    "maxlength": product_limits.METADATA_ENTRIES,
    "keysrules": {
        "type": "string",
        "minlength": 1,
        "maxlength": product_limits.METADATA_NAME_LENGTH,
        "check_with": [_metadata_key, _one_line],
    },
    "valuesrules": line(product_limits.METADATA_VALUE_LENGTH),
}
ATTRIBUTE_NAMES: Rules = {
    "type": "list",
    "maxlength": product_limits.ATTRIBUTES,
    "schema": line(product_limits.ATTRIBUTE_LENGTH, least=1),
    "check_with": _unique,
}
ATTRIBUTE_VALUES: Rules = {
    "type": "dict",
    "maxlength": product_limits.ATTRIBUTES,
    "keysrules": line(product_limits.ATTRIBUTE_LENGTH, least=1),
    "valuesrules": line(product_limits.METADATA_VALUE_LENGTH, least=1),
}
