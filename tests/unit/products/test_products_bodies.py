"""The stored JSON of a product, which copies of the previous release read as well."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from products.rules.catalog import Product
from products.store.bodies import body_of, off_sale, product_of
from tests.products import DIMENSIONS, product, variant

ONE = product(1, attributes={"size": "s"})
SEVERAL = product(1, attributes={"size": "s"}, more=[variant("m", 60, 5, size="m")])
OWN_IMAGE = replace(ONE, skus=(replace(ONE.skus[0], image="https://example.com/s.png"),))
OWN_PACKAGE = replace(ONE, skus=(replace(ONE.skus[0], package_dimensions=DIMENSIONS),))


@pytest.mark.parametrize("stored", [ONE, SEVERAL, OWN_IMAGE, OWN_PACKAGE])
def test_product_is_read_as_it_was_stored(stored: Product) -> None:
    assert product_of(body_of(stored)) == stored


@pytest.mark.parametrize("stored", [ONE, SEVERAL, OWN_IMAGE])
def test_previous_release_reads_the_first_sku(stored: Product) -> None:
    body = body_of(stored)
    assert body["sku"] == {
        "id": "sku_1",
        "price": 50,
        "currency": "usd",
        "attributes": {"size": "s"},
        "offer": "price_1",
        "active": True,
    }
    assert body["inventory"] == {"type": "finite", "quantity": 10, "value": None}


def test_product_of_the_previous_release_is_read() -> None:
    body: dict[str, Any] = body_of(ONE)
    assert body.keys() == {"document", "attributes", "sku", "inventory"}
    assert product_of(body) == ONE


def test_product_off_sale_has_no_active_sku() -> None:
    body = off_sale(body_of(SEVERAL))
    assert [sku.active for sku in product_of(body).skus] == [False, False]
    assert body["sku"]["active"] is False
    assert off_sale(body) == body
