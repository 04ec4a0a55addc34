"""The running products service: two copies over the broker with the sandbox, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy

from chassis.db.engine import Database, url_for
from chassis.db.migrate import migrate
from chassis.providers.http_session import ProviderSession
from chassis.settings import SANDBOX_KEYS
from contracts.errors import Conflict, InvalidRequest, NotFound, ShopError
from products.projection import Projection
from products.store.products import ProductStore
from products.stripe.catalog import StripeCatalog
from tests.products import new_product, variants
from tests.rabbit_node import RabbitNode
from tests.running_sandbox import RunningSandbox
from tests.running_service import ROOT, RunningService

BONE = new_product()


class Place:
    """The folder and the environment variables of one shop's products service."""

    def __init__(self, folder: Path, rabbit: RabbitNode, sandbox: RunningSandbox, database_url: str) -> None:
        self.folder = folder
        self.settings = {
            "AMQP_URI": rabbit.uri,
            "SANDBOX_URL": sandbox.url,
            "DATABASE_URL": database_url,
            "PROVIDER_TIMEOUT": "3",
        }

    def run(self, *command: str, script: str = "") -> subprocess.CompletedProcess[str]:
        """Run an operator's command with `script` on its standard input."""
        environment = {**os.environ, "VAR_DIR": str(self.folder), "PYTHONPATH": str(ROOT), **self.settings}
        return subprocess.run(
            command, cwd=ROOT, env=environment, input=script, capture_output=True, text=True, timeout=120
        )


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def place(
    request: pytest.FixtureRequest,
    rabbit: RabbitNode,
    _module_sandbox: RunningSandbox,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("products")
    if request.param == "sqlite":
        yield Place(folder, rabbit, _module_sandbox, "")
        return
    url = url_for("any", request.getfixturevalue("postgresql"), "unused")
    server = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.pool.NullPool)
    name = f"shop_{uuid.uuid4().hex}"
    with server.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    yield Place(folder, rabbit, _module_sandbox, url.set(database=name).render_as_string(hide_password=False))
    with server.connect() as connection:
        connection.execute(sqlalchemy.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="module")
def service(place: Place) -> Iterator[RunningService]:
    running = RunningService("products", place.folder, place.settings, copies=2)
    yield running
    running.stop()


@pytest.fixture
def products(service: RunningService, providers: RunningSandbox) -> RunningService:
    return service


def key() -> str:
    return uuid.uuid4().hex


def make(products: RunningService, **spec: Any) -> dict[str, Any]:
    made: dict[str, Any] = products.call("create", {**BONE, **spec}, key())
    return made


def sku(product: dict[str, Any]) -> str:
    return str(product["skus"]["data"][0]["id"])


def left(products: RunningService, product: dict[str, Any]) -> int:
    return int(products.call("get", product["id"])["skus"]["data"][0]["inventory"]["quantity"])


def items(product: dict[str, Any], quantity: int) -> list[dict[str, Any]]:
    return [{"parent": sku(product), "quantity": quantity}]


def prices_at_stripe(providers: RunningSandbox, product_id: str) -> list[Any]:
    asked = {"product": product_id, "limit": 100}
    url = f"{providers.url}/stripe/v1/prices"
    found = requests.get(url, params=asked, auth=(SANDBOX_KEYS["stripe"], ""), timeout=30)  # type: ignore[arg-type]
    return list(found.json()["data"])


def at_once(count: int, run: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count), timeout=120))


# The verbs of the seed API


def test_the_seeds_product_is_made_found_changed_and_deleted(products: RunningService) -> None:
    made = make(products)
    assert made["object"] == "product"
    assert made["metadata"] == BONE["metadata"]
    assert made["attributes"] == BONE["attributes"]
    assert (made["caption"], made["deactivate_on"]) == (None, [])
    (unit,) = made["skus"]["data"]
    assert (unit["price"], unit["currency"], unit["product"]) == (50, "usd", made["id"])
    assert unit["attributes"] == BONE["attributes_sku"]
    assert unit["inventory"] == {"type": "finite", "quantity": 500, "value": None}
    assert products.call("get", made["id"]) == made

    change = {"metadata": {"category": "toys", "for": "dogs", "type": "bone"}, "name": "Test_put"}
    changed = products.call("update", made["id"], change)
    assert (changed["name"], changed["metadata"]) == ("Test_put", change["metadata"])
    assert changed in products.call("list", "toys", "name")["data"]
    assert changed not in products.call("list", "food", "name")["data"]

    assert products.call("delete", made["id"]) == {"id": made["id"], "object": "product", "deleted": True}
    with pytest.raises(NotFound):
        products.call("get", made["id"])
    assert made["id"] not in [one["id"] for one in products.call("list")["data"]]


def test_a_list_is_stripes_list_object(products: RunningService) -> None:
    category = key()
    made = [make(products, name=name, metadata={"category": category}) for name in ("b", "A", "c")]
    assert products.call("list", category) == {
        "object": "list",
        "url": "/v1/products",
        "has_more": False,
        "total_count": 3,
        "next_cursor": None,
        "data": [made[1], made[0], made[2]],
    }
    first = products.call("list", category, "-name", 2)
    assert (first["has_more"], first["total_count"]) == (True, 3)
    rest = products.call("list", category, "-name", 2, first["data"][-1]["id"])
    assert [one["name"] for one in first["data"] + rest["data"]] == ["c", "b", "A"]
    products.call("update", first["data"][-1]["id"], {"name": "a moved one"})
    rest = products.call("list", category, "-name", 2, first["next_cursor"])
    assert [one["name"] for one in rest["data"]] == ["a moved one", "A"]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((None, "no such key"), "order_by"),
        ((None, ""), "order_by"),
        ((None, None), "order_by"),
        ((None, "name", 0), "limit"),
        ((None, "name", 101), "limit"),
        ((None, "name", "10"), "limit"),
        ((None, "name", 10, "prod_unknown"), "starting_after"),
        ((None, "name", 10, "c1.broken"), "starting_after"),
        ((5,), "category"),
    ],
)
def test_invalid_list_argument_is_refused_by_its_field(
    products: RunningService, arguments: tuple[Any, ...], field: str
) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        products.call("list", *arguments)
    assert list(refusal.value.facts["errors"]) == [field]


def test_a_wrong_product_is_refused_by_its_fields(products: RunningService) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        products.call("create", {**BONE, "price": 0, "package_dimensions": {"height": 1}}, key())
    assert set(refusal.value.facts["errors"]) == {"price", "package_dimensions"}
    for wrong in ("", "x" * 256, None):
        with pytest.raises(InvalidRequest):
            products.call("create", BONE, wrong)


@pytest.mark.parametrize("verb", ["get", "update", "delete", "offer"])
def test_unknown_product_is_not_found(products: RunningService, verb: str) -> None:
    with pytest.raises(NotFound):
        products.call(verb, "prod_never", *([{"name": "x"}] if verb == "update" else []))


# Idempotency keys


def test_one_key_makes_one_product_from_two_copies_at_once(products: RunningService, providers: RunningSandbox) -> None:
    same = key()

    def create(_: int) -> str:
        end = time.monotonic() + 50
        while True:
            try:
                return str(products.call("create", BONE, same)["id"])
            except Conflict:  # the other copy is making it, so the caller repeats
                assert time.monotonic() < end, "never made"
                time.sleep(0.2)

    (made,) = set(at_once(8, create))
    assert len(prices_at_stripe(providers, made)) == 1
    assert left(products, products.call("get", made)) == 500


def test_service_killed_during_create_makes_one_product(products: RunningService, providers: RunningSandbox) -> None:
    same = key()
    failed: list[ShopError] = []

    def create() -> None:
        try:
            products.call("create", BONE, same, timeout=5.0)
        except ShopError as error:
            failed.append(error)

    providers.fault("stripe", path="/v1/prices", method="POST", latency_ms=3000)
    caller = threading.Thread(target=create)
    caller.start()
    time.sleep(1.0)  # by now the product is made, but its price is not
    products.kill()
    providers.heal()
    for _ in range(2):
        products.start()
    products.wait()
    caller.join(60)
    made = products.call("create", BONE, same)
    assert len(prices_at_stripe(providers, made["id"])) == 1
    assert [one["id"] for one in products.call("list", made["name"])["data"]].count(made["id"]) == 1


def test_deleting_again_answers_the_same(products: RunningService) -> None:
    made = make(products)
    first = products.call("delete", made["id"])
    assert products.call("delete", made["id"]) == first
    for verb, more in (("get", []), ("offer", []), ("update", [{"name": "x"}])):
        with pytest.raises(NotFound):
            products.call(verb, made["id"], *more)


def test_concurrent_changes_are_all_kept(products: RunningService) -> None:
    made = make(products)
    changes: list[dict[str, Any]] = [{"name": "Renamed"}, {"price": 70}, {"metadata": {"size": "s"}}, {"active": False}]
    at_once(4, lambda number: products.call("update", made["id"], changes[number]))
    found = products.call("get", made["id"])
    assert (found["name"], found["metadata"]["size"], found["active"]) == ("Renamed", "s", False)
    assert found["skus"]["data"][0]["price"] == 70


# Offers, prices and stock


def test_a_price_change_keeps_the_sku(products: RunningService) -> None:
    made = make(products)
    changed = products.call("update", made["id"], {"price": 75})
    assert sku(changed) == sku(made)
    assert products.call("offer", made["id"])["price"] == 75
    assert products.call("price", items(made, 2))[0]["price"] == 75


def test_offer_contains_the_fields_that_a_cart_needs(products: RunningService) -> None:
    made = make(products)
    assert products.call("offer", made["id"]) == {
        "product": made["id"],
        "sku": sku(made),
        "name": "Wally bone",
        "image": None,
        "attributes": BONE["attributes_sku"],
        "price": 50,
        "currency": "usd",
        "inventory": {"type": "finite", "quantity": 500, "value": None},
        "package_dimensions": BONE["package_dimensions"],
    }


def test_items_are_priced_in_their_order(products: RunningService) -> None:
    one, other = make(products, name="One", price=1), make(products, name="Other", price=2)
    priced = products.call("price", items(other, 3) + items(one, 1) + items(other, 2))
    assert priced[0] == {
        "parent": sku(other),
        "product": other["id"],
        "description": "Other",
        "quantity": 3,
        "price": 2,
        "currency": "usd",
        "shippable": True,
        "package_dimensions": BONE["package_dimensions"],
        "tax_code": None,
    }
    assert [(line["description"], line["quantity"]) for line in priced] == [("Other", 3), ("One", 1), ("Other", 2)]


def test_conflict_names_the_sku_that_cannot_be_sold(products: RunningService) -> None:
    made = make(products, inventory={"type": "finite", "quantity": 4})
    with pytest.raises(Conflict) as refusal:
        products.call("price", items(made, 3) + items(made, 2))
    assert (refusal.value.facts["parent"], refusal.value.facts["left"]) == (sku(made), 4)
    assert products.call("price", items(made, 5), False)

    products.call("update", made["id"], {"active": False})
    for verb, arguments in (("price", [items(made, 1)]), ("reserve", [key(), items(made, 1)]), ("offer", [made["id"]])):
        with pytest.raises(Conflict) as refusal:
            products.call(verb, *arguments)
        assert refusal.value.facts["parent"] == sku(made)
    products.call("update", made["id"], {"active": True})
    products.call("delete", made["id"])
    with pytest.raises(Conflict):
        products.call("price", items(made, 1), False)
    with pytest.raises(Conflict):
        products.call("price", [{"parent": "sku_never", "quantity": 1}])


def test_every_product_that_cannot_be_sold_is_named(products: RunningService) -> None:
    few = make(products, name="Bone", inventory={"type": "finite", "quantity": 1})
    idle, deleted = make(products, name="Collar"), make(products, name="Leash")
    lines = items(few, 2) + items(idle, 1) + items(deleted, 1)
    products.call("update", idle["id"], {"active": False})
    products.call("delete", deleted["id"])
    for verb, arguments in (("price", [lines]), ("reserve", [key(), lines])):
        with pytest.raises(Conflict) as refusal:
            products.call(verb, *arguments)
        detail = refusal.value.detail
        assert all(text in detail for text in ("Not enough of Bone", "Collar is not on sale", "Leash is not on sale"))
        assert {each["parent"] for each in refusal.value.facts["problems"]} == {sku(few), sku(idle), sku(deleted)}
    assert left(products, few) == 1
    with pytest.raises(NotFound, match="Leash is not on sale any more"):
        products.call("offer", deleted["id"])
    with pytest.raises(Conflict) as refusal:
        products.call("price", [{"parent": "sku_never", "quantity": 1}, *items(idle, 1)], False)
    assert {each["parent"]: each["known"] for each in refusal.value.facts["problems"]} == {
        "sku_never": False,
        sku(idle): True,
    }


def test_reserve_lowers_the_stock_and_release_restores_it(products: RunningService) -> None:
    made, order = make(products, inventory={"type": "finite", "quantity": 5}), key()
    assert products.call("reserve", order, items(made, 3)) == {"key": order, "state": "held"}
    assert products.call("reserve", order, items(made, 3)) == {"key": order, "state": "held"}
    assert left(products, made) == 2
    assert products.call("release", order) == {"key": order, "state": "released"}
    assert products.call("release", order) == {"key": order, "state": "released"}
    assert left(products, made) == 5
    with pytest.raises(Conflict):
        products.call("reserve", order, items(made, 3))
    products.call("update", made["id"], {"inventory": {"type": "bucket", "value": "out_of_stock"}})
    with pytest.raises(Conflict):
        products.call("reserve", key(), items(made, 1))


def test_two_copies_never_oversell_to_a_hundred_buyers(products: RunningService) -> None:
    made = make(products, inventory={"type": "finite", "quantity": 7})

    def buy(number: int) -> bool:
        try:
            products.call("reserve", f"{made['id']} {number}", items(made, 1))
        except Conflict:
            return False
        return True

    assert sum(at_once(100, buy)) == 7
    assert left(products, made) == 0


# Several SKUs


def shirt(products: RunningService, *sizes: str, **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = products.call("create", variants(*sizes, **changes), key())
    return made


def skus(product: dict[str, Any]) -> dict[str, str]:
    return {sku["attributes"]["size"]: sku["id"] for sku in product["skus"]["data"]}


def test_one_of_several_skus_is_offered_and_priced(products: RunningService) -> None:
    made = shirt(products, "s", "m")
    assert made["skus"]["total_count"] == 2
    m = skus(made)["m"]
    by_id, by_attributes = (
        products.call("offer", made["id"], m),
        products.call("offer", made["id"], None, {"size": "m"}),
    )
    assert by_id == by_attributes
    assert (by_id["sku"], by_id["attributes"], by_id["inventory"]["quantity"]) == (m, {"size": "m"}, 5)
    with pytest.raises(Conflict, match="`sku` or `attributes`"):
        products.call("offer", made["id"])
    with pytest.raises(InvalidRequest) as refusal:
        products.call("offer", made["id"], None, {"size": "xl"})
    assert list(refusal.value.facts["errors"]) == ["attributes"]
    [line] = products.call("price", [{"parent": m, "quantity": 2}])
    assert (line["description"], line["parent"]) == ("Wally shirt (m)", m)


def test_skus_are_added_changed_and_removed(products: RunningService, providers: RunningSandbox) -> None:
    made = shirt(products, "s", "m")
    same = key()
    spec = {"price": 60, "attributes": {"size": "l"}, "inventory": {"type": "finite", "quantity": 2}}
    added = products.call("add_sku", made["id"], spec, same)
    assert products.call("add_sku", made["id"], spec, same) == added
    large = skus(added)["l"]
    changed = products.call("update_sku", made["id"], large, {"price": 65, "attributes": {"size": "xl"}})
    assert skus(changed) == {**skus(made), "xl": large}
    with pytest.raises(InvalidRequest) as refusal:
        products.call("update_sku", made["id"], large, {"attributes": {"size": "s"}})
    assert list(refusal.value.facts["errors"]) == ["attributes"]
    with pytest.raises(InvalidRequest) as refusal:
        products.call("update", made["id"], {"price": 70})
    assert list(refusal.value.facts["errors"]) == ["price"]
    first = skus(made)["s"]
    assert list(skus(products.call("delete_sku", made["id"], first))) == ["m", "xl"]
    assert list(skus(products.call("delete_sku", made["id"], first))) == ["m", "xl"]
    for verb, arguments in (("offer", (made["id"], first)), ("price", ([{"parent": first, "quantity": 1}],))):
        with pytest.raises(Conflict, match="Wally shirt is not on sale"):
            products.call(verb, *arguments)
    assert products.call("rebuild")["removed"] == 0
    assert list(skus(products.call("get", made["id"]))) == ["m", "xl"]


def test_shown_items_say_why_they_cannot_be_bought(products: RunningService) -> None:
    made = shirt(products, "s", "m", "l", images=["https://example.com/shirt.png"])
    s, m, large = skus(made).values()
    products.call("delete_sku", made["id"], large)
    asked = [{"parent": sku, "quantity": 6 if sku == m else 5} for sku in (s, m, large, "sku_never")]
    found = products.call("show", asked)
    assert found[0] == {
        "parent": s,
        "product": made["id"],
        "name": "Wally shirt",
        "image": "https://example.com/shirt.png",
        "attributes": {"size": "s"},
        "price": 50,
        "currency": "usd",
        "detail": None,
    }
    assert (found[1]["price"], found[1]["detail"]) == (50, f"Not enough of Wally shirt (m) ({m}) for 6: only 5 left.")
    assert found[2] == {"parent": large, "product": made["id"], "detail": "Wally shirt is not on sale."}
    assert found[3] == {"parent": "sku_never", "product": None, "detail": "sku_never is not on sale."}


def test_stock_of_each_sku_is_never_oversold(products: RunningService) -> None:
    made = shirt(products, "s", "m", "l")

    def buy(number: int) -> str | None:
        size = "sml"[number % 3]
        try:
            products.call("reserve", f"{made['id']} {number}", [{"parent": skus(made)[size], "quantity": 1}])
        except Conflict:
            return None
        return size

    sold = Counter(at_once(90, buy))
    assert {size: sold[size] for size in "sml"} == {"s": 5, "m": 5, "l": 5}
    now = products.call("get", made["id"])["skus"]["data"]
    assert [sku["inventory"]["quantity"] for sku in now] == [0, 0, 0]


def test_concurrent_changes_keep_skus_different_and_at_least_one(products: RunningService) -> None:
    made = shirt(products, "s", "m", "l")

    def outcome(verb: str, *arguments: Any) -> bool:
        end = time.monotonic() + 50
        while True:
            try:
                products.call(verb, made["id"], *arguments)
            except Conflict as error:
                if "retry_after" not in error.facts or time.monotonic() > end:
                    return False
            except InvalidRequest:
                return False
            else:
                return True

    same = {"price": 60, "attributes": {"size": "xl"}}
    assert sum(at_once(4, lambda _: outcome("add_sku", same, key()))) == 1
    ids = list(skus(products.call("get", made["id"])).values())
    assert sum(at_once(4, lambda number: outcome("delete_sku", ids[number]))) == 3
    assert products.call("get", made["id"])["skus"]["total_count"] == 1
    products.call("rebuild")
    assert products.call("get", made["id"])["skus"]["total_count"] == 1


def test_lost_database_is_restored_from_stripe(
    products: RunningService, place: Place, providers: RunningSandbox, tmp_path: Path
) -> None:
    made = shirt(products, "s", "m", "l")
    products.call("delete_sku", made["id"], skus(made)["s"])
    products.call("update_sku", made["id"], skus(made)["m"], {"inventory": {"type": "finite", "quantity": 8}})
    now = products.call("get", made["id"])
    database = Database(url_for("products", None, str(tmp_path)), "products")
    migrate(database)
    catalog = StripeCatalog(SANDBOX_KEYS["stripe"], f"{providers.url}/stripe", ProviderSession(5.0, 20.0))
    projection = Projection(catalog, ProductStore(database))
    projection.rebuild()
    assert projection.get(made["id"]).public() == now
    database.dispose()


# The projection


def test_rebuild_copies_changes_made_at_stripe(products: RunningService, providers: RunningSandbox) -> None:
    made = make(products)
    products.call("reserve", key(), items(made, 3))
    url = f"{providers.url}/stripe/v1/products/{made['id']}"
    requests.post(url, data={"name": "Renamed elsewhere"}, auth=(SANDBOX_KEYS["stripe"], ""), timeout=30)
    assert products.call("rebuild")["products"] >= 1
    assert products.call("get", made["id"])["name"] == "Renamed elsewhere"
    assert left(products, made) == 497


def test_refresh_copies_one_change_made_at_stripe(products: RunningService, providers: RunningSandbox) -> None:
    made = make(products)
    products.call("reserve", key(), items(made, 3))
    url = f"{providers.url}/stripe/v1/products/{made['id']}"
    requests.post(url, data={"name": "Renamed elsewhere"}, auth=(SANDBOX_KEYS["stripe"], ""), timeout=30)
    assert products.call("refresh", made["id"]) == {"product": made["id"], "present": True}
    assert products.call("get", made["id"])["name"] == "Renamed elsewhere"
    assert left(products, made) == 497
    assert products.call("refresh", "prod_elsewhere") == {"product": "prod_elsewhere", "present": False}


def test_an_operator_reads_a_product_from_the_shell(products: RunningService, place: Place) -> None:
    made = make(products, name="Read in the shell")
    nameko = str(Path(sys.executable).with_name("nameko"))
    script = f"print(n.rpc.products.get({made['id']!r})['name'])\n"
    assert "Read in the shell" in place.run(nameko, "shell", "--config", "config.yml", script=script).stdout
