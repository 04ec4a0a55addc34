"""The key of a mail address: all spellings of one address share it."""

from __future__ import annotations

import pytest

from cart.store.email_key import LONGEST_KEY, email_key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Chloe@Example.COM", "chloe@example.com"),
        ("CHLOÉ@example.com", "chloe\u0301@example.com"),
        ("straße@example.com", "STRASSE@example.com"),
        ("chloe@MÜNCHEN.de", "chloe@xn--mnchen-3ya.de"),
        (" chloe@example.com ", "chloe@example.com"),
        ("chloe@-bad-.example", "CHLOE@-BAD-.example"),
    ],
)
def test_spellings_of_one_address_have_one_key(one: str, other: str) -> None:
    assert email_key(one) == email_key(other)


@pytest.mark.parametrize("text", ["", "@", "no address", "a@b", "x" * 5000 + "@b.co", "a\0b@example.com", "a@\ud800"])
def test_any_text_has_a_key_that_fits(text: str) -> None:
    assert len(email_key(text)) <= LONGEST_KEY
    assert "\0" not in email_key(text)


def test_different_addresses_have_different_keys() -> None:
    assert email_key("chloe@example.com") != email_key("chloe@example.org")
    assert email_key("chloe@example.com") != email_key("chloe+1@example.com")
