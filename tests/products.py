"""Products for tests: bodies of `POST /api/products/`, and products as the products service stores them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from products.rules.catalog import Product, Sku
from products.rules.stock import Inventory
from products.store.products import Kept, ProductStore

DIMENSIONS = {"height": 5.0, "length": 5.0, "weight": 5.0, "width": 5.0}


def new_product(**changes: Any) -> dict[str, Any]:
    """The body of ``POST /api/products/`` with every field, updated with `changes`."""
    optional: dict[str, Any] = {
        "description": "The best gift for your pet",
        "attributes": ["manufacturer", "material"],
        "metadata": {"category": "food", "for": "cats", "type": "fish"},
        "attributes_sku": {"manufacturer": "PetHappy", "material": "rubber"},
        "inventory": {"type": "finite", "quantity": 500},
    }
    return least_product(**{**optional, **changes})


def least_product(**changes: Any) -> dict[str, Any]:
    """The body of ``POST /api/products/`` with the required fields only, updated with `changes`."""
    required = {"name": "Wally bone", "price": 50, "package_dimensions": DIMENSIONS, "metadata": {"category": "food"}}
    return {**required, **changes}


def product(
    number: int | str,
    name: str = "Bone",
    price: int = 50,
    inventory: Inventory = Inventory("finite", 10),  # noqa: B008
    attributes: dict[str, str] | None = None,
    more: Sequence[Sku] = (),
    **document: Any,
) -> Product:
    """A stored product; `attributes` are the SKU's attributes by name, `more` are further SKUs."""
    return Product(
        document={
            "id": f"prod_{number}",
            "object": "product",
            "name": name,
            "description": None,
            "active": True,
            "created": 100,
            "updated": 100,
            "livemode": False,
            "metadata": {},
            "package_dimensions": DIMENSIONS,
            **document,
        },
        attributes=[*(attributes or {})],
        skus=(Sku(f"sku_{number}", price, "usd", attributes or {}, f"price_{number}", inventory=inventory), *more),
    )


def variant(name: str, price: int = 50, pieces: int = 10, place: int = 1, **attributes: str) -> Sku:
    """A further SKU of a stored product: ``sku_`` and the name, with some pieces in stock."""
    stock = Inventory("finite", pieces)
    return Sku(f"sku_{name}", price, "usd", attributes, f"price_{name}", inventory=stock, place=place)


def variants(*names: str, **changes: Any) -> dict[str, Any]:
    """The body of ``POST /api/products/`` with a SKU of each size; `changes` to its other fields."""
    skus = [
        {"attributes": {"size": name}, "price": 50, "inventory": {"type": "finite", "quantity": 5}} for name in names
    ]
    product = {"name": "Wally shirt", "package_dimensions": DIMENSIONS, "metadata": {"category": "clothes"}}
    return {**product, "attributes": ["size", "colour"], "skus": skus, **changes}


def fill(store: ProductStore, *made: Product) -> None:
    """Save products that the store does not have yet."""
    assert store.save_all([(one, 0) for one in made]) == len(made)


def pieces_left(kept: Kept, sku: str | None = None) -> int | None:
    """How many pieces are left of a SKU; of the first one if none is named."""
    return kept.left[sku or kept.product.skus[0].id].quantity
