"""Products with several SKUs in Stripe, against the sandbox."""

from __future__ import annotations

import dataclasses
import time
from contextlib import suppress
from typing import Any

import pytest

from chassis import deadline
from contracts.errors import ProviderFailure, Unavailable
from products.rules.catalog import Product, Unsellable, product_id, sku_id
from products.rules.drafts import Draft, SkuChange, SkuDraft
from products.rules.stock import Inventory
from products.stripe import fields
from products.stripe.catalog import StripeCatalog
from tests.integration.providers.stripe_catalog import BONE, Stripe, changed
from tests.products import variants
from tests.running_sandbox import RunningSandbox


def skus_of(key: str, count: int) -> list[str]:
    return [sku_id(key, number) for number in range(count)]


def add_shirt(catalog: StripeCatalog, key: str, *sizes: str, **changes: Any) -> Product:
    draft = Draft.parse(variants(*sizes, **changes), "usd")
    return catalog.add(draft, product_id(key), skus_of(key, len(sizes)))


def sizes_of(product: Product | Unsellable | None) -> list[str]:
    assert isinstance(product, Product)
    return [sku.attributes["size"] for sku in product.skus]


def test_each_sku_is_a_price_with_its_lookup_key(catalog: StripeCatalog, stripe_api: Stripe, key: str) -> None:
    spec = variants("s", "m", "l")
    image, sides = "https://example.com/m.png", {"height": 1.0, "length": 2.0, "weight": 3.0, "width": 4.0}
    spec["skus"][1] |= {"price": 70, "image": image, "package_dimensions": sides}
    made = catalog.add(Draft.parse(spec, "usd"), product_id(key), skus_of(key, 3))
    assert [(sku.id, sku.attributes["size"]) for sku in made.skus] == list(zip(skus_of(key, 3), "sml", strict=True))
    second = made.skus[1]
    assert (second.price, second.image, second.package_dimensions) == (70, image, sides)
    assert (second.inventory, made.skus[2].image) == (Inventory("finite", 5), None)
    assert {price["lookup_key"]: price["unit_amount"] for price in stripe_api.prices(made.id)} == dict(
        zip(skus_of(key, 3), (50, 70, 50), strict=True)
    )
    assert catalog.get(made.id) == made
    assert made in list(catalog.all())


@pytest.mark.parametrize("fault", [{"error_rate": 0.5, "method": "POST"}, {"lose_answer_rate": 0.5, "method": "POST"}])
def test_repeated_creation_completes_the_skus(
    catalog: StripeCatalog, providers: RunningSandbox, stripe_api: Stripe, key: str, fault: dict[str, Any]
) -> None:
    providers.fault("stripe", path="/v1/prices", **fault)
    for _ in range(3):
        with suppress(Unavailable):
            add_shirt(catalog, key, *"abcdefghij")
    providers.heal()
    made = add_shirt(catalog, key, *"abcdefghij")
    assert sizes_of(made) == list("abcdefghij")
    assert sorted(price["lookup_key"] for price in stripe_api.prices(made.id)) == sorted(skus_of(key, 10))


def test_product_without_its_first_price_does_not_exist_yet(
    catalog: StripeCatalog, providers: RunningSandbox, stripe_api: Stripe, key: str
) -> None:
    draft = Draft.parse(variants("s", "m"), "usd")
    product = fields.new_product(draft, product_id(key), sku_id(key))
    asked = {f"metadata[{name}]": value for name, value in product["metadata"].items()}
    stripe_api.ask("POST", "/products", id=product_id(key), name="Wally shirt", **asked)
    second = fields.new_price(draft.skus[1], "usd", product_id(key), sku_id(key, 1), 1)
    more = {f"metadata[{name}]": value for name, value in second.pop("metadata").items()}
    stripe_api.ask("POST", "/prices", **second, **more)
    found = catalog.get(product_id(key))
    assert isinstance(found, Unsellable)
    assert not found.ours


def test_creation_continues_where_its_deadline_ended_it(
    catalog: StripeCatalog, providers: RunningSandbox, stripe_api: Stripe, key: str
) -> None:
    providers.fault("stripe", path="/v1/prices", method="POST", latency_ms=150)
    made: list[int] = []
    for _ in range(20):
        deadline.begin(time.monotonic() + 1.5)
        try:
            add_shirt(catalog, key, *map(str, range(24)))
            break
        except Unavailable:
            made.append(len(stripe_api.prices(product_id(key))))
            deadline.begin(None)
            # Its first price is made last.
            assert isinstance(catalog.get(product_id(key)), Unsellable) == (made[-1] < 24)
        finally:
            deadline.begin(None)
    assert made, "one call is too short for so many prices"
    assert made == sorted(made), "each call continues"
    assert len(stripe_api.prices(product_id(key))) == 24


def test_new_price_of_one_sku_keeps_the_others(catalog: StripeCatalog, stripe_api: Stripe, key: str) -> None:
    made = add_shirt(catalog, key, "s", "m")
    repriced = catalog.change_sku(made, made.skus[1].id, SkuChange(price=70))
    assert [(sku.id, sku.price) for sku in repriced.skus] == [(made.skus[0].id, 50), (made.skus[1].id, 70)]
    assert repriced.skus[1].inventory == made.skus[1].inventory
    assert sorted(price["unit_amount"] for price in stripe_api.prices(made.id, active="true")) == [50, 70]


def test_every_field_of_a_sku_changes_in_place(catalog: StripeCatalog, key: str) -> None:
    made = add_shirt(catalog, key, "s", "m")
    sku = made.skus[1]
    image, sides = "https://example.com/m.png", {"height": 1.0, "length": 2.0, "weight": 3.0, "width": 4.0}
    change = SkuChange(None, {"size": "medium"}, Inventory("finite", 9), image, sides)
    found = catalog.change_sku(made, sku.id, change).skus[1]
    values = {"attributes": {"size": "medium"}, "inventory": Inventory("finite", 9)}
    assert found == dataclasses.replace(sku, **values, image=image, package_dimensions=sides)
    bare = catalog.change_sku(made, sku.id, SkuChange(price=60, image="", package_dimensions={})).skus[1]
    assert (bare.image, bare.package_dimensions, bare.attributes) == (None, None, {"size": "medium"})


def test_sku_is_added_once_and_comes_last(catalog: StripeCatalog, stripe_api: Stripe, key: str) -> None:
    made = add_shirt(catalog, key, "s", "m")
    draft = SkuDraft.parse({"price": 60, "attributes": {"size": "l"}}, made)
    for _ in range(2):
        found = catalog.add_sku(made, draft, f"sku_{key}")
    assert sizes_of(found) == ["s", "m", "l"]
    assert len(stripe_api.prices(made.id)) == 3
    more = catalog.add_sku(found, SkuDraft.parse({"price": 60}, found), f"sku_more_{key}")
    assert [sku.place for sku in more.skus] == [0, 1, 2, 3]


@pytest.mark.parametrize(("number", "left"), [(0, ["m", "l"]), (1, ["s", "l"])])
def test_removed_sku_stays_removed(
    catalog: StripeCatalog, stripe_api: Stripe, key: str, number: int, left: list[str]
) -> None:
    made = add_shirt(catalog, key, "s", "m", "l")
    sku = made.skus[number]
    for _ in range(2):
        assert sizes_of(catalog.remove_sku(made, sku.id)) == left
    assert sizes_of(next(each for each in catalog.all() if each.id == made.id)) == left
    stripe_api.ask("POST", f"/prices/{sku.offer}", active="true")
    assert sizes_of(catalog.get(made.id)) == left
    with pytest.raises(ProviderFailure):
        catalog.change_sku(made, sku.id, SkuChange(price=70))


def test_repeated_removal_of_a_sku_finishes_an_interrupted_one(
    catalog: StripeCatalog, providers: RunningSandbox, key: str
) -> None:
    made = add_shirt(catalog, key, "s", "m")
    providers.fault("stripe", path="/v1/prices/price_", error_rate=1, method="POST")
    with pytest.raises(Unavailable):
        catalog.remove_sku(made, made.skus[0].id)
    providers.heal()
    assert sizes_of(catalog.get(made.id)) == ["s", "m"]
    assert sizes_of(catalog.remove_sku(made, made.skus[0].id)) == ["m"]


def test_price_archived_in_the_dashboard_is_off_sale(catalog: StripeCatalog, stripe_api: Stripe, key: str) -> None:
    made = add_shirt(catalog, key, "s", "m", "l")
    first, second, _ = made.skus
    stripe_api.ask("POST", f"/prices/{first.offer}", active="false")
    stripe_api.ask("POST", f"/prices/{second.offer}", active="false")
    found = catalog.get(made.id)
    assert isinstance(found, Product)
    assert [(sku.attributes["size"], sku.active) for sku in found.skus] == [("s", False), ("l", True)]
    stripe_api.ask("POST", f"/prices/{second.offer}", active="true")
    assert sizes_of(catalog.get(made.id)) == ["s", "m", "l"]


def test_prices_of_the_dashboard_are_no_skus(catalog: StripeCatalog, stripe_api: Stripe, key: str) -> None:
    made = add_shirt(catalog, key, "s", "m")
    for lookup in ({}, {"lookup_key": f"mine_{key}"}):
        stripe_api.ask("POST", "/prices", product=made.id, unit_amount=5, currency="usd", **lookup)
    assert sizes_of(catalog.get(made.id)) == ["s", "m"]


def test_removed_product_has_no_price_on_sale(catalog: StripeCatalog, stripe_api: Stripe, key: str) -> None:
    made = add_shirt(catalog, key, "s", "m")
    catalog.remove(made)
    assert stripe_api.prices(made.id, active="true") == []


def test_digital_product_has_no_package(catalog: StripeCatalog, stripe_api: Stripe, key: str) -> None:
    spec = {**BONE, "shippable": False}
    del spec["package_dimensions"]
    made = catalog.add(Draft.parse(spec, "usd"), product_id(key), [sku_id(key)])
    assert (made.shippable, made.package_dimensions) == (False, None)
    assert stripe_api.product(made.id)["shippable"] is False
    assert catalog.get(made.id) == made
    sent = changed(catalog, made, shippable=True, package_dimensions=BONE["package_dimensions"])
    assert (sent.shippable, sent.package_dimensions) == (True, BONE["package_dimensions"])
    assert changed(catalog, sent, shippable=False).package_dimensions is None
