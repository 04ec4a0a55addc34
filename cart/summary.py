"""A cart with its current prices and its discount, as a page shows it before the checkout."""

from __future__ import annotations

from typing import Any

from cart.discounts.codes import DiscountCodes
from cart.rules.order import goods
from cart.store.unit_of_work import CartStore
from contracts.errors import Conflict, NotFound


def summary(store: CartStore, products: Any, codes: DiscountCodes, cart_id: str) -> dict[str, Any]:
    """What a cart costs now.

    Args:
        products: the products service, as a worker calls it: ``price(items, check_stock)``.
        codes: the discount codes.

    Returns ``{"items", "item_count", "currency", "subtotal", "discount", "discount_code", "total", "problems"}``.
    Amounts are in the smallest unit of ``currency``, which is None for an empty cart; ``discount`` is not positive;
    ``total`` has no shipping. ``problems`` is a list of ``{"parent", "detail"}``: the items that cannot be bought,
    which add nothing, and the code if it does not apply.
    """
    items, code = store.carts.items(cart_id), store.discounts.of_cart(cart_id)
    lines, problems = _priced(products, items)
    currencies = sorted({line["currency"] for line in lines})
    if len(currencies) > 1:
        names = ", ".join(currencies)
        problems += [{"parent": line["parent"], "detail": f"One order has one currency: {names}."} for line in lines]
        lines, currencies = [], []
    currency = currencies[0] if currencies else None
    subtotal = sum(goods(line).amount for line in lines)
    discount = 0
    if code is not None:
        try:
            discount = codes.amount(code, subtotal, currency)
        except (Conflict, NotFound) as error:
            problems.append({"parent": code, "detail": error.detail})
    return {
        "items": items,
        "item_count": sum(item["quantity"] for item in items),
        "currency": currency,
        "subtotal": subtotal,
        "discount": discount,
        "discount_code": code,
        "total": subtotal + discount,
        "problems": problems,
    }


def _priced(products: Any, items: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The lines of the items that can be bought, and why the others cannot."""
    wanted = [{"parent": item["parent"], "quantity": item["quantity"]} for item in items]
    problems: dict[str, str] = {}
    # The second time without the items that the first one refused; their stock may change in between.
    while wanted:
        try:
            return products.price(wanted, True), _listed(problems)
        except Conflict as error:
            refused = {each["parent"]: each["detail"] for each in error.facts.get("problems", [])}
            if not refused:
                raise
            problems |= refused
            wanted = [item for item in wanted if item["parent"] not in problems]
    return [], _listed(problems)


def _listed(problems: dict[str, str]) -> list[dict[str, Any]]:
    return [{"parent": parent, "detail": detail} for parent, detail in problems.items()]
