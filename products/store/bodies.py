"""A product as one JSON column keeps it."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from products.rules.catalog import Product, Sku
from products.rules.stock import Inventory

# The fields of a SKU that every release knows.
OLD_FIELDS = ("id", "price", "currency", "attributes", "offer", "active")


def body_of(product: Product) -> dict[str, Any]:
    """The JSON of a product.

    The first SKU and its inventory are where the previous release reads them; `skus` is there only if that is not all.
    """
    skus = [asdict(sku) for sku in product.skus]
    first = product.skus[0]
    body: dict[str, Any] = {
        "document": product.document,
        "attributes": product.attributes,
        "sku": {name: skus[0][name] for name in OLD_FIELDS},
        "inventory": first.inventory.public(),
    }
    if len(skus) > 1 or first.image or first.package_dimensions or first.place:
        body["skus"] = skus
    return body


def product_of(body: dict[str, Any]) -> Product:
    """The product that `body_of` has made `body` from."""
    skus = body.get("skus") or [{**body["sku"], "inventory": body["inventory"]}]
    return Product(body["document"], body["attributes"], tuple(_sku(sku) for sku in skus))


def sku_count(body: Any) -> int:
    """How many SKUs the product of a body has; 1 if the body cannot be read."""
    skus = body.get("skus") if isinstance(body, dict) else None
    return len(skus) if isinstance(skus, list) else 1


def off_sale(body: dict[str, Any]) -> dict[str, Any]:
    """The JSON of the same product with all of its SKUs off sale."""
    product = product_of(body)
    return body_of(replace(product, skus=tuple(replace(sku, active=False) for sku in product.skus)))


def _sku(stored: dict[str, Any]) -> Sku:
    return Sku(**{**stored, "inventory": Inventory(**stored["inventory"])})
