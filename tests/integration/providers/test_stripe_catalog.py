"""The catalogue through Stripe's SDK, against the sandbox: products are created, changed, removed and read."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import requests

from contracts.errors import InvalidRequest, NotFound, Refused, Unavailable
from products.rules.catalog import Product, product_id, sku_id
from products.rules.drafts import Draft
from products.rules.stock import Inventory
from products.stripe.catalog import StripeCatalog
from tests.integration.providers.stripe_catalog import BONE, LOST_ANSWER, Stripe, add, catalog_at, changed
from tests.running_sandbox import RunningSandbox
from tests.scripted_server import ScriptedServer

# Creation


def test_product_is_created_with_the_seed_fields(catalog: StripeCatalog, stripe_api: Stripe, key: str) -> None:
    made = add(catalog, key)
    assert made.id == product_id(key)
    assert made.metadata == BONE["metadata"]
    assert made.attributes == BONE["attributes"]
    assert made.package_dimensions == BONE["package_dimensions"]
    assert (made.skus[0].id, made.skus[0].price, made.skus[0].currency) == (sku_id(key), 50, "usd")
    assert made.skus[0].attributes == BONE["attributes_sku"]
    assert made.skus[0].inventory == Inventory("finite", 500)
    json.dumps(made.document)

    (price,) = stripe_api.prices(made.id)
    assert (price["lookup_key"], price["unit_amount"], price["active"]) == (made.skus[0].id, 50, True)
    assert stripe_api.product(made.id)["name"] == "Wally bone"
    assert catalog.get(made.id) == made


def test_product_is_created_with_fewest_and_most_fields(catalog: StripeCatalog, key: str) -> None:
    least = {name: BONE[name] for name in ("name", "price", "package_dimensions", "metadata")}
    made = catalog.add(Draft.parse(least, "eur"), product_id(key), [sku_id(key)])
    assert (made.attributes, made.skus[0].attributes, made.skus[0].currency) == ([], {}, "eur")
    assert made.skus[0].inventory == Inventory("infinite")

    more = add(
        catalog,
        key + "2",
        name="Кость «Wally» 🦴 & Co=1",
        description="line\nline [1]",
        images=["https://example.com/a.png?b=c&d=e"],
        active=False,
        inventory={"type": "bucket", "value": "limited"},
        metadata={"category": "корм & co", "a=b&c": "d[e]"},
        price=99_999_999,
    )
    assert catalog.get(more.id) == more
    assert more.name == "Кость «Wally» 🦴 & Co=1"
    assert more.metadata == {"category": "корм & co", "a=b&c": "d[e]"}
    assert more.document["images"] == ["https://example.com/a.png?b=c&d=e"]
    assert more.on_sale is False
    assert more.skus[0].inventory == Inventory("bucket", None, "limited")


def test_the_same_ids_make_one_product_and_one_price(catalog: StripeCatalog, stripe_api: Stripe, key: str) -> None:
    assert add(catalog, key) == add(catalog, key)
    assert len(stripe_api.prices(product_id(key))) == 1


def test_repeated_creation_returns_the_changed_product(catalog: StripeCatalog, key: str) -> None:
    made = changed(catalog, add(catalog, key), name="Renamed", price=70)
    assert add(catalog, key) == made  # not the answer stored under the idempotency key


@pytest.mark.parametrize("path", ["/v1/products", "/v1/prices"])
@pytest.mark.parametrize("fault", [{"error_rate": 1, "method": "POST"}, LOST_ANSWER])
def test_repeated_creation_finishes_an_interrupted_one(
    catalog: StripeCatalog, providers: RunningSandbox, stripe_api: Stripe, key: str, path: str, fault: dict[str, Any]
) -> None:
    providers.fault("stripe", path=path, **fault)
    with pytest.raises(Unavailable) as failure:
        add(catalog, key)
    assert failure.value.facts["retry_after"] > 0
    assert not isinstance(catalog.get(product_id(key)), Product) or fault is LOST_ANSWER
    providers.heal()
    made = add(catalog, key)
    assert [price["lookup_key"] for price in stripe_api.prices(made.id)] == [made.skus[0].id]


def test_one_lost_answer_is_retried_automatically(
    catalog: StripeCatalog, providers: RunningSandbox, stripe_api: Stripe, key: str
) -> None:
    providers.fault("stripe", times=1, **LOST_ANSWER)
    made = add(catalog, key)
    assert len(stripe_api.prices(made.id)) == 1


def test_creation_finishes_after_idempotency_keys_expired(catalog: StripeCatalog, stripe_api: Stripe, key: str) -> None:
    # The state that an interrupted attempt of last week left.
    sides = {f"package_dimensions[{side}]": "5" for side in ("height", "length", "weight", "width")}
    hidden = {"metadata[shop:sku]": sku_id(key), "metadata[category]": "food", **sides}
    stripe_api.ask("POST", "/products", id=product_id(key), name="Wally bone", **hidden)
    assert add(catalog, key).skus[0].id == sku_id(key)

    hidden = {"metadata[shop:sku]": sku_id(key + "2"), **sides}
    stripe_api.ask("POST", "/products", id=product_id(key + "2"), name="Wally", **hidden)
    stripe_api.ask(
        "POST", "/prices", product=product_id(key + "2"), unit_amount=60, currency="usd", lookup_key=sku_id(key + "2")
    )
    made = add(catalog, key + "2", price=60)
    assert (made.skus[0].price, len(stripe_api.prices(made.id))) == (60, 1)


def test_unknown_inventory_counts_as_zero(catalog: StripeCatalog, stripe_api: Stripe, key: str) -> None:
    made = add(catalog, key)
    stripe_api.ask("POST", f"/prices/{made.skus[0].offer}", **{"metadata[shop:inventory]": "plenty"})
    found = catalog.get(made.id)
    assert isinstance(found, Product)
    assert found.skus[0].inventory == Inventory("finite", 0)


def test_the_same_key_for_another_product_is_refused(catalog: StripeCatalog, key: str) -> None:
    add(catalog, key)
    with pytest.raises(Refused):
        add(catalog, key, name="Another")


def test_oversized_attributes_are_refused_before_any_request(scripted: ScriptedServer, key: str) -> None:
    catalog = catalog_at(scripted.url)
    names = [f"{'attribute' * 8} {number}" for number in range(10)]
    with pytest.raises(InvalidRequest) as refusal:
        add(catalog, key, attributes=names, attributes_sku={})
    assert list(refusal.value.facts["errors"]) == ["attributes"]
    with pytest.raises(InvalidRequest) as refusal:
        add(catalog, key, attributes_sku={"material": "x" * 300, "manufacturer": "y" * 300})
    assert list(refusal.value.facts["errors"]) == ["attributes_sku"]
    assert scripted.asked == []


def test_stripe_refusal_names_the_caller_field(catalog: StripeCatalog, key: str) -> None:
    draft = dataclasses.replace(Draft.parse(BONE, "usd"), currency="xyz")  # Stripe no longer accepts this currency
    with pytest.raises(Refused) as refusal:
        catalog.add(draft, product_id(key), [sku_id(key)])
    assert list(refusal.value.facts["errors"]) == ["currency"]


# Changes


def test_a_new_price_keeps_the_sku(catalog: StripeCatalog, stripe_api: Stripe, key: str) -> None:
    made = add(catalog, key)
    repriced = changed(catalog, made, price=70)
    assert (repriced.skus[0].id, repriced.skus[0].price) == (made.skus[0].id, 70)
    assert repriced.skus[0].attributes == made.skus[0].attributes
    assert repriced.skus[0].inventory == made.skus[0].inventory
    assert [price["unit_amount"] for price in stripe_api.prices(made.id, active="true")] == [70]
    assert {price["id"]: price["active"] for price in stripe_api.prices(made.id)} == {
        made.skus[0].offer: False,
        repriced.skus[0].offer: True,
    }


def test_new_price_changes_the_update_time_of_the_product(
    catalog: StripeCatalog, providers: RunningSandbox, key: str
) -> None:
    made = add(catalog, key)
    requests.post(f"{providers.url}/sandbox/clock", json={"advance_seconds": 100}, timeout=30).raise_for_status()
    repriced = changed(catalog, made, price=70)
    assert repriced.created == made.created
    assert repriced.updated >= made.updated + 100


def test_former_price_can_be_set_again(catalog: StripeCatalog, stripe_api: Stripe, key: str) -> None:
    product = add(catalog, key)
    for amount in (70, 50, 70, 50):
        product = changed(catalog, product, price=amount)
        assert product.skus[0].price == amount
    assert [price["unit_amount"] for price in stripe_api.prices(product.id, active="true")] == [50]


def test_unchanged_price_creates_no_new_price(catalog: StripeCatalog, stripe_api: Stripe, key: str) -> None:
    made = add(catalog, key)
    changed(catalog, made, price=70)
    changed(catalog, made, price=70)
    changed(catalog, made, price=70, name="Renamed")
    assert len(stripe_api.prices(made.id)) == 2


def test_repeated_price_change_finishes_an_interrupted_one(
    catalog: StripeCatalog, providers: RunningSandbox, stripe_api: Stripe, key: str
) -> None:
    made = add(catalog, key)
    providers.fault("stripe", path="/v1/prices/price_", error_rate=1, method="POST")
    with pytest.raises(Unavailable):
        changed(catalog, made, price=70)
    providers.heal()
    # Stripe has the new price, but the old one is not archived.
    assert len(stripe_api.prices(made.id, active="true")) == 2
    assert changed(catalog, made, price=70).price == 70
    assert [price["unit_amount"] for price in stripe_api.prices(made.id, active="true")] == [70]
    assert len(stripe_api.prices(made.id)) == 2


def test_price_change_keeps_prices_made_in_the_dashboard(catalog: StripeCatalog, stripe_api: Stripe, key: str) -> None:
    made = add(catalog, key)
    foreign_price = stripe_api.ask("POST", "/prices", product=made.id, unit_amount=5, currency="usd")["id"]
    changed(catalog, made, price=70)
    assert foreign_price in {price["id"] for price in stripe_api.prices(made.id, active="true")}


def test_every_other_field_changes_in_place(catalog: StripeCatalog, key: str) -> None:
    made = add(catalog, key, images=["https://example.com/1.png"])
    found = changed(
        catalog,
        made,
        name="Test_put",
        description="",
        metadata={"category": "toys", "for": "", "size": "s"},
        images=[],
        active=False,
        package_dimensions={"height": 1, "length": 2, "weight": 3, "width": 4},
        attributes=["material", "colour"],
        attributes_sku={"colour": "red"},
        inventory={"type": "finite", "quantity": 3},
    )
    assert found.name == "Test_put"
    assert found.document["description"] is None
    assert found.metadata == {"category": "toys", "type": "fish", "size": "s"}
    assert found.document["images"] == []
    assert found.active is False
    assert found.package_dimensions == {"height": 1, "length": 2, "weight": 3, "width": 4}
    assert found.attributes == ["material", "colour"]
    assert found.skus[0].attributes == {"colour": "red"}
    assert found.skus[0].inventory == Inventory("finite", 3)
    assert found.skus[0].offer == made.skus[0].offer
    assert changed(catalog, found) == found


def test_removed_product_cannot_be_changed(catalog: StripeCatalog, key: str) -> None:
    made = add(catalog, key)
    catalog.remove(made)
    for given in ({"name": "Renamed"}, {"price": 70}, {}):
        with pytest.raises(NotFound):
            changed(catalog, made, **given)


# Removal


def test_a_removed_product_is_archived_with_its_price(catalog: StripeCatalog, stripe_api: Stripe, key: str) -> None:
    made = add(catalog, key)
    catalog.remove(made)
    catalog.remove(made)
    assert stripe_api.product(made.id)["active"] is False
    assert stripe_api.prices(made.id, active="true") == []
    assert catalog.get(made.id) is None
    assert made.id not in {product.id for product in catalog.all()}
    with pytest.raises(NotFound):
        add(catalog, key)


def test_inactive_product_is_not_removed(catalog: StripeCatalog, key: str) -> None:
    made = changed(catalog, add(catalog, key), active=False)
    assert catalog.get(made.id) == made
    assert made in list(catalog.all())


def test_repeated_removal_finishes_an_interrupted_one(
    catalog: StripeCatalog, providers: RunningSandbox, stripe_api: Stripe, key: str
) -> None:
    made = add(catalog, key)
    providers.fault("stripe", path="/v1/prices/price_", error_rate=1, method="POST")
    with pytest.raises(Unavailable):
        catalog.remove(made)
    providers.heal()
    catalog.remove(made)
    assert stripe_api.prices(made.id, active="true") == []


def test_product_without_a_price_is_deleted_in_stripe(catalog: StripeCatalog, stripe_api: Stripe, key: str) -> None:
    stripe_api.ask("POST", "/products", id=product_id(key), name="No price", **{"metadata[shop:sku]": sku_id(key)})
    made = add(catalog, key + "other")
    lost = Product({**made.document, "id": product_id(key)}, [], made.skus)
    catalog.remove(lost)
    assert "error" in stripe_api.product(lost.id)
    catalog.remove(lost)


# Reading


def test_every_page_of_the_catalogue_is_read(catalog: StripeCatalog, stripe_api: Stripe, key: str) -> None:
    made = {add(catalog, f"{key}{number}").id for number in range(105)}
    foreign = stripe_api.ask("POST", "/products", name="Made in the dashboard")["id"]
    found = [product.id for product in catalog.all() if isinstance(product, Product) or product.ours]
    assert len(found) == len(set(found))
    assert made <= set(found)
    assert foreign not in found
