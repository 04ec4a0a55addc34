"""Products for the tests of the store: a bone or many, and a store to put them in."""

from typing import Any

from products.catalog import Product, Sku
from products.stock import Inventory
from products.store import ProductStore


def product(
    number: int | str,
    name: str = "Bone",
    price: int = 50,
    inventory: Inventory = Inventory("finite", 10),  # noqa: B008
    attributes: tuple[str, ...] = (),
    **document: Any,
) -> Product:
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
            "package_dimensions": {"height": 5.0, "length": 5.0, "weight": 5.0, "width": 5.0},
            **document,
        },
        attributes=list(attributes),
        sku=Sku(f"sku_{number}", price, "usd", {}, f"price_{number}"),
        inventory=inventory,
    )


def fill(store: ProductStore, *made: Product) -> None:
    assert store.save_all([(one, 0) for one in made]) == len(made)
