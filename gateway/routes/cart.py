"""The cart, the checkout and the payment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from falcon import Request, Response

from contracts.errors import InvalidRequest, wrong_field
from gateway import limits, schemas, seed_json, visit
from gateway.cors import may_return
from gateway.idempotency import effect, fresh_key, of_cart, of_own_cart
from gateway.identity import cart_id, remember, sign
from gateway.reading import body, optional_body
from gateway.routing import STATUS_LINES, delete, get, post, post_or_put, put
from gateway.schemas import spelled
from gateway.visit import known, services

Items = list[dict[str, Any]]

RETURNS_NOWHERE = "must be a page of the shop's origin, or of one in CORS_ORIGINS; with https, except on localhost"


@post("/api/cart", status=201)
def create(request: Request, response: Response) -> dict[str, Any]:
    """A new cart with an unguessable, signed id, which the browser keeps as a cookie.

    Send its `cart_id` as `Cart-Id` with every request of this shopper: orders, label and tracking belong to it, too.
    """
    limits.spend(request, limits.ADDRESS_CART)
    form = optional_body(request, schemas.NOTHING)
    made: dict[str, Any] = services(request, effect(request, form, of_own_cart)).cart.create()
    made["cart_id"] = sign(made["cart_id"], visit.of(request).gateway.settings)
    remember(request, response, made["cart_id"])
    return made


@get("/api/cart")
def items(request: Request) -> Items:
    """The contents of the cart."""
    return services(request).cart.items(cart_id(request))


@get("/api/cart/summary")
def summary(request: Request) -> dict[str, Any]:
    """The cart with its current prices, and what of it cannot be bought."""
    return services(request).cart.summary(cart_id(request))


@delete("/api/cart")
def clear(request: Request) -> Items:
    """Empty the cart."""
    return services(request).cart.clear(cart_id(request), fresh_key())


@post("/api/cart/{product_id}/buy")
def buy(product_id: str, request: Request) -> Items:
    """Add a product to the cart.

    The pieces are added to those in the cart. 409: the stock is too short, the product is not on sale, its currency is
    not the cart's, or it has several SKUs and neither `sku` nor `attributes` chooses one. A cart holds no stock.
    """
    known(product_id, "product")
    limits.spend(request, limits.CART_BUY, limits.payer(request, cart_id(request)))
    form = body(request, schemas.ITEM)
    shopper, quantity, once = cart_id(request), spelled(form, "quality", "quantity"), effect(request, form, of_cart)
    chosen = [form.get("sku"), form.get("attributes")] if {"sku", "attributes"} & form.keys() else []
    with _named_as_in(form):
        return services(request, once).cart.buy(shopper, product_id, quantity, once.key, *chosen)


@put("/api/cart/{product_id}")
def set_quantity(product_id: str, request: Request) -> Items:
    """Change the quantity of a product in the cart."""
    known(product_id, "product")
    form = body(request, schemas.ITEM_QUANTITY)
    shopper, quantity = cart_id(request), spelled(form, "quality", "quantity")
    with _named_as_in(form):
        return services(request).cart.set_quantity(shopper, product_id, quantity, fresh_key(), *_sku(form))


@delete("/api/cart/{product_id}")
def remove(product_id: str, request: Request) -> Items:
    """Remove a product, or one of its SKUs, from the cart."""
    known(product_id, "product")
    form = optional_body(request, schemas.ITEM_CHOICE)
    return services(request).cart.remove(cart_id(request), product_id, fresh_key(), *_sku(form))


@post("/api/cart/discount")
def apply_discount(request: Request) -> dict[str, Any]:
    """Give the cart a discount code; returns the cart's summary.

    It takes the place of another code. 404: there is no such code. 409: it has expired, is used up, or is for larger
    orders or another currency. In the order, the discount is one of the `items`.
    """
    limits.spend(request, limits.ADDRESS_DISCOUNT)
    limits.spend(request, limits.CART_DISCOUNT, limits.payer(request, cart_id(request)))
    form = body(request, schemas.DISCOUNT_CODE)
    once = effect(request, form, of_cart)
    return services(request, once).cart.apply_discount(cart_id(request), form["code"], once.key)


@delete("/api/cart/discount")
def remove_discount(request: Request) -> dict[str, Any]:
    """Remove the cart's discount code; returns the cart's summary."""
    return services(request).cart.remove_discount(cart_id(request), fresh_key())


@post("/api/cart/checkout", status=201)
def checkout(request: Request) -> dict[str, Any]:
    """Turn the cart into an order, with fixed prices and its shipping methods.

    The cart keeps its items until the order is paid. Repeating gives the same order while it is unpaid and nothing has
    changed. An order holds no stock until it is paid. 409: the cart is empty, or something in it cannot be bought (the
    `problems` of its summary). 422: no carrier knows the address, or none takes the parcel;
    or the carrier corrects the address, and `suggestion` has the whole one.
    """
    limits.spend(request, limits.ADDRESS_CHECKOUT)
    limits.spend(request, limits.CART_CHECKOUT, limits.payer(request, cart_id(request)))
    form = body(request, schemas.CHECKOUT)
    address = form["address"]
    customer = {
        "email": form["email"],
        "phone": form["phone"],
        "name": form["name"],
        "address": {
            "line1": address["line1"],
            "line2": address.get("line2"),
            "city": address["city"],
            "state": address.get("state"),
            "postal_code": address.get("postal_code"),
            "country": address["country"].upper(),
        },
    }
    if form.get("keep_address"):
        customer["keep_address"] = True
    once = effect(request, form, of_cart)
    return services(request, once).cart.checkout(cart_id(request), customer, once.key)


@post_or_put("/api/cart/shipping")
def choose_shipping(request: Request) -> dict[str, Any]:
    """Select one of the order's shipping methods.

    The answer has the new `amount`, tax line and shipping line. 409: the order is paid, or its payment waits for a
    bank.
    """
    limits.spend(request, limits.ADDRESS_SHIPPING)
    limits.spend(request, limits.CART_SHIPPING, limits.payer(request, cart_id(request)))
    form = body(request, schemas.SHIPPING_CHOICE)
    once = effect(request, form, of_cart)
    return services(request, once).cart.choose_shipping(
        cart_id(request), form["order_id"], form["shipping_id"], once.key
    )


@get("/api/payment")
def payment_options(request: Request) -> dict[str, Any]:
    """What Stripe.js needs in a storefront.

    `publishable_key` is null while none is set. `payment_method_types` are the methods that the shop has switched on at
    Stripe. Stripe's Payment Element offers those of them that fit the currency, the amount and the shopper.
    """
    options: dict[str, Any] = services(request).cart.payment_options()
    return options


@post("/api/cart/paid")
def pay(request: Request, response: Response) -> dict[str, Any]:
    """Pay an order by card, or without one when it costs nothing; label, email and SMS follow.

    200: paid, usually with its label, `shipping.tracking_number` and `notifications`. Paying again charges nothing.

    202: a bank settles the payment later, such as the debit of a bank account. `payment.status` is `processing`, for up
    to 14 business days; label, email and SMS follow then. Read the order. If it fails, `payment.status` is `failed`,
    with the reason in `payment.failure`, and the order can be paid again.

    402 `payment-declined`: the order stays open. Show `detail`, and pay with another card and a new `Idempotency-Key`.

    402 `payment-action-required`: the bank asks the shopper. Pass `client_secret` to Stripe.js (`handleNextAction`).
    Or, if `next_action` has a `redirect_to_url`, open its `url`: it leads back to your `return_url`, and without one
    nowhere, so that it belongs in a new tab. Then read the order until it is `paid`, or its `payment.failure` says
    why not. Sending the same payment again, with any key, shows the outcome at once: 200 if the bank has agreed, and
    402 with the same `client_secret` while it has not answered. Another `client_secret` means that it refused and
    asks once more; the third time within an hour is 409. Another card replaces the one that waits. After ten minutes
    (by default) the payment is canceled, and the order can be paid again.

    409: paid with another card, canceled, too little stock, or the code is used up. With `Retry-After`, repeat later.
    """
    shopper = cart_id(request)
    payer = limits.payer(request, shopper)
    limits.spend(request, limits.ADDRESS_PAYMENT)
    limits.spend(request, limits.CART_PAYMENT, payer)
    shape = schemas.payment(visit.of(request).gateway.settings.in_use)
    form = body(request, shape, rescue=seed_json.payment)
    return_url = form.get("return_url")
    if return_url is not None and not may_return(return_url, visit.of(request).gateway.settings):
        raise wrong_field("return_url", RETURNS_NOWHERE)
    limits.spend(request, limits.ORDER_PAYMENT, f"{payer} {form['order_id']}")
    once = effect(request, form, of_cart)
    order: dict[str, Any] = services(request, once, payer=payer).cart.pay(
        shopper,
        form["order_id"],
        form.get("cart", form.get("card", "")),
        once.key,
        *([] if return_url is None else [return_url]),
    )
    # A cart service of the previous release shows no payment.
    if order.get("payment", {}).get("status") == "processing":
        response.status = STATUS_LINES[202]
    return order


def _sku(form: dict[str, Any]) -> list[str]:
    """The SKU that a request names, if any, as the last argument of a verb."""
    return [form["sku"]] if "sku" in form else []


@contextmanager
def _named_as_in(form: dict[str, Any]) -> Iterator[None]:
    """Rename the service's errors about `quality` to `quantity` for a caller who used that spelling."""
    try:
        yield
    except InvalidRequest as error:
        errors = error.facts.get("errors", {})
        if "quality" in errors and "quality" not in form:
            errors["quantity"] = errors.pop("quality")
        raise
