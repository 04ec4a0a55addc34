"""The description of a running shop, and the page that shows it."""

from __future__ import annotations

from urllib.parse import urlsplit

from openapi_spec_validator import validate

from tests.browser import Tab
from tests.e2e.journeys.shop import Storefront


def test_running_shop_has_a_valid_description(shop: Storefront) -> None:
    validate(shop.description.document)  # type: ignore[arg-type]


def test_answer_outside_the_description_is_noticed(shop: Storefront) -> None:
    answer = shop.ask("GET", f"/api/products/{shop.product()['id']}/")
    answer._content = answer.content.replace(b'"caption"', b'"legend"')
    assert "legend" in shop.description.complaint(answer)
    answer.status_code = 418
    assert "418 is not described" in shop.description.complaint(answer)


def test_every_answer_of_a_purchase_is_described(shop: Storefront) -> None:
    """`Storefront.ask` and `Shopper.ask` compare each answer with the description."""
    product = shop.product()
    shopper = shop.shopper()
    order = shopper.order(product["id"], 2)
    assert shopper.pay(order, "tok_chargeDeclined").status_code == 402
    assert shopper.pay(order).status_code == 200
    shipment = order["upstream_id"]
    for path in (f"/api/orders/{order['id']}", "/api/cart", f"/api/shipments/{shipment}/label"):
        assert shopper.ask("GET", path).status_code == 200
    for path in (f"/api/shipments/{shipment}/rates/usd", f"/api/shipments/{shipment}/tracking"):
        assert shopper.ask("GET", path).status_code == 200
    refunded = shop.ask("POST", f"/api/orders/{order['id']}/refund", json={"amount": 50})
    assert refunded.json()["returns"]["data"]
    for path in ("products", "orders", "shipments"):
        assert shop.ask("GET", f"/api/{path}", params={"limit": 5}).status_code == 200
    assert shop.ask("PUT", f"/api/products/{product['id']}", json={"price": 60}).status_code == 200
    assert shop.ask("DELETE", f"/api/products/{product['id']}").status_code == 200
    assert shop.ask("GET", "/health/ready").status_code == 200
    assert shop.ask("GET", "/api/products/prod_nowhere").status_code == 404


def test_docs_show_and_try_without_another_host(shop: Storefront, tab: Tab) -> None:
    product = shop.product()
    tab.page.goto(f"{shop.url}/docs/")
    tab.page.locator("#operations-Products-products_get_one_get").click()
    tab.page.locator("[placeholder=product_id]").fill(product["id"])
    tab.page.locator("button.execute").click()
    tab.page.locator(".live-responses-table tbody").get_by_text(product["id"]).first.wait_for()
    assert tab.hosts() == {urlsplit(shop.url).netloc}
    assert tab.errors == []
