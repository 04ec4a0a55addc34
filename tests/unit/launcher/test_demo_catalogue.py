"""The demo catalogue: what the API and its pictures require."""

from __future__ import annotations

import re

import pytest

from gateway import schemas
from launcher.demo_catalogue import CATALOGUE, MARK, Product
from launcher.place import ROOT

PICTURES = "http://127.0.0.1:8000/storefront/pictures"
IDS = [product.slug for product in CATALOGUE]


def test_catalogue_has_24_products_in_four_categories() -> None:
    assert len(set(IDS)) == len(CATALOGUE) == 24
    assert {product.category for product in CATALOGUE} == {"toys", "food", "beds", "walks"}
    assert all(1 <= len(product.choices) <= 4 for product in CATALOGUE)


@pytest.mark.parametrize("product", CATALOGUE, ids=IDS)
def test_product_fits_the_api(product: Product) -> None:
    schemas.PRODUCT.check(product.body(PICTURES))


@pytest.mark.parametrize("product", CATALOGUE, ids=IDS)
def test_variants_differ_and_have_the_same_attributes(product: Product) -> None:
    values = [tuple(choice.values.items()) for choice in product.choices]
    assert len(set(values)) == len(values)
    assert {tuple(choice.values) for choice in product.choices} == {tuple(product.choices[0].values)}
    assert product.body(PICTURES)["metadata"][MARK] == product.slug


def test_every_picture_exists_and_every_drawing_is_used() -> None:
    bodies = [product.body(PICTURES) for product in CATALOGUE]
    shown = {url for body in bodies for url in body["images"]}
    shown |= {sku["image"] for body in bodies for sku in body.get("skus", ()) if "image" in sku}
    named = {url.removeprefix(f"{PICTURES}/") for url in shown} | {"hero.svg", "icon.svg"}
    assert named == {path.name for path in (ROOT / "storefront" / "pictures").iterdir()}


def test_drawings_load_nothing_and_run_nothing() -> None:
    for path in (ROOT / "storefront" / "pictures").glob("*.svg"):
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"<script|<style|<image|href|style=|url\((?!#)|https?:", text), path.name
