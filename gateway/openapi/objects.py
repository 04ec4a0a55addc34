"""The objects in the API's answers, as JSON Schema. Every field is listed: a new field of an object is a new line here.

`OBJECTS` are the document's components; each may refer to the others.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
TEXT_OR_NULL: Json = {"type": ["string", "null"]}
FLAG: Json = {"type": "boolean"}
COUNT: Json = {"type": "integer", "minimum": 0}
NULL: Json = {"type": "null"}
CURRENCY: Json = {"type": "string", "pattern": "^[a-z]{3}$", "description": "In lower case."}
AMOUNT: Json = {"type": "integer", "description": "In the currency's smallest unit, as Stripe counts it."}
AMOUNT_OR_NULL: Json = {"type": ["integer", "null"], "description": AMOUNT["description"]}
TIME: Json = {"type": "integer", "description": "Unix seconds."}
TIME_OR_NULL: Json = {"type": ["integer", "null"], "description": "Unix seconds; null while it has not happened."}
TEXTS: Json = {"type": "object", "additionalProperties": TEXT}


def a(*values: str) -> Json:
    """One of these texts."""
    return {"const": values[0]} if len(values) == 1 else {"enum": [*values]}


def ref(name: str) -> Json:
    """An object of `OBJECTS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def many(items: Json) -> Json:
    """An array."""
    return {"type": "array", "items": items}


def or_null(schema: Json) -> Json:
    """This, or null."""
    return {"anyOf": [schema, NULL]}


def members(properties: Json, optional: Collection[str] = ()) -> Json:
    """An object with exactly these members; the optional ones may be missing."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def page(items: Json) -> Json:
    """A list of which this is one page."""
    return members(
        {
            "object": a("list"),
            "url": LIST_URL,
            "has_more": FLAG,
            "total_count": COUNT,
            "next_cursor": {**TEXT_OR_NULL, "description": "`starting_after` of the next page; null on the last."},
            "data": many(items),
        }
    )


def inner(items: Json) -> Json:
    """A complete list inside an object."""
    return members(
        {"object": a("list"), "data": many(items), "has_more": FLAG, "total_count": COUNT, "url": LIST_URL},
    )


ADDRESS = members(
    {
        "city": TEXT,
        "country": {"type": "string", "pattern": "^[A-Z]{2}$"},
        "line1": TEXT,
        "line2": TEXT_OR_NULL,
        "postal_code": TEXT_OR_NULL,
        "state": TEXT_OR_NULL,
    }
)
LIST_URL: Json = {**TEXT, "description": "The name of the list, as Stripe has it; not for requests."}
_LABELS = {
    **many(ref("IssuedLabel")),
    "description": "Each label that the carrier has issued, unless they were given back.",
}
_SHOWN_IF_ALONE = {
    "label_url": {**TEXT_OR_NULL, "description": "The first label as PDF; null until it is bought."},
    "labels": _LABELS,
    "notifications": {
        **or_null(members({"email": ref("MessageState"), "sms": ref("MessageState")})),
        "description": "Null until the order is paid.",
    },
}

OBJECTS: dict[str, Json] = {
    "Product": {
        "description": "Stripe's product, and what Stripe dropped: `attributes` and `skus`.",
        **members(
            {
                "id": TEXT,
                "object": a("product"),
                "active": FLAG,
                "attributes": {**many(TEXT), "description": "The names of the attributes that its SKUs have."},
                "caption": NULL,
                "created": TIME,
                "deactivate_on": {"type": "array", "maxItems": 0},
                "default_price": NULL,
                "description": TEXT_OR_NULL,
                "images": many(TEXT),
                "livemode": FLAG,
                "marketing_features": many(members({"name": TEXT})),
                "metadata": TEXTS,
                "name": TEXT,
                "package_dimensions": or_null(ref("PackageDimensions")),
                "shippable": {
                    "type": ["boolean", "null"],
                    "description": "`false`: a digital product; it needs no parcel.",
                },
                "skus": inner(ref("Sku")),
                "statement_descriptor": TEXT_OR_NULL,
                "tax_code": {
                    **TEXT_OR_NULL,
                    "description": "One of Stripe's tax codes (`txcd_…`); null for the default of the shop's settings.",
                },
                "tax_details": {
                    **or_null({"type": "object"}),
                    "description": "Stripe's, with the `tax_code`. A product that was read from an earlier version of "
                    "Stripe's API has none.",
                },
                "type": a("service", "good"),
                "unit_label": TEXT_OR_NULL,
                "updated": TIME,
                "url": TEXT_OR_NULL,
            },
            optional=("tax_details",),
        ),
    },
    "Sku": {
        "description": "What is bought: a product with its attributes, price and stock.",
        **members(
            {
                "id": TEXT,
                "object": a("sku"),
                "active": {**FLAG, "description": "Whether it can be bought while stock lasts."},
                "attributes": TEXTS,
                "created": TIME,
                "currency": CURRENCY,
                "image": {**TEXT_OR_NULL, "description": "Its own picture; null: one of the product's."},
                "inventory": ref("Inventory"),
                "livemode": FLAG,
                "metadata": TEXTS,
                "package_dimensions": {
                    **or_null(ref("PackageDimensions")),
                    "description": "Its own, or the product's; null for a digital product.",
                },
                "price": AMOUNT,
                "product": TEXT,
                "updated": TIME,
            }
        ),
    },
    "Inventory": members(
        {
            "type": a("finite", "infinite", "bucket"),
            "quantity": {"type": ["integer", "null"], "description": "Pieces left, of a finite inventory."},
            "value": {"enum": ["in_stock", "limited", "out_of_stock", None], "description": "Of a bucket."},
        }
    ),
    "PackageDimensions": members(
        {
            **{side: {"type": "number", "description": "Inches."} for side in ("height", "length", "width")},
            "weight": {"type": "number", "description": "Ounces."},
        }
    ),
    "DeletedProduct": members({"id": TEXT, "object": a("product"), "deleted": {"const": True}}),
    "Products": page(ref("Product")),
    "CartId": members({"cart_id": {**TEXT, "description": "Send it as `Cart-Id`."}}),
    "Item": members(
        {
            "type": a("sku"),
            "parent": {**TEXT, "description": "The SKU's id."},
            "quality": {"type": "integer", "minimum": 1, "description": "The same as `quantity`."},
            "quantity": {"type": "integer", "minimum": 1},
            "product": TEXT,
            "name": {**TEXT_OR_NULL, "description": "Null, with all that follows, while the product is not known."},
            "image": {**TEXT_OR_NULL, "description": "The SKU's, or the product's first."},
            "attributes": or_null(TEXTS),
            "price": {**AMOUNT_OR_NULL, "description": "Of one piece, in the currency's smallest unit."},
            "currency": or_null(CURRENCY),
            "available": {"type": ["boolean", "null"], "description": "Whether that many can be bought."},
            "amount": {**AMOUNT_OR_NULL, "description": "Of all pieces."},
        }
    ),
    "Cart": many(ref("Item")),
    "CartSummary": {
        "description": "The cart with its current prices. What cannot be bought now adds nothing.",
        **members(
            {
                "items": many(ref("Item")),
                "item_count": {**COUNT, "description": "Pieces."},
                "currency": {**or_null(CURRENCY), "description": "Null when nothing can be bought."},
                "subtotal": AMOUNT,
                "discount": {**AMOUNT, "maximum": 0, "description": "What the code takes off: 0 or less."},
                "discount_code": TEXT_OR_NULL,
                "total": {
                    **AMOUNT,
                    "description": "Without shipping, and without a tax that the order adds: both need the address.",
                },
                "problems": many(
                    members(
                        {
                            "parent": {**TEXT, "description": "The SKU's id, or the discount code."},
                            "detail": {
                                **TEXT,
                                "description": "Why it cannot be bought, or does not apply: for people.",
                            },
                        }
                    )
                ),
            }
        ),
    },
    "Discount": {
        "description": "A discount code: Stripe's coupon and promotion code, with the redemptions of this shop.",
        **members(
            {
                "id": TEXT,
                "object": a("discount"),
                "active": {**FLAG, "description": "False once it is withdrawn, expired or used up."},
                "amount_off": AMOUNT_OR_NULL,
                "code": TEXT,
                "created": TIME,
                "currency": or_null(CURRENCY),
                "expires_at": {"type": ["integer", "null"], "description": "Unix seconds."},
                "max_redemptions": {"type": ["integer", "null"]},
                "minimum_amount": {**AMOUNT_OR_NULL, "description": "The least that the goods must cost."},
                "percent_off": {"type": ["number", "null"]},
                "times_redeemed": COUNT,
            }
        ),
    },
    "Discounts": page(ref("Discount")),
    "DeletedDiscount": members({"id": TEXT, "object": a("discount"), "code": TEXT, "deleted": {"const": True}}),
    "Order": {
        "description": "An order: prices and shipping methods are fixed at checkout. `label_url`, `labels` and "
        "`notifications` are only in the answers of `POST /api/cart/paid/` and `GET /api/orders/{order_id}/`.",
        **members(
            {
                "id": TEXT,
                "object": a("order"),
                "amount": {**AMOUNT, "description": "What the shopper pays: the sum of the items, shipping included."},
                "amount_returned": AMOUNT_OR_NULL,
                "application": NULL,
                "application_fee": NULL,
                "charge": {**TEXT_OR_NULL, "description": "The charge's id at Stripe; null until the order is paid."},
                "created": TIME,
                "currency": CURRENCY,
                "customer": NULL,
                "email": TEXT,
                "items": {
                    **many(ref("OrderItem")),
                    "description": "The lines of the receipt: one per SKU, then discount if any, tax and shipping. "
                    "There is always a tax line.",
                },
                "livemode": FLAG,
                "metadata": TEXTS,
                "payment": ref("OrderPayment"),
                "returns": inner(ref("OrderReturn")),
                "selected_shipping_method": {
                    **TEXT_OR_NULL,
                    "description": "The `id` of one of `shipping_methods`: the cheapest, until another is selected.",
                },
                "shipping": members(
                    {
                        "address": ADDRESS,
                        "carrier": {**TEXT_OR_NULL, "description": "Null until the label is bought."},
                        "name": TEXT,
                        "phone": TEXT_OR_NULL,
                        "tracking_number": {**TEXT_OR_NULL, "description": "Null until the label is bought."},
                    }
                ),
                "shipping_methods": {
                    **many(ref("ShippingMethod")),
                    "description": "None when nothing is sent: all products are digital.",
                },
                "status": {
                    **a("created", "paid", "fulfilled", "canceled", "returned"),
                    "description": "`created`: not paid, or its bank is still asked. `paid`: the money is taken. "
                    "`fulfilled`: the carrier has the parcel, or there is none. `canceled`: before it was paid. "
                    "`returned`: all of it went back, by refunds or a lost dispute. If a refund fails later, it is "
                    "`paid` or `fulfilled` again.",
                },
                "status_transitions": {
                    **members(dict.fromkeys(("canceled", "fulfiled", "paid", "returned"), TIME_OR_NULL)),
                    "description": "When. `fulfiled` is spelled with one l.",
                },
                "updated": TIME,
                "upstream_id": {
                    **TEXT_OR_NULL,
                    "description": "The shipment's id, for its tracking and label; null when nothing is sent.",
                },
                "dispute": or_null(ref("Dispute")),
                "status_url": {
                    **TEXT_OR_NULL,
                    "description": "A page with the order's state and receipt; its `token` opens the order.",
                },
                **_SHOWN_IF_ALONE,
            },
            optional=_SHOWN_IF_ALONE,
        ),
    },
    "Dispute": {
        "description": "The newest open dispute of the charge, or the newest. A lost one is part of `amount_returned`.",
        **members(
            {
                "id": TEXT,
                "status": {
                    **TEXT,
                    "description": "Stripe's, such as `needs_response` or `lost`; an inquiry is `warning_…`.",
                },
                "reason": {**TEXT, "description": "Stripe's, such as `fraudulent` or `product_not_received`."},
                "amount": {**AMOUNT, "description": "What is disputed."},
                "evidence_due_by": {**TIME_OR_NULL, "description": "Until when the shop can respond."},
            }
        ),
    },
    "OrderItem": members(
        {
            "object": a("order_item"),
            "amount": {
                **AMOUNT,
                "description": "Of the whole line, in the currency's smallest unit. A discount's is negative. A tax's "
                "is what it adds to the other lines: 0 if the prices include it.",
            },
            "currency": CURRENCY,
            "description": {
                **TEXT,
                "description": "For people. That of a tax is `Taxes`, `Taxes (included)` where nobody calculates it, "
                "or such as `Taxes ($0.16 included)`.",
            },
            "parent": {
                **TEXT_OR_NULL,
                "description": "The SKU's id, the discount code, or the shipping method's id; null for a tax.",
            },
            "quantity": {"type": ["integer", "null"], "description": "Pieces, of a SKU."},
            "type": a("sku", "discount", "tax", "shipping"),
        }
    ),
    "PaymentOptions": members(
        {
            "publishable_key": {**TEXT_OR_NULL, "description": "For Stripe.js; null while none is set."},
            "currency": {**CURRENCY, "description": "The shop's own; an order is paid in its own `currency`."},
            "payment_method_types": {**many(TEXT), "description": "Stripe's names, such as `card`."},
        }
    ),
    "OrderPayment": members(
        {
            "status": {
                **a("unpaid", "requires_action", "processing", "succeeded", "failed", "taken", "canceled"),
                "description": "`requires_action`: the shopper has to confirm it to the bank. `processing`: a bank "
                "settles it within days. `taken`: the money is taken, and the order cannot be filled; an operator "
                "decides. Only an order that is read alone shows it. `failed`: the last payment was not taken; the "
                "order can be paid again.",
            },
            "failure": {
                **or_null(
                    members({"detail": TEXT_OR_NULL, "code": TEXT_OR_NULL, "decline_code": TEXT_OR_NULL}),
                ),
                "description": "Why the last payment was not taken; null once another one begins.",
            },
        }
    ),
    "OrderReturn": members(
        {
            "id": TEXT,
            "object": a("order_return"),
            "amount": AMOUNT,
            "created": TIME,
            "currency": CURRENCY,
            "items": many(ref("OrderItem")),
            "livemode": FLAG,
            "order": TEXT,
            "refund": TEXT_OR_NULL,
            "status": {
                **a("pending", "succeeded"),
                "description": "`pending`: the money is on its way, and the refund may still fail.",
            },
        }
    ),
    "ShippingMethod": members(
        {
            "id": {**TEXT, "description": "Send it as `shipping_id`."},
            "amount": AMOUNT,
            "currency": CURRENCY,
            "description": TEXT,
            "delivery_estimate": or_null(members({"date": {"type": "string", "format": "date"}, "type": a("exact")})),
        }
    ),
    "MessageState": members(
        {
            "status code": {
                **TEXT,
                "description": "The provider's code (accepted: `202` of an email, `201` of an SMS), or `queued`, "
                "`failed` or `not sent`.",
            },
            "reason": {**TEXT, "description": "Why it was `not sent`."},
            "status": {
                **a("sent", "delivered", "failed", "bounced"),
                "description": "What became of it, as far as the provider has reported it. `sent`: it is delayed.",
            },
            "error": {**TEXT, "description": "Why it was not delivered, or not yet."},
        },
        optional=("reason", "status", "error"),
    ),
    "Orders": page(ref("Order")),
    "QuotedOrder": {
        "description": "The order as it was sent, with rates, selection and amount. Unknown members stay.",
        "type": "object",
        "properties": {
            "amount": AMOUNT,
            "currency": CURRENCY,
            "items": many({"type": "object"}),
            "shipping_methods": many(ref("ShippingMethod")),
            "selected_shipping_method": TEXT,
            "upstream_id": {**TEXT, "description": "The shipment's id."},
        },
        "required": [
            *("amount", "currency", "items", "shipping_methods", "selected_shipping_method", "upstream_id"),
        ],
    },
    "Shipments": many(
        members(
            {
                "object_id": TEXT,
                "address_to": members(
                    dict.fromkeys(
                        ("name", "street1", "city", "state", "zip", "country", "phone", "email"), TEXT_OR_NULL
                    )
                ),
            }
        )
    ),
    "Rates": members({"object_id": TEXT, "rate_items": many(ref("Rate"))}),
    "Rate": {
        "description": "Shippo's rate.",
        **members(
            {
                "object_id": TEXT,
                "arrives_by": TEXT_OR_NULL,
                "zone": TEXT_OR_NULL,
                "object_owner": TEXT_OR_NULL,
                "provider_image_200": TEXT_OR_NULL,
                "currency_local": TEXT_OR_NULL,
                "attributes": many(TEXT),
                "currency": TEXT,
                "amount": {**TEXT, "description": "In whole units: `5.50`."},
                "duration_terms": TEXT_OR_NULL,
                "servicelevel": members(dict.fromkeys(("name", "token", "terms"), TEXT_OR_NULL)),
                "provider_image_75": TEXT_OR_NULL,
                "object_created": TEXT_OR_NULL,
                "shipment": TEXT_OR_NULL,
                "estimated_days": {"type": ["integer", "null"]},
                "test": {"type": ["boolean", "null"]},
                "amount_local": TEXT_OR_NULL,
                "messages": many(members(dict.fromkeys(("source", "code", "text"), TEXT_OR_NULL))),
                "provider": TEXT_OR_NULL,
                "carrier_account": TEXT_OR_NULL,
            }
        ),
    },
    "Label": members(
        {
            "object_id": TEXT,
            "label_url": {**TEXT_OR_NULL, "description": "The first label as PDF."},
            "labels": _LABELS,
        }
    ),
    "IssuedLabel": members(
        {"label_url": {**TEXT_OR_NULL, "description": "The label as PDF."}, "tracking_number": TEXT_OR_NULL}
    ),
    "Tracking": members(
        {
            "object_id": TEXT,
            "carrier": TEXT_OR_NULL,
            "tracking_number": TEXT_OR_NULL,
            "tracking_status": {
                **or_null(ref("TrackingStep")),
                "description": "The latest step; null before the first.",
            },
            "tracking_history": {**many(ref("TrackingStep")), "description": "The earliest first."},
            "parcels": {
                **many(members({"tracking_number": TEXT_OR_NULL, "status": TEXT_OR_NULL})),
                "description": "Only of several parcels: each of them, and its latest known status. The other members "
                "are about the first.",
            },
        },
        optional=("parcels",),
    ),
    "TrackingStep": members(
        {
            "object_id": TEXT_OR_NULL,
            "object_created": TEXT_OR_NULL,
            "object_updated": TEXT_OR_NULL,
            "status": {
                **TEXT,
                "description": "`PRE_TRANSIT` (the label is bought), `TRANSIT` (on its way), `DELIVERED`, "
                "`RETURNED` (to the sender), `FAILURE` or `UNKNOWN`.",
            },
            "status_details": TEXT_OR_NULL,
            "status_date": TEXT_OR_NULL,
            "substatus": or_null(
                members({"code": TEXT_OR_NULL, "text": TEXT_OR_NULL, "action_required": {"type": ["boolean", "null"]}})
            ),
            "location": {
                **or_null(members(dict.fromkeys(("city", "state", "zip", "country"), TEXT_OR_NULL))),
                "description": "Where the parcel was.",
            },
        },
        # What a carrier need not know.
        optional=("object_id", "object_created", "object_updated", "status_details", "substatus", "location"),
    ),
    "SentEmail": members({"status code": a("202"), "message_id": TEXT_OR_NULL}),
    "SentSms": members({"status code": a("201"), "sid": TEXT, "status": TEXT}),
    "WebhookReceipt": members(
        {"received": {"const": True}, "duplicate": {**FLAG, "description": "Whether it was seen before."}}
    ),
    "Live": members({"status": a("ok")}),
    "Ready": members({"status": a("ok"), "parts": ref("Parts")}),
    "Parts": {
        "description": "The broker and each service.",
        "type": "object",
        "additionalProperties": members(
            {"status": a("ok", "unavailable"), "database": {**TEXT, "description": "`ok`, or what is wrong with it."}},
            optional=("database",),
        ),
    },
    "Problem": {
        "description": "What went wrong (RFC 9457).",
        **members(
            {
                "type": {**TEXT, "description": "For programs: `urn:shop:problem:` and a name."},
                "title": {**TEXT, "description": "The same for every failure of that type."},
                "status": {"type": "integer"},
                "detail": {**TEXT, "description": "For people."},
                "request_id": {**TEXT, "description": "The same as the header `X-Request-ID`."},
                "errors": {
                    "type": "object",
                    "description": "Field -> messages, named and nested as sent; at most 50. A header is a field, too.",
                },
                "suggestion": {**ADDRESS, "description": "The address as the carrier would correct it."},
                "code": {"type": ["string", "integer"], "description": "The provider's code."},
                "decline_code": {**TEXT, "description": "The bank's reason."},
                "client_secret": {**TEXT, "description": "Names the payment to Stripe.js."},
                "next_action": {
                    "type": "object",
                    "description": "What the bank requires, as Stripe says it: the shopper opens "
                    "`redirect_to_url.url`. Any other `type` is for Stripe.js.",
                },
                "parts": ref("Parts"),
            },
            optional=("errors", "suggestion", "code", "decline_code", "client_secret", "next_action", "parts"),
        ),
    },
}
