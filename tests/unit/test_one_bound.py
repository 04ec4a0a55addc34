"""The largest value of a field is the same in the gateway and in the service that checks it, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cart.rules.cart import check_quantity
from cart.rules.price import Totals, check_payable
from contracts.errors import ShopError
from gateway import schemas
from gateway.shape import Shape
from notifications.rules.messages import mail, sms
from products.rules.drafts import Draft

PACKAGE = {"height": 1, "length": 1, "width": 1, "weight": 1}
PRODUCT = {"name": "Bone", "price": 50, "metadata": {"category": "toys"}, "package_dimensions": PACKAGE}
OFFER = {"name": "Bone", "sku": "sku_1", "inventory": {"type": "infinite"}}
NUMBER = "+15005550006"


def _product(body: dict[str, Any]) -> None:
    Draft.parse(body, "usd")


def _package(side: str, number: int) -> dict[str, Any]:
    return {**PRODUCT, "package_dimensions": {**PACKAGE, side: number}}


def _stock(number: int) -> dict[str, Any]:
    return {**PRODUCT, "inventory": {"type": "finite", "quantity": number}}


def _mail(length: int) -> dict[str, Any]:
    return {"to_email": "a@example.com", "subject": "a" * length, "content": "a"}


# A request at the bound, and how the gateway and the service check it.
Bound = tuple[int, Callable[[int], dict[str, Any]], Shape, Callable[[dict[str, Any]], Any]]
BOUNDS: dict[str, Bound] = {
    "stock": (1_000_000_000, _stock, schemas.PRODUCT, _product),
    "price": (99_999_999, lambda number: {**PRODUCT, "price": number}, schemas.PRODUCT, _product),
    "height": (100_000, lambda number: _package("height", number), schemas.PRODUCT, _product),
    "weight": (100_000, lambda number: _package("weight", number), schemas.PRODUCT, _product),
    "payment": (
        99_999_999,
        lambda number: {"amount": number},
        schemas.REFUND,
        lambda body: check_payable(Totals(body["amount"], 0, 0, 0)),
    ),
    "pieces": (
        10_000,
        lambda number: {"quality": number},
        schemas.ITEM,
        lambda body: check_quantity(body["quality"], OFFER),
    ),
    "text": (
        1600,
        lambda length: {"number": NUMBER, "content": "a" * length},
        schemas.SMS_MESSAGE,
        lambda body: sms("key", body["number"], body["content"]),
    ),
    "subject": (
        998,
        _mail,
        schemas.EMAIL_MESSAGE,
        lambda body: mail("key", body["to_email"], "b@example.com", body["subject"], body["content"]),
    ),
}


@pytest.mark.parametrize("field", BOUNDS)
def test_gateway_and_service_have_one_bound(field: str) -> None:
    largest, request, shape, service = BOUNDS[field]
    for check in (shape.check, service):
        check(request(largest))
        with pytest.raises(ShopError):
            check(request(largest + 1))


def test_too_much_stock_is_refused_by_its_field() -> None:
    with pytest.raises(ShopError) as refusal:
        schemas.PRODUCT.check(_stock(2_147_483_647))
    assert refusal.value.facts["errors"] == {"inventory": {"quantity": ["max value is 1000000000"]}}
