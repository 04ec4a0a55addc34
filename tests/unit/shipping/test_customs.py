"""The customs declaration of a parcel that leaves the country."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.currencies import decimal_text
from shipping.rules.customs import contents

BONE: dict[str, Any] = {
    "quantity": 3,
    "package_dimensions": {"height": 5, "length": 5, "width": 5, "weight": 2.5},
    "description": "Wally bone",
    "price": 50,
    "currency": "usd",
}


def test_each_line_is_declared_with_its_whole_weight_and_value() -> None:
    assert contents([BONE]) == [
        {
            "description": "Wally bone",
            "quantity": 3,
            "net_weight": "7.5",
            "mass_unit": "oz",
            "value_amount": "1.50",
            "value_currency": "USD",
        }
    ]


@pytest.mark.parametrize("missing", ["description", "price", "currency"])
def test_incomplete_line_leaves_everything_undeclared(missing: str) -> None:
    incomplete = {name: value for name, value in BONE.items() if name != missing}
    assert contents([BONE, incomplete]) == []


@pytest.mark.parametrize(
    ("units", "currency", "amount"),
    [(346, "usd", "3.46"), (5, "usd", "0.05"), (500, "jpy", "500"), (1, "kwd", "0.001")],
)
def test_smallest_units_become_a_decimal_amount(units: int, currency: str, amount: str) -> None:
    assert decimal_text(units, currency) == amount
