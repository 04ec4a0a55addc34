"""How a cart is shown, and what may be in it together."""

from __future__ import annotations

from typing import Any

import pytest

from cart.rules.cart import check_currency, is_shown, item, looked_up, offered, summary
from contracts.errors import Conflict

OFFER: dict[str, Any] = {
    "product": "prod_1",
    "sku": "sku_a",
    "name": "Wally bone",
    "image": None,
    "attributes": {"size": "s"},
    "price": 50,
    "currency": "usd",
    "inventory": {"type": "finite", "quantity": 5, "value": None},
    "package_dimensions": None,
}


def held(sku: str = "sku_a", quantity: int = 2, **shown: Any) -> dict[str, Any]:
    return item(sku, "prod_1", quantity, {**offered(OFFER), **shown})


def summed(items: list[dict[str, Any]], details: dict[str, str]) -> dict[str, Any]:
    """The summary of a cart without a discount code."""
    return summary(items, details, None, lambda *_: 0)


def test_item_can_be_shown_as_it_is() -> None:
    assert held() == {
        "type": "sku",
        "parent": "sku_a",
        "quality": 2,
        "quantity": 2,
        "product": "prod_1",
        "name": "Wally bone",
        "image": None,
        "attributes": {"size": "s"},
        "price": 50,
        "currency": "usd",
        "available": True,
        "amount": 100,
    }


def test_item_of_the_previous_release_is_not_shown_yet() -> None:
    found = item("sku_a", "prod_1", 2, None)
    assert not is_shown(found)
    assert (found["quantity"], found["name"], found["amount"]) == (2, None, None)


def test_summary_adds_up_what_can_be_bought() -> None:
    found = summed([held(), held("sku_b", 3, price=20), held("sku_c", 1, available=False)], {"sku_c": "Short."})
    assert (found["item_count"], found["currency"]) == (6, "usd")
    assert (found["subtotal"], found["discount"], found["total"]) == (160, 0, 160)
    assert found["problems"] == [{"parent": "sku_c", "detail": "Short."}]
    assert [each["parent"] for each in found["items"]] == ["sku_a", "sku_b", "sku_c"]


def test_summary_of_an_empty_cart_has_no_currency() -> None:
    nothing = {"item_count": 0, "currency": None, "subtotal": 0, "discount": 0, "total": 0}
    assert summed([], {}) == {"items": [], **nothing, "discount_code": None, "problems": []}


def test_summary_names_an_item_in_another_currency() -> None:
    found = summed([held(), held("sku_b", 1, price=20, currency="eur", name="Collar")], {})
    assert (found["currency"], found["total"]) == ("usd", 100)
    [problem] = found["problems"]
    assert problem["parent"] == "sku_b"
    assert "Collar is in eur, the cart in usd" in problem["detail"]


def test_second_currency_is_refused() -> None:
    check_currency([held("sku_b"), item("sku_c", "prod_1", 1, None)], OFFER)
    with pytest.raises(Conflict, match="Wally bone is in usd, the cart in eur"):
        check_currency([held("sku_b", currency="eur")], OFFER)


def test_item_off_sale_keeps_its_name() -> None:
    assert looked_up({"parent": "sku_a", "product": "prod_1", "detail": "Gone."}) == {"available": False}
    assert looked_up({**OFFER, "detail": None}) == offered(OFFER)
