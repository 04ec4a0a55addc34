"""The catalogue through Stripe's SDK, against the sandbox and against scripted failures."""

from __future__ import annotations

import dataclasses
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests

from chassis import deadline
from chassis.providers.http_session import ProviderSession
from chassis.settings import SANDBOX_KEYS
from contracts.errors import Conflict, InvalidRequest, NotFound, ProviderFailure, Refused, Unavailable
from products.rules.catalog import Product, Unsellable, product_id, sku_id
from products.rules.drafts import Change, Draft, SkuChange, SkuDraft
from products.rules.stock import Inventory
from products.stripe import fields
from products.stripe.catalog import StripeCatalog
from tests.products import new_product, variants
from tests.running_sandbox import RunningSandbox, free_port
from tests.scripted_server import Scripted, ScriptedServer

BONE = new_product(package_dimensions={"height": 5.0, "length": 5.5, "weight": 5.0, "width": 5.0})
LOST_ANSWER = {"lose_answer_rate": 1, "method": "POST"}  # Stripe does the work, but the answer is lost


def catalog_at(url: str, key: str = SANDBOX_KEYS["stripe"]) -> StripeCatalog:
    return StripeCatalog(key, url, ProviderSession(5.0, 20.0))


@pytest.fixture
def catalog(providers: RunningSandbox) -> StripeCatalog:
    return catalog_at(f"{providers.url}/stripe")


class Stripe:
    """Calls Stripe's HTTP API directly, without the adapter."""

    def __init__(self, url: str) -> None:
        self.url = f"{url}/stripe/v1"

    def ask(self, method: str, path: str, **data: Any) -> Any:
        options = {"params": data} if method == "GET" else {"data": data}
        return requests.request(
            method, self.url + path, auth=(SANDBOX_KEYS["stripe"], ""), timeout=30, **options
        ).json()

    def product(self, product: str) -> Any:
        return self.ask("GET", f"/products/{product}")

    def prices(self, product: str, **where: Any) -> list[Any]:
        found: list[Any] = self.ask("GET", "/prices", product=product, limit=100, **where)["data"]
        return found


@pytest.fixture
def stripe_api(providers: RunningSandbox) -> Stripe:
    return Stripe(providers.url)


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


def add(catalog: StripeCatalog, key: str, **spec: Any) -> Product:
    return catalog.add(Draft.parse({**BONE, **spec}, "usd"), product_id(key), [sku_id(key)])


def changed(catalog: StripeCatalog, product: Product, **given: Any) -> Product:
    return catalog.change(product, Change.parse(given, product))


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


# Several SKUs


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


# Failures


def test_unreachable_stripe_is_unavailable(key: str) -> None:
    with pytest.raises(Unavailable) as failure:
        catalog_at(f"http://127.0.0.1:{free_port()}").get(product_id(key))
    assert failure.value.facts["retry_after"] > 0


@pytest.mark.parametrize(
    ("status", "failure"),
    [(401, ProviderFailure), (403, ProviderFailure), (409, Conflict), (418, ProviderFailure), (429, Unavailable)],
)
def test_http_status_maps_to_an_error_class(scripted: ScriptedServer, key: str, status: int, failure: type) -> None:
    scripted.answers = [Scripted(status, b'{"error": {"type": "api_error", "message": "No."}}')]
    with pytest.raises(failure):
        add(catalog_at(scripted.url), key)


def test_wrong_api_key_is_not_shown_to_the_caller(providers: RunningSandbox) -> None:
    wrong = "_".join(("sk", "wrong"))
    with pytest.raises(ProviderFailure) as failure:
        catalog_at(f"{providers.url}/stripe", wrong).get("prod_x")
    assert "wrong" not in f"{failure.value.detail}{failure.value.facts}"


@pytest.mark.parametrize(
    "answer",
    [
        Scripted(200, b"<html>"),
        Scripted(200, b"{}"),
        Scripted(200, b"[]"),
        Scripted(200, b'{"id": "prod_x", "object": "product"}'),
        Scripted(404, b"<html>"),
    ],
)
def test_malformed_answer_is_a_provider_failure(scripted: ScriptedServer, answer: Scripted) -> None:
    scripted.answers = [answer]
    with pytest.raises(ProviderFailure):
        add(catalog_at(scripted.url), "key")


@pytest.mark.parametrize("answer", [Scripted(drop=True), Scripted(503)])
def test_missing_answer_is_retried_with_the_same_key(scripted: ScriptedServer, answer: Scripted) -> None:
    scripted.answers = [answer]
    with pytest.raises(Unavailable):
        add(catalog_at(scripted.url), "key")
    assert len(scripted.asked) == 3
    assert len({headers["Idempotency-Key"] for _, _, headers, _ in scripted.asked}) == 1


def test_truncated_answer_is_unavailable(scripted: ScriptedServer) -> None:
    scripted.answers = [Scripted(200, b'{"id"', cut=True)]
    with pytest.raises(Unavailable):
        add(catalog_at(scripted.url), "key")


def test_replayed_failure_is_retried_with_a_new_key(scripted: ScriptedServer) -> None:
    kept = {"Content-Type": "application/json", "Idempotent-Replayed": "true", "Stripe-Should-Retry": "false"}
    scripted.answers = [Scripted(500, b'{"error": {"type": "api_error"}}', kept), Scripted(429)]
    with pytest.raises(Unavailable):
        add(catalog_at(scripted.url), "key")
    first, second = (headers["Idempotency-Key"] for _, _, headers, _ in scripted.asked)
    assert first != second


@pytest.fixture
def short_deadline() -> Iterator[None]:
    deadline.begin(time.monotonic() + 1.0)
    yield
    deadline.begin(None)


@pytest.mark.usefixtures("short_deadline")
def test_deadline_ends_a_hanging_stripe_call(catalog: StripeCatalog, providers: RunningSandbox, key: str) -> None:
    providers.fault("stripe", hang_rate=1)
    started = time.monotonic()
    with pytest.raises(Unavailable):
        add(catalog, key)
    assert time.monotonic() - started < 20
