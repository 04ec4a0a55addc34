"""The answer of both sides: one product, as in the public contract."""

from __future__ import annotations

from typing import Any


def product(product_id: str) -> dict[str, Any]:
    """Return a product as `GET /api/products/{id}` answers it, always the same except for its id."""
    return {
        "id": product_id,
        "object": "product",
        "active": True,
        "attributes": ["size", "gender"],
        "created": 1484170362,
        "deactivate_on": [],
        "description": "A rope of cotton for the jaw that never tires",
        "images": [],
        "livemode": False,
        "metadata": {"category": "food", "for": "cats", "type": "fish"},
        "name": "Wally bone",
        "package_dimensions": {"height": 5, "length": 5, "weight": 5, "width": 5},
        "shippable": True,
        "skus": {
            "object": "list",
            "data": [
                {
                    "id": "sku_9vP1XxJ7yNvbRr",
                    "object": "sku",
                    "active": True,
                    "attributes": {"size": "Medium", "gender": "Unisex"},
                    "created": 1484170362,
                    "currency": "usd",
                    "image": None,
                    "inventory": {"quantity": None, "type": "infinite", "value": None},
                    "livemode": False,
                    "metadata": {},
                    "package_dimensions": None,
                    "price": 5000,
                    "product": product_id,
                    "updated": 1484170362,
                }
            ],
            "has_more": False,
            "total_count": 1,
            "url": f"/v1/skus?product={product_id}&active=true",
        },
        "updated": 1484170362,
        "url": None,
    }
