"""Which mails and text messages are accepted, and how they describe a paid order."""

from __future__ import annotations

import re
from typing import Any

import pytest

from contracts.errors import InvalidRequest
from notifications.letter import letter
from notifications.rules.messages import (
    mail,
    order_paid,
    order_paid_sms,
    order_paid_subject,
    recipient,
    segments,
    sms,
)
from tests.unit.notifications.orders import LABEL, order


def refused(error: pytest.ExceptionInfo[InvalidRequest]) -> list[str]:
    return sorted(error.value.facts["errors"])


def test_content_is_html_if_it_begins_with_a_bracket() -> None:
    html = mail("k", "a@example.com", "shop@example.com", "Hello", "  <p>Hi</p>")
    assert (html.text, html.html) == (None, "  <p>Hi</p>")
    text = mail("k", "a@example.com", "shop@example.com", "Hello", "1 < 2")
    assert (text.text, text.html) == ("1 < 2", None)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a",
        "a@b",
        "a@example.com, b@example.com",
        "a@example.com;b@example.com",
        "A <a@example.com>",
        "a b@example.com",
        "a@example.com\nBcc: b@example.com",
        "@example.com",
        "a@@example.com",
        "a@example.",
        None,
        5,
        "a" * 250 + "@b.co",
    ],
)
def test_only_one_address_is_mailed(address: Any) -> None:
    with pytest.raises(InvalidRequest) as error:
        mail("k", address, "shop@example.com", "Hello", "text")
    assert refused(error) == ["to_email"]
    with pytest.raises(InvalidRequest) as error:
        mail("k", "a@example.com", address, "Hello", "text")
    assert refused(error) == ["from_email"]


@pytest.mark.parametrize(
    "address", ["tamara.malysheva@saritasa.com", "a+b@sub.example.co", "o'neil@example.com", "u@exämple.de"]
)
def test_ordinary_addresses_are_mailed(address: str) -> None:
    assert mail("k", address, "shop@example.com", "Hello", "text").to == address


def test_every_wrong_field_of_a_mail_is_named() -> None:
    with pytest.raises(InvalidRequest) as error:
        mail("", "a", "b", "two\nlines", " ")
    assert refused(error) == ["content", "from_email", "key", "subject", "to_email"]
    with pytest.raises(InvalidRequest) as error:
        mail("k" * 256, "a@example.com", "b@example.com", "x" * 999, None)
    assert refused(error) == ["content", "key", "subject"]


@pytest.mark.parametrize(
    "number", ["79994413746", "+0999441374", "+7999", "+7 999 441", 79994413746, None, "+1234567890123456"]
)
def test_only_a_number_in_e164_is_texted(number: Any) -> None:
    assert sms("k", "+79994413746", "Your order is ready!").number == "+79994413746"
    with pytest.raises(InvalidRequest) as error:
        sms("k", number, "Your order is ready!")
    assert refused(error) == ["number"]


def test_texts_go_only_to_countries_that_are_set() -> None:
    assert sms("k", "+79994413746", "Hello", {"RU"}).number == "+79994413746"
    with pytest.raises(InvalidRequest) as error:
        sms("k", "+79994413746", "Hello", {"US", "CA"})
    assert refused(error) == ["number"]


def test_empty_or_too_long_text_is_refused() -> None:
    assert sms("k", "+79994413746", "x" * 1600).body == "x" * 1600
    for content in ("", "  ", "x" * 1601, None):
        with pytest.raises(InvalidRequest) as error:
            sms("k", "+79994413746", content)
        assert refused(error) == ["content"]


@pytest.mark.parametrize(("currency", "total"), [("isk", "4.46 ISK"), ("ugx", "4.46 UGX"), ("mga", "446 MGA")])
def test_mail_counts_money_as_stripe_does(currency: str, total: str) -> None:
    assert order_paid({**order(), "currency": currency}, LABEL)["total"] == total


def test_order_in_unknown_currency_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="not an order"):
        order_paid({**order(), "currency": "zzz"}, LABEL)


def test_paid_order_is_described_line_by_line() -> None:
    described = order_paid(order(), LABEL)
    assert described == {
        "order_id": "or_1AyepaBqraFdOKT2ahMQkRsd",
        "name": "Chloe Taylor",
        "lines": [{"description": "Wally pick", "quantity": 2, "unit": "$0.50", "amount": "$1.00"}],
        "extras": [
            {"description": "Taxes (included)", "amount": "$0.00"},
            {"description": "First-Class Package/Mail Parcel", "amount": "$3.46"},
        ],
        "total": "$4.46",
        "address": [
            {"part": "Name", "text": "Chloe Taylor"},
            {"part": "Street", "text": "1092 Indian Summer Ct"},
            {"part": "City", "text": "San Jose, CA 95122"},
            {"part": "Country", "text": "US"},
        ],
        "method": "First-Class Package/Mail Parcel",
        "status_url": None,
        "label_url": "https://labels.example.com/1.pdf?a=1&b=2",
        "carrier": "USPS",
        "tracking_numbers": ["9400100000000000000000"],
    }
    assert order_paid_subject(order()) == "Your order or_1AyepaBqraFdOKT2ahMQkRsd is paid"


def test_order_without_a_label_has_no_tracking() -> None:
    described = order_paid(order(), None)
    assert (described["label_url"], described["carrier"], described["tracking_numbers"]) == (None, None, [])


def test_only_a_web_address_becomes_a_link() -> None:
    assert order_paid(order(), {"label_url": "javascript:alert(1)"})["label_url"] is None


@pytest.mark.parametrize(
    "broken", [{}, {"id": "or_1"}, {**order(), "items": [{"type": "sku"}]}, {**order(), "amount": "x"}]
)
def test_malformed_order_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as error:
        order_paid(broken, None)
    assert refused(error) == ["order"]


def test_recipient_comes_from_the_order_or_its_shipping() -> None:
    paid = order(phone="+79994413746")
    assert recipient(paid, "email") == "varvara.malysheva@saritasa.com"
    assert recipient(paid, "phone") == "+79994413746"
    with pytest.raises(InvalidRequest) as error:
        recipient(order(), "phone")
    assert refused(error) == ["phone"]


def test_text_about_an_order_fits_one_message() -> None:
    assert order_paid_sms(order()) == "Your order or_1AyepaBqraFdOKT2ahMQkRsd is paid: $4.46."
    tracked = order(carrier="USPS", tracking_number="94001")
    assert order_paid_sms(tracked).endswith("$4.46. Tracking: USPS 94001.")
    long = order(carrier="USPS", tracking_number="9" * 150)
    assert segments(order_paid_sms(long)) == 1


def test_sms_repeats_nothing_that_the_shopper_typed() -> None:
    typed = order(city="Phishville", name="Win a prize", carrier="USPS", tracking_number="94001")
    typed["shipping"]["address"].update(line1="Click here", line2="now", state="Free", postal_code="Money")
    body = order_paid_sms(typed)
    assert not [word for word in ("Phishville", "Win", "Click", "now", "Free", "Money") if word in body]


NASTY_NAMES = [
    "visit http://phish.example",
    "www.phish.example",
    "write to a@phish.example",
    "A\r\nBcc: x",
    "A\nYour order is lost: pay again",
    "A\u2028Your order is lost",
    "\x1b[31mred",
    "\u202egpj.exe",
    "x" * 200,
]


@pytest.mark.parametrize("name", NASTY_NAMES)
def test_stored_name_cannot_pose_as_the_shop(name: str) -> None:
    paid = order(name=name)
    paid["shipping"]["address"].update(line1=name, city=name)
    described = order_paid(paid, LABEL)
    shown = [described["name"], *(line["text"] for line in described["address"])]
    for text in shown:
        assert all(character.isprintable() for character in text)
        assert not re.search(r"[.:@]\S", text)
    text, html = letter("order_paid", {**described, "shop": "The Shop"})
    ours = ("Hello ", "thank you", "2 x ", "Taxes", "First-Class", "Total:", "It goes to:", "  Name: ", "  Street: ")
    starts = (*ours, "  City: ", "  Country: ", "Tracking:", "Label:", "The Shop")
    assert [line for line in text.splitlines() if line and not line.startswith(starts)] == []
    assert not re.search(r"<br>(?!Street: |City: |Country: |<span)", html)


@pytest.mark.parametrize(("name", "greeted"), [("Chloe Taylor", "Chloe Taylor"), ("محمد", "محمد"), ("a.b", "")])
def test_mail_greets_a_name_that_is_no_link(name: str, greeted: str) -> None:
    assert order_paid(order(name=name), None)["name"] == greeted


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ("x" * 160, 1),
        ("x" * 161, 2),
        ("x" * 306, 2),
        ("x" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("Ł" * 70, 1),
        ("Ł" * 71, 2),
        ("Ł" * 134, 2),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
    ],
)
def test_number_of_segments_depends_on_the_alphabet(body: str, count: int) -> None:
    assert segments(body) == count
