"""The stock on SQLite and PostgreSQL: it never falls below zero, and no piece is sold twice."""

import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from chassis.db.engine import Database
from contracts.errors import Conflict
from products.rules.stock import Filling, Inventory, lines
from products.store import tables
from products.store.products import ProductStore
from products.store.stock import FILLINGS_KEPT_S
from tests.databases import wait_longer
from tests.products import fill, pieces_left, product


def left(store: ProductStore, number: int | str = 1) -> int | None:
    kept = store.kept(f"prod_{number}")
    assert kept is not None
    return pieces_left(kept)


def take(store: ProductStore, key: str, *items: tuple[int, int]) -> None:
    store.stock.reserve(key, lines([{"parent": f"sku_{number}", "quantity": count} for number, count in items]))


def test_a_reserve_takes_all_or_nothing(store: ProductStore) -> None:
    fill(store, product(1), product(2, inventory=Inventory("finite", 1)))
    with pytest.raises(Conflict) as refusal:
        take(store, "order", (1, 3), (2, 2))
    assert (refusal.value.facts["parent"], refusal.value.facts["left"]) == ("sku_2", 1)
    assert (left(store, 1), left(store, 2)) == (10, 1)
    take(store, "order", (1, 3), (2, 1))
    assert (left(store, 1), left(store, 2)) == (7, 0)


def test_a_reserve_names_everything_that_is_short(store: ProductStore) -> None:
    fill(store, *(product(number, inventory=Inventory("finite", 1)) for number in (1, 2, 3)))
    with pytest.raises(Conflict) as refusal:
        take(store, "order", (1, 2), (2, 1), (3, 2))
    assert [problem["parent"] for problem in refusal.value.facts["problems"]] == ["sku_1", "sku_3"]
    assert [left(store, number) for number in (1, 2, 3)] == [1, 1, 1]


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


def test_release_gives_back_once_and_blocks_the_key(store: ProductStore) -> None:
    fill(store, product(1))
    take(store, "order", (1, 3))
    store.stock.release("order")
    store.stock.release("order")
    assert left(store) == 10
    with pytest.raises(Conflict):
        take(store, "order", (1, 3))
    assert left(store) == 10


def test_early_release_blocks_the_later_reserve(store: ProductStore) -> None:
    fill(store, product(1))
    store.stock.release("order")
    with pytest.raises(Conflict):
        take(store, "order", (1, 3))
    assert left(store) == 10


def test_uncounted_stock_is_not_reduced(store: ProductStore) -> None:
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


def test_release_gives_back_only_what_was_taken(store: ProductStore) -> None:
    fill(store, product(1, inventory=Inventory("infinite")))
    take(store, "order", (1, 5))
    assert store.save(product(1), 1, Filling("sku_1", Inventory("finite", 10), "change", 1))
    store.stock.release("order")
    assert left(store) == 10


@pytest.mark.parametrize("how", ["removed", "inactive", "unknown"])
def test_sku_not_on_sale_cannot_be_reserved(store: ProductStore, how: str) -> None:
    fill(store, product(1), product(2, active=False))
    store.remove("prod_1")
    with pytest.raises(Conflict):
        take(store, "order", ({"removed": 1, "inactive": 2, "unknown": 3}[how], 1))


def test_only_an_inventory_change_sets_the_stock(store: ProductStore) -> None:
    fill(store, product(1))
    take(store, "order", (1, 3))
    assert store.save(product(1, "Renamed"), 1)
    assert left(store) == 7
    assert store.save(product(1, "Refilled"), 2, Filling("sku_1", Inventory("finite", 20), "change", 2))
    assert left(store) == 20


def test_repeated_change_fills_the_stock_once(store: ProductStore, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, product(1))
    full = Inventory("finite", 20)
    assert store.save(product(1), 1, Filling("sku_1", full, "change", 1))
    take(store, "order", (1, 20))
    assert store.save(product(1), 2, Filling("sku_1", full, "change", 2))
    assert left(store) == 0
    store.stock.forget_fillings()
    assert store.save(product(1), 3, Filling("sku_1", full, "change", 3))
    assert left(store) == 0, "fillings that a message may repeat are kept"
    later = time.time() + FILLINGS_KEPT_S + 2
    monkeypatch.setattr("products.store.stock.clock_now", lambda: later)
    store.stock.forget_fillings()
    assert store.save(product(1), 4, Filling("sku_1", full, "change", 4))
    assert left(store) == 20


def test_older_filling_does_not_overwrite_a_newer_one(store: ProductStore) -> None:
    fill(store, product(1))
    assert store.save(product(1), 1, Filling("sku_1", Inventory("finite", 20), "second", 1))
    take(store, "order", (1, 20))
    assert store.save(product(1), 2, Filling("sku_1", Inventory("finite", 20), "first", 1))
    assert left(store) == 0


def test_database_refuses_a_negative_stock(store: ProductStore) -> None:
    fill(store, product(1))
    with pytest.raises(sa.exc.IntegrityError), store.database.write() as connection:
        connection.execute(sa.update(tables.stock).values(quantity=-1))


def test_refused_reserve_during_a_refill_holds_nothing(store: ProductStore) -> None:
    fill(store, product(1, inventory=Inventory("finite", 1)))
    if store.database.dialect == "postgresql":  # SQLite has one writer at a time
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


# Concurrent buyers


def race(workers: int, run: Callable[[int], bool]) -> int:
    """Run `run(0)`, `run(1)`, … at the same moment, and return how many returned True."""
    gate = threading.Barrier(workers)

    def one(number: int) -> bool:
        gate.wait(60)
        return run(number)

    with ThreadPoolExecutor(workers) as pool:
        return sum(pool.map(one, range(workers), timeout=120))


def succeeds(run: Callable[[], None]) -> bool:
    try:
        run()
    except Conflict:
        return False
    return True


def test_hundred_buyers_never_oversell_the_last_pieces(store: ProductStore) -> None:
    fill(store, product(1, inventory=Inventory("finite", 7)))
    assert race(100, lambda number: succeeds(lambda: take(store, f"order {number}", (1, 1)))) == 7
    assert left(store) == 0


def test_orders_of_the_same_skus_do_not_deadlock(store: ProductStore) -> None:
    fill(store, *(product(number, inventory=Inventory("finite", 30)) for number in (1, 2, 3)))
    mixed = [((1, 1), (2, 1)), ((2, 1), (1, 1)), ((3, 1), (1, 1)), ((2, 1), (3, 1))]
    sold = race(40, lambda number: succeeds(lambda: take(store, f"order {number}", *mixed[number % 4])))
    assert sold == 40
    assert [left(store, number) for number in (1, 2, 3)] == [0, 0, 10]


def test_one_key_sent_many_times_at_once_takes_once(store: ProductStore) -> None:
    fill(store, product(1))
    assert race(20, lambda _: succeeds(lambda: take(store, "order", (1, 3)))) == 20
    assert left(store) == 7


def test_concurrent_reserve_and_release_leave_nothing_taken(store: ProductStore) -> None:
    fill(store, product(1, inventory=Inventory("finite", 100)))

    def run(number: int) -> bool:
        key = f"order {number // 2}"
        return succeeds(lambda: take(store, key, (1, 1)) if number % 2 else store.stock.release(key))

    for _ in range(5):
        race(40, run)
        assert left(store) == 100
        with store.database.write() as connection:
            connection.execute(sa.delete(tables.holds))


def buy(url: str, buyers: int, name: str, start_event: Any, results: Any) -> None:
    """Run one copy of the service with `buyers` buyers in threads."""
    wait_longer()
    database = Database(url, "products")
    store = ProductStore(database)
    start_event.wait(60)
    sold = race(buyers, lambda number: succeeds(lambda: take(store, f"{name} {number}", (1, 1))))
    database.dispose()
    results.put((name, sold))


def test_four_processes_never_oversell_to_a_hundred_buyers(store: ProductStore) -> None:
    fill(store, product(1, inventory=Inventory("finite", 9)))
    spawn = multiprocessing.get_context("spawn")
    start_event, results = spawn.Event(), spawn.Queue()
    url = store.database.url.render_as_string(hide_password=False)
    copies = [spawn.Process(target=buy, args=(url, 25, f"copy {n}", start_event, results)) for n in range(4)]
    for copy in copies:
        copy.start()
    start_event.set()
    sold = Counter(dict(results.get(timeout=200) for _ in copies))
    for copy in copies:
        copy.join(30)
        assert copy.exitcode == 0
    assert sold.total() == 9
    assert left(store) == 0
    with store.database.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.holds)).scalar_one() == 9
