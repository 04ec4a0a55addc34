"""The ids in public requests: their characters, and the message for a malformed one."""

from __future__ import annotations

import pytest

from contracts.errors import InvalidRequest
from gateway.schemas import SHIPPING_CHOICE


@pytest.mark.parametrize("rate", ["2aae2e40a7bbb9c2", "acme~rate-1_b", "a" * 100])
def test_rate_of_any_carrier_is_an_id(rate: str) -> None:
    choice = {"order_id": "or_1", "shipping_id": rate}
    assert SHIPPING_CHOICE.check(choice) == choice


@pytest.mark.parametrize("rate", ["", "a" * 101, "a.b", "a/b", "a b", "ä"])
def test_message_names_all_characters_of_an_id(rate: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        SHIPPING_CHOICE.check({"order_id": "or_1", "shipping_id": rate})
    assert caught.value.facts["errors"] == {"shipping_id": ["must be an id: 1 to 100 of A-Z a-z 0-9 _ - ~"]}
