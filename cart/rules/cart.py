"""A shopper's cart: the quantity of each SKU, and the limits on it."""

from __future__ import annotations

from typing import Any

from contracts.errors import Conflict, InvalidRequest

# The most of one SKU in a cart, as the public contract says.
MAX_QUANTITY = 10_000

Item = dict[str, Any]


def item(sku: str, quantity: int) -> Item:
    """One item as the API shows it; `quality` is the seed's spelling of `quantity`, and always equal to it."""
    return {"type": "sku", "parent": sku, "quality": quantity, "quantity": quantity}


def check_quantity(quantity: int, offer: dict[str, Any]) -> None:
    """Check that a cart may hold `quantity` of an offered product.

    Args:
        quantity: the number of pieces the cart would hold.
        offer: the product, from the products service: ``{"name", "inventory": {"type", "quantity", "value"}}``.

    Raises InvalidRequest for a number that no cart can hold, Conflict when the stock is less.
    """
    if not 1 <= quantity <= MAX_QUANTITY:
        raise InvalidRequest(
            f"A cart holds 1 to {MAX_QUANTITY} of a product, not {quantity}.",
            {"errors": {"quality": [f"must be from 1 to {MAX_QUANTITY} together with what is in the cart"]}},
        )
    inventory = offer["inventory"]
    left = inventory.get("quantity") or 0
    if inventory["type"] == "finite" and left < quantity:
        raise Conflict(f"There are only {left} of {offer['name']}.", {"sku": offer["sku"], "available": left})
    if inventory["type"] == "bucket" and inventory.get("value") == "out_of_stock":
        raise Conflict(f"{offer['name']} is out of stock.", {"sku": offer["sku"], "available": 0})
