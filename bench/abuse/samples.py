"""Every route of the gateway, from its own routing table, with a valid request for each."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bench.abuse import signing
from bench.abuse.target import BANK_CARD, GOOD_CARD, PRODUCT, Target
from chassis.registry import BUNDLES

VERBS_WITH_BODY = ("POST", "PUT", "PATCH")
_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Route:
    """One method on one path. template: as in the routing table, e.g. `/api/orders/{order_id}/refund`."""

    verb: str
    template: str

    @property
    def provider(self) -> str:
        """The provider whose webhooks arrive here; "" for every other route."""
        return self.template.rpartition("/")[2] if "/webhooks/" in self.template else ""

    @property
    def takes_body(self) -> bool:
        return self.verb in VERBS_WITH_BODY

    def path(self, ids: dict[str, str]) -> str:
        """Return the path, with `ids` inserted for its parameters."""
        return _PARAMETER.sub(lambda found: ids.get(found[1], "none"), self.template)

    def __str__(self) -> str:
        return f"{self.verb} {self.template}"


def routes() -> list[Route]:
    """Return every method on every path that the gateway serves; webhooks once for each provider."""
    import gateway.api  # noqa: F401 - puts every route into the table
    from gateway.routing import api

    return [
        Route(verb, path.replace("{provider}", provider))
        for table in api.http.routes.values()
        for path in sorted(table)
        for provider in (BUNDLES if "{provider}" in path else [""])
        for verb in sorted(table[path])
    ]


# Route -> a valid body, without ids; `Ids.body` inserts `ids`. A route that is not listed gets {}.
_BODIES: dict[str, Any] = {
    "POST /api/products": PRODUCT,
    "PUT /api/products/{product_id}": {
        "name": "Test put",
        "description": "For small dogs",
        "metadata": {"for": "cats"},
    },
    "POST /api/products/{product_id}/skus": {"price": 60, "attributes": {"manufacturer": "CatHappy"}},
    "PUT /api/products/{product_id}/skus/{sku}": {"price": 55},
    "POST /api/cart/{product_id}/buy": {"quality": 1},
    "PUT /api/cart/{product_id}": {"quality": 2},
    "POST /api/orders/{order_id}/refund": {"amount": 1},
    "POST /api/notifications/email": {
        "to_email": "tamara@example.com",
        "from_email": "test@example.com",
        "subject": "Your order",
        "content": "It is on its way.",
    },
    "POST /api/notifications/sms": {"number": "+14155550142", "content": "Your order is ready!"},
    "POST /api/webhooks/stripe": {"id": "evt_x", "object": "event", "type": "ping", "data": {"object": {}}},
    "POST /api/webhooks/shippo": {"event": "track_updated", "data": {"tracking_number": "none", "carrier": "usps"}},
    "POST /api/webhooks/sendgrid": [{"sg_event_id": "x", "event": "open", "email": "x@example.com"}],
    "POST /api/webhooks/twilio": "MessageSid=SM1&MessageStatus=sent",
}
# Routes that need an id in their body, inserted below.
_WITH_IDS = frozenset(
    (
        "POST /api/cart/checkout",
        "POST /api/cart/shipping",
        "PUT /api/cart/shipping",
        "POST /api/cart/paid",
        "POST /api/cart/discount",
        "POST /api/discounts",
        "POST /api/shipments",
    )
)
QUERIES = {
    "GET /api/products": "category=food&order_by=-price&limit=5",
    "GET /api/orders": "status=paid&limit=5",
    "GET /api/shipments": "order_by=created&limit=5",
}


def without_sample(found: Iterable[Route]) -> list[Route]:
    """Return the routes that take a body but have no known valid one; routes that need none are listed here."""
    empty = ("POST /api/cart", "POST /api/orders/{order_id}/cancel")
    known = {*_BODIES, *_WITH_IDS, *empty}
    return [route for route in found if route.takes_body and str(route) not in known]


@dataclass
class Ids:
    """The objects of valid requests: a discount code, and one shopper's cart, product, orders and shipment, all of
    which exist."""

    cart: str
    product: str
    sku: str
    order: str
    paid: str
    shipment: str
    token: str
    rate: str
    code: str
    customer: dict[str, Any] = field(repr=False)

    @classmethod
    async def made(cls, target: Target, **changes: Any) -> Ids:
        """Create a new cart with a product in it, an unpaid order of that cart, and a paid one."""
        product = await target.product(**changes)
        cart = await target.cart()
        paid = await target.order(cart, product["id"])
        await target.pay(cart, paid["id"])
        order = await target.order(cart, product["id"])
        await target.done("POST", f"/api/cart/{product['id']}/buy/", {"quality": 1}, cart=cart)
        code = uuid.uuid4().hex
        await target.done("POST", "/api/discounts/", {"code": code, "percent_off": 10}, admin=True)
        rates = [method["id"] for method in order.get("shipping_methods") or []]
        return cls(
            cart=cart,
            product=product["id"],
            sku=product["skus"]["data"][0]["id"],
            order=order["id"],
            paid=paid["id"],
            shipment=order["upstream_id"],
            token=str(order.get("status_url")).rpartition("=")[2],
            rate=rates[0] if rates else "none",
            code=code,
            customer=target.customer(),
        )

    def path(self, route: Route) -> str:
        """Return the route's path for these ids, with a valid query."""
        order = self.paid if route.template.endswith("/refund") else self.order
        path = route.path(
            {
                "product_id": self.product,
                "order_id": order,
                "shipment_id": self.shipment,
                "currency": "usd",
                "sku_id": self.sku,
                "sku": self.sku,
                "name": "order.css",
                "code": self.code,
            }
        )
        query = f"token={self.token}" if route.template.startswith("/orders/") else QUERIES.get(str(route))
        return f"{path}/?{query}" if query else f"{path}/"

    def body(self, route: Route, card: str = GOOD_CARD) -> Any:
        """Return a valid body: a value to send as JSON, or a text to send unchanged."""
        name = str(route)
        if name == "POST /api/cart/checkout":
            return self.customer
        if name.endswith("/api/cart/shipping"):
            return {"order_id": self.order, "shipping_id": self.rate}
        if name == "POST /api/cart/paid":
            return {"order_id": self.order, "cart": card}
        if name == "POST /api/cart/discount":
            return {"code": self.code}
        if name == "POST /api/discounts":
            return {"code": uuid.uuid4().hex, "percent_off": 10}
        if name == "POST /api/shipments":
            shipping = {"name": "Chloe Taylor", "address": self.customer["address"]}
            line = {"object": "order_item", "parent": self.sku, "quantity": 2, "type": "sku"}
            return {"items": [line], "shipping": shipping, "currency": "usd"}
        return _BODIES.get(name, {} if route.takes_body else None)

    def headers(self, target: Target, route: Route, raw: bytes | None) -> list[tuple[str, str]]:
        """Return the headers of a valid request: the cart, an admin key, and a webhook's signature."""
        if route.provider:
            return signing.headers(target, route.provider, raw or b"")
        return target.headers(self.cart, admin=True)


UNCERTAIN_CARD = BANK_CARD
