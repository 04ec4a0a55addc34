"""The customs declaration of a parcel that leaves the country."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from contracts.currencies import decimal_text

LONGEST_DESCRIPTION = 100


def contents(items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Convert items to a customs declaration.

    Args:
        items: valid items as `shipping.rules.parcel.pack` takes them, plus ``description``, ``price`` (of one unit, in
            the currency's smallest unit) and ``currency``.

    Returns:
        ``[{"description", "quantity", "net_weight", "mass_unit", "value_amount", "value_currency"}]``, weight and value
        of the whole line as strings. The list is empty when an item has no price, because a declaration must be
        complete.
    """
    declared = []
    for item in items:
        if not item.get("description") or not item.get("currency") or not isinstance(item.get("price"), int):
            return []
        weight = Decimal(str(item["package_dimensions"]["weight"])) * item["quantity"]
        declared.append(
            {
                "description": str(item["description"])[:LONGEST_DESCRIPTION],
                "quantity": item["quantity"],
                "net_weight": format(weight.normalize(), "f"),
                "mass_unit": "oz",
                "value_amount": decimal_text(item["price"] * item["quantity"], item["currency"]),
                "value_currency": str(item["currency"]).upper(),
            }
        )
    return declared
