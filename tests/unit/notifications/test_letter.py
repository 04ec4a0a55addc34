"""The mail about a paid order: complete, escaped, and readable without HTML."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from jinja2 import UndefinedError

from notifications.letter import letter
from notifications.rules.messages import order_paid
from tests.unit.notifications.orders import LABEL, order


class Page(HTMLParser):
    """The text, the links and the unclosed tags of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.links: list[str | None] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)
        if tag == "a":
            self.links.append(dict(attrs)["href"])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)


def bodies(label: dict[str, Any] | None = None, **changes: Any) -> tuple[str, Page]:
    text, html = letter("order_paid", {**order_paid(order(**changes), label), "shop": "The Shop"})
    return text, Page(html)


def test_both_bodies_contain_the_whole_order() -> None:
    text, page = bodies(LABEL)
    for words in (text, page.text):
        for part in (
            *("Chloe Taylor", "or_1AyepaBqraFdOKT2ahMQkRsd", "Wally pick", "$1.00", "Taxes (included)", "$0.00"),
            *("First-Class Package/Mail Parcel", "$3.46", "$4.46", "1092 Indian Summer Ct", "San Jose, CA 95122", "US"),
            *("USPS", "9400100000000000000000", "The Shop"),
        ):
            assert part in words
    assert "2 x Wally pick: $1.00" in text
    assert LABEL["label_url"] in text
    assert page.links == [LABEL["label_url"]]


def test_mail_names_the_number_of_every_parcel() -> None:
    issued = [{"label_url": None, "tracking_number": number} for number in ("94001", "94002", None)]
    text, page = bodies({**LABEL, "labels": issued})
    for words in (text, page.text):
        assert [words.count(part) for part in ("USPS 94001", "USPS 94002", "USPS ")] == [1, 1, 2]


def test_the_html_is_well_formed_and_safe_for_mail_clients() -> None:
    page = bodies(LABEL)[1]
    assert page.open == []
    assert not {"script", "link", "style", "img", "form", "iframe"} & set(page.tags)


def test_mail_without_a_label_says_that_it_follows() -> None:
    text, page = bodies(None)
    assert "Your label follows" in text
    assert "Your label follows" in page.text
    assert page.links == []
    assert "None" not in text
    assert "None" not in page.text
    assert "Tracking" not in text


def test_mail_links_to_the_orders_page() -> None:
    url = "https://shop.example/orders/or_1?token=ot_1"
    text, html = letter("order_paid", {**order_paid({**order(), "status_url": url}, None), "shop": "The Shop"})
    assert f"\n{url}\n" in text
    assert Page(html).links == [url]


@pytest.mark.parametrize("url", [None, "", "javascript:alert(1)", "/orders/or_1"])
def test_only_a_web_url_is_linked(url: str | None) -> None:
    text, html = letter("order_paid", {**order_paid({**order(), "status_url": url}, None), "shop": "The Shop"})
    assert "Follow your order" not in text
    assert Page(html).links == []


def test_mail_about_nothing_to_ship_mentions_no_parcel() -> None:
    digital = order()
    digital["items"] = [item for item in digital["items"] if item["type"] != "shipping"]
    for body in letter("order_paid", {**order_paid(digital, None), "shop": "The shop"}):
        assert "Wally pick" in body
        assert not any(word in body for word in ("abel", "goes to", "On its way", "San Jose"))


def test_html_escapes_the_texts_of_customers_and_products() -> None:
    nasty = '<script>alert("x")</script> & Söhne'
    text, page = bodies(LABEL, name=nasty, description=nasty)
    assert "script" not in page.tags
    assert page.text.count('<script>alert("x")</script> & Söhne') == 3  # the greeting, the line, the address
    assert f"2 x {nasty}: $1.00" in text


def test_a_link_cannot_break_out_of_its_attribute() -> None:
    url = 'https://labels.example.com/"><script>alert(1)</script>'
    page = bodies({"label_url": url, "carrier": "USPS", "tracking_number": "1"})[1]
    assert page.links == [url]
    assert "script" not in page.tags


def test_order_without_name_and_address_is_mailed() -> None:
    paid = {**order(), "shipping": None}
    text, html = letter("order_paid", {**order_paid(paid, None), "shop": "The Shop"})
    assert text.startswith("thank you")
    assert "It goes to" not in html


def test_missing_template_variable_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        letter("order_paid", {"order_id": "or_1"})
