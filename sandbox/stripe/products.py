"""Stripe's products. A product can be deleted only while no price refers to it."""

from __future__ import annotations

import re
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
    Number,
    Obj,
    Str,
    Type,
    merged,
)
from sandbox.stripe.prices import default_price_of, make_price
from sandbox.stripe.search import matches, read_query
from sandbox.stripe.tax_codes import known_tax_code

_DIMENSIONS: dict[str, Type] = {side: Number(required=True) for side in ("height", "length", "weight", "width")}
_FEATURE = Obj({"name": Str(limit=80, required=True)})
_TAX_DETAILS: dict[str, Type] = {"performance_location": Missing("tax location"), "tax_code": Str(unsettable=True)}
_SHARED: dict[str, Type] = {
    "active": Bool(),
    "expand": EXPAND,
    "shippable": Bool(),
    "statement_descriptor": Str(limit=22),
}
CREATE: dict[str, Type] = {
    **_SHARED,
    "name": Str(required=True),
    "id": Str(limit=255),
    "description": Str(limit=40000),
    "images": ListOf(Str(limit=2048), most=8),
    "marketing_features": ListOf(_FEATURE, most=15),
    "metadata": Metadata(unsettable=True),
    "package_dimensions": Obj(_DIMENSIONS),
    "default_price_data": Obj(
        {
            "currency": Currency(required=True),
            "metadata": Metadata(unsettable=True),
            "tax_behavior": Str(choices=("exclusive", "inclusive", "unspecified")),
            "unit_amount": Int(least=0),
            "unit_amount_decimal": DecimalText(),
        }
    ),
    "tax_code": Str(),
    "tax_details": Obj(_TAX_DETAILS),
    "type": Str(choices=("good", "service")),
    "unit_label": Str(limit=12),
    "url": Str(),
}
MODIFY: dict[str, Type] = {
    **_SHARED,
    "name": Str(),
    "default_price": Str(),
    "description": Str(limit=40000, unsettable=True),
    "images": ListOf(Str(limit=2048), most=8, unsettable=True),
    "marketing_features": ListOf(_FEATURE, most=15, unsettable=True),
    "metadata": Metadata(unsettable=True),
    "package_dimensions": Obj(_DIMENSIONS, unsettable=True),
    "tax_code": Str(unsettable=True),
    "tax_details": Obj(_TAX_DETAILS, unsettable=True),
    "unit_label": Str(limit=12, unsettable=True),
    "url": Str(unsettable=True),
}
LIST: dict[str, Type] = {
    **PAGE,
    "active": Bool(),
    "created": CreatedRange(),
    "ids": ListOf(Str()),
    "shippable": Bool(),
    "type": Str(choices=("good", "service")),
    "url": Str(),
}
SEARCH: dict[str, Type] = {
    "expand": EXPAND,
    "limit": Int(),
    "page": Str(),
    "query": Str(required=True),
}
_ID = re.compile(r"[A-Za-z0-9_\-.]+")


def _create(desk: Desk, asked: Parameters) -> Parameters:
    product_id = asked.get("id") or alphanumeric("prod_", 14)
    if not _ID.fullmatch(product_id):
        raise invalid("Invalid id: it may hold letters, digits, '-', '_' and '.' only", "id")
    if desk.state.raw("product", product_id) is not None:
        raise StripeFailure("Product already exists.", code="resource_already_exists", param="id")
    asked = _with_tax_code(asked)
    product: dict[str, Any] = {
        "id": product_id,
        "object": "product",
        "active": asked.get("active", True),
        "created": desk.now(),
        "default_price": None,
        "description": asked.get("description"),
        "images": asked.get("images", []),
        "livemode": False,
        "marketing_features": asked.get("marketing_features", []),
        "metadata": merged({}, asked.get("metadata")),
        "name": asked["name"],
        "package_dimensions": asked.get("package_dimensions"),
        "shippable": asked.get("shippable"),
        "statement_descriptor": asked.get("statement_descriptor"),
        "tax_code": asked.get("tax_code"),
        "tax_details": _tax_details(asked.get("tax_code")),
        "type": asked.get("type", "service"),
        "unit_label": asked.get("unit_label"),
        "updated": desk.now(),
        "url": asked.get("url"),
    }
    if "default_price_data" in asked:
        price = make_price(desk, product_id, asked["default_price_data"])
        desk.state.put("price", price["id"], price)
        product["default_price"] = price["id"]
    desk.state.put("product", product_id, product)
    return product


def _with_tax_code(asked: Parameters) -> Parameters:
    """Return the parameters with the tax code of `tax_details` as `tax_code`; StripeFailure (400) for an unknown one.

    Stripe documents no rule for two different codes. The sandbox refuses them.
    """
    asked = {**asked}
    details, where = asked.pop("tax_details", None), "tax_code"
    if details is not None:
        details = {"tax_code": UNSET} if details == UNSET else details
        if "tax_code" in details:
            if asked.get("tax_code", details["tax_code"]) != details["tax_code"]:
                message = "You may only specify one of these parameters: tax_code, tax_details[tax_code]."
                raise invalid(message, "tax_code", "parameters_exclusive")
            asked["tax_code"], where = details["tax_code"], "tax_details[tax_code]"
    if asked.get("tax_code"):
        known_tax_code(asked["tax_code"], where)
    return asked


def _tax_details(tax_code: str | None) -> Parameters | None:
    return {"performance_location": None, "tax_code": tax_code} if tax_code else None


def _retrieve(desk: Desk, asked: Parameters, product: str) -> bytes:
    body = desk.state.raw("product", product)
    if body is None:
        raise missing_object("product", product)
    return body


def _modify(desk: Desk, asked: Parameters, product: str) -> Parameters:
    body = desk.state.get("product", product)
    if body is None:
        raise missing_object("product", product)
    for name, value in _with_tax_code(asked).items():
        if name == "metadata":
            body["metadata"] = merged(body["metadata"], value)
        elif name == "default_price":
            body["default_price"] = default_price_of(desk, product, value)
        elif name in ("images", "marketing_features"):
            body[name] = [] if value == UNSET else value
        elif name != "expand":
            body[name] = None if value == UNSET else value
    body["tax_details"] = _tax_details(body["tax_code"])
    body["updated"] = desk.now()
    desk.state.put("product", product, body)
    return body


def _delete(desk: Desk, asked: Parameters, product: str) -> Parameters:
    if desk.state.raw("product", product) is None:
        raise missing_object("product", product)
    if desk.state.count("price", {"product": product}):
        raise StripeFailure("This product cannot be deleted because it has one or more user-created prices.")
    desk.state.delete("product", product)
    return {"id": product, "object": "product", "deleted": True}


def _list(desk: Desk, asked: Parameters) -> Parameters:
    where: dict[str, Any] = {
        name: str(asked[name]).lower() if isinstance(asked[name], bool) else asked[name]
        for name in ("active", "shippable", "type", "url")
        if name in asked
    }
    if "ids" in asked:
        where["id"] = asked["ids"]
    return page(desk.state, "product", "/v1/products", asked, where)


def _search(desk: Desk, asked: Parameters) -> Parameters:
    terms = read_query(asked["query"])
    limit = asked.get("limit", 10)
    if not 1 <= limit <= 100:
        raise invalid("limit must be from 1 to 100", "limit", "parameter_invalid_integer")
    if "page" in asked and not asked["page"].isdigit():
        raise invalid("Invalid page", "page")
    start = int(asked.get("page", 0))
    found = [product for product in desk.state.find("product") if matches(product, terms)]
    has_more = len(found) > start + limit
    return {
        "object": "search_result",
        "data": found[start : start + limit],
        "has_more": has_more,
        "next_page": str(start + limit) if has_more else None,
        "url": "/v1/products/search",
    }


ENDPOINTS = (
    Endpoint("POST", "/v1/products", CREATE, _create),
    Endpoint("GET", "/v1/products", LIST, _list),
    Endpoint("GET", "/v1/products/search", SEARCH, _search),
    Endpoint("GET", "/v1/products/{product}", {"expand": EXPAND}, _retrieve),
    Endpoint("POST", "/v1/products/{product}", MODIFY, _modify),
    Endpoint("DELETE", "/v1/products/{product}", {}, _delete),
)
