"""The facets of stored objects: the values that they can be filtered by, per kind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

# Fields that are facets under their own name.
_PLAIN: dict[str, tuple[str, ...]] = {
    "product": ("id", "active", "url", "shippable", "type"),
    "price": ("active", "product", "lookup_key", "currency", "type"),
    "charge": ("payment_intent", "status", "transfer_group"),
    "refund": ("payment_intent", "charge"),
    "dispute": ("payment_intent", "charge"),
    "early_fraud_warning": ("payment_intent", "charge"),
    "file": ("purpose",),
    "promotion_code": ("active",),
    "tax_transaction": ("reference",),
    "rate": ("shipment",),
    "shippo_refund": ("transaction",),
    "transaction": ("rate", "tracking_number", "status", "tracking_status"),
    "message": ("to", "from"),
    "invoice_item": ("invoice", "_number", "shippo_account"),
}
_ORDER = re.compile(r"\bor_[A-Za-z0-9]+")


def facets_of(kind: str, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Return the (name, value) pairs by which `State.find` can filter an object of this kind.

    Besides plain fields these are `order_id` and `to`, so that the ledger finds what belongs to an order or a person.
    """
    for name in _PLAIN.get(kind, ()):
        value = body.get(name)
        if value is not None:
            yield name, str(value).lower() if isinstance(value, bool) else str(value)
    if kind in ("charge", "refund", "payment_intent"):
        if body["metadata"].get("order_id"):
            yield "order_id", body["metadata"]["order_id"]
        yield from _orders(str(body.get("description")))
    if kind == "promotion_code":
        yield "code", body["code"].lower()
        yield "coupon", body["promotion"]["coupon"]
    elif kind == "tax_transaction":
        if body["reversal"]:
            yield "original_transaction", body["reversal"]["original_transaction"]
        yield from _orders(body["reference"], str(body["metadata"]))
    elif kind == "charge":
        if body.get("receipt_email"):
            yield "to", body["receipt_email"].lower()
    elif kind == "transaction":
        yield from _orders(str(body.get("metadata")), str(body.get("_shipment_metadata")))
        for contact in body.get("_contacts", ()):
            yield "to", contact.lower()
    elif kind == "message":
        yield from _orders(str(body.get("body")))
    elif kind == "mail":
        for address in body["recipients"]:
            yield "to", address.lower()
        yield from _orders(str(body["request"]))
    elif kind == "webhook":
        yield from (("order_id", order) for order in body["orders"])
    elif kind in ("dispute", "early_fraud_warning"):
        yield from (("order_id", order) for order in body["_orders"])


def _orders(*texts: str) -> Iterator[tuple[str, str]]:
    for text in texts:
        for found in _ORDER.findall(text):
            yield "order_id", found
