"""The stock, over SQLite and PostgreSQL with the same tests: never below zero, never sold twice."""

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
from products import tables
from products.stock import Filling, Inventory, lines
from products.stock_store import FILLINGS_KEPT_S
from products.store import ProductStore
from tests.databases import wait_longer
from tests.products import fill, product


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
    assert store.save(product(1), 1, Filling(Inventory("finite", 10), "change", 1))
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
    assert store.save(product(1, "Refilled"), 2, Filling(Inventory("finite", 20), "change", 2))
    assert left(store) == 20


def test_the_same_change_fills_a_shelf_once_whatever_was_sold_since(
    store: ProductStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, product(1))
    full = Inventory("finite", 20)
    assert store.save(product(1), 1, Filling(full, "change", 1))
    take(store, "order", (1, 20))
    assert store.save(product(1), 2, Filling(full, "change", 2))
    assert left(store) == 0
    store.stock.forget_fillings()
    assert store.save(product(1), 3, Filling(full, "change", 3))
    assert left(store) == 0, "what a message can still repeat is remembered"
    later = time.time() + FILLINGS_KEPT_S + 2
    monkeypatch.setattr("products.stock_store.clock_now", lambda: later)
    store.stock.forget_fillings()
    assert store.save(product(1), 4, Filling(full, "change", 4))
    assert left(store) == 20


def test_what_was_said_since_a_change_began_stays(store: ProductStore) -> None:
    fill(store, product(1))
    assert store.save(product(1), 1, Filling(Inventory("finite", 20), "second", 1))
    take(store, "order", (1, 20))
    assert store.save(product(1), 2, Filling(Inventory("finite", 20), "first", 1))
    assert left(store) == 0


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
        gate.wait(60)
        return run(number)

    with ThreadPoolExecutor(workers) as pool:
        return sum(pool.map(one, range(workers), timeout=120))


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
    wait_longer()
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
    sold = Counter(dict(results.get(timeout=200) for _ in copies))
    for copy in copies:
        copy.join(30)
        assert copy.exitcode == 0
    assert sold.total() == 9
    assert left(store) == 0
    with store.database.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.holds)).scalar_one() == 9
