"""Mail addresses and phone numbers: which ones the shop accepts, and how providers receive them."""

from __future__ import annotations

import re
from collections.abc import Collection

import phonenumbers
from email_validator import EmailNotValidError, ValidatedEmail, validate_email
from phonenumbers import PhoneNumberType

MAX_MAIL_ADDRESS_LENGTH = 254  # RFC 5321
MAX_SUBJECT_LENGTH = 998  # RFC 5322, one line
MAX_SMS_LENGTH = 1600  # Twilio's limit; ten segments
E164 = re.compile(r"\+[1-9][0-9]{6,14}")
# In a sentence: a mail address, or at least seven digits after a plus.
_CONTACT = re.compile(r"[^\s<>()\[\]:;,\"']+@[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)*|\+[0-9]{7,15}")
# Numbers whose calls and texts may cost many times the usual price.
_COSTLY_TYPES = frozenset(
    (PhoneNumberType.PREMIUM_RATE, PhoneNumberType.SHARED_COST, PhoneNumberType.UAN, PhoneNumberType.PAGER)
)
# Country codes that belong to no country: satellites, international networks, shared cost.
_NO_COUNTRY = "001"
_NORTH_AMERICA = 1

COUNTRIES = frozenset(phonenumbers.SUPPORTED_REGIONS)


def mail_address_fault(text: str) -> str | None:
    """What is wrong with `text` as the address of one mailbox; None when mail can be sent to it.

    The domain is not looked up. It may have any script; the part before the @ must be ASCII, since SendGrid does not
    offer SMTPUTF8.
    """
    if len(text) > MAX_MAIL_ADDRESS_LENGTH:
        return f"max length is {MAX_MAIL_ADDRESS_LENGTH}"
    try:
        ascii_domain = _validated(text).ascii_domain
    except EmailNotValidError as error:
        return f"must be an email address: {error}"
    if len(text.rpartition("@")[0]) + 1 + len(ascii_domain) > MAX_MAIL_ADDRESS_LENGTH:
        return f"max length is {MAX_MAIL_ADDRESS_LENGTH}, with the domain in ASCII"
    return None


def ascii_mail_address(text: str) -> str:
    """`text` with its domain in ASCII (`chloe@münchen.de` -> `chloe@xn--mnchen-3ya.de`), as providers need it.

    An address that cannot be mailed is returned unchanged: the provider refuses it.
    """
    if text.isascii() or mail_address_fault(text) is not None:
        return text
    return f"{text.rpartition('@')[0]}@{_validated(text).ascii_domain}"


def phone_fault(text: str) -> str | None:
    """What is wrong with `text` as a country's telephone number in E.164; None when nothing is."""
    number = _parsed(text)
    if number is None or not phonenumbers.is_valid_number(number):
        return "must be a telephone number as in +14155550100"
    if phonenumbers.region_code_for_number(number) in (None, _NO_COUNTRY):
        return "must be a telephone number of a country"
    if _is_costly(number):
        return "must not be a premium-rate number"
    return None


def sms_fault(text: str, countries: Collection[str] = ()) -> str | None:
    """Why `text` may not receive a text message; None when it may.

    Args:
        text: a number in E.164.
        countries: two-letter codes of the countries that may receive texts; empty: every country.
    """
    fault, number = phone_fault(text), _parsed(text)
    if fault is not None or number is None or not countries:
        return fault
    if phonenumbers.region_code_for_number(number) in set(countries):
        return None
    return "must be a number of a country that this shop sends text messages to"


def masked(recipient: str) -> str:
    """A number or address that can be distinguished from others, but not reached: `…0123`, `…@example.com`."""
    return f"…@{recipient.rpartition('@')[2]}" if "@" in recipient else f"…{recipient[-4:]}"


def without_contacts(text: str) -> str:
    """`text` with its mail addresses and telephone numbers masked, for logs and for the operator's mail."""
    return _CONTACT.sub(lambda found: masked(found[0]), text)


def _validated(text: str) -> ValidatedEmail:
    return validate_email(text, allow_smtputf8=False, check_deliverability=False, strict=True)


def _parsed(text: str) -> phonenumbers.PhoneNumber | None:
    if not E164.fullmatch(text):
        return None
    try:
        return phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        return None


def _is_costly(number: phonenumbers.PhoneNumber) -> bool:
    kind = phonenumbers.number_type(number)
    # A "personal number" forwards calls at a premium, except in North America, where 500 numbers are ordinary ones.
    personal = kind == PhoneNumberType.PERSONAL_NUMBER and number.country_code != _NORTH_AMERICA
    return personal or kind in _COSTLY_TYPES
