"""Whole orders, from the search for a product to the mail and the SMS."""

from __future__ import annotations

import io

import pypdf
import pytest
import requests

from tests.e2e.journeys.shop import REQUEST_TIMEOUT_S, Storefront, eventually, unique


def test_product_passes_from_search_to_notifications(shop: Storefront) -> None:
    word = unique("Bone")
    product = shop.product(name=f"Wally {word}", inventory={"type": "finite", "quantity": 10})
    assert product["skus"]["data"][0]["price"] == 50

    # Search by a word of the name.
    found = shop.ask("GET", "/api/products/", params={"category": word.lower(), "order_by": "name"}).json()
    assert [item["id"] for item in found["data"]] == [product["id"]]

    # Buy, then change the quantity.
    shopper = shop.shopper()
    assert shopper.buy(product["id"], 5).json()[0]["quality"] == 5
    changed = shopper.ask("PUT", f"/api/cart/{product['id']}/", json={"quality": 2}).json()
    sku = product["skus"]["data"][0]["id"]
    assert [(item["parent"], item["quality"], item["quantity"]) for item in changed] == [(sku, 2, 2)]

    # Check out: the order has real rates, and the cheapest one is selected.
    answer = shopper.checkout()
    assert answer.status_code == 201
    order = answer.json()
    rates = {method["id"]: method["amount"] for method in order["shipping_methods"]}
    assert len(rates) == 4
    assert rates[order["selected_shipping_method"]] == min(rates.values())
    assert order["amount"] == 2 * 50 + 0 + min(rates.values())
    assert [item["type"] for item in order["items"]] == ["sku", "tax", "shipping"]
    assert shop.left(product["id"]) == 10  # an unpaid order holds no stock

    # Choose another rate.
    fastest = max(rates, key=lambda rate: rates[rate])
    order = shopper.ask("PUT", "/api/cart/shipping/", json={"order_id": order["id"], "shipping_id": fastest}).json()
    assert order["selected_shipping_method"] == fastest
    assert order["amount"] == 2 * 50 + rates[fastest]

    # Pay.
    answer = shopper.pay(order)
    assert answer.status_code == 200, answer.text
    paid = answer.json()
    assert paid["status"] == "paid"
    assert paid["notifications"] == {"email": {"status code": "202"}, "sms": {"status code": "201"}}
    assert paid["shipping"]["carrier"] == "USPS"
    assert shopper.ask("GET", "/api/cart/").json() == []
    assert shop.left(product["id"]) == 8

    # The label is a PDF with the address.
    label = shopper.ask("GET", f"/api/shipments/{order['upstream_id']}/label/").json()
    assert label == {"object_id": order["upstream_id"], "label_url": paid["label_url"], "labels": paid["labels"]}
    assert [each["label_url"] for each in paid["labels"]] == [paid["label_url"]]
    pdf = requests.get(paid["label_url"], timeout=REQUEST_TIMEOUT_S)
    assert pdf.headers["Content-Type"].startswith("application/pdf")
    text = " ".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf.content)).pages)
    assert "1092 INDIAN SUMMER CT" in text.upper()
    assert paid["shipping"]["tracking_number"] in text.replace(" ", "")

    # There is one charge of the amount, one mail and one SMS.
    charges = shop.charged(order["id"])
    assert [charge["amount"] for charge in charges] == [order["amount"]]
    assert charges[0]["id"] == paid["charge"]
    [mail] = eventually(lambda: shop.arrived("emails", to=shopper.email))
    for part in (mail["html"], mail["text"]):
        assert f"Wally {word}" in part
        assert paid["shipping"]["tracking_number"] in part
        assert f"{order['amount'] // 100}.{order['amount'] % 100:02d}" in part
    [text_message] = eventually(lambda: shop.arrived("sms", to=shopper.phone))
    assert order["id"] in text_message["body"]

    # The parcel is tracked, and the order is stored as it was answered.
    tracking = shopper.ask("GET", f"/api/shipments/{order['upstream_id']}/tracking/").json()
    assert tracking["tracking_number"] == paid["shipping"]["tracking_number"]
    kept = shopper.ask("GET", f"/api/orders/{order['id']}").json()
    assert kept == paid

    # A repeated payment gets the same answer and charges nothing.
    again = shopper.pay(order)
    assert (again.status_code, again.json()) == (200, paid)
    assert len(shop.charged(order["id"])) == 1
    assert len(shop.arrived("emails", to=shopper.email)) == 1
    assert shop.left(product["id"]) == 8


def test_a_declined_card_leaves_the_order_open(shop: Storefront) -> None:
    product = shop.product(inventory={"type": "finite", "quantity": 3})
    shopper = shop.shopper()
    order = shopper.order(product["id"], 2)
    answer = shopper.pay(order, "tok_visa_chargeDeclinedInsufficientFunds")
    assert answer.status_code == 402
    problem = answer.json()
    assert problem["decline_code"] == "insufficient_funds"
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert shopper.ask("GET", f"/api/orders/{order['id']}").json()["status"] == "created"
    assert shop.left(product["id"]) == 3
    assert shopper.ask("GET", "/api/cart/").json()[0]["quantity"] == 2
    assert shop.arrived("emails", to=shopper.email) == []
    assert shopper.pay(order, "pm_card_visa").status_code == 200
    assert len(shop.charged(order["id"])) == 1


def test_payment_finishes_after_3d_secure(shop: Storefront) -> None:
    shopper = shop.shopper()
    order = shopper.order(shop.product()["id"])
    card = "pm_card_authenticationRequired"
    answer = shopper.pay(order, card)
    assert answer.status_code == 402
    problem = answer.json()
    payment = problem["client_secret"].split("_secret_")[0]
    assert problem["next_action"]["type"]
    declined = shopper.pay(order, "tok_chargeDeclined")
    assert declined.json()["type"] != problem["type"]  # the type distinguishes the two problems
    problem = shopper.pay(order, card).json()
    payment = problem["client_secret"].split("_secret_")[0]
    played = requests.post(
        f"{shop.sandbox_url}/sandbox/3ds/{payment}", json={"result": "succeed"}, timeout=REQUEST_TIMEOUT_S
    )
    assert played.status_code == 200
    paid = shopper.pay(order, card)
    assert (paid.status_code, paid.json()["status"]) == (200, "paid")
    assert len(shop.charged(order["id"])) == 1


def test_confirmed_payment_completes_without_the_shopper(shop: Storefront) -> None:
    shopper = shop.shopper()
    order = shopper.order(shop.product()["id"])
    problem = shopper.pay(order, "pm_card_authenticationRequired").json()
    payment = problem["client_secret"].split("_secret_")[0]
    requests.post(f"{shop.sandbox_url}/sandbox/3ds/{payment}", json={"result": "succeed"}, timeout=REQUEST_TIMEOUT_S)
    eventually(lambda: shopper.ask("GET", f"/api/orders/{order['id']}").json()["status"] == "paid")
    eventually(lambda: shop.arrived("emails", to=shopper.email))


def test_sold_out_order_is_refused_before_the_charge(shop: Storefront) -> None:
    product = shop.product(inventory={"type": "finite", "quantity": 1})
    first, second = shop.shopper(), shop.shopper()
    assert first.buy(product["id"], 2).status_code == 409
    orders = [first.order(product["id"]), second.order(product["id"])]
    assert first.pay(orders[0]).status_code == 200
    answer = second.pay(orders[1])
    assert answer.status_code == 409
    assert shop.charged(orders[1]["id"]) == []
    assert shop.left(product["id"]) == 0


def test_order_is_visible_only_to_its_cart(shop: Storefront) -> None:
    shopper, stranger = shop.shopper(), shop.shopper()
    order = shopper.order(shop.product()["id"])
    assert stranger.ask("GET", f"/api/orders/{order['id']}").status_code == 404
    assert stranger.pay(order).status_code == 404
    chosen = {"order_id": order["id"], "shipping_id": order["shipping_methods"][0]["id"]}
    assert stranger.ask("POST", "/api/cart/shipping/", json=chosen).status_code == 404
    listed = shop.ask("GET", "/api/orders/", params={"email": shopper.email}).json()
    assert [item["id"] for item in listed["data"]] == [order["id"]]


def test_unknown_address_is_refused_and_the_cart_kept(shop: Storefront) -> None:
    shopper = shop.shopper()
    shopper.buy(shop.product()["id"], 1)
    nowhere = {"line1": "1 Nowhere", "city": "Nowhere", "state": "CA", "country": "US", "postal_code": "00000"}
    answer = shopper.checkout(address=nowhere)
    assert answer.status_code == 422, answer.text
    assert "address" in answer.json()["errors"]
    assert len(shopper.ask("GET", "/api/cart/").json()) == 1


def test_parcel_abroad_gets_a_label(shop: Storefront) -> None:
    shopper = shop.shopper()
    shopper.buy(shop.product(price=1500)["id"], 1)
    abroad = {"line1": "10 Downing Street", "city": "London", "postal_code": "SW1A 2AA", "country": "GB"}
    order = shopper.checkout(address=abroad).json()
    paid = shopper.pay(order).json()
    assert paid["label_url"], paid
    assert requests.get(paid["label_url"], timeout=REQUEST_TIMEOUT_S).content.startswith(b"%PDF")


def test_empty_cart_cannot_be_checked_out(shop: Storefront) -> None:
    assert shop.shopper().checkout().status_code == 409


def test_cart_reports_a_deleted_product(shop: Storefront) -> None:
    product = shop.product()
    shopper = shop.shopper()
    shopper.buy(product["id"], 1)
    answer = shop.ask("DELETE", f"/api/products/{product['id']}")
    assert answer.json() == {"id": product["id"], "object": "product", "deleted": True}
    assert shop.ask("GET", f"/api/products/{product['id']}").status_code == 404
    assert shopper.checkout().status_code == 409
    answer = shopper.ask("PUT", f"/api/cart/{product['id']}/", json={"quality": 2})
    assert (answer.status_code, "Wally bone is not on sale" in answer.text) == (409, True)
    assert shopper.ask("DELETE", f"/api/cart/{product['id']}/").json() == []


def test_every_product_that_stops_a_checkout_is_named(shop: Storefront) -> None:
    names = ("Short bone", "Idle collar", "Deleted leash", "Endless ball")
    short, idle, deleted, ball = (shop.product(name=name) for name in names)
    shopper = shop.shopper()
    for product in (short, idle, deleted, ball):
        assert shopper.buy(product["id"], 2).status_code == 200
    shop.ask("PUT", f"/api/products/{short['id']}", json={"inventory": {"type": "finite", "quantity": 1}})
    shop.ask("PUT", f"/api/products/{idle['id']}", json={"active": False})
    shop.ask("DELETE", f"/api/products/{deleted['id']}")
    answer = shopper.checkout()
    assert answer.status_code == 409
    assert [name in answer.json()["detail"] for name in names] == [True, True, True, False]


@pytest.mark.parametrize(("currency", "price"), [("eur", 650), ("jpy", 700), ("kwd", 1500)])
def test_an_order_is_quoted_and_paid_in_its_own_currency(shop: Storefront, currency: str, price: int) -> None:
    shopper = shop.shopper()
    shopper.buy(shop.product(price=price, currency=currency)["id"], 1)
    berlin = {"line1": "Unter den Linden 1", "city": "Berlin", "postal_code": "10117", "country": "DE"}
    answer = shopper.checkout(address=berlin)
    assert answer.status_code == 201, answer.text
    order = answer.json()
    assert {method["currency"] for method in order["shipping_methods"]} == {currency}
    paid = shopper.pay(order)
    assert paid.status_code == 200, paid.text
    [charge] = shop.charged(order["id"])
    assert (charge["currency"], charge["amount"]) == (currency, order["amount"])


def test_price_change_keeps_the_sku_and_existing_orders(shop: Storefront) -> None:
    product = shop.product(price=500)
    shopper = shop.shopper()
    order = shopper.order(product["id"])
    changed = shop.ask("PUT", f"/api/products/{product['id']}", json={"price": 700}).json()
    assert changed["skus"]["data"][0]["id"] == product["skus"]["data"][0]["id"]
    assert changed["skus"]["data"][0]["price"] == 700
    assert shopper.pay(order).json()["amount"] == order["amount"]
    assert shopper.order(product["id"])["items"][0]["amount"] == 700
