"""The description of a running shop, and the page that shows it."""

from __future__ import annotations

from urllib.parse import urlsplit

from openapi_spec_validator import validate

from tests.browser import Tab
from tests.e2e.journeys.shop import Storefront, unique


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


def test_every_answer_about_skus_and_discounts_is_described(shop: Storefront) -> None:
    product, code = shop.product(), unique("CODE-")
    url = f"/api/products/{product['id']}/skus"
    added = shop.ask(
        "POST", url, json={"attributes": {"material": "cotton"}, "price": 60, "image": "https://a.example/b"}
    )
    first, second = (sku["id"] for sku in added.json()["skus"]["data"])
    assert shop.ask("PUT", f"{url}/{second}", json={"price": 65}).status_code == 200
    assert shop.ask("POST", "/api/discounts", json={"code": code, "percent_off": 50}).status_code == 201
    shopper = shop.shopper()
    choice = {"quantity": 1, "sku": first}
    assert shopper.ask("POST", f"/api/cart/{product['id']}/buy", json=choice).status_code == 200
    assert shopper.ask("POST", "/api/cart/discount", json={"code": "NO-SUCH-CODE"}).status_code == 404
    assert shopper.ask("POST", "/api/cart/discount", json={"code": code}).json()["discount"] == -25
    assert shopper.ask("GET", "/api/cart/summary").status_code == 200
    assert shopper.ask("DELETE", "/api/cart/discount").json()["discount_code"] is None
    shopper.ask("POST", "/api/cart/discount", json={"code": code})
    assert [item["amount"] for item in shopper.checkout().json()["items"] if item["type"] == "discount"] == [-25]
    assert shopper.ask("DELETE", f"/api/cart/{product['id']}", json={"sku": first}).json() == []
    assert shop.ask("GET", "/api/discounts").json()["data"]
    assert shop.ask("DELETE", f"/api/discounts/{code}").json()["deleted"] is True
    assert shop.ask("DELETE", f"{url}/{second}").status_code == 200
    assert shop.ask("DELETE", f"{url}/{first}").status_code == 409


def test_digital_order_and_its_page_are_described(shop: Storefront) -> None:
    song = {"name": unique("Song"), "price": 300, "metadata": {"category": "music"}, "shippable": False}
    shopper = shop.shopper()
    order = shopper.order(shop.ask("POST", "/api/products", json=song).json()["id"])
    assert (order["upstream_id"], order["shipping_methods"]) == (None, [])
    assert shopper.pay(order).status_code == 200
    page = order["status_url"].removeprefix(shop.url)
    token = page.partition("token=")[2]
    assert shop.ask("GET", page).headers["Content-Type"].startswith("text/html")
    assert shop.ask("GET", page.replace(token, "ot_wrong")).status_code == 404
    by_token = shop.ask("GET", f"/api/orders/{order['id']}", headers={"Order-Token": token})
    assert by_token.json()["status_url"] == order["status_url"]
    assert shop.ask("GET", "/pages/order.css").headers["Content-Type"].startswith("text/css")


def test_docs_show_and_try_without_another_host(shop: Storefront, tab: Tab) -> None:
    product = shop.product()
    tab.page.goto(f"{shop.url}/docs/")
    tab.page.locator("#operations-Products-products_get_one_get").click()
    tab.page.locator("[placeholder=product_id]").fill(product["id"])
    tab.page.locator("button.execute").click()
    tab.page.locator(".live-responses-table tbody").get_by_text(product["id"]).first.wait_for()
    assert tab.hosts() == {urlsplit(shop.url).netloc}
    assert tab.errors == []
