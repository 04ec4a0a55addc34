"""Searching, sorting and paging on SQLite and PostgreSQL."""

import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.errors import InvalidRequest
from products.rules.catalog import Product, Sku
from products.store import listing, tables
from products.store.products import ProductStore
from tests.products import fill, product


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


def test_sorted_columns_use_code_point_order(store: ProductStore) -> None:
    # The test server has only the C collation. A shop's server may be created with a locale.
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


# Searching


def test_category_is_searched_in_the_documented_fields(store: ProductStore) -> None:
    fill(
        store,
        product("category", "A", metadata={"category": "Dog Toys"}),
        product("for", "B", metadata={"category": "x", "for": "dog toys"}),
        product("type", "C", metadata={"category": "x", "type": "DOG TOYS"}),
        product("name", "D dog toys"),
        product("whole", "Dog  Toys"),
        product("words", "F", description="Toys made for a (dog)."),
        product("attribute", "G", attributes={"dog toys": "any"}),
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
def test_category_is_treated_as_plain_text(store: ProductStore, category: str) -> None:
    fill(store, product(1, "Bone"), product(2, "!!!" if category == "!!!" else "Stick"))
    assert ids(store, category) == ({"!!!": ["2"], "=bone": ["1"], "\0": ["1", "2"]}.get(category, []))


# Sorting


def test_columns_sort_in_both_directions(store: ProductStore) -> None:
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


def test_sort_key_that_no_product_has_is_refused(store: ProductStore) -> None:
    fill(store, product(1, metadata={"size": "b"}))
    for order_by in ("colour", "-colour", "name_key", "shop:sku", "id'"):
        with pytest.raises(InvalidRequest) as refusal:
            store.page(None, order_by, 10, None)
        assert list(refusal.value.facts["errors"]) == ["order_by"]
    store.remove("prod_1")
    with pytest.raises(InvalidRequest):
        store.page(None, "size", 10, None)
    assert ids(store, order_by="category") == []


def test_unknown_starting_after_is_refused(store: ProductStore) -> None:
    fill(store, product(1))
    with pytest.raises(InvalidRequest) as refusal:
        store.page(None, "name", 10, "prod_unknown")
    assert list(refusal.value.facts["errors"]) == ["starting_after"]


# Paging

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
        # Ids that differ in case, because their order must not follow a locale.
        product(f"{'aB'[number % 2]}{number}", name, price, metadata={"type": "x", **({"size": size} if size else {})})
        for number, (name, size, price) in enumerate(catalogue)
    ]
    fill(store, *made)
    if order == "size" and not any(size for _, size, _ in catalogue):
        return

    def key(one: Product) -> Any:
        size = one.metadata.get("size")
        return {"name": folded(one.name), "price": one.price, "size": None if size is None else folded(size)}[order]

    expected = sorted((one for one in made if key(one) is not None), key=lambda one: one.id)
    expected.sort(key=key, reverse=down)  # stable sort: ties keep the order of ids
    expected += sorted((one for one in made if key(one) is None), key=lambda one: one.id)
    for category in (None, "x"):
        found = list(pages(store, category, ("-" if down else "") + order, limit))
        assert [one for page in found for one in page] == [one.id for one in expected]
        assert all(len(page) == limit for page in found[:-1])


def test_page_ends_before_it_has_too_many_skus(store: ProductStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "SKUS_ON_A_PAGE", 3)
    for number, count in enumerate((1, 2, 1, 5, 4, 1)):
        more = [
            Sku(f"sku_{number}_{each}", 50, "usd", {"size": str(each)}, f"price_{each}") for each in range(1, count)
        ]
        fill(store, product(number, f"n{number}", more=more))
    found = list(pages(store, None, "name", 4))
    assert found == [["prod_0", "prod_1"], ["prod_2"], ["prod_3"], ["prod_4"], ["prod_5"]]
    assert len(store.page(None, "name", 4, None)[0][1]["skus"]["data"]) == 2


def folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


@pytest.mark.parametrize("order_by", ["name", "-price", "size", "-size"])
def test_page_continues_after_a_deleted_product(store: ProductStore, order_by: str) -> None:
    fill(store, *(product(number, f"n{number}", 10 - number, metadata={"size": f"s{number}"}) for number in range(6)))
    everything = [one["id"] for one in store.page(None, order_by, 100, None)[0]]
    store.remove(everything[2])
    rest, has_more, total = store.page(None, order_by, 100, everything[2])
    assert [one["id"] for one in rest] == everything[3:]
    assert (has_more, total) == (None, 5)


@pytest.mark.parametrize(
    "order_by", [f"{sign}{name}" for name in ("name", "price", "created", "size") for sign in ("", "-")]
)
def test_every_unchanged_product_is_seen_once_between_changes(store: ProductStore, order_by: str) -> None:
    prices = [5, 40, 100, 9, 100, 30, 7, 250, 1000, 8, 60, 70]
    metadata = [{"size": f"s{number % 5}"} if number % 3 else {} for number in range(len(prices))]
    fill(
        store,
        *(product(number, f"n{number % 4}", price, metadata=metadata[number]) for number, price in enumerate(prices)),
    )
    order = [one["id"] for one in store.page(None, order_by, 100, None)[0]]
    changed, seen, cursor, new = set(), list[str](), None, 100
    while True:
        data, cursor, _ = store.page(None, order_by, 3, cursor)
        seen += [one["id"] for one in data]
        if cursor is None:
            break
        # The last product of the page moves to the other end, the one before it is removed, and a new one is added.
        last, gone = data[-1]["id"], data[-2]["id"]
        number = int(last.removeprefix("prod_"))
        kept = store.kept(last)
        assert kept is not None
        if number < 100 and last not in changed:
            assert store.save(product(number, "zzz", 5000, metadata={"size": "zz"}), kept.revision)
        store.remove(gone)
        fill(store, product(new, "n1", 55, metadata={"size": "s1"}))
        changed |= {last, gone, f"prod_{new}"}
        new += 1
    unchanged = [one for one in order if one not in changed]
    assert [one for one in seen if one not in changed] == unchanged
    assert len(unchanged) >= 4


def test_cursor_of_another_order_is_refused(store: ProductStore) -> None:
    fill(store, *(product(number) for number in range(3)))
    _, cursor, _ = store.page(None, "price", 1, None)
    for order_by, place in (("-price", cursor), ("name", cursor), ("price", "c1.bm90"), ("price", "c1." + "a" * 3000)):
        with pytest.raises(InvalidRequest) as refusal:
            store.page(None, order_by, 1, place)
        assert list(refusal.value.facts["errors"]) == ["starting_after"]


def test_page_after_a_cursor_takes_two_queries_by_the_index(store: ProductStore) -> None:
    fill(store, *(product(number, f"n{number}") for number in range(30)))
    _, cursor, _ = store.page(None, "price", 10, None)
    statements: list[tuple[str, Any]] = []

    @sa.event.listens_for(store.database.engine, "before_cursor_execute")
    def count(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "WITH")):
            statements.append((statement, parameters))

    store.page(None, "price", 10, cursor)
    sa.event.remove(store.database.engine, "before_cursor_execute", count)
    assert len(statements) == 2
    if store.database.dialect == "sqlite":
        with store.database.read() as connection:
            plan = [
                str(row)
                for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statements[1][0]}", statements[1][1])
            ]
        assert any("products_by_price" in row and "SEARCH" in row for row in plan), plan
        assert not any("TEMP B-TREE FOR ORDER BY" in row for row in plan), plan


def test_a_page_takes_two_queries(store: ProductStore) -> None:
    fill(store, *(product(number, metadata={"size": "s"}) for number in range(30)))
    statements: list[str] = []

    @sa.event.listens_for(store.database.engine, "before_cursor_execute")
    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(("SELECT", "WITH")):
            statements.append(statement)

    store.page("bone", "-size", 10, "prod_5")
    assert len(statements) == 2


# Writing


def test_older_state_does_not_overwrite_a_newer_one(store: ProductStore) -> None:
    fill(store, product(1))
    assert store.save(product(1, "Second"), 1) is True
    assert store.save(product(1, "Built on the first"), 1) is False
    assert store.save(product(1, "Made again"), 0) is False
    kept = store.kept("prod_1")
    assert kept is not None
    assert (kept.product.name, kept.revision) == ("Second", 2)


def test_search_terms_follow_the_changes_of_a_product(store: ProductStore) -> None:
    fill(store, product(1, "Bone", metadata={"category": "food", "size": "s"}))
    assert store.save(product(1, "Stick", metadata={"category": "toys"}), 1)
    assert ids(store, "bone") == ids(store, "food") == []
    assert ids(store, "stick") == ids(store, "toys") == ["1"]
    with pytest.raises(InvalidRequest):
        store.page(None, "size", 10, None)


def test_removed_product_is_not_listed_and_not_made_again(store: ProductStore) -> None:
    fill(store, product(1), product(2))
    store.remove("prod_1")
    assert ids(store) == ids(store, "bone") == ["2"]
    assert store.save(product(1), 0) is False
    assert store.save(product(1), 2) is False
    kept = store.kept("prod_1")
    assert kept is not None
    assert kept.removed
