"""Every request of the seed's README, as printed there, including misspellings, a plus sign and a missing comma.

Only the ids of the README are replaced by real ones.
"""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.e2e.journeys.shop import REQUEST_TIMEOUT_S, Storefront

CREATE_PRODUCT = """{
      "name": "Wally bone",
      "description" : "The best gift for your pet",
      "attributes" : ["manufacturer",
                          "material"],
      "package_dimensions" :  {"height": 5.0, "length": 5.0,
                               "weight": 5.0, "width": 5.0},
      "metadata": {
      "category": "food",
      "for": "cats",
      "type": "fish"
      },
      "attributes_sku": {
      "manufacturer": "PetHappy",
      "material": "rubber"},
      "price": 50,
      "inventory":{
      "type": "finite",
      "quantity": 500
      }
}
"""

UPDATE_PRODUCT = """{
\t"metadata": {"category": "toys", "for": "dogs", "type": "bone"},
\t"name": "Test_put",
    "description": "For small dogs"
}
"""

SEND_MAIL = """ {
\t"to_email": "tamara.malysheva@saritasa.com",
\t"from_email": "test@example.com",
\t"subject" : "blabla",
\t"content" : "content"
}
"""

SEND_SMS = """ {
    "number": +79994413746,
    "content": "Your order is ready!"
}
"""

BUY = """ {
\t"quality": 5
}
"""

CHANGE_QUANTITY = """ {
\t"quality": 1
}
"""

CREATE_ORDER = """{
   "email": "varvara.malysheva@saritasa.com",
   "phone": "+79994413746",
   "name": "Chloe Taylor",

   "address":{
      "line1":"1092 Indian Summer Ct",
      "city":"San Jose",
      "state":"CA",
      "country": "US",
      "postal_code":"95122"
   }
}
"""

CHOOSE_SHIPPING = """{
   "order_id": "or_1AxW4eBqraFdOKT2HIrPPf3m",
   "shipping_id": "e5d1b5f1101949d29271256d0159558f"
}
"""

PAY = """{
            "order_id": "or_1AxW4eBqraFdOKT2HIrPPf3m"
            "cart": "tok_mastercard"
}
"""

# The fields of the sample order, and the one that the shop adds; the fields of the sample rate.
ORDER = {
    *("id", "object", "amount", "amount_returned", "application", "application_fee", "charge", "created", "currency"),
    *("customer", "email", "items", "livemode", "metadata", "returns", "selected_shipping_method", "shipping"),
    *("shipping_methods", "status", "status_transitions", "updated", "upstream_id"),
    *("status_url", "dispute", "payment"),
}
RATE = {
    *("object_id", "arrives_by", "zone", "object_owner", "provider_image_200", "currency_local", "attributes"),
    *("currency", "amount", "duration_terms", "servicelevel", "provider_image_75", "object_created", "shipment"),
    *("estimated_days", "test", "amount_local", "messages", "provider", "carrier_account"),
}


@pytest.fixture
def seed(shop: Storefront) -> Seed:
    return Seed(shop)


class Seed:
    """A client that sends each text unchanged."""

    def __init__(self, shop: Storefront) -> None:
        self.shop = shop
        # A cart of its own, since the shop may have other users. A test below covers the seed's shared cart.
        self.shopper = shop.shopper()

    def send(self, method: str, path: str, text: str | None = None) -> requests.Response:
        headers = {"Content-Type": "application/json"} if text is not None else {}
        body = text.encode() if text is not None else None
        return self.shopper.ask(method, path, data=body, headers=headers)

    def product(self) -> dict[str, Any]:
        product: dict[str, Any] = self.send("POST", "/api/products/", CREATE_PRODUCT).json()
        return product

    def order(self) -> dict[str, Any]:
        product = self.product()["id"]
        self.send("POST", f"/api/cart/{product}/buy/", BUY)
        # Five of them weigh more than the 16 ounces of the sample's First-Class rate; one weighs less.
        self.send("PUT", f"/api/cart/{product}/", CHANGE_QUANTITY)
        answer = self.send("POST", "/api/cart/checkout/", CREATE_ORDER)
        assert answer.status_code == 201, answer.text
        order: dict[str, Any] = answer.json()
        return order


def test_create_new_products(seed: Seed) -> None:
    answer = seed.send("POST", "/api/products/", CREATE_PRODUCT)
    assert answer.status_code == 201
    product = answer.json()
    assert (product["object"], product["name"], product["attributes"]) == (
        "product",
        "Wally bone",
        ["manufacturer", "material"],
    )
    assert product["metadata"] == {"category": "food", "for": "cats", "type": "fish"}
    sku = product["skus"]["data"][0]
    assert sku["attributes"] == {"manufacturer": "PetHappy", "material": "rubber"}
    assert (sku["price"], sku["inventory"]["type"], sku["inventory"]["quantity"]) == (50, "finite", 500)


def test_update_product(seed: Seed) -> None:
    product = seed.product()
    answer = seed.send("PUT", f"/api/products/{product['id']}", UPDATE_PRODUCT)
    assert answer.status_code == 200
    changed = answer.json()
    assert (changed["name"], changed["description"]) == ("Test_put", "For small dogs")
    assert changed["metadata"] == {"category": "toys", "for": "dogs", "type": "bone"}


def test_list_of_products_filtered_and_sorted(seed: Seed) -> None:
    product = seed.product()
    seed.send("PUT", f"/api/products/{product['id']}", UPDATE_PRODUCT)
    answer = seed.send("GET", "/api/products/?category=toys&order_by=name")
    assert answer.status_code == 200
    page = answer.json()
    assert page["object"] == "list"
    assert all(
        "toys" in (item["metadata"]["category"] + item["name"] + (item["description"] or "")).lower()
        for item in page["data"]
    )
    names = [item["name"].casefold() for item in page["data"]]
    assert names == sorted(names)
    assert names


def test_delete_product(seed: Seed) -> None:
    product = seed.product()
    answer = seed.send("DELETE", f"/api/products/{product['id']}")
    assert (answer.status_code, answer.json()["deleted"]) == (200, True)


def test_sending_mail(seed: Seed) -> None:
    answer = seed.send("POST", "/api/notifications/email/", SEND_MAIL)
    assert answer.status_code == 202
    assert answer.json()["status code"] == "202"
    mails = seed.shop.arrived("emails", to="tamara.malysheva@saritasa.com")
    assert any((mail["subject"], mail["text"]) == ("blabla", "content") for mail in mails)


def test_sending_sms(seed: Seed) -> None:
    answer = seed.send("POST", "/api/notifications/sms/", SEND_SMS)
    assert answer.status_code == 201
    assert answer.json()["status code"] == "201"
    texts = seed.shop.arrived("sms", to="+79994413746")
    assert any(text["body"] == "Your order is ready!" for text in texts)


def as_the_seed(item: dict[str, Any]) -> dict[str, Any]:
    """The fields of a cart's item that the seed has."""
    return {name: item[name] for name in ("type", "parent", "quality")}


def test_cart(seed: Seed) -> None:
    product = seed.product()
    sku = product["skus"]["data"][0]["id"]
    bought = seed.send("POST", f"/api/cart/{product['id']}/buy/", BUY).json()
    assert [as_the_seed(item) for item in bought] == [{"type": "sku", "parent": sku, "quality": 5}]
    changed = seed.send("PUT", f"/api/cart/{product['id']}/", CHANGE_QUANTITY).json()
    assert [as_the_seed(item) for item in changed] == [{"type": "sku", "parent": sku, "quality": 1}]
    assert seed.send("GET", "/api/cart/").json() == changed
    assert seed.send("DELETE", f"/api/cart/{product['id']}/").json() == []
    seed.send("POST", f"/api/cart/{product['id']}/buy/", BUY)
    assert seed.send("DELETE", "/api/cart/").json() == []


def test_create_order(seed: Seed) -> None:
    order = seed.order()
    assert set(order) == ORDER
    assert [item["type"] for item in order["items"]] == ["sku", "tax", "shipping"]
    assert order["shipping"] == {
        "address": {
            "city": "San Jose",
            "country": "US",
            "line1": "1092 Indian Summer Ct",
            "line2": None,
            "postal_code": "95122",
            "state": "CA",
        },
        "carrier": None,
        "name": "Chloe Taylor",
        "phone": "+79994413746",
        "tracking_number": None,
    }
    assert set(order["status_transitions"]) == {"canceled", "fulfiled", "paid", "returned"}
    assert len(order["shipping_methods"]) == 4


def test_change_shipping_method(seed: Seed) -> None:
    order = seed.order()
    chosen = order["shipping_methods"][0]["id"]
    text = CHOOSE_SHIPPING.replace("or_1AxW4eBqraFdOKT2HIrPPf3m", order["id"])
    answer = seed.send("POST", "/api/cart/shipping/", text.replace("e5d1b5f1101949d29271256d0159558f", chosen))
    assert (answer.status_code, answer.json()["selected_shipping_method"]) == (200, chosen)


def test_paid_order(seed: Seed) -> None:
    order = seed.order()
    answer = seed.send("POST", "/api/cart/paid/", PAY.replace("or_1AxW4eBqraFdOKT2HIrPPf3m", order["id"]))
    assert answer.status_code == 200, answer.text
    paid = answer.json()
    assert paid["status"] == "paid"
    assert paid["notifications"] == {"email": {"status code": "202"}, "sms": {"status code": "201"}}


def test_create_new_shipment(seed: Seed) -> None:
    sku = seed.product()["skus"]["data"][0]["id"]
    order = {
        "id": "or_1AyepaBqraFdOKT2ahMQkRsd",
        "object": "order",
        "amount": 100,
        "currency": "usd",
        "email": "varvara.malysheva@saritasa.com",
        "items": [
            {
                "object": "order_item",
                "amount": 100,
                "currency": "usd",
                "description": "Wally pick",
                "parent": sku,
                "quantity": 2,
                "type": "sku",
            }
        ],
        "metadata": {},
        "shipping": {
            "address": {
                "city": "San Jose",
                "country": "US",
                "line1": "1092 Indian Summer Ct",
                "line2": None,
                "postal_code": "95122",
                "state": "CA",
            },
            "carrier": None,
            "name": "Chloe Taylor",
            "phone": None,
            "tracking_number": None,
        },
        "status": "created",
    }
    event = {"id": "evt_1", "object": "event", "type": "order.created", "data": {"object": order}}
    for body in (order, {"order": order}, event):
        answer = seed.shop.ask("POST", "/api/shipments/", json=body)
        assert answer.status_code == 201, answer.text
        filled = answer.json()
        rates = {method["id"]: method["amount"] for method in filled["shipping_methods"]}
        assert rates[filled["selected_shipping_method"]] == min(rates.values())
        assert filled["items"][-1]["type"] == "shipping"
        assert filled["amount"] == 100 + min(rates.values())
        assert {name: filled[name] for name in ("id", "email", "status")} == {
            name: order[name] for name in ("id", "email", "status")
        }
        assert filled["upstream_id"]


def test_shipment_accepts_an_order_in_other_forms(seed: Seed) -> None:
    sku = seed.product()["skus"]["data"][0]["id"]
    line = {"type": "sku", "parent": sku, "quantity": 2}
    address = {"line1": "1092 Indian Summer Ct", "city": "San Jose", "state": "CA", "country": "US"}
    shipping = {"name": "Chloe Taylor", "address": {**address, "postal_code": "95122"}}
    order = {"currency": "USD", "items": [line, {"type": "tax"}, {"type": "discount", "amount": -10}]}
    answer = seed.shop.ask("POST", "/api/shipments/", json={**order, "shipping": shipping})
    assert answer.status_code == 201, answer.text
    filled = answer.json()
    assert [item["amount"] for item in filled["items"][:3]] == [2 * 50, 0, -10]
    assert filled["amount"] == sum(item["amount"] for item in filled["items"])
    order["items"] = [{**line, "amount": "100"}]
    answer = seed.shop.ask("POST", "/api/shipments/", json={**order, "shipping": shipping})
    assert answer.status_code == 400
    assert "items" in answer.json()["errors"]


def test_a_shipment_obeys_the_rules_of_checkout(seed: Seed) -> None:
    yen = seed.shop.product(name="Koban", price=5000, currency="jpy")
    line = {"type": "sku", "parent": yen["skus"]["data"][0]["id"], "quantity": 1}
    address = {"line1": "1092 Indian Summer Ct", "city": "San Jose", "state": "CA", "country": "US"}
    order = {"items": [line], "shipping": {"name": "Chloe Taylor", "address": {**address, "postal_code": "95122"}}}
    answer = seed.shop.ask("POST", "/api/shipments/", json=order)
    assert answer.status_code == 201, answer.text
    assert {method["currency"] for method in answer.json()["shipping_methods"]} == {"jpy"}
    for changes, status, detail in (
        ({"currency": "usd"}, 409, "jpy, usd"),
        ({"items": [{**line, "parent": "sku_never"}]}, 404, "sku_never"),
        ({"items": [{**line, "amount": 100_000_000}]}, 409, "99999999"),
        ({"items": [{**line, "quantity": 10_000}, line]}, 400, "too much of one SKU"),
    ):
        answer = seed.shop.ask("POST", "/api/shipments/", json={"order": {**order, **changes}})
        assert (answer.status_code, detail in answer.json()["detail"]) == (status, True), answer.text
    assert answer.json()["errors"]["order"]["items"]["1"]["quantity"]
    nowhere = {**order["shipping"], "address": {**address, "city": "Nowhere", "postal_code": "95122"}}
    answer = seed.shop.ask("POST", "/api/shipments/", json={"order": {**order, "shipping": nowhere}})
    assert answer.status_code == 422
    assert answer.json()["errors"]["order"]["shipping"]["address"]


def test_list_of_existing_shipments(seed: Seed) -> None:
    order = seed.order()
    answer = seed.send("GET", "/api/shipments/")
    assert answer.status_code == 200
    listed = {shipment["object_id"]: shipment for shipment in answer.json()}
    assert listed[order["upstream_id"]] == {
        "object_id": order["upstream_id"],
        "address_to": {
            "name": "Chloe Taylor",
            "street1": "1092 Indian Summer Ct",
            "city": "San Jose",
            "state": "CA",
            "zip": "95122",
            "country": "US",
            "phone": "+79994413746",
            "email": "varvara.malysheva@saritasa.com",
        },
    }


def test_rates_of_a_shipment(seed: Seed) -> None:
    order = seed.order()
    answer = seed.send("GET", f"/api/shipments/{order['upstream_id']}/rates/usd")
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"object_id", "rate_items"}
    assert len(body["rate_items"]) == 4
    for rate in body["rate_items"]:
        assert set(rate) == RATE
        assert set(rate["servicelevel"]) == {"name", "token", "terms"}
    assert {item["id"] for item in order["shipping_methods"]} == {rate["object_id"] for rate in body["rate_items"]}


def test_label_of_a_paid_order(seed: Seed) -> None:
    order = seed.order()
    path = f"/api/shipments/{order['upstream_id']}/label/"
    assert seed.send("GET", path).status_code == 409
    seed.send("POST", "/api/cart/paid/", PAY.replace("or_1AxW4eBqraFdOKT2HIrPPf3m", order["id"]))
    label = seed.send("GET", path).json()
    assert requests.get(label["label_url"], timeout=REQUEST_TIMEOUT_S).content.startswith(b"%PDF")


def test_requests_without_a_cart_id_share_one_cart(shop: Storefront) -> None:
    product = shop.product()
    shop.ask("DELETE", "/api/cart/")
    shop.ask("POST", f"/api/cart/{product['id']}/buy/", data=BUY, headers={"Content-Type": "application/json"})
    shared = shop.ask("GET", "/api/cart/").json()
    assert [item["quantity"] for item in shared] == [5]
    assert shop.ask("GET", "/api/cart/", headers={"Cart-Id": "default"}).json() == shared
    shop.ask("DELETE", "/api/cart/")
