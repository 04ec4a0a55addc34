"""Stripe's prices, one-time or recurring, per unit.

An amount never changes; a lookup key moves to the price that claims it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sandbox.ids import alphanumeric
from sandbox.stripe.currencies import Currency
from sandbox.stripe.endpoint import Desk, Endpoint, Parameters
from sandbox.stripe.errors import StripeFailure, invalid, missing_object
from sandbox.stripe.lists import page
from sandbox.stripe.params import (
    EXPAND,
    PAGE,
    UNSET,
    Bool,
    CreatedRange,
    DecimalText,
    Int,
    ListOf,
    Metadata,
    Missing,
    Obj,
    Str,
    Type,
    merged,
)

_TAX = Str(choices=("exclusive", "inclusive", "unspecified"))
CREATE: dict[str, Type] = {
    "currency": Currency(required=True),
    "active": Bool(),
    "billing_scheme": Str(choices=("per_unit",)),
    "expand": EXPAND,
    "lookup_key": Str(limit=200),
    "metadata": Metadata(unsettable=True),
    "nickname": Str(),
    "product": Str(),
    "recurring": Obj(
        {
            "interval": Str(choices=("day", "week", "month", "year"), required=True),
            "interval_count": Int(least=1),
            "meter": Missing("billing meter"),
            "trial_period_days": Int(least=1),
            "usage_type": Str(choices=("licensed", "metered")),
        }
    ),
    "tax_behavior": _TAX,
    "transfer_lookup_key": Bool(),
    "unit_amount": Int(least=0),
    "unit_amount_decimal": DecimalText(),
}
MODIFY: dict[str, Type] = {
    "active": Bool(),
    "expand": EXPAND,
    "lookup_key": Str(limit=200),
    "metadata": Metadata(unsettable=True),
    "nickname": Str(),
    "tax_behavior": _TAX,
    "transfer_lookup_key": Bool(),
}
LIST: dict[str, Type] = {
    **PAGE,
    "active": Bool(),
    "created": CreatedRange(),
    "currency": Currency(),
    "lookup_keys": ListOf(Str(), most=10),
    "product": Str(),
    "type": Str(choices=("one_time", "recurring")),
}


def make_price(desk: Desk, product_id: str, asked: Parameters) -> Parameters:
    """Return a new price of a product, not stored yet; StripeFailure (400) when it has no amount, or two."""
    if "unit_amount" in asked and "unit_amount_decimal" in asked:
        raise invalid(
            "You may only specify one of these parameters: unit_amount, unit_amount_decimal.",
            "unit_amount",
            "parameters_exclusive",
        )
    if "unit_amount" not in asked and "unit_amount_decimal" not in asked:
        raise invalid(
            "Prices require an `unit_amount` or `unit_amount_decimal` parameter to be set.",
            "unit_amount",
            "parameter_missing",
        )
    exact = Decimal(asked["unit_amount_decimal"] if "unit_amount_decimal" in asked else asked["unit_amount"])
    text = format(exact.normalize(), "f")
    return {
        "id": alphanumeric("price_", 24),
        "object": "price",
        "active": asked.get("active", True),
        "billing_scheme": "per_unit",
        "created": desk.now(),
        "currency": asked["currency"],
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": None,
        "metadata": merged({}, asked.get("metadata")),
        "nickname": asked.get("nickname"),
        "product": product_id,
        "recurring": _recurring(asked.get("recurring")),
        "tax_behavior": asked.get("tax_behavior", "unspecified"),
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if "recurring" in asked else "one_time",
        "unit_amount": int(exact) if exact == int(exact) else None,
        "unit_amount_decimal": text,
    }


def _recurring(asked: Parameters | None) -> Parameters | None:
    if asked is None:
        return None
    return {
        "interval": asked["interval"],
        "interval_count": asked.get("interval_count", 1),
        "meter": None,
        "trial_period_days": asked.get("trial_period_days"),
        "usage_type": asked.get("usage_type", "licensed"),
    }


def default_price_of(desk: Desk, product_id: str, price_id: str) -> str:
    """Return `price_id` when it is a price of the product; StripeFailure (400) otherwise."""
    price = desk.state.get("price", price_id)
    if price is None:
        raise missing_object("price", price_id, param="default_price", in_path=False)
    if price["product"] != product_id:
        raise invalid(f"The price specified is not for the product {product_id}.", "default_price")
    return price_id


def _create(desk: Desk, asked: Parameters) -> Parameters:
    if "product" not in asked:
        raise invalid("Missing required param: product.", "product", "parameter_missing")
    if desk.state.raw("product", asked["product"]) is None:
        raise missing_object("product", asked["product"], param="product", in_path=False)
    price = make_price(desk, asked["product"], asked)
    if "lookup_key" in asked:
        _take_lookup_key(desk, price, asked)
    desk.state.put("price", price["id"], price)
    return price


def _take_lookup_key(desk: Desk, price: Parameters, asked: Parameters) -> None:
    key = asked["lookup_key"]
    for holder in desk.state.find("price", {"lookup_key": key}):
        if holder["id"] == price["id"]:
            continue
        if not asked.get("transfer_lookup_key"):
            raise StripeFailure(
                f"A price (`{holder['id']}`) already uses that lookup key. If you wish to transfer this lookup key to "
                "another price, specify `transfer_lookup_key=true`.",
                param="lookup_key",
            )
        holder["lookup_key"] = None
        desk.state.put("price", holder["id"], holder)
    price["lookup_key"] = key


def _retrieve(desk: Desk, asked: Parameters, price: str) -> bytes:
    body = desk.state.raw("price", price)
    if body is None:
        raise missing_object("price", price, param="price")
    return body


def _modify(desk: Desk, asked: Parameters, price: str) -> Parameters:
    body = desk.state.get("price", price)
    if body is None:
        raise missing_object("price", price, param="price")
    if asked.get("active") is False:
        product = desk.state.get("product", body["product"])
        if product is not None and product["default_price"] == price:
            raise StripeFailure(
                "This price cannot be archived because it is the default price of its product.", param="active"
            )
    if "lookup_key" in asked:
        _take_lookup_key(desk, body, asked)
    for name in ("active", "nickname", "tax_behavior"):
        if name in asked:
            body[name] = None if asked[name] == UNSET else asked[name]
    body["metadata"] = merged(body["metadata"], asked.get("metadata"))
    desk.state.put("price", price, body)
    return body


def _list(desk: Desk, asked: Parameters) -> Parameters:
    where: dict[str, Any] = {name: asked[name] for name in ("product", "currency", "type") if name in asked}
    if "active" in asked:
        where["active"] = str(asked["active"]).lower()
    if "lookup_keys" in asked:
        where["lookup_key"] = asked["lookup_keys"]
    return page(desk.state, "price", "/v1/prices", asked, where)


ENDPOINTS = (
    Endpoint("POST", "/v1/prices", CREATE, _create),
    Endpoint("GET", "/v1/prices", LIST, _list),
    Endpoint("GET", "/v1/prices/{price}", {"expand": EXPAND}, _retrieve),
    Endpoint("POST", "/v1/prices/{price}", MODIFY, _modify),
)
