"""The shapes of public requests, one per route that takes a body or a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contracts import product_limits
from contracts.contacts import MAX_SMS_LENGTH, MAX_SUBJECT_LENGTH
from contracts.product_limits import MAX_PRICE, MAX_QUANTITY, MAX_STOCK
from gateway import fields
from gateway.fields import described, line, nullable, required, text
from gateway.shape import Check, Rule, Shape, rule, said, said_rule

Errors = dict[str, Any]

MISSING = "required field"
NULL = {"type": "null"}
# The countries where mail does not arrive without them. Elsewhere the carrier reports missing fields (422).
NEEDS_STATE = frozenset({"US", "CA", "AU", "BR", "CN", "IN", "JP", "MX"})
NEEDS_POSTAL_CODE = NEEDS_STATE | {
    *("AT", "BE", "BG", "CH", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GB", "GR", "HR", "HU", "IL", "IT"),
    *("KR", "LT", "LU", "LV", "MT", "NL", "NO", "NZ", "PL", "PT", "RO", "RS", "RU", "SE", "SG", "SI", "SK", "TR", "UA"),
}


def _needed(part: str, countries: frozenset[str]) -> dict[str, Any]:
    """In JSON Schema: `part` of an address is needed in these countries."""
    either_case = "|".join("".join(f"[{letter}{letter.lower()}]" for letter in code) for code in sorted(countries))
    return {
        "if": {"required": ["country"], "properties": {"country": {"pattern": f"^(?:{either_case})$"}}},
        "then": {"required": [part], "properties": {part: {"type": "string", "pattern": r"\S"}}},
    }


WHOLE_ADDRESS = {"allOf": [_needed("state", NEEDS_STATE), _needed("postal_code", NEEDS_POSTAL_CODE)]}

# --- Products


@rule({"anyOf": [{"required": ["price"]}, {"required": ["skus"]}]})
def _is_priced(document: dict[str, Any]) -> Errors:
    return {} if "price" in document or "skus" in document else {"price": [MISSING]}


@rule({"if": {"properties": {"shippable": {"const": True}}}, "then": {"required": ["package_dimensions"]}})
def _is_packed(document: dict[str, Any]) -> Errors:
    """A product that is shipped has the dimensions of its package."""
    lacks = document.get("shippable", True) and "package_dimensions" not in document
    return {"package_dimensions": [MISSING]} if lacks else {}


# For a product with several SKUs, each of them has these.
_EACH_HAS_ITS_OWN = said_rule(
    {
        "if": {"required": ["skus"]},
        "then": {"properties": dict.fromkeys(("price", "attributes_sku", "inventory"), False)},
    }
)
_VALUES_HAVE_NAMES = said_rule(
    {
        "if": {"required": ["attributes_sku"], "properties": {"attributes_sku": {"minProperties": 1}}},
        "then": {"required": ["attributes"]},
    }
)
_UNSENT_HAS_NO_DIMENSIONS = said_rule(
    {
        "if": {"required": ["shippable"], "properties": {"shippable": {"const": False}}},
        "then": {
            "properties": {
                "package_dimensions": False,
                "skus": {"items": {"properties": {"package_dimensions": NULL}}},
            }
        },
    }
)


@rule({"properties": {"metadata": {"required": ["category"]}}})
def _has_category(document: dict[str, Any]) -> Errors:
    return {} if "category" in document["metadata"] else {"metadata": {"category": [MISSING]}}


@rule({"properties": {"metadata": {"properties": {"category": {"pattern": r"\S"}}}}})
def _keeps_category(document: dict[str, Any]) -> Errors:
    if not document.get("metadata", {}).get("category", "kept").strip():
        return {"metadata": {"category": ["must not be blank"]}}
    return {}


# The service checks which of the fields go together.
_WHOLE_INVENTORY = said(
    oneOf=[
        {
            "required": ["quantity"],
            "properties": {"type": {"const": "finite"}, "quantity": {"type": "integer"}, "value": NULL},
        },
        {
            "required": ["value"],
            "properties": {"type": {"const": "bucket"}, "value": {"type": "string"}, "quantity": NULL},
        },
        {"properties": {"type": {"const": "infinite"}, "quantity": NULL, "value": NULL}},
    ]
)
_INVENTORY = {
    "type": "dict",
    "meta": {"description": "Without it, the stock is unlimited."},
    "check_with": _WHOLE_INVENTORY,
    "schema": {
        "type": required({"type": "string", "allowed": ["finite", "infinite", "bucket"]}),
        # Both may be null, so that an inventory read from a product can be sent back.
        "quantity": nullable({"type": "integer", "min": 0, "max": MAX_STOCK}),
        "value": nullable({"type": "string", "allowed": ["in_stock", "limited", "out_of_stock"]}),
    },
}
_SKU = {
    "attributes": fields.ATTRIBUTE_VALUES,
    "price": fields.PRICE,
    "inventory": _INVENTORY,
    "image": nullable(fields.IMAGE),
    "package_dimensions": nullable(fields.PACKAGE_DIMENSIONS),
}
_NEW_SKU = {**_SKU, "price": required(fields.PRICE)}
_PRODUCT = {
    "name": line(product_limits.NAME_LENGTH, least=1),
    "description": nullable(text(product_limits.DESCRIPTION_LENGTH)),
    "active": {"type": "boolean"},
    "shippable": described({"type": "boolean"}, "`false`: a digital product, which needs no parcel."),
    "images": fields.URLS,
    "metadata": described(fields.METADATA, "`category` is required. `for` and `type` are searched, too."),
    "attributes": described(fields.ATTRIBUTE_NAMES, "The names of what its SKUs differ in, such as `size`."),
    "attributes_sku": described(fields.ATTRIBUTE_VALUES, "The values of the only SKU."),
    "package_dimensions": fields.PACKAGE_DIMENSIONS,
    "price": fields.PRICE,
    "inventory": _INVENTORY,
    "tax_code": nullable(fields.TAX_CODE),
}
# 100 SKUs, each with all fields and values of a few attributes.
MAX_PRODUCT_VALUES = 4_000
# What concerns several fields together, such as attributes and their values, the service checks (`said_rule`).
PRODUCT = Shape(
    {
        **_PRODUCT,
        **{name: required(_PRODUCT[name]) for name in ("name", "metadata")},
        "currency": fields.CURRENCY,
        "skus": {
            "type": "list",
            "meta": {"description": "Several SKUs, instead of `price`, `attributes_sku` and `inventory`."},
            "minlength": 1,
            "maxlength": product_limits.SKUS,
            "schema": {"type": "dict", "schema": _NEW_SKU},
        },
    },
    rules=(
        *(_is_priced, _is_packed, _has_category, _keeps_category),
        *(_EACH_HAS_ITS_OWN, _VALUES_HAVE_NAMES, _UNSENT_HAS_NO_DIMENSIONS),
    ),
    most_values=MAX_PRODUCT_VALUES,
)
PRODUCT_CHANGES = Shape(_PRODUCT, rules=(_keeps_category, _UNSENT_HAS_NO_DIMENSIONS))
SKU = Shape(_NEW_SKU)
SKU_CHANGES = Shape(_SKU)
PRODUCTS_QUERY = Shape(
    {
        "category": described(
            line(500),
            "A whole name, attribute name, or value of `metadata.category`, `.for` or `.type`; or words that are all "
            "in the name or description. In any case.",
        ),
        "order_by": described(
            fields.ORDER_BY,
            "`name` (the default), `price`, `created`, `updated` or a key of `metadata`; a leading `-` reverses.",
        ),
        "limit": fields.PAGE_LENGTH,
        "starting_after": fields.STARTING_AFTER,
    }
)

# --- Cart


def _either(seeds: str, ours: str) -> Rule:
    """One of two spellings is required; if both are present, they must have the same value."""

    @rule({"anyOf": [{"required": [seeds]}, {"required": [ours]}]})
    def one_of_both(document: dict[str, Any]) -> Errors:
        if seeds not in document and ours not in document:
            return {seeds: [MISSING]}
        return _differing(document, seeds, ours)

    return one_of_both


def _same(seeds: str, ours: str) -> Rule:
    """If both spellings of a field are present, they must have the same value, which JSON Schema cannot say."""
    return Rule(lambda document: _differing(document, seeds, ours), {})


def _differing(document: dict[str, Any], seeds: str, ours: str) -> Errors:
    if seeds in document and ours in document and document[seeds] != document[ours]:
        return {seeds: [f"differs from {ours}"], ours: [f"differs from {seeds}"]}
    return {}


def spelled(document: dict[str, Any], seeds: str, ours: str) -> Any:
    """The value of a field with two spellings."""
    return document[seeds] if seeds in document else document[ours]


NOTHING = Shape({})
_QUANTITY = {
    "quality": described(fields.QUANTITY, "The same as `quantity`. One of both is required."),
    "quantity": described(fields.QUANTITY, "Pieces."),
}
_ONE_QUANTITY = _either("quality", "quantity")
ITEM = Shape(
    {
        **_QUANTITY,
        "sku": described(fields.ID, "Which of the product's SKUs. Not needed if there is only one."),
        "attributes": described(fields.ATTRIBUTE_VALUES, "Instead of `sku`: values that only one of the SKUs has."),
    },
    rules=(_ONE_QUANTITY,),
)
_SKU_IN_CART = described(fields.ID, "Which of the product's SKUs in the cart. Not needed if there is only one.")
ITEM_QUANTITY = Shape({**_QUANTITY, "sku": _SKU_IN_CART}, rules=(_ONE_QUANTITY,))
ITEM_CHOICE = Shape({"sku": described(fields.ID, "Only this SKU; without it, all of the product's.")})

DISCOUNT_CODE = Shape({"code": required(fields.DISCOUNT_CODE)})

# --- Discounts


@rule(
    {
        "oneOf": [
            {"required": ["percent_off"], "properties": {"percent_off": {"type": "number"}, "amount_off": NULL}},
            {"required": ["amount_off"], "properties": {"amount_off": {"type": "integer"}, "percent_off": NULL}},
        ]
    }
)
def _one_reduction(document: dict[str, Any]) -> Errors:
    if (document.get("percent_off") is None) != (document.get("amount_off") is None):
        return {}
    return {"percent_off": ["send either percent_off or amount_off"]}


_AMOUNT = nullable({"type": "integer", "min": 1, "max": MAX_PRICE})
_AMOUNTS = ("amount_off", "minimum_amount")
_AMOUNTS_HAVE_A_CURRENCY = said_rule(
    {
        "if": {"anyOf": [{"required": [name], "properties": {name: {"type": "integer"}}} for name in _AMOUNTS]},
        "then": {"required": ["currency"], "properties": {"currency": {"type": "string"}}},
        "else": {"properties": {"currency": NULL}},
    }
)
DISCOUNT = Shape(
    {
        "code": required(fields.DISCOUNT_CODE),
        "percent_off": nullable(fields.PERCENT_OFF),
        "amount_off": described(_AMOUNT, "Instead of `percent_off`: in the smallest unit of `currency`."),
        "currency": described(
            nullable(fields.CURRENCY), "Required with `amount_off` or `minimum_amount`, and only then."
        ),
        "minimum_amount": described(_AMOUNT, "The least that the goods must cost."),
        "max_redemptions": described(
            nullable({"type": "integer", "min": 1, "max": fields.MAX_REDEMPTIONS}),
            "How many orders it may pay for; without it, any number.",
        ),
        "expires_at": described(
            nullable({"type": "integer", "min": 1, "max": fields.MAX_TIME}), "Unix seconds, in the future."
        ),
    },
    rules=(_one_reduction, _AMOUNTS_HAVE_A_CURRENCY),
)
DISCOUNTS_QUERY = Shape({"limit": fields.PAGE_LENGTH, "starting_after": fields.STARTING_AFTER})

# --- Orders


@rule({"properties": {"address": WHOLE_ADDRESS}})
def _address_is_whole(document: dict[str, Any]) -> Errors:
    lacking = _lacking(document["address"])
    return {"address": lacking} if lacking else {}


def _lacking(address: dict[str, Any]) -> Errors:
    country = address["country"].upper()
    needed = {"state": country in NEEDS_STATE, "postal_code": country in NEEDS_POSTAL_CODE}
    return {
        part: [f"{MISSING} in {country}"]
        for part, is_needed in needed.items()
        if is_needed and not (address.get(part) or "").strip()
    }


_ADDRESS = {
    "line1": required(line(200, least=1)),
    "line2": nullable(line(200)),
    "city": required(line(100, least=1)),
    "state": described(nullable(line(100)), "Required where the country's mail needs it, such as in `US`."),
    "postal_code": described(nullable(line(20)), "Required where the country's mail needs it, such as in `US`."),
    "country": required(fields.COUNTRY),
}
CHECKOUT = Shape(
    {
        "email": required(fields.EMAIL),
        "phone": required(fields.PHONE),
        "name": required(line(200, least=1)),
        "address": {"type": "dict", "required": True, "schema": _ADDRESS},
        "keep_address": described(
            {"type": "boolean"}, "`true`: send it to this address, although the carrier suggests another."
        ),
    },
    rules=(_address_is_whole,),
)
SHIPPING_CHOICE = Shape(
    {
        "order_id": required(fields.ID),
        "shipping_id": described(required(fields.ID), "The `id` of one of the order's `shipping_methods`."),
    }
)


def _payment(card: fields.Rules, more: fields.Rules) -> Shape:
    return Shape(
        # No card for an order of 0: the service knows what an order costs.
        {"order_id": required(fields.ID), "cart": described(card, "The same as `card`."), "card": card, **more},
        rules=(_same("cart", "card"),),
    )


_PAYMENT = _payment(fields.CARD, {})
_STRIPE_PAYMENT = _payment(fields.STRIPE_CARD, {"return_url": fields.RETURN_URL})


def payment(in_use: Mapping[str, Sequence[str]]) -> Shape:
    """The shape of a payment at the provider in use (`chassis.settings.Settings.in_use`)."""
    return _STRIPE_PAYMENT if "stripe" in in_use["PAYMENT_PROVIDER"] else _PAYMENT


_true = Check(lambda given: None if given else "must be true", bool, const=True)


@rule({"oneOf": [{"required": ["amount"]}, {"required": ["all"]}]})
def _one_refund(document: dict[str, Any]) -> dict[str, Any]:
    if ("amount" in document) != ("all" in document):
        return {}
    return {"amount": ['send either {"amount": n}, in the smallest unit, or {"all": true}']}


REFUND = Shape(
    {
        "amount": {"type": "integer", "min": 1, "max": MAX_PRICE},
        "all": {"type": "boolean", "check_with": _true},
    },
    rules=(_one_refund,),
)
ORDERS_QUERY = Shape(
    {
        "status": described(
            {"type": "string", "allowed": ["created", "paid", "fulfilled", "canceled", "returned"]},
            "Only orders with this status.",
        ),
        "email": described(line(254), "Only orders of this address, in any case."),
        "limit": fields.PAGE_LENGTH,
        "starting_after": fields.STARTING_AFTER,
    }
)

LONGEST_TOKEN = 100
# Open, because mail services add parameters of their own to links.
ORDER_TOKEN = Shape({"token": described({"type": "string"}, "The order's token, from its `status_url`.")}, open=True)

# --- Shipments: an order as Stripe sends it, of which only the fields that a parcel needs are checked


@rule(
    {
        "properties": {
            "items": {
                "contains": {"required": ["type"], "properties": {"type": {"const": "sku"}}},
                "items": {
                    "if": {"required": ["type"], "properties": {"type": {"const": "sku"}}},
                    "then": {
                        "required": ["parent", "quantity"],
                        "properties": {"parent": {"type": "string"}, "quantity": {"type": "integer", "minimum": 1}},
                    },
                },
            }
        }
    }
)
def _has_skus(order: dict[str, Any]) -> Errors:
    """Every SKU line has an SKU and a quantity; there is at least one."""
    items = enumerate(order["items"])
    skus = [(place, item) for place, item in items if item["type"] == "sku"]
    if not skus:
        return {"items": ["must have an item of type sku"]}
    wrong: Errors = {}
    for place, item in skus:
        lacking = {name: [MISSING] for name in ("parent", "quantity") if item.get(name) is None}
        if not lacking and item["quantity"] < 1:
            lacking = {"quantity": ["min value is 1"]}
        if lacking:
            wrong[str(place)] = lacking
    return {"items": wrong} if wrong else {}


@rule({"properties": {"shipping": {"properties": {"address": WHOLE_ADDRESS}}}})
def _parcel_address_is_whole(order: dict[str, Any]) -> Errors:
    lacking = _lacking(order["shipping"]["address"])
    return {"shipping": {"address": lacking}} if lacking else {}


_LINE = {
    "type": "dict",
    "allow_unknown": True,
    "schema": {
        "type": required(line(100)),
        "parent": nullable(fields.ID),
        "quantity": nullable({"type": "integer", "max": MAX_QUANTITY}),
        "currency": nullable(fields.CURRENCY),
        # For any line, including a discount.
        "amount": nullable({"type": "integer", "min": -MAX_PRICE, "max": MAX_PRICE * MAX_QUANTITY}),
    },
}
_ORDER = {
    "id": nullable(fields.ID),
    "email": nullable(fields.EMAIL),
    "currency": nullable(fields.CURRENCY),
    # As many lines as any realistic order has; each requires a price lookup.
    "items": {"type": "list", "required": True, "minlength": 1, "maxlength": 500, "schema": _LINE},
    "shipping": {
        "type": "dict",
        "required": True,
        "allow_unknown": True,
        "schema": {
            "name": required(line(200, least=1)),
            "phone": nullable(line(40)),
            "address": {"type": "dict", "required": True, "allow_unknown": True, "schema": _ADDRESS},
        },
    },
}
# 500 lines in Stripe's form have 7 500 keys and values.
MAX_ORDER_VALUES = 12_000
ORDER = Shape(_ORDER, open=True, rules=(_has_skus, _parcel_address_is_whole), most_values=MAX_ORDER_VALUES)
SHIPMENTS_QUERY = Shape(
    {
        "order_by": described(
            fields.ORDER_BY,
            "`created`, `object_id`, `name`, `city`, `state` or `country`; a leading `-` reverses. Default `-created`.",
        ),
        "limit": fields.PAGE_LENGTH,
        "starting_after": fields.STARTING_AFTER,
    }
)

# --- Notifications

EMAIL_MESSAGE = Shape(
    {
        "to_email": required(fields.EMAIL),
        "from_email": fields.EMAIL,
        "subject": required(line(MAX_SUBJECT_LENGTH, least=1)),
        "content": required(text(500_000, least=1)),
        "receipt": described(
            {"type": "boolean"}, "`true`: also for a mailbox that marked the shop's mail as spam, or unsubscribed."
        ),
    }
)
SMS_MESSAGE = Shape(
    {
        "number": fields.PHONE_OR_NUMBER,
        "to_phone": fields.PHONE_OR_NUMBER,
        "content": text(MAX_SMS_LENGTH, least=1),
    },
    rules=(_either("number", "to_phone"),),
)
