"""Which mail addresses, phone numbers and texts are accepted, and how an address is sent to providers."""

from __future__ import annotations

import pytest

from contracts.contacts import ascii_mail_address, mail_address_fault, phone_fault, sms_fault, without_contacts
from contracts.texts import is_one_line, is_plain, one_line

GOOD_ADDRESSES = [
    "varvara.malysheva@saritasa.com",
    "test@example.com",
    "chloe@m\u00fcnchen.de",
    "chloe@xn--mnchen-3ya.de",
    "a@\u043f\u0440\u0438\u043c\u0435\u0440.\u0440\u0444",
    "o'neil+shop@sub.example.co",
    "A@EXAMPLE.com",
]
BAD_ADDRESSES = [
    "",
    "chloe@-example.com",
    "chloe@example-.com",
    "a@b",
    "a@" + "b" * 64 + ".de",
    "a@" + "b." * 130 + "de",
    "a@" + "\u00fc." * 60 + "de",  # in ASCII, the domain makes it longer than 254 characters
    "x" * 65 + "@example.com",
    "chlo\u00e9@example.com",
    "a@localhost",
    "a@shop.test",
    "a@shop.invalid",
    "a@shop.local",
    "a@[127.0.0.1]",
    "a@127.0.0.1",
    "a..b@example.com",
    ".a@example.com",
    '"a b"@example.com',
    "Chloe <a@example.com>",
    "a@example.com.",
    "a@exa_mple.com",
    "a@example.com\n",
    "a@example.com\u200b",
    "a@b@example.com",
]


@pytest.mark.parametrize("address", GOOD_ADDRESSES)
def test_valid_mail_address_is_accepted(address: str) -> None:
    assert mail_address_fault(address) is None


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_invalid_mail_address_is_refused(address: str) -> None:
    fault = mail_address_fault(address)
    assert fault
    assert len(fault) < 300
    assert ascii_mail_address(address) == address


def test_fault_of_a_long_address_is_short() -> None:
    assert mail_address_fault("a@" * 500_000) == "max length is 254"


def test_domain_is_sent_in_ascii() -> None:
    assert ascii_mail_address("Chloe@M\u00fcnchen.de") == "Chloe@xn--mnchen-3ya.de"
    assert ascii_mail_address("A@EXAMPLE.com") == "A@EXAMPLE.com"


# The number of the seed, and numbers with a meaning in Twilio's test mode.
DOCUMENTED_NUMBERS = ["+79994413746", "+14155550123", "+14155550100", *(f"+1500555000{digit}" for digit in range(10))]


@pytest.mark.parametrize("number", DOCUMENTED_NUMBERS)
def test_documented_numbers_are_accepted(number: str) -> None:
    assert phone_fault(number) is None
    assert sms_fault(number) is None


@pytest.mark.parametrize(
    "number",
    [
        *("", "79994413746", "+0999441374", "+7999", "+7 999 4413746", "+999123456789", "+10000000000", "+1415555"),
        *("+4917099999999999", "+\u0667\u0669\u0669\u0669\u0664\u0664\u0661\u0663", "+79994413746\n"),
        *("+882161234567", "+87810123456789", "+881612345678", "+870773111632", "+80012345678", "+979123456789"),
        *("+19005551234", "+447012345678", "+4990012345678"),
    ],
)
def test_number_without_country_or_at_premium_rate_is_refused(number: str) -> None:
    assert phone_fault(number)
    assert sms_fault(number)


def test_texts_go_to_the_countries_that_are_set() -> None:
    assert sms_fault("+14155550123", {"US"}) is None
    assert sms_fault("+14165550123", {"US"})  # Canada has the same country code
    assert sms_fault("+4915112345678", {"US", "CA"})
    assert phone_fault("+4915112345678") is None


HIDDEN = [
    *("\x00", "\t", "\n", "\r", "\x0b", "\x1b[31m", "\x7f", "\x85", "\x9b", "\xad", "\u061c", "\u180e", "\u200b"),
    *("\u200c", "\u200d", "\u200e", "\u200f", "\u2028", "\u2029", *map(chr, range(0x202A, 0x202F)), "\u2060"),
    *(*map(chr, range(0x2066, 0x206A)), "\ufeff", "\ufffa", "\U000e0041"),
]


@pytest.mark.parametrize("hidden", HIDDEN, ids=ascii)
def test_hidden_character_is_not_part_of_a_line(hidden: str) -> None:
    for text in (f"Chloe{hidden}Taylor", f"{hidden}Chloe", f"Chloe{hidden}"):
        assert not is_one_line(text)
        assert is_one_line(one_line(text))


@pytest.mark.parametrize(
    "text",
    [
        *("Chloe Taylor", "O'Neil-S\u00f8rensen, 12/3", "\u738b\u5c0f\u660e", "\u0645\u062d\u0645\u062f", "\u20ac 5"),
        *("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\U0001f469\u200d\U0001f4bb", "\u0915\u094d\u200d\u0937"),
    ],
)
def test_ordinary_names_are_one_line(text: str) -> None:
    assert is_one_line(text)
    assert one_line(text) == text


def test_several_lines_may_have_breaks_but_no_controls() -> None:
    assert is_plain("Dear Chloe,\r\n\tthank you.\n\u05e9\u05dc\u05d5\u05dd\u200f!")
    for hidden in ("\x00", "\x1b", "\x7f", "\x9b", "\u202e", "\u202a"):
        assert not is_plain(f"Dear{hidden}Chloe")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Invalid 'To' Phone Number: +15005550001", "Invalid 'To' Phone Number: …0001"),
        ("550 5.1.1 <chloe.t@mail.example.com>: unknown", "550 5.1.1 <…@mail.example.com>: unknown"),
        ("550 5.1.1 no such mailbox, code 30003", "550 5.1.1 no such mailbox, code 30003"),
    ],
)
def test_addresses_and_numbers_are_masked(text: str, shown: str) -> None:
    assert without_contacts(text) == shown
