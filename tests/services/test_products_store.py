"""Finding, ordering and paging, and the stock, over SQLite and PostgreSQL with the same tests."""

import multiprocessing
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.database import Database
from contracts.errors import Conflict, InvalidRequest
from products import tables
from products.catalog import Product, Sku
from products.stock import Inventory, lines
from products.store import ProductStore


@pytest.fixture
def store(database: Callable[[str], Database]) -> ProductStore:
    return ProductStore(database("products"))


def product(
    number: int | str,
    name: str = "Bone",
    price: int = 50,
    inventory: Inventory = Inventory("finite", 10),  # noqa: B008
    attributes: tuple[str, ...] = (),
    **document: Any,
) -> Product:
    return Product(
        document={
            "id": f"prod_{number}",
            "object": "product",
            "name": name,
            "description": None,
            "active": True,
            "created": 100,
            "updated": 100,
            "livemode": False,
            "metadata": {},
            "package_dimensions": {"height": 5.0, "length": 5.0, "weight": 5.0, "width": 5.0},
            **document,
        },
        attributes=list(attributes),
        sku=Sku(f"sku_{number}", price, "usd", {}, f"price_{number}"),
        inventory=inventory,
    )


def fill(store: ProductStore, *made: Product) -> None:
    assert store.save_all([(one, 0) for one in made]) == len(made)


def ids(store: ProductStore, category: str | None = None, order_by: str = "name") -> list[str]:
    data, has_more, total = store.page(category, order_by, 100, None)
    assert not has_more
    assert total == len(data)
    return [one["id"].removeprefix("prod_") for one in data]


def pages(store: ProductStore, category: str | None, order_by: str, limit: int) -> Iterator[list[str]]:
    after, has_more = None, True
    while has_more:
        data, has_more, _ = store.page(category, order_by, limit, after)
        yield [one["id"] for one in data]
        after = data[-1]["id"] if data else None


# The tables


def test_the_migrations_make_the_tables_that_the_code_expects(store: ProductStore) -> None:
    with store.database.read() as connection:
        options = {"compare_type": True}
        found = compare_metadata(MigrationContext.configure(connection, opts=options), tables.metadata)
    assert [change for change in found if "alembic_version" not in str(change)] == []


def test_what_is_ordered_is_ordered_by_code_point(store: ProductStore) -> None:
    # The server of the tests knows no other order; the one of a shop, made with a locale, would.
    collation = "C" if store.database.dialect == "postgresql" else None
    with store.database.read() as connection:
        inspector = sa.inspect(connection)
        for table, names in {
            "products": ("id", "sku", "name_key"),
            "product_metadata": ("name", "product", "value_key"),
            "product_terms": ("term", "product"),
        }.items():
            found = {
                column["name"]: getattr(column["type"], "collation", None) for column in inspector.get_columns(table)
            }
            assert {name: found[name] for name in names} == dict.fromkeys(names, collation)


# Found


def test_a_category_is_looked_for_where_the_api_says(store: ProductStore) -> None:
    fill(
        store,
        product("category", "A", metadata={"category": "Dog Toys"}),
        product("for", "B", metadata={"category": "x", "for": "dog toys"}),
        product("type", "C", metadata={"category": "x", "type": "DOG TOYS"}),
        product("name", "D dog toys"),
        product("whole", "Dog  Toys"),
        product("words", "F", description="Toys made for a (dog)."),
        product("attribute", "G", attributes=("dog toys",)),
        product("other metadata", "H", metadata={"category": "x", "brand": "dog toys"}),
        product("one word only", "I toys"),
        product("part of a word", "J", description="dogs toys"),
    )
    assert ids(store, "dog toys") == ["category", "for", "type", "name", "whole", "words", "attribute"]
    assert ids(store, "toys") == ["name", "whole", "words", "one word only", "part of a word"]
    assert ids(store, "nothing such") == []
    assert len(ids(store, "  ")) == 10


@pytest.mark.parametrize("category", ["ÉCLAIR", "éclair", "E\u0301clair", "собак", "СОБАК", "STRASSE", "straße"])
def test_case_folds_alike_in_both_databases(store: ProductStore, category: str) -> None:
    fill(store, product(1, "Éclair для собак, Straße"), product(2, "Bone"))
    assert ids(store, category) == ["1"]


@pytest.mark.parametrize("category", ["%", "_one", "' OR 1=1 --", "=bone", "x" * 600, "\0", "!!!"])
def test_a_category_is_only_ever_text(store: ProductStore, category: str) -> None:
    fill(store, product(1, "Bone"), product(2, "!!!" if category == "!!!" else "Stick"))
    assert ids(store, category) == ({"!!!": ["2"], "=bone": ["1"], "\0": ["1", "2"]}.get(category, []))


# Ordered


def test_the_columns_order_both_ways(store: ProductStore) -> None:
    fill(
        store,
        product(1, "banana", 300, created=3, updated=30),
        product(2, "Apple", 100, created=1, updated=50),
        product(3, "éclair", 200, created=2, updated=40),
    )
    assert ids(store) == ["2", "1", "3"]
    assert ids(store, order_by="-name") == ["3", "1", "2"]
    assert ids(store, order_by="price") == ["2", "3", "1"]
    assert ids(store, order_by="-price") == ["1", "3", "2"]
    assert ids(store, order_by="created") == ["2", "3", "1"]
    assert ids(store, order_by="-updated") == ["2", "3", "1"]


def test_products_without_the_key_come_last_in_both_directions(store: ProductStore) -> None:
    fill(
        store,
        product(1),
        product(2, metadata={"size": "b"}),
        product(3, metadata={"size": "A"}),
        product(4),
        product(5, metadata={"size": "b"}),
    )
    assert ids(store, order_by="size") == ["3", "2", "5", "1", "4"]
    assert ids(store, order_by="-size") == ["2", "5", "3", "1", "4"]


def test_an_order_that_no_product_has_is_refused(store: ProductStore) -> None:
    fill(store, product(1, metadata={"size": "b"}))
    for order_by in ("colour", "-colour", "name_key", "shop:sku", "id'"):
        with pytest.raises(InvalidRequest) as refusal:
            store.page(None, order_by, 10, None)
        assert list(refusal.value.facts["errors"]) == ["order_by"]
    store.remove("prod_1")
    with pytest.raises(InvalidRequest):
        store.page(None, "size", 10, None)
    assert ids(store, order_by="category") == []


def test_an_unknown_place_to_go_on_from_is_refused(store: ProductStore) -> None:
    fill(store, product(1))
    with pytest.raises(InvalidRequest) as refusal:
        store.page(None, "name", 10, "prod_unknown")
    assert list(refusal.value.facts["errors"]) == ["starting_after"]


# Paged

NAMES = st.sampled_from(
    ["bone", "Bone", "BONE", "stick", "Éclair", "eclair", "собака", "\ufb01n", "\U0001d51fone", "z"]
)
SIZES = st.sampled_from([None, "s", "S", "m", "Ω", "ω", "10", "9"])
CATALOGUE = st.lists(st.tuples(NAMES, SIZES, st.integers(1, 3)), min_size=1, max_size=12)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    catalogue=CATALOGUE, limit=st.integers(1, 5), order=st.sampled_from(["name", "price", "size"]), down=st.booleans()
)
def test_pages_never_repeat_or_skip(
    store: ProductStore, catalogue: list[tuple[str, str | None, int]], limit: int, order: str, down: bool
) -> None:
    with store.database.write() as connection:
        for table in reversed(tables.metadata.sorted_tables):
            connection.execute(sa.delete(table))
    made = [
        # Ids whose case differs: their order must not be a locale's.
        product(f"{'aB'[number % 2]}{number}", name, price, metadata={"type": "x", **({"size": size} if size else {})})
        for number, (name, size, price) in enumerate(catalogue)
    ]
    fill(store, *made)
    if order == "size" and not any(size for _, size, _ in catalogue):
        return

    def key(one: Product) -> Any:
        size = one.metadata.get("size")
        return {"name": folded(one.name), "price": one.sku.price, "size": None if size is None else folded(size)}[order]

    expected = sorted((one for one in made if key(one) is not None), key=lambda one: one.id)
    expected.sort(key=key, reverse=down)  # stable: ties stay by id
    expected += sorted((one for one in made if key(one) is None), key=lambda one: one.id)
    for category in (None, "x"):
        found = list(pages(store, category, ("-" if down else "") + order, limit))
        assert [one for page in found for one in page] == [one.id for one in expected]
        assert all(len(page) == limit for page in found[:-1])


def folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


@pytest.mark.parametrize("order_by", ["name", "-price", "size", "-size"])
def test_a_page_goes_on_after_a_product_that_was_deleted_meanwhile(store: ProductStore, order_by: str) -> None:
    fill(store, *(product(number, f"n{number}", 10 - number, metadata={"size": f"s{number}"}) for number in range(6)))
    everything = [one["id"] for one in store.page(None, order_by, 100, None)[0]]
    store.remove(everything[2])
    rest, has_more, total = store.page(None, order_by, 100, everything[2])
    assert [one["id"] for one in rest] == everything[3:]
    assert (has_more, total) == (False, 5)


def test_a_page_takes_two_queries(store: ProductStore) -> None:
    fill(store, *(product(number, metadata={"size": "s"}) for number in range(30)))
    statements: list[str] = []

    @sa.event.listens_for(store.database.engine, "before_cursor_execute")
    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(("SELECT", "WITH")):
            statements.append(statement)

    store.page("bone", "-size", 10, "prod_5")
    assert len(statements) == 2


# Written


def test_an_older_state_does_not_cover_a_newer_one(store: ProductStore) -> None:
    fill(store, product(1))
    assert store.save(product(1, "Second"), 1) is True
    assert store.save(product(1, "Built on the first"), 1) is False
    assert store.save(product(1, "Made again"), 0) is False
    kept = store.kept("prod_1")
    assert kept is not None
    assert (kept.product.name, kept.revision) == ("Second", 2)


def test_what_a_product_is_found_by_follows_its_changes(store: ProductStore) -> None:
    fill(store, product(1, "Bone", metadata={"category": "food", "size": "s"}))
    assert store.save(product(1, "Stick", metadata={"category": "toys"}), 1)
    assert ids(store, "bone") == ids(store, "food") == []
    assert ids(store, "stick") == ids(store, "toys") == ["1"]
    with pytest.raises(InvalidRequest):
        store.page(None, "size", 10, None)


def test_a_removed_product_is_in_no_list_and_its_key_makes_no_other(store: ProductStore) -> None:
    fill(store, product(1), product(2))
    store.remove("prod_1")
    assert ids(store) == ids(store, "bone") == ["2"]
    assert store.save(product(1), 0) is False
    assert store.save(product(1), 2) is False
    kept = store.kept("prod_1")
    assert kept is not None
    assert kept.removed


# The stock


def left(store: ProductStore, number: int | str = 1) -> int | None:
    kept = store.kept(f"prod_{number}")
    assert kept is not None
    return kept.left.quantity


def take(store: ProductStore, key: str, *items: tuple[int, int]) -> None:
    store.stock.reserve(key, lines([{"parent": f"sku_{number}", "quantity": count} for number, count in items]))


def test_a_reserve_takes_all_or_nothing(store: ProductStore) -> None:
    fill(store, product(1), product(2, inventory=Inventory("finite", 1)))
    with pytest.raises(Conflict) as refusal:
        take(store, "order", (1, 3), (2, 2))
    assert refusal.value.facts == {"parent": "sku_2", "left": 1}
    assert (left(store, 1), left(store, 2)) == (10, 1)
    take(store, "order", (1, 3), (2, 1))
    assert (left(store, 1), left(store, 2)) == (7, 0)


def test_the_same_key_takes_once(store: ProductStore) -> None:
    fill(store, product(1))
    take(store, "order", (1, 3))
    take(store, "order", (1, 3))
    assert left(store) == 7
    with pytest.raises(Conflict):
        take(store, "order", (1, 4))
    assert left(store) == 7


def test_a_refused_key_may_try_again(store: ProductStore) -> None:
    fill(store, product(1))
    with pytest.raises(Conflict):
        take(store, "order", (1, 11))
    take(store, "order", (1, 10))
    assert left(store) == 0


def test_a_release_gives_back_once_and_for_good(store: ProductStore) -> None:
    fill(store, product(1))
    take(store, "order", (1, 3))
    store.stock.release("order")
    store.stock.release("order")
    assert left(store) == 10
    with pytest.raises(Conflict):
        take(store, "order", (1, 3))
    assert left(store) == 10


def test_a_release_that_comes_first_keeps_the_reserve_from_taking(store: ProductStore) -> None:
    fill(store, product(1))
    store.stock.release("order")
    with pytest.raises(Conflict):
        take(store, "order", (1, 3))
    assert left(store) == 10


def test_what_is_not_counted_is_not_taken(store: ProductStore) -> None:
    fill(
        store,
        product(1, inventory=Inventory("infinite")),
        product(2, inventory=Inventory("bucket", None, "limited")),
        product(3, inventory=Inventory("bucket", None, "out_of_stock")),
    )
    take(store, "order", (1, 1000), (2, 1000))
    with pytest.raises(Conflict):
        take(store, "other", (3, 1))
    assert left(store, 1) is None


def test_only_what_was_taken_is_given_back(store: ProductStore) -> None:
    fill(store, product(1, inventory=Inventory("infinite")))
    take(store, "order", (1, 5))
    assert store.save(product(1), 1, Inventory("finite", 10))
    store.stock.release("order")
    assert left(store) == 10


@pytest.mark.parametrize("how", ["removed", "inactive", "unknown"])
def test_what_is_not_on_sale_cannot_be_taken(store: ProductStore, how: str) -> None:
    fill(store, product(1), product(2, active=False))
    store.remove("prod_1")
    with pytest.raises(Conflict):
        take(store, "order", ({"removed": 1, "inactive": 2, "unknown": 3}[how], 1))


def test_a_shelf_is_filled_by_hand_and_by_nothing_else(store: ProductStore) -> None:
    fill(store, product(1))
    take(store, "order", (1, 3))
    assert store.save(product(1, "Renamed"), 1)
    assert left(store) == 7
    assert store.save(product(1, "Refilled"), 2, Inventory("finite", 20))
    assert left(store) == 20


def test_the_database_itself_refuses_less_than_nothing(store: ProductStore) -> None:
    fill(store, product(1))
    with pytest.raises(sa.exc.IntegrityError), store.database.write() as connection:
        connection.execute(sa.update(tables.stock).values(quantity=-1))


def test_a_shelf_filled_while_it_is_looked_at_gives_nothing_that_was_not_taken(store: ProductStore) -> None:
    fill(store, product(1, inventory=Inventory("finite", 1)))
    if store.database.dialect == "postgresql":  # on SQLite nobody writes while another does
        other = Database(store.database.url, "products")

        @sa.event.listens_for(store.database.engine, "before_cursor_execute")
        def refill(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if statement.startswith("SELECT") and "FROM stock" in statement:
                with other.write() as connection:
                    connection.execute(sa.update(tables.stock).values(quantity=10))

    with pytest.raises(Conflict):
        take(store, "order", (1, 3))
    with store.database.read() as connection:
        assert connection.execute(sa.select(tables.holds.c.key)).all() == []


# The stock, with many at once


def race(workers: int, run: Callable[[int], bool]) -> int:
    """Run `run(0)`, `run(1)`, … at the same moment; how many said True."""
    gate = threading.Barrier(workers)

    def one(number: int) -> bool:
        gate.wait(30)
        return run(number)

    with ThreadPoolExecutor(workers) as pool:
        return sum(pool.map(one, range(workers), timeout=60))


def tried(run: Callable[[], None]) -> bool:
    try:
        run()
    except Conflict:
        return False
    return True


def test_a_hundred_buyers_of_the_last_pieces(store: ProductStore) -> None:
    fill(store, product(1, inventory=Inventory("finite", 7)))
    assert race(100, lambda number: tried(lambda: take(store, f"order {number}", (1, 1)))) == 7
    assert left(store) == 0


def test_orders_over_the_same_skus_never_lock_each_other_out(store: ProductStore) -> None:
    fill(store, *(product(number, inventory=Inventory("finite", 30)) for number in (1, 2, 3)))
    mixed = [((1, 1), (2, 1)), ((2, 1), (1, 1)), ((3, 1), (1, 1)), ((2, 1), (3, 1))]
    sold = race(40, lambda number: tried(lambda: take(store, f"order {number}", *mixed[number % 4])))
    assert sold == 40
    assert [left(store, number) for number in (1, 2, 3)] == [0, 0, 10]


def test_one_key_sent_many_times_at_once_takes_once(store: ProductStore) -> None:
    fill(store, product(1))
    assert race(20, lambda _: tried(lambda: take(store, "order", (1, 3)))) == 20
    assert left(store) == 7


def test_reserve_and_release_of_one_key_at_once_leave_nothing_taken(store: ProductStore) -> None:
    fill(store, product(1, inventory=Inventory("finite", 100)))

    def run(number: int) -> bool:
        key = f"order {number // 2}"
        return tried(lambda: take(store, key, (1, 1)) if number % 2 else store.stock.release(key))

    for _ in range(5):
        race(40, run)
        assert left(store) == 100
        with store.database.write() as connection:
            connection.execute(sa.delete(tables.holds))


def buy(url: str, buyers: int, name: str, go: Any, results: Any) -> None:
    """A copy of the service: `buyers` buyers in threads."""
    database = Database(url, "products")
    store = ProductStore(database)
    go.wait(60)
    sold = race(buyers, lambda number: tried(lambda: take(store, f"{name} {number}", (1, 1))))
    database.dispose()
    results.put((name, sold))


def test_a_hundred_buyers_in_four_processes(store: ProductStore) -> None:
    fill(store, product(1, inventory=Inventory("finite", 9)))
    spawn = multiprocessing.get_context("spawn")
    go, results = spawn.Event(), spawn.Queue()
    url = store.database.url.render_as_string(hide_password=False)
    copies = [spawn.Process(target=buy, args=(url, 25, f"copy {n}", go, results)) for n in range(4)]
    for copy in copies:
        copy.start()
    go.set()
    sold = Counter(dict(results.get(timeout=60) for _ in copies))
    for copy in copies:
        copy.join(30)
        assert copy.exitcode == 0
    assert sold.total() == 9
    assert left(store) == 0
    with store.database.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.holds)).scalar_one() == 9
