"""The sample order of the seed, and a label for it."""

from __future__ import annotations

from typing import Any

LABEL = {
    "object_id": "1bd3fc762b69458491aea5fcb665dfc5",
    "label_url": "https://labels.example.com/1.pdf?a=1&b=2",
    "carrier": "USPS",
    "tracking_number": "9400100000000000000000",
}


def order(city: str = "San Jose", description: str = "Wally pick", **shipping: Any) -> dict[str, Any]:
    """The sample order of the seed, paid."""
    return {
        "id": "or_1AyepaBqraFdOKT2ahMQkRsd",
        "object": "order",
        "amount": 446,
        "currency": "usd",
        "email": "varvara.malysheva@saritasa.com",
        "items": [
            {
                "object": "order_item",
                "amount": 100,
                "currency": "usd",
                "description": description,
                "parent": "sku_BLL1Ah7Wbdv2Zg",
                "quantity": 2,
                "type": "sku",
            },
            {"amount": 0, "description": "Taxes (included)", "parent": None, "quantity": None, "type": "tax"},
            {
                "amount": 346,
                "description": "First-Class Package/Mail Parcel",
                "parent": "8da5b27dfd87444cb752e63a378469d0",
                "quantity": None,
                "type": "shipping",
            },
        ],
        "shipping": {
            "address": {
                "city": city,
                "country": "US",
                "line1": "1092 Indian Summer Ct",
                "line2": None,
                "postal_code": "95122",
                "state": "CA",
            },
            "carrier": None,
            "name": "Chloe Taylor",
            "phone": None,
            "tracking_number": None,
            **shipping,
        },
        "status": "paid",
    }
