"""What a program must know of each route beyond its path, verbs and docstring: input, answer, headers, failures.

`tests/unit/gateway/test_openapi.py` compares this table with the routes, and its shapes with those that they check.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway import fields, schemas
from gateway.openapi.json_schema import of_rules, of_shape
from gateway.openapi.objects import Json, ref
from gateway.shape import Shape

CART, ORDER, READER, BEARER = "cart", "order", "reader", "bearer"
UNPAID = "UnpaidOrder"
EMPTY = "EmptyCart"
ANYTHING: Json = {}


@dataclass(frozen=True)
class Operation:
    """One verb of a route.

    Attributes:
        tag: the chapter.
        gives: the object of the answer, in `gateway.openapi.objects`; or its media types, if that is not JSON.
        or_as: another media type of the answer.
        shows: the recorded answer in `examples.json`, if it is not named like `gives`.
        page: whether it is a page for people, and so are its failures.
        body: what is sent; None: nothing; `ANYTHING`: bytes that only their sender's provider can read.
        example: a body.
        needs_body: whether it may not be left out.
        query: the parameters of the query.
        of: who may: `CART`: the shopper; `ORDER`: the cart that placed the order, or an admin; `READER`: these, or the
            bearer of the order's token; `BEARER`: only that bearer.
        keyed: whether an `Idempotency-Key` makes it happen once.
        fails: its own statuses of failure, besides those that follow from the rest.
        also: a further status of success.
        headers: of its answer.
    """

    tag: str
    gives: str
    or_as: str = field(default="", kw_only=True)
    shows: str = field(default="", kw_only=True)
    page: bool = field(default=False, kw_only=True)
    body: Shape | Json | None = None
    example: Any = None
    needs_body: bool = True
    query: Shape | None = None
    of: str | None = None
    keyed: bool = False
    fails: tuple[int, ...] = ()
    also: int | None = field(default=None, kw_only=True)
    headers: tuple[str, ...] = ()

    @property
    def body_schema(self) -> Json | None:
        """The body in JSON Schema."""
        return of_shape(self.body) if isinstance(self.body, Shape) else self.body


# Objects that are only sent.
SENT: dict[str, Json] = {"ExternalOrder": of_shape(schemas.ORDER)}
_ORDER = ref("ExternalOrder")
_NO_ITEMS = {"not": {"required": ["items"]}}
# Bare, as `order`, or as a Stripe event.
EXTERNAL_ORDER: Json = {
    "anyOf": [
        _ORDER,
        {"type": "object", "required": ["order"], "properties": {"order": _ORDER}, **_NO_ITEMS},
        {
            "type": "object",
            "required": ["data"],
            "properties": {"data": {"type": "object", "required": ["object"], "properties": {"object": _ORDER}}},
            "allOf": [_NO_ITEMS, {"not": {"required": ["order"]}}],
        },
    ]
}
ADDRESS = {
    "line1": "1092 Indian Summer Ct",
    "city": "San Jose",
    "state": "CA",
    "country": "US",
    "postal_code": "95122",
}
SKU = "sku_wiq1zb8Mnj3G3g"
CUSTOMER = {"email": "chloe@example.com", "phone": "+14155550123", "name": "Chloe Taylor", "address": ADDRESS}
PRODUCT = {
    "name": "Squeaky whale",
    "description": "It swims, it squeaks",
    "attributes": ["material"],
    "attributes_sku": {"material": "rubber"},
    "package_dimensions": {"height": 5.0, "length": 5.0, "width": 5.0, "weight": 5.0},
    "metadata": {"category": "toys", "for": "dogs"},
    "price": 50,
    "inventory": {"type": "finite", "quantity": 500},
}
SKU_OF_PRODUCT = {"attributes": {"material": "cotton"}, "price": 60, "inventory": {"type": "finite", "quantity": 20}}
DISCOUNT = {"code": "SUMMER-20", "percent_off": 20, "max_redemptions": 100}
CHOICE = {"order_id": "or_c7a0d930ad64469c7fa71baa", "shipping_id": "7c8a16aa22df4c25ae9612bb915122ea"}
QUOTED = {
    "order": {
        "currency": "usd",
        "items": [{"type": "sku", "parent": SKU, "quantity": 1}],
        "shipping": {"name": "Chloe Taylor", "address": ADDRESS},
    }
}
MAIL = {"to_email": "chloe@example.com", "subject": "Your order", "content": "It is on its way."}
SMS = {"number": "+14155550123", "content": "Your order is on its way."}


def _payment(shape: Shape) -> Operation:
    example = {"order_id": CHOICE["order_id"], "card": "tok_visa"}
    return Operation(
        "Payment", "Order", shape, example, of=CART, keyed=True, fails=(402, 404), shows="PaidOrder", also=202
    )


def _choice(keyed: bool) -> Operation:
    shape, fails = schemas.SHIPPING_CHOICE, (404, 409)
    return Operation("Checkout", "Order", shape, CHOICE, of=CART, keyed=keyed, fails=fails, shows=UNPAID)


def operations(payment: Shape) -> dict[tuple[str, str], Operation]:
    """Every operation, by verb and path.

    Args:
        payment: the shape of a payment at the provider in use.
    """
    two = {"quantity": 2}
    return {
        ("GET", "/api/products"): Operation("Products", "Products", query=schemas.PRODUCTS_QUERY, headers=("Link",)),
        ("POST", "/api/products"): Operation(
            "Products", "Product", schemas.PRODUCT, PRODUCT, keyed=True, headers=("Location",)
        ),
        ("GET", "/api/products/{product_id}"): Operation("Products", "Product"),
        ("PUT", "/api/products/{product_id}"): Operation(
            "Products", "Product", schemas.PRODUCT_CHANGES, {"price": 80}, fails=(409, 422)
        ),
        ("DELETE", "/api/products/{product_id}"): Operation("Products", "DeletedProduct", fails=(422,)),
        ("POST", "/api/products/{product_id}/skus"): Operation(
            "Products", "Product", schemas.SKU, SKU_OF_PRODUCT, keyed=True
        ),
        ("PUT", "/api/products/{product_id}/skus/{sku}"): Operation(
            "Products", "Product", schemas.SKU_CHANGES, {"price": 65}, fails=(409, 422)
        ),
        ("DELETE", "/api/products/{product_id}/skus/{sku}"): Operation("Products", "Product", fails=(409, 422)),
        ("POST", "/api/cart"): Operation(
            "Cart", "CartId", schemas.NOTHING, {}, needs_body=False, keyed=True, headers=("Set-Cookie",)
        ),
        ("GET", "/api/cart"): Operation("Cart", "Cart", of=CART),
        ("DELETE", "/api/cart"): Operation("Cart", "Cart", of=CART, shows=EMPTY),
        ("GET", "/api/cart/summary"): Operation("Cart", "CartSummary", of=CART),
        ("POST", "/api/cart/{product_id}/buy"): Operation(
            "Cart", "Cart", schemas.ITEM, {**two, "attributes": {"material": "rubber"}}, of=CART, keyed=True
        ),
        ("PUT", "/api/cart/{product_id}"): Operation(
            "Cart", "Cart", schemas.ITEM_QUANTITY, {**two, "sku": SKU}, of=CART, fails=(409,)
        ),
        ("DELETE", "/api/cart/{product_id}"): Operation(
            "Cart", "Cart", schemas.ITEM_CHOICE, {"sku": SKU}, needs_body=False, of=CART, shows=EMPTY
        ),
        ("POST", "/api/cart/discount"): Operation(
            "Cart", "CartSummary", schemas.DISCOUNT_CODE, {"code": "SUMMER-20"}, of=CART, keyed=True, fails=(404,)
        ),
        ("DELETE", "/api/cart/discount"): Operation("Cart", "CartSummary", of=CART, shows="UndiscountedCart"),
        ("POST", "/api/cart/checkout"): Operation(
            "Checkout", "Order", schemas.CHECKOUT, CUSTOMER, of=CART, keyed=True, fails=(404,), shows=UNPAID
        ),
        ("POST", "/api/cart/shipping"): _choice(keyed=True),
        ("PUT", "/api/cart/shipping"): _choice(keyed=False),
        ("POST", "/api/cart/paid"): _payment(payment),
        ("GET", "/api/payment"): Operation("Payment", "PaymentOptions"),
        ("GET", "/api/orders"): Operation("Orders", "Orders", query=schemas.ORDERS_QUERY, headers=("Link",)),
        ("GET", "/api/orders/{order_id}"): Operation("Orders", "Order", of=READER),
        ("POST", "/api/orders/{order_id}/cancel"): Operation(
            "Orders", "Order", schemas.NOTHING, {}, needs_body=False, of=ORDER, keyed=True, shows="CanceledOrder"
        ),
        ("POST", "/api/orders/{order_id}/refund"): Operation(
            "Orders", "Order", schemas.REFUND, {"all": True}, keyed=True, shows="ReturnedOrder"
        ),
        ("GET", "/orders/{order_id}"): Operation("Orders", "text/html", page=True, of=BEARER),
        ("POST", "/api/discounts"): Operation("Discounts", "Discount", schemas.DISCOUNT, DISCOUNT, keyed=True),
        ("GET", "/api/discounts"): Operation(
            "Discounts", "Discounts", query=schemas.DISCOUNTS_QUERY, headers=("Link",)
        ),
        ("DELETE", "/api/discounts/{code}"): Operation("Discounts", "DeletedDiscount", fails=(409, 422)),
        ("GET", "/api/shipments"): Operation(
            "Shipments", "Shipments", query=schemas.SHIPMENTS_QUERY, headers=("Link",)
        ),
        ("POST", "/api/shipments"): Operation(
            "Shipments", "QuotedOrder", EXTERNAL_ORDER, QUOTED, keyed=True, fails=(404,)
        ),
        ("GET", "/api/shipments/{shipment_id}/rates/{currency}"): Operation(
            "Shipments", "Rates", of=READER, fails=(422,)
        ),
        ("GET", "/api/shipments/{shipment_id}/label"): Operation("Shipments", "Label", of=READER, fails=(409,)),
        ("GET", "/api/shipments/{shipment_id}/tracking"): Operation(
            "Shipments", "Tracking", of=READER, fails=(409, 422)
        ),
        ("POST", "/api/notifications/email"): Operation(
            "Notifications", "SentEmail", schemas.EMAIL_MESSAGE, MAIL, keyed=True
        ),
        ("POST", "/api/notifications/sms"): Operation("Notifications", "SentSms", schemas.SMS_MESSAGE, SMS, keyed=True),
        ("POST", "/api/webhooks/{provider}"): Operation("Webhooks", "WebhookReceipt", or_as="text/xml", body=ANYTHING),
        ("GET", "/health/live"): Operation("About", "Live"),
        ("GET", "/health/ready"): Operation("About", "Ready"),
        ("GET", "/openapi.json"): Operation("About", "Document"),
        ("GET", "/docs"): Operation("About", "text/html"),
        ("GET", "/docs/{name}"): Operation("About", "text/javascript, text/css"),
        ("GET", "/pages/{name}"): Operation("About", "text/css"),
    }


def query_parameters(shape: Shape) -> list[Json]:
    """A query's shape as parameters. One without a value counts as not given (`gateway.reading`)."""
    nothing = {"type": "string", "maxLength": 0}
    found = [parameter(name, "query", of_rules(rules)) for name, rules in shape.schema.items()]
    return [{**each, "schema": {"anyOf": [each["schema"], nothing]}} for each in found]


def parameter(name: str, place: str, schema: Json, **more: Any) -> Json:
    """A parameter in the path or the query; the page shows its description, but not that of its schema."""
    said = {"description": schema["description"]} if "description" in schema else {}
    bare = {keyword: value for keyword, value in schema.items() if keyword != "description"}
    return {"name": name, "in": place, **said, **more, "schema": bare}


PATH_SCHEMAS: dict[str, Json] = {
    "currency": of_rules(fields.CURRENCY),
    "code": of_rules(fields.DISCOUNT_CODE),
    "shipment_id": of_rules(fields.described(fields.ID, "The `upstream_id` of the shipment's order.")),
    "id": of_rules(fields.ID),
    "name": {"type": "string"},
}
