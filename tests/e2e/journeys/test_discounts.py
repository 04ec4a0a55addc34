"""Discount codes over HTTP: made by an admin, used by shoppers, shown in the order, the mail and the books."""

from __future__ import annotations

from typing import Any

import pytest

from launcher.shop import Shop
from tests.e2e.journeys.operated import Operated
from tests.e2e.journeys.shop import Shopper, Storefront, eventually, unique
from tests.integration.providers.sandbox.process import Sdks

PRICE = 999


@pytest.fixture(scope="module")
def product(shop: Storefront) -> dict[str, Any]:
    return shop.product(price=PRICE, inventory={"type": "finite", "quantity": 100})


def made(shop: Storefront, **terms: Any) -> str:
    """Make a code; return it."""
    code = unique("CODE-")
    wanted = {"percent_off": 12.5, **terms} if "amount_off" not in terms else terms
    answer = shop.ask("POST", "/api/discounts/", json={"code": code, **wanted})
    assert answer.status_code == 201, answer.text
    return code


def apply(shopper: Shopper, code: str) -> Any:
    return shopper.ask("POST", "/api/cart/discount/", json={"code": code})


def shown(shop: Storefront, code: str) -> dict[str, Any]:
    listed = shop.ask("GET", "/api/discounts/").json()["data"]
    [found] = [each for each in listed if each["code"] == code]
    return dict(found)


def line(order: dict[str, Any]) -> dict[str, Any]:
    [found] = [item for item in order["items"] if item["type"] == "discount"]
    return dict(found)


def test_discount_reaches_order_payment_mail_and_refund(shop: Storefront, product: dict[str, Any]) -> None:
    code, shopper = made(shop, max_redemptions=1), shop.shopper()
    shopper.buy(product["id"], 1)
    summary = apply(shopper, code.lower())
    assert summary.status_code == 200
    assert (summary.json()["subtotal"], summary.json()["discount"]) == (PRICE, -125)  # 124.875
    order = shopper.checkout().json()
    assert (line(order)["amount"], line(order)["parent"]) == (-125, code)
    assert order["amount"] == sum(item["amount"] for item in order["items"])

    paid = shopper.pay(order).json()
    assert paid["status"] == "paid"
    [charge] = shop.charged(order["id"])
    assert (charge["amount"], charge["metadata"]["discount_code"]) == (order["amount"], code)
    [mail] = eventually(lambda: shop.arrived("emails", order_id=order["id"]))
    assert f"Discount {code} (12.5 % off): -$1.25" in mail["text"]
    assert (shown(shop, code)["times_redeemed"], shown(shop, code)["active"]) == (1, False)

    back = shop.ask("POST", f"/api/orders/{order['id']}/refund/", json={"amount": 100}).json()
    items = back["returns"]["data"][0]["items"]
    assert sum(item["amount"] for item in items) == 100
    assert [item["amount"] < 0 for item in items] == [item["type"] == "discount" for item in items]


def test_used_up_code_is_refused_in_cart_and_at_payment(shop: Storefront, product: dict[str, Any]) -> None:
    code, (first, second) = made(shop, max_redemptions=1), (shop.shopper(), shop.shopper())
    orders = []
    for shopper in (first, second):
        shopper.buy(product["id"], 1)
        assert apply(shopper, code).status_code == 200
        orders.append(shopper.checkout().json())
    declined = first.pay(orders[0], "tok_chargeDeclined")
    assert declined.status_code == 402  # gives its redemption back
    assert first.pay(orders[0]).status_code == 200
    refused = second.pay(orders[1])
    assert (refused.status_code, "used up" in refused.json()["detail"]) == (409, True)
    assert shop.charged(orders[1]["id"]) == []
    late = shop.shopper()
    late.buy(product["id"], 1)
    assert apply(late, code).status_code == 409
    removed = second.ask("DELETE", "/api/cart/discount/").json()
    assert (removed["discount"], removed["discount_code"]) == (0, None)
    assert second.pay(second.checkout().json()).status_code == 200


@pytest.mark.parametrize(
    ("terms", "status", "reason"),
    [
        ({"minimum_amount": PRICE + 1, "currency": "usd"}, 409, "or more"),
        ({"amount_off": 100, "currency": "eur"}, 409, "in eur"),
    ],
)
def test_code_that_does_not_fit_is_refused(
    shop: Storefront, product: dict[str, Any], terms: dict[str, Any], status: int, reason: str
) -> None:
    shopper = shop.shopper()
    shopper.buy(product["id"], 1)
    answer = apply(shopper, made(shop, **terms))
    assert (answer.status_code, reason in answer.json()["detail"]) == (status, True)


def test_unknown_and_withdrawn_codes_are_404(shop: Storefront, product: dict[str, Any]) -> None:
    shopper, code = shop.shopper(), made(shop)
    shopper.buy(product["id"], 1)
    assert apply(shopper, "NEVER").status_code == 404
    assert apply(shopper, "20 %").status_code == 400
    for _ in range(2):
        assert shop.ask("DELETE", f"/api/discounts/{code.lower()}/").status_code == 200
    assert apply(shopper, code).status_code == 404
    assert shop.ask("DELETE", "/api/discounts/NEVER/").status_code == 404
    again = shop.ask("POST", "/api/discounts/", json={"code": code, "percent_off": 1})
    assert again.status_code == 201
    assert shop.ask("POST", "/api/discounts/", json={"code": code.lower(), "percent_off": 1}).status_code == 409


def test_order_that_costs_something_needs_a_card(shop: Storefront, product: dict[str, Any]) -> None:
    shopper = shop.shopper()
    order = shopper.order(product["id"])
    answer = shopper.ask("POST", "/api/cart/paid/", json={"order_id": order["id"]})
    assert (answer.status_code, answer.json()["errors"]) == (400, {"cart": ["required field"]})


def test_dashboard_code_applies_by_webhook(own: Shop) -> None:
    front, stripe, code = Storefront(own.url, own.sandbox_url), Sdks(own.sandbox_url).stripe, unique("DASH-")
    coupon = stripe.v1.coupons.create({"percent_off": 50})
    stripe.v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}, "code": code})
    shopper = front.shopper()
    shopper.buy(front.product(price=PRICE)["id"], 2)
    eventually(lambda: apply(shopper, code).status_code == 200)
    stripe.v1.coupons.delete(coupon.id)
    eventually(lambda: apply(shopper, code).status_code == 404)


def test_reconcile_finds_and_repairs_a_lost_redemption(own: Shop) -> None:
    front, operator = Storefront(own.url, own.sandbox_url), Operated(own)
    code, shopper = made(front, max_redemptions=1), front.shopper()
    shopper.buy(front.product(price=PRICE)["id"], 1)
    apply(shopper, code)
    order = shopper.checkout().json()
    assert shopper.pay(order).status_code == 200
    operator.agrees()
    operator.write("cart", "DELETE FROM redemptions WHERE order_id = ?", order["id"])
    operator.write("cart", "UPDATE discounts SET redeemed = 0 WHERE code = ?", code)
    status, lines = operator.compare("--repair")
    assert status == 0, lines
    assert any(each.startswith(f"paid with a code, and not redeemed: {order['id']}") for each in lines)
    assert shown(front, code)["times_redeemed"] == 1


def test_order_of_nothing_is_paid_without_a_card(shop: Storefront) -> None:
    spec = {"name": unique("Song"), "price": PRICE, "metadata": {"category": "music"}, "shippable": False}
    song = shop.ask("POST", "/api/products/", json=spec).json()
    code, shopper = made(shop, percent_off=100), shop.shopper()
    shopper.buy(song["id"], 1)
    assert apply(shopper, code).json()["total"] == 0
    order = shopper.checkout().json()
    assert order["amount"] == 0
    answer = shopper.ask("POST", "/api/cart/paid/", json={"order_id": order["id"]})
    assert answer.status_code == 200, answer.text
    paid = answer.json()
    assert (paid["status"] in ("paid", "fulfilled"), paid["charge"]) == (True, None)
    assert shop.charged(order["id"]) == []
    assert len(eventually(lambda: shop.arrived("emails", order_id=order["id"]))) == 1
    assert shown(shop, code)["times_redeemed"] == 1
    back = shop.ask("POST", f"/api/orders/{order['id']}/refund/", json={"all": True})
    assert (back.status_code, back.json()["status"]) == (200, "returned")
