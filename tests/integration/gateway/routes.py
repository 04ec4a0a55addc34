"""Every route of the gateway: the request, and the call that it must make. Tests are parametrized with this table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.products import new_product, variants

# The doubles write one line to this file for each call that they hold.
HELD = "held"
KEY = object()  # stands for a fresh key in the arguments of a call

PRODUCT = new_product()
VARIANTS = variants("s", "m")
SKU = {"price": 60, "attributes": {"size": "l"}}
CHANGES: dict[str, Any] = {
    "metadata": {"category": "toys", "for": "dogs", "type": "bone"},
    "name": "Test_put",
    "description": "For small dogs",
}
CHECKOUT: dict[str, Any] = {
    "email": "varvara.malysheva@saritasa.com",
    "phone": "+79994413746",
    "name": "Chloe Taylor",
    "address": {
        "line1": "1092 Indian Summer Ct",
        "city": "San Jose",
        "state": "CA",
        "country": "US",
        "postal_code": "95122",
    },
}
CUSTOMER = {**CHECKOUT, "address": {**CHECKOUT["address"], "line2": None}}
CHOICE = {"order_id": "or_1AxW4eBqraFdOKT2HIrPPf3m", "shipping_id": "e5d1b5f1101949d29271256d0159558f"}
DISCOUNT = {"code": "SUMMER", "percent_off": 25.5}
PAYMENT = {"order_id": "or_1AxW4eBqraFdOKT2HIrPPf3m", "cart": "tok_mastercard"}
ORDER: dict[str, Any] = {
    "id": "or_1AyepaBqraFdOKT2ahMQkRsd",
    "object": "order",
    "email": "varvara.malysheva@saritasa.com",
    "items": [
        {"object": "order_item", "parent": "sku_BLL1Ah7Wbdv2Zg", "quantity": 2, "type": "sku"},
        {"object": "order_item", "parent": None, "quantity": None, "type": "tax"},
    ],
    "shipping": {
        "address": {
            "city": "San Jose",
            "country": "US",
            "line1": "1092 Indian Summer Ct",
            "line2": None,
            "postal_code": "95122",
            "state": "CA",
        },
        "name": "Chloe Taylor",
        "phone": None,
    },
}
EMAIL = {
    "to_email": "tamara.malysheva@saritasa.com",
    "from_email": "test@example.com",
    "subject": "blabla",
    "content": "content",
}
SMS = {"number": 79994413746, "content": "Your order is ready!"}


@dataclass(frozen=True)
class Route:
    """One route: the request, the status of the answer, and the call ``service.verb(*args)`` that it makes."""

    method: str
    path: str
    call: str
    args: tuple[Any, ...]
    body: Any = None
    status: int = 200
    admin: bool = False
    query: bool = False  # whether it accepts query parameters

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def takes_body(self) -> bool:
        return self.body is not None


ROUTES = [
    Route("POST", "/api/products/", "products.create", (PRODUCT, KEY), PRODUCT, 201, admin=True),
    Route("GET", "/api/products/", "products.list", (None, "name", 100, None), query=True),
    Route("GET", "/api/products/prod_1/", "products.get", ("prod_1",)),
    Route("PUT", "/api/products/prod_1/", "products.update", ("prod_1", CHANGES, KEY), CHANGES, admin=True),
    Route("DELETE", "/api/products/prod_1/", "products.delete", ("prod_1",), admin=True),
    Route("POST", "/api/products/", "products.create", (VARIANTS, KEY), VARIANTS, 201, admin=True),
    Route("POST", "/api/products/prod_1/skus/", "products.add_sku", ("prod_1", SKU, KEY), SKU, 201, admin=True),
    Route(
        "PUT",
        "/api/products/prod_1/skus/sku_1/",
        "products.update_sku",
        ("prod_1", "sku_1", SKU, KEY),
        SKU,
        admin=True,
    ),
    Route("DELETE", "/api/products/prod_1/skus/sku_1/", "products.delete_sku", ("prod_1", "sku_1"), admin=True),
    Route("POST", "/api/cart/", "cart.create", (), status=201),
    Route("GET", "/api/cart/", "cart.items", ("default",)),
    Route("GET", "/api/cart/summary/", "cart.summary", ("default",)),
    Route("DELETE", "/api/cart/", "cart.clear", ("default", KEY)),
    Route("POST", "/api/cart/prod_1/buy/", "cart.buy", ("default", "prod_1", 5, KEY), {"quality": 5}),
    Route(
        "POST",
        "/api/cart/prod_1/buy/",
        "cart.buy",
        ("default", "prod_1", 5, KEY, None, {"size": "m"}),
        {"quality": 5, "attributes": {"size": "m"}},
    ),
    Route("PUT", "/api/cart/prod_1/", "cart.set_quantity", ("default", "prod_1", 1, KEY), {"quality": 1}),
    Route(
        "PUT",
        "/api/cart/prod_1/",
        "cart.set_quantity",
        ("default", "prod_1", 1, KEY, "sku_1"),
        {"quality": 1, "sku": "sku_1"},
    ),
    Route("DELETE", "/api/cart/prod_1/", "cart.remove", ("default", "prod_1", KEY)),
    Route("POST", "/api/cart/checkout/", "cart.checkout", ("default", CUSTOMER, KEY), CHECKOUT, 201),
    Route("POST", "/api/cart/shipping/", "cart.choose_shipping", ("default", *CHOICE.values(), KEY), CHOICE),
    Route("PUT", "/api/cart/shipping/", "cart.choose_shipping", ("default", *CHOICE.values(), KEY), CHOICE),
    Route("POST", "/api/cart/discount/", "cart.apply_discount", ("default", "SUMMER", KEY), {"code": "SUMMER"}),
    Route("DELETE", "/api/cart/discount/", "cart.remove_discount", ("default", KEY)),
    Route("POST", "/api/discounts/", "cart.create_discount", (DISCOUNT, KEY), DISCOUNT, 201, admin=True),
    Route("GET", "/api/discounts/", "cart.discounts", (100, None), admin=True, query=True),
    Route("DELETE", "/api/discounts/SUMMER/", "cart.delete_discount", ("SUMMER",), admin=True),
    Route("POST", "/api/cart/paid/", "cart.pay", ("default", *PAYMENT.values(), KEY), PAYMENT),
    Route("GET", "/api/orders/or_1/", "cart.order", ("or_1", "default")),
    Route("GET", "/api/orders/", "cart.orders", (None, None, 100, None), admin=True, query=True),
    Route("POST", "/api/orders/or_1/cancel/", "cart.cancel", ("default", "or_1", KEY)),
    Route("POST", "/api/orders/or_1/refund/", "cart.refund", ("or_1", None, KEY), {"all": True}, admin=True),
    Route("POST", "/api/shipments/", "cart.quote_order", (ORDER, KEY), ORDER, 201, admin=True),
    Route("GET", "/api/shipments/", "shipping.list", (None, 100, None), admin=True, query=True),
    Route("GET", "/api/shipments/shp_1/rates/usd/", "shipping.rates", ("shp_1", "usd")),
    Route("GET", "/api/shipments/shp_1/label/", "shipping.label", ("shp_1",)),
    Route("GET", "/api/shipments/shp_1/tracking/", "shipping.tracking", ("shp_1",)),
    Route(
        "POST",
        "/api/notifications/email/",
        "notifications.send_email",
        (EMAIL["to_email"], "blabla", "content", "test@example.com", KEY),
        EMAIL,
        202,
        admin=True,
    ),
    Route(
        "POST",
        "/api/notifications/sms/",
        "notifications.send_sms",
        ("+79994413746", "Your order is ready!", KEY),
        SMS,
        201,
        admin=True,
    ),
]
WITH_BODY = [route for route in ROUTES if route.takes_body]
