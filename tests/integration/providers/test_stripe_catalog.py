"""The catalogue through Stripe's SDK: against the sandbox, and against answers that only a bad day gives."""

from __future__ import annotations

import dataclasses
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from chassis import deadline
from chassis.providers.http_session import ProviderSession
from chassis.settings import SANDBOX_KEYS
from contracts.errors import Conflict, InvalidRequest, NotFound, ProviderFailure, Refused, Unavailable
from products.catalog import Product, product_id, sku_id
from products.drafts import Change, Draft
from products.stock import Inventory
from products.stripe_catalog import StripeCatalog
from tests.products import new_product
from tests.running_sandbox import RunningSandbox, free_port
from tests.scripted_server import Scripted, ScriptedServer

BONE = new_product(package_dimensions={"height": 5.0, "length": 5.5, "weight": 5.0, "width": 5.0})
UNANSWERED = {"lose_answer_rate": 1, "method": "POST"}  # the work is done, the answer lost


def catalog_at(url: str, key: str = SANDBOX_KEYS["stripe"]) -> StripeCatalog:
    return StripeCatalog(key, url, ProviderSession(5.0, 20.0))


@pytest.fixture
def catalog(providers: RunningSandbox) -> StripeCatalog:
    return catalog_at(f"{providers.url}/stripe")


class Stripe:
    """Stripe itself, asked past the adapter."""

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
def there(providers: RunningSandbox) -> Stripe:
    return Stripe(providers.url)


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


def add(catalog: StripeCatalog, key: str, **spec: Any) -> Product:
    return catalog.add(Draft.parse({**BONE, **spec}, "usd"), product_id(key), sku_id(key))


def changed(catalog: StripeCatalog, product: Product, **given: Any) -> Product:
    change = Change.parse(given, product.attributes, product.sku.attributes, product.metadata, product.sku.currency)
    return catalog.change(product, change)


# Made


def test_a_product_is_made_as_the_seed_describes_it(catalog: StripeCatalog, there: Stripe, key: str) -> None:
    made = add(catalog, key)
    assert made.id == product_id(key)
    assert made.metadata == BONE["metadata"]
    assert made.attributes == BONE["attributes"]
    assert made.package_dimensions == BONE["package_dimensions"]
    assert (made.sku.id, made.sku.price, made.sku.currency) == (sku_id(key), 50, "usd")
    assert made.sku.attributes == BONE["attributes_sku"]
    assert made.inventory == Inventory("finite", 500)
    json.dumps(made.document)

    (price,) = there.prices(made.id)
    assert (price["lookup_key"], price["unit_amount"], price["active"]) == (made.sku.id, 50, True)
    assert there.product(made.id)["name"] == "Wally bone"
    assert catalog.get(made.id) == made


def test_the_least_and_the_most_that_a_product_has(catalog: StripeCatalog, key: str) -> None:
    least = {name: BONE[name] for name in ("name", "price", "package_dimensions", "metadata")}
    made = catalog.add(Draft.parse(least, "eur"), product_id(key), sku_id(key))
    assert (made.attributes, made.sku.attributes, made.sku.currency) == ([], {}, "eur")
    assert made.inventory == Inventory("infinite")

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
    assert more.inventory == Inventory("bucket", None, "limited")


def test_the_same_ids_make_one_product_and_one_price(catalog: StripeCatalog, there: Stripe, key: str) -> None:
    assert add(catalog, key) == add(catalog, key)
    assert len(there.prices(product_id(key))) == 1


def test_made_again_after_a_change_is_as_it_was_changed(catalog: StripeCatalog, key: str) -> None:
    made = changed(catalog, add(catalog, key), name="Renamed", price=70)
    assert add(catalog, key) == made  # not the answer that Stripe kept for the key


@pytest.mark.parametrize("path", ["/v1/products", "/v1/prices"])
@pytest.mark.parametrize("trouble", [{"error_rate": 1, "method": "POST"}, UNANSWERED])
def test_a_creation_cut_short_is_finished_by_its_repetition(
    catalog: StripeCatalog, providers: RunningSandbox, there: Stripe, key: str, path: str, trouble: dict[str, Any]
) -> None:
    providers.fault("stripe", path=path, **trouble)
    with pytest.raises(Unavailable) as failure:
        add(catalog, key)
    assert failure.value.facts["retry_after"] > 0
    assert not isinstance(catalog.get(product_id(key)), Product) or trouble is UNANSWERED
    providers.heal()
    made = add(catalog, key)
    assert [price["lookup_key"] for price in there.prices(made.id)] == [made.sku.id]


def test_one_lost_answer_is_not_even_noticed(
    catalog: StripeCatalog, providers: RunningSandbox, there: Stripe, key: str
) -> None:
    providers.fault("stripe", times=1, **UNANSWERED)
    made = add(catalog, key)
    assert len(there.prices(made.id)) == 1


def test_a_creation_whose_idempotency_keys_are_forgotten_is_finished(
    catalog: StripeCatalog, there: Stripe, key: str
) -> None:
    # As an attempt of last week left it.
    sides = {f"package_dimensions[{side}]": "5" for side in ("height", "length", "weight", "width")}
    hidden = {"metadata[shop:sku]": sku_id(key), "metadata[category]": "food", **sides}
    there.ask("POST", "/products", id=product_id(key), name="Wally bone", **hidden)
    assert add(catalog, key).sku.id == sku_id(key)

    hidden = {"metadata[shop:sku]": sku_id(key + "2"), **sides}
    there.ask("POST", "/products", id=product_id(key + "2"), name="Wally", **hidden)
    there.ask(
        "POST", "/prices", product=product_id(key + "2"), unit_amount=60, currency="usd", lookup_key=sku_id(key + "2")
    )
    made = add(catalog, key + "2", price=60)
    assert (made.sku.price, len(there.prices(made.id))) == (60, 1)


def test_a_price_without_a_known_inventory_sells_nothing(catalog: StripeCatalog, there: Stripe, key: str) -> None:
    made = add(catalog, key)
    there.ask("POST", f"/prices/{made.sku.offer}", **{"metadata[shop:inventory]": "plenty"})
    found = catalog.get(made.id)
    assert found is not None
    assert found.inventory == Inventory("finite", 0)


def test_the_same_key_for_another_product_is_refused(catalog: StripeCatalog, key: str) -> None:
    add(catalog, key)
    with pytest.raises(Refused):
        add(catalog, key, name="Another")


def test_what_does_not_fit_is_named_and_nothing_is_made(scripted: ScriptedServer, key: str) -> None:
    catalog = catalog_at(scripted.url)
    names = [f"{'attribute' * 8} {number}" for number in range(10)]
    with pytest.raises(InvalidRequest) as refusal:
        add(catalog, key, attributes=names, attributes_sku={})
    assert list(refusal.value.facts["errors"]) == ["attributes"]
    with pytest.raises(InvalidRequest) as refusal:
        add(catalog, key, attributes_sku={"material": "x" * 300, "manufacturer": "y" * 300})
    assert list(refusal.value.facts["errors"]) == ["attributes_sku"]
    assert scripted.asked == []


def test_what_stripe_refuses_is_named_in_the_callers_words(catalog: StripeCatalog, key: str) -> None:
    draft = dataclasses.replace(Draft.parse(BONE, "usd"), currency="xyz")  # one that Stripe takes no longer
    with pytest.raises(Refused) as refusal:
        catalog.add(draft, product_id(key), sku_id(key))
    assert list(refusal.value.facts["errors"]) == ["currency"]


# Changed


def test_a_new_price_keeps_the_sku(catalog: StripeCatalog, there: Stripe, key: str) -> None:
    made = add(catalog, key)
    dearer = changed(catalog, made, price=70)
    assert (dearer.sku.id, dearer.sku.price) == (made.sku.id, 70)
    assert dearer.sku.attributes == made.sku.attributes
    assert dearer.inventory == made.inventory
    assert [price["unit_amount"] for price in there.prices(made.id, active="true")] == [70]
    assert {price["id"]: price["active"] for price in there.prices(made.id)} == {
        made.sku.offer: False,
        dearer.sku.offer: True,
    }


def test_a_new_price_is_an_update_of_the_product(catalog: StripeCatalog, providers: RunningSandbox, key: str) -> None:
    made = add(catalog, key)
    requests.post(f"{providers.url}/sandbox/clock", json={"advance_seconds": 100}, timeout=30).raise_for_status()
    dearer = changed(catalog, made, price=70)
    assert dearer.created == made.created
    assert dearer.updated >= made.updated + 100


def test_a_price_may_come_back(catalog: StripeCatalog, there: Stripe, key: str) -> None:
    product = add(catalog, key)
    for amount in (70, 50, 70, 50):
        product = changed(catalog, product, price=amount)
        assert product.sku.price == amount
    assert [price["unit_amount"] for price in there.prices(product.id, active="true")] == [50]


def test_the_same_price_again_makes_no_price(catalog: StripeCatalog, there: Stripe, key: str) -> None:
    made = add(catalog, key)
    changed(catalog, made, price=70)
    changed(catalog, made, price=70)
    changed(catalog, made, price=70, name="Renamed")
    assert len(there.prices(made.id)) == 2


def test_a_change_of_price_cut_short_is_finished_by_its_repetition(
    catalog: StripeCatalog, providers: RunningSandbox, there: Stripe, key: str
) -> None:
    made = add(catalog, key)
    providers.fault("stripe", path="/v1/prices/price_", error_rate=1, method="POST")
    with pytest.raises(Unavailable):
        changed(catalog, made, price=70)
    providers.heal()
    assert len(there.prices(made.id, active="true")) == 2  # the new one is made, the old one not archived
    assert changed(catalog, made, price=70).sku.price == 70
    assert [price["unit_amount"] for price in there.prices(made.id, active="true")] == [70]
    assert len(there.prices(made.id)) == 2


def test_a_price_made_elsewhere_is_left_alone(catalog: StripeCatalog, there: Stripe, key: str) -> None:
    made = add(catalog, key)
    theirs = there.ask("POST", "/prices", product=made.id, unit_amount=5, currency="usd")["id"]
    changed(catalog, made, price=70)
    assert theirs in {price["id"] for price in there.prices(made.id, active="true")}


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
    assert found.sku.attributes == {"colour": "red"}
    assert found.inventory == Inventory("finite", 3)
    assert found.sku.offer == made.sku.offer
    assert changed(catalog, found) == found


def test_what_is_gone_cannot_be_changed(catalog: StripeCatalog, key: str) -> None:
    made = add(catalog, key)
    catalog.remove(made)
    for given in ({"name": "Renamed"}, {"price": 70}, {}):
        with pytest.raises(NotFound):
            changed(catalog, made, **given)


# Removed


def test_a_removed_product_is_archived_with_its_price(catalog: StripeCatalog, there: Stripe, key: str) -> None:
    made = add(catalog, key)
    catalog.remove(made)
    catalog.remove(made)
    assert there.product(made.id)["active"] is False
    assert there.prices(made.id, active="true") == []
    assert catalog.get(made.id) is None
    assert made.id not in {product.id for product in catalog.all()}
    with pytest.raises(NotFound):
        add(catalog, key)


def test_a_product_that_was_only_set_inactive_is_not_removed(catalog: StripeCatalog, key: str) -> None:
    made = changed(catalog, add(catalog, key), active=False)
    assert catalog.get(made.id) == made
    assert made in list(catalog.all())


def test_a_removal_cut_short_is_finished_by_its_repetition(
    catalog: StripeCatalog, providers: RunningSandbox, there: Stripe, key: str
) -> None:
    made = add(catalog, key)
    providers.fault("stripe", path="/v1/prices/price_", error_rate=1, method="POST")
    with pytest.raises(Unavailable):
        catalog.remove(made)
    providers.heal()
    catalog.remove(made)
    assert there.prices(made.id, active="true") == []


def test_what_stripe_has_lost_is_removed(catalog: StripeCatalog, there: Stripe, key: str) -> None:
    there.ask("POST", "/products", id=product_id(key), name="No price", **{"metadata[shop:sku]": sku_id(key)})
    made = add(catalog, key + "other")
    lost = Product({**made.document, "id": product_id(key)}, [], made.sku, made.inventory)
    catalog.remove(lost)
    assert "error" in there.product(lost.id)
    catalog.remove(lost)


# Read


def test_every_page_of_the_catalogue_is_read(catalog: StripeCatalog, there: Stripe, key: str) -> None:
    made = {add(catalog, f"{key}{number}").id for number in range(105)}
    foreign = there.ask("POST", "/products", name="Made in the dashboard")["id"]
    found = [product.id for product in catalog.all() if isinstance(product, Product) or product.ours]
    assert len(found) == len(set(found))
    assert made <= set(found)
    assert foreign not in found


# Trouble


def test_a_stripe_that_cannot_be_reached_is_unavailable(key: str) -> None:
    with pytest.raises(Unavailable) as failure:
        catalog_at(f"http://127.0.0.1:{free_port()}").get(product_id(key))
    assert failure.value.facts["retry_after"] > 0


@pytest.mark.parametrize(
    ("status", "failure"),
    [(401, ProviderFailure), (403, ProviderFailure), (409, Conflict), (418, ProviderFailure), (429, Unavailable)],
)
def test_every_status_has_its_meaning(scripted: ScriptedServer, key: str, status: int, failure: type) -> None:
    scripted.answers = [Scripted(status, b'{"error": {"type": "api_error", "message": "No."}}')]
    with pytest.raises(failure):
        add(catalog_at(scripted.url), key)


def test_a_wrong_key_is_not_told_to_the_caller(providers: RunningSandbox) -> None:
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
def test_an_answer_that_makes_no_sense_is_the_providers_failure(scripted: ScriptedServer, answer: Scripted) -> None:
    scripted.answers = [answer]
    with pytest.raises(ProviderFailure):
        add(catalog_at(scripted.url), "key")


@pytest.mark.parametrize("answer", [Scripted(drop=True), Scripted(503)])
def test_an_answer_that_does_not_come_is_asked_for_again(scripted: ScriptedServer, answer: Scripted) -> None:
    scripted.answers = [answer]
    with pytest.raises(Unavailable):
        add(catalog_at(scripted.url), "key")
    assert len(scripted.asked) == 3
    assert len({headers["Idempotency-Key"] for _, _, headers, _ in scripted.asked}) == 1


def test_an_answer_that_breaks_off_leaves_nothing_certain_but_may_be_repeated(scripted: ScriptedServer) -> None:
    scripted.answers = [Scripted(200, b'{"id"', cut=True)]
    with pytest.raises(Unavailable):
        add(catalog_at(scripted.url), "key")


def test_a_kept_failure_is_not_replayed_for_ever(scripted: ScriptedServer) -> None:
    kept = {"Content-Type": "application/json", "Idempotent-Replayed": "true", "Stripe-Should-Retry": "false"}
    scripted.answers = [Scripted(500, b'{"error": {"type": "api_error"}}', kept), Scripted(429)]
    with pytest.raises(Unavailable):
        add(catalog_at(scripted.url), "key")
    first, second = (headers["Idempotency-Key"] for _, _, headers, _ in scripted.asked)
    assert first != second


@pytest.fixture
def in_a_hurry() -> Iterator[None]:
    deadline.begin(time.monotonic() + 1.0)
    yield
    deadline.begin(None)


@pytest.mark.usefixtures("in_a_hurry")
def test_a_hanging_stripe_ends_with_the_deadline(catalog: StripeCatalog, providers: RunningSandbox, key: str) -> None:
    providers.fault("stripe", hang_rate=1)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        add(catalog, key)
    assert time.monotonic() - began < 20
