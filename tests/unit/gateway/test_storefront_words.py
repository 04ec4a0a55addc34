"""storefront/words.js counts money as Stripe does."""

from __future__ import annotations

import re

from contracts.currencies import CURRENCIES, exponent
from launcher.place import ROOT

WORDS = (ROOT / "storefront" / "words.js").read_text(encoding="utf-8")


def test_amounts_have_stripes_decimals() -> None:
    lists = dict(re.findall(r'^const (ZERO|THREE)_DECIMAL = "([a-z ]+)"', WORDS, re.MULTILINE))
    for name, decimals in (("ZERO", 0), ("THREE", 3)):
        assert set(lists[name].split()) == {each for each in CURRENCIES if exponent(each) == decimals}
    assert {exponent(each) for each in CURRENCIES} == {0, 2, 3}
