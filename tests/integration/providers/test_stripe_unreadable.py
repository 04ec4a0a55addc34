"""Unsellable records in Stripe's dashboard: only the affected product is set aside; all others are read."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from chassis.db.engine import Database
from chassis.providers.http_session import ProviderSession
from chassis.settings import SANDBOX_KEYS
from contracts.errors import Conflict
from products.projection import Projection
from products.rules.catalog import product_id, sku_id
from products.rules.drafts import Change, Draft
from products.store.products import ProductStore
from products.stripe.catalog import StripeCatalog
from tests.databases import migrated
from tests.products import least_product
from tests.running_sandbox import RunningSandbox
from tests.scripted_server import Scripted, ScriptedServer

BONE = least_product(package_dimensions={"height": 5.0, "length": 5.5, "weight": 5.0, "width": 5.0})
SIDES = {f"package_dimensions[{side}]": "5" for side in ("height", "length", "weight", "width")}


class Shop:
    """The products service's rules over a fresh database and the sandbox's Stripe."""

    def __init__(self, stripe_url: str) -> None:
        self.url = stripe_url
        self.catalog = StripeCatalog(SANDBOX_KEYS["stripe"], stripe_url, ProviderSession(5.0, 20.0))
        self.made: set[str] = set()
        self.fresh()

    def fresh(self) -> None:
        """Start with an empty database, as at a first start."""
        database = Database("sqlite://", "products")
        migrated(database)
        self.store = ProductStore(database)
        self.projection = Projection(self.catalog, self.store)

    def add(self, **spec: Any) -> str:
        key = uuid.uuid4().hex
        draft = Draft.parse({**BONE, **spec}, "usd")
        self.store.save(self.catalog.add(draft, product_id(key), [sku_id(key)]), 0)
        self.made.add(product_id(key))
        return product_id(key)

    def dashboard(self, path: str, **data: Any) -> Any:
        answer = requests.post(f"{self.url}/v1{path}", data=data, auth=(SANDBOX_KEYS["stripe"], ""), timeout=30)
        assert answer.ok, answer.text
        return answer.json()

    def sku(self, product: str) -> str:
        kept = self.store.kept(product)
        assert kept is not None
        return kept.product.skus[0].id

    def new_price(self, product: str, lookup_key: str, **data: Any) -> Any:
        asked = {"product": product, "currency": "usd", "lookup_key": lookup_key, "transfer_lookup_key": "true", **data}
        return self.dashboard("/prices", **asked)

    def on_sale(self, product: str) -> bool:
        kept = self.store.kept(product)
        return kept is not None and not kept.removed and kept.product.on_sale

    def reasons(self) -> dict[str, str]:
        """Return the reasons for this test's products; the sandbox also keeps those of earlier tests."""
        return {row["product"]: row["reason"] for row in self.store.aside(1000) if row["product"] in self.made}


@pytest.fixture
def shop(providers: RunningSandbox) -> Iterator[Shop]:
    shop = Shop(f"{providers.url}/stripe")
    yield shop
    shop.store.database.dispose()


def _half_cent(shop: Shop, product: str) -> None:
    shop.new_price(product, shop.sku(product), unit_amount_decimal="650.5")


def _recurring(shop: Shop, product: str) -> None:
    shop.new_price(product, shop.sku(product), unit_amount=50, **{"recurring[interval]": "month"})


def _no_dimensions(shop: Shop, product: str) -> None:
    shop.dashboard(f"/products/{product}", package_dimensions="")


def _no_metadata(shop: Shop, product: str) -> None:
    shop.dashboard(f"/products/{product}", metadata="")


def _another_products_price(shop: Shop, product: str) -> None:
    shop.new_price(shop.add(), shop.sku(product), unit_amount=50)


def _fraction_of_a_krona(shop: Shop, product: str) -> None:
    shop.new_price(product, shop.sku(product), currency="isk", unit_amount=150)


def _price_too_high(shop: Shop, product: str) -> None:
    shop.new_price(product, shop.sku(product), unit_amount=100_000_000)


EDITS: list[tuple[Callable[[Shop, str], None], str]] = [
    (_half_cent, "has no whole unit_amount (unit_amount_decimal 650.5)"),
    (_recurring, "is recurring"),
    (_no_dimensions, "it has no package_dimensions"),
    (_no_metadata, "its metadata has no shop:sku"),
    (_another_products_price, "belongs to prod_"),
    (_fraction_of_a_krona, "is 150 isk, which cannot be charged"),
    (_price_too_high, "is 100000000 usd, which cannot be charged"),
]


@pytest.mark.parametrize(("edit", "reason"), EDITS)
@pytest.mark.parametrize("walk", ["event", "walk"])
def test_unreadable_product_goes_off_sale_alone(
    shop: Shop, edit: Callable[[Shop, str], None], reason: str, walk: str
) -> None:
    bad, good = shop.add(), shop.add()
    edit(shop, bad)
    shop.dashboard(f"/products/{good}", name="Renamed")
    if walk == "event":
        assert shop.projection.refresh(bad) is True
        assert shop.projection.refresh(good) is True
    else:
        shop.projection.rebuild()
    assert (shop.on_sale(bad), shop.on_sale(good)) == (False, True)
    kept = shop.store.kept(good)
    assert kept is not None
    assert kept.product.name == "Renamed"
    assert list(shop.reasons()) == [bad]
    assert reason in shop.reasons()[bad]


@pytest.mark.parametrize("walk", ["event", "walk"])
def test_repaired_product_is_on_sale_again(shop: Shop, walk: str) -> None:
    product = shop.add()
    _no_dimensions(shop, product)
    shop.projection.rebuild()
    assert not shop.on_sale(product)
    shop.dashboard(f"/products/{product}", **SIDES)
    if walk == "event":
        shop.projection.refresh(product)
    else:
        shop.projection.rebuild()
    assert shop.on_sale(product)
    assert shop.reasons() == {}


def test_new_price_puts_a_product_back_on_sale(shop: Shop) -> None:
    product = shop.add()
    _half_cent(shop, product)
    shop.projection.refresh(product)
    shop.projection.change(product, {"price": 70})
    assert shop.on_sale(product)
    assert shop.reasons() == {}


def test_change_to_an_unreadable_product_names_the_reason(shop: Shop) -> None:
    product = shop.add()
    _half_cent(shop, product)
    kept = shop.store.kept(product)
    assert kept is not None
    with pytest.raises(Conflict, match=r"650\.5"):
        shop.catalog.change(kept.product, Change(name="Renamed"))


def test_fresh_shop_is_ready_despite_unreadable_records(shop: Shop) -> None:
    bad, good = shop.add(), shop.add()
    _half_cent(shop, bad)
    foreign_product = shop.dashboard("/products", name="Not the shop's")["id"]
    shop.fresh()
    done = shop.projection.rebuild()
    assert done["set_aside"] == len(shop.store.aside(1000))
    assert shop.store.catalogue_read()
    assert shop.on_sale(good)
    assert shop.store.kept(bad) is None
    assert list(shop.reasons()) == [bad]
    assert shop.store.kept(foreign_product) is None


def test_same_reason_is_written_and_logged_once(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    product = shop.add()
    _half_cent(shop, product)
    shop.projection.rebuild()
    kept = shop.store.kept(product)
    output = capsys.readouterr()
    assert [product in line for line in f"{output.out}{output.err}".splitlines() if "off sale" in line].count(True) == 1
    shop.projection.rebuild()
    shop.projection.refresh(product)
    assert shop.store.kept(product) == kept
    output = capsys.readouterr()
    assert product not in f"{output.out}{output.err}"


def test_product_that_stripe_deleted_is_no_longer_listed(shop: Shop) -> None:
    product = shop.add()
    _half_cent(shop, product)
    shop.fresh()
    shop.projection.rebuild()
    assert list(shop.reasons()) == [product]
    shop.dashboard(f"/products/{product}", **{"metadata[shop:removed]": "true"})
    shop.projection.rebuild()
    assert shop.reasons() == {}


# Records that the sandbox's Stripe cannot produce

PRODUCT: dict[str, Any] = {
    "id": "prod_1",
    "object": "product",
    "active": True,
    "created": 1,
    "updated": 1,
    "name": "Bone",
    "metadata": {"shop:sku": "sku_1"},
    "package_dimensions": BONE["package_dimensions"],
}
PRICE: dict[str, Any] = {
    "id": "price_1",
    "object": "price",
    "active": True,
    "billing_scheme": "per_unit",
    "created": 1,
    "currency": "usd",
    "lookup_key": "sku_1",
    "metadata": {},
    "product": "prod_1",
    "recurring": None,
    "transform_quantity": None,
    "type": "one_time",
    "unit_amount": 50,
}


def _list(*data: Any) -> Scripted:
    page = {"object": "list", "data": list(data), "has_more": False, "url": "/v1/x"}
    return Scripted(body=json.dumps(page).encode())


def _without(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != name}


@pytest.mark.parametrize(
    ("product", "price", "reason"),
    [
        (PRODUCT, {**PRICE, "currency": "zzz"}, "Stripe has no currency 'zzz'"),
        (PRODUCT, {**PRICE, "unit_amount": -5}, "-5 usd"),
        (PRODUCT, {**PRICE, "unit_amount": "50"}, "50 usd"),
        (PRODUCT, {**PRICE, "billing_scheme": "tiered", "unit_amount": None}, "not per piece"),
        (PRODUCT, {**PRICE, "transform_quantity": {"divide_by": 2, "round": "up"}}, "not per piece"),
        (PRODUCT, _without(PRICE, "currency"), "currency"),
        ({**PRODUCT, "name": None}, PRICE, "no name"),
        ({**PRODUCT, "name": "bad \ud800"}, PRICE, "no database keeps"),
        ({**PRODUCT, "metadata": {"shop:sku": "sku_1", "shop:attributes": '["\\ud800"]'}}, PRICE, "no database keeps"),
        ({**PRODUCT, "package_dimensions": {"height": 0, "length": 1, "weight": 1, "width": 1}}, PRICE, "height"),
        ({**PRODUCT, "created": "yesterday"}, PRICE, "invalid literal"),
        (_without(PRODUCT, "updated"), PRICE, "updated"),
    ],
)
def test_malformed_record_does_not_stop_the_walk(
    scripted: ScriptedServer, product: dict[str, Any], price: dict[str, Any], reason: str
) -> None:
    good = {**PRODUCT, "id": "prod_2", "metadata": {"shop:sku": "sku_2"}}
    good_price = {**PRICE, "id": "price_2", "lookup_key": "sku_2", "product": "prod_2"}
    scripted.answers = [_list(_without(PRICE, "lookup_key"), price, good_price), _list(product, good)]
    shop = Shop(scripted.url)
    shop.made.add("prod_1")
    shop.projection.rebuild()
    assert shop.on_sale("prod_2")
    assert list(shop.reasons()) == ["prod_1"]
    assert reason in shop.reasons()["prod_1"]
