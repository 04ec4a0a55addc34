"""The kinds of values in public requests, each as Cerberus rules; `gateway.schemas` combines them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from chassis.cursors import LONGEST
from contracts import product_limits
from contracts.contacts import MAX_MAIL_ADDRESS_LENGTH, mail_address_fault, phone_fault
from contracts.texts import is_one_line, is_plain
from gateway.visit import is_id

Rules = dict[str, Any]
Error = Callable[[str, str], None]

MAX_QUANTITY = 10_000
MAX_STOCK = 2_147_483_647  # what an integer column holds
MAX_TIME = 99_999_999_999  # Unix seconds; a time in milliseconds is more

_STRIPE_CARD = re.compile(r"(tok|pm)_[A-Za-z0-9_]{1,200}")
# A letter is required, so that a card's number does not pass.
_CARD = re.compile(r"(?=.*[A-Za-z])[!-~]{1,255}")
_URL = re.compile(r"https?://[^\s/?#@]+([/?#]\S*)?")
_DISCOUNT_CODE = re.compile(r"[A-Za-z0-9_-]{1,500}")
_CURSOR = re.compile(r"c[0-9]+\.[A-Za-z0-9_-]+")
_SORT_KEY = re.compile(r"-?[^\s\[\]\-][^\[\]]*")


def is_discount_code(value: str) -> bool:
    """Whether `value` has the form of a discount code at Stripe."""
    return _DISCOUNT_CODE.fullmatch(value) is not None


# Cerberus also calls these for null and for values of another type, which its other rules report: they pass here.


def _matching(pattern: re.Pattern[str], message: str) -> Callable[[str, Any, Error], None]:
    def check(field: str, value: Any, error: Error) -> None:
        if isinstance(value, str) and not pattern.fullmatch(value):
            error(field, message)

    return check


def _an_id(field: str, value: Any, error: Error) -> None:
    if isinstance(value, str) and not is_id(value):
        error(field, "must be an id: 1 to 100 of A-Z a-z 0-9 _ - ~")


def _a_place(field: str, value: Any, error: Error) -> None:
    if isinstance(value, str) and not is_id(value) and not _CURSOR.fullmatch(value):
        error(field, "must be the page's next_cursor, or an id")


def _not_blank(field: str, value: Any, error: Error) -> None:
    if isinstance(value, str) and not value.strip():
        error(field, "must not be blank")


def _a_mail_address(field: str, value: Any, error: Error) -> None:
    if isinstance(value, str) and (fault := mail_address_fault(value)):
        error(field, fault)


def _a_phone_number(field: str, value: Any, error: Error) -> None:
    written = f"+{value}" if isinstance(value, int) else value
    if isinstance(written, str) and (fault := phone_fault(written)):
        error(field, fault)


def _one_line(field: str, value: Any, error: Error) -> None:
    if isinstance(value, str) and not is_one_line(value):
        error(field, "must be one line without control, bidi or invisible characters")


def _plain(field: str, value: Any, error: Error) -> None:
    if isinstance(value, str) and not is_plain(value):
        error(field, "must not have control or bidi override characters")


def _unique(field: str, value: Any, error: Error) -> None:
    if isinstance(value, list) and len({str(each) for each in value}) < len(value):
        error(field, "names one thing twice")


def _metadata_key(field: str, value: Any, error: Error) -> None:
    if isinstance(value, str) and ("[" in value or "]" in value):
        error(field, "must not have square brackets")


def required(rules: Rules) -> Rules:
    """The same kind of value, mandatory."""
    return {**rules, "required": True}


def nullable(rules: Rules) -> Rules:
    """The same kind of value, or null."""
    return {**rules, "nullable": True}


def line(most: int, least: int = 0) -> Rules:
    """One line of `least` to `most` characters; not only blanks when `least` is positive."""
    return _text(most, least, _one_line)


def text(most: int, least: int = 0) -> Rules:
    """A text of several lines, otherwise like `line`."""
    return _text(most, least, _plain)


def _text(most: int, least: int, check: Any) -> Rules:
    rules: Rules = {"type": "string", "maxlength": most}
    return {**rules, "minlength": least, "check_with": [check, _not_blank]} if least else {**rules, "check_with": check}


ID: Rules = {"type": "string", "check_with": _an_id}
STARTING_AFTER: Rules = {"type": "string", "maxlength": LONGEST, "check_with": _a_place}
EMAIL: Rules = {"type": "string", "maxlength": MAX_MAIL_ADDRESS_LENGTH, "check_with": _a_mail_address}
PHONE: Rules = {"type": "string", "check_with": _a_phone_number}
PHONE_OR_NUMBER: Rules = {"type": ["string", "integer"], "check_with": _a_phone_number}
CARD: Rules = {
    "type": "string",
    "check_with": _matching(_CARD, "must be a token of the payment provider, not a card's number"),
}
STRIPE_CARD: Rules = {
    "type": "string",
    "check_with": _matching(_STRIPE_CARD, "must be a token (tok_…) or a payment method (pm_…)"),
}
COUNTRY: Rules = {
    "type": "string",
    "check_with": _matching(re.compile(r"[A-Za-z]{2}"), "must be a country's two letters"),
}
CURRENCY: Rules = {
    "type": "string",
    "check_with": _matching(re.compile(r"[A-Za-z]{3}"), "must be a currency's three letters"),
}
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
PRICE: Rules = {"type": "integer", "min": 1, "max": product_limits.MAX_PRICE}
QUANTITY: Rules = {"type": "integer", "min": 1, "max": MAX_QUANTITY}
LIMIT: Rules = {"type": "integer", "min": 1, "max": 100}
ORDER_BY: Rules = {
    "type": "string",
    "maxlength": product_limits.METADATA_NAME_LENGTH + 1,
    "check_with": [_matching(_SORT_KEY, "must name what to sort by; a leading - reverses"), _one_line],
}


def _positive(field: str, value: Any, error: Error) -> None:
    if isinstance(value, (int, float)) and not value > 0:
        error(field, "must be more than 0")


def _two_decimals(field: str, value: Any, error: Error) -> None:
    if isinstance(value, float) and round(value, 2) != value:
        error(field, "must have at most two decimals")


DISCOUNT_CODE: Rules = {
    "type": "string",
    "check_with": _matching(_DISCOUNT_CODE, "must be 1 to 500 of A-Z a-z 0-9 _ -"),
}
PERCENT_OFF: Rules = {"type": "number", "max": 100, "check_with": [_positive, _two_decimals]}
_DIMENSION: Rules = required({"type": "number", "max": product_limits.MAX_DIMENSION, "check_with": _positive})
PACKAGE_DIMENSIONS: Rules = {
    "type": "dict",
    "schema": dict.fromkeys(("height", "length", "width", "weight"), _DIMENSION),
}
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
