"""A shopper's cart: the quantity of each SKU, the limits on it, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from cart.rules.price import DISCOUNT, SKU, Line, price
from contracts.errors import Conflict, InvalidRequest, NotFound
from contracts.product_limits import MAX_QUANTITY

# What is stored with an item, so that a cart can be shown without a call to products.
SHOWN = ("name", "image", "attributes", "price", "currency", "available")

Item = dict[str, Any]


def item(sku: str, product_id: str, quantity: int, shown: Mapping[str, Any] | None) -> Item:
    """One item as the API shows it; `quality` is the seed's spelling of `quantity`, and always equal to it.

    Args:
        shown: by the names of `SHOWN`; None while it is unknown.
    """
    known = {name: (shown or {}).get(name) for name in SHOWN}
    return {
        "type": "sku",
        "parent": sku,
        "quality": quantity,
        "quantity": quantity,
        "product": product_id,
        **known,
        "amount": None if known["price"] is None else known["price"] * quantity,
    }


def is_shown(item: Item) -> bool:
    """Whether it is known how to show an item."""
    return item["available"] is not None


def offered(offer: Mapping[str, Any]) -> dict[str, Any]:
    """How to show an item of which products has just offered enough.

    Args:
        offer: ``{"name", "image", "attributes", "price", "currency"}``.
    """
    return {**{name: offer.get(name) for name in SHOWN}, "available": True}


def looked_up(found: Mapping[str, Any]) -> dict[str, Any]:
    """What products has just said about an item; without the rest when it is not on sale any more.

    Args:
        found: as for `offered`, with ``detail``: why it cannot be bought, or None.
    """
    return {name: found[name] for name in SHOWN if name in found} | {"available": found["detail"] is None}


def summary(
    items: Sequence[Item],
    details: Mapping[str, str],
    code: str | None,
    taken_off: Callable[[str, int, str | None], int],
) -> dict[str, Any]:
    """A cart with its current prices, as the API shows it. What cannot be bought now adds nothing to the total.

    Args:
        items: as `item` makes them.
        details: why items cannot be bought, by SKU.
        code: the cart's discount code.
        taken_off: the amount of the line that a code adds to goods of so much, in so many smallest units of a currency;
            not positive. Raises NotFound or Conflict when the code does not apply.
    """
    available = [item for item in items if item["available"]]
    currency = available[0]["currency"] if available else None
    lines = [Line(SKU, item["amount"], currency) for item in available if item["currency"] == currency]
    problems = {each["parent"]: _other_currency(each, currency) for each in available if each["currency"] != currency}
    problems |= details
    refused, discount = [], 0
    if code is not None:
        try:
            discount = taken_off(code, price(lines, (), None, ()).subtotal, currency)
        except (NotFound, Conflict) as error:
            refused = [{"parent": code, "detail": error.detail}]
    totals = price(lines, (Line(DISCOUNT, discount, currency or ""),), None, ())
    return {
        "items": list(items),
        "item_count": sum(item["quantity"] for item in items),
        "currency": currency,
        "subtotal": totals.subtotal,
        "discount": totals.adjustments,
        "discount_code": code,
        "total": totals.total,
        "problems": [
            *(
                {"parent": each["parent"], "detail": problems[each["parent"]]}
                for each in items
                if each["parent"] in problems
            ),
            *refused,
        ],
    }


def check_currency(items: Iterable[Item], offer: Mapping[str, Any]) -> None:
    """Check that an offered product can be paid together with the items of a cart.

    Items whose currency is not known are left to the checkout. Raises Conflict.
    """
    for each in items:
        if each["currency"] not in (None, offer["currency"]):
            raise Conflict(_other_currency(offer, each["currency"]), {"sku": offer["sku"]})


def _other_currency(shown: Mapping[str, Any], currency: str | None) -> str:
    return f"One order has one currency: {shown['name']} is in {shown['currency']}, the cart in {currency}."


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
