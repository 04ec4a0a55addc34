"""Carts and orders in SQL, on SQLite and PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from cart.rules.cart import item, offered
from cart.rules.order import CANCELED, CONFIRMING, CREATED, PAID, PAYING, Order
from cart.store.email_key import email_key
from cart.store.orders import FILLED_AT_ONCE
from cart.store.tables import orders
from cart.store.unit_of_work import CartStore
from chassis.cursors import Cursor
from chassis.db.claims import ClaimLost
from chassis.db.engine import Database
from chassis.db.heartbeat import GONE_AFTER_S, Heartbeat
from chassis.db.migrate import migrate
from contracts.errors import Conflict, InvalidRequest, NotFound
from tests.orders import made_order

SHOWN = {"image": None, "attributes": {}, "price": 50, "currency": "usd"}
STOCK = {"type": "finite", "quantity": 10, "value": None}
OFFER = {"sku": "sku_a", "name": "A", **SHOWN, "inventory": STOCK}
ENDLESS = {"sku": "sku_b", "name": "B", **SHOWN, "inventory": {"type": "infinite", "quantity": None, "value": None}}


class Clock:
    """A clock in Unix seconds that moves only when a test sets it."""

    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database: Callable[[str], Database], clock: Clock) -> CartStore:
    return copy_of(database("cart"), clock)


def copy_of(database: Database, clock: Clock) -> CartStore:
    """The store of another copy of the service."""
    database.heartbeat = Heartbeat(database, clock)
    return CartStore(database, clock)


def order(number: int = 1, cart_id: str = "cart_1", **changes: Any) -> Order:
    return made_order(number, cart_id=cart_id, **changes)


def at_once(number: int, work: Callable[[int], Any]) -> list[Any]:
    """Run `work` in `number` threads at once; return the result or exception of each."""
    results: list[Any] = [None] * number
    ready = threading.Barrier(number)

    def run(index: int) -> None:
        ready.wait(30)
        try:
            results[index] = work(index)
        except Exception as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return results


def test_parts_of_the_store_share_no_name() -> None:
    names = [name for part in CartStore.__bases__ for name in vars(part) if not name.startswith("__")]
    assert len(names) == len(set(names))


def test_buying_again_adds_up(store: CartStore) -> None:
    store.carts.add("c", "prod_a", OFFER, 5, "k1")
    assert store.carts.add("c", "prod_a", OFFER, 5, "k2") == [item("sku_a", "prod_a", 10, offered(OFFER))]
    with pytest.raises(Conflict):
        store.carts.add("c", "prod_a", OFFER, 1, "k3")


SMALL = {**OFFER, "sku": "sku_s", "name": "Shirt", "attributes": {"size": "s"}}
LARGE = {**SMALL, "sku": "sku_l", "price": 60, "attributes": {"size": "l"}}


def test_skus_of_a_product_are_separate_items(store: CartStore) -> None:
    store.carts.add("cart_1", "prod_1", SMALL, 2, "k1")
    found = store.carts.add("cart_1", "prod_1", LARGE, 3, "k2")
    shown = [(each["parent"], each["quantity"], each["price"], each["amount"], each["attributes"]) for each in found]
    assert shown == [("sku_l", 3, 60, 180, {"size": "l"}), ("sku_s", 2, 50, 100, {"size": "s"})]
    assert sorted(store.carts.skus_of("cart_1", "prod_1")) == ["sku_l", "sku_s"]
    assert [each["parent"] for each in store.carts.remove("cart_1", "prod_1", None, "sku_l")] == ["sku_s"]
    assert store.carts.remove("cart_1", "prod_1") == []


def test_second_currency_is_not_added(store: CartStore) -> None:
    store.carts.add("cart_1", "prod_1", SMALL, 2, "k1")
    with pytest.raises(Conflict, match="usd"):
        store.carts.add("cart_1", "prod_2", {**LARGE, "currency": "eur"}, 1, "k2")
    assert [each["parent"] for each in store.carts.items("cart_1")] == ["sku_s"]
    changed = store.carts.add("cart_1", "prod_1", {**SMALL, "currency": "eur"}, 1, "k3")
    assert [each["currency"] for each in changed] == ["eur"], "its own currency may change"


def test_shown_items_change_and_keep_what_is_not_given(store: CartStore) -> None:
    store.carts.add("cart_1", "prod_1", SMALL, 2, "k1")
    store.carts.add("cart_1", "prod_1", LARGE, 1, "k2")
    now = {"sku_s": {"price": 55, "available": True}, "sku_l": {"available": False}, "sku_never": {"price": 1}}
    for _ in range(2):
        large, small = store.carts.show("cart_1", now)
        assert (small["price"], small["amount"], small["name"]) == (55, 110, "Shirt")
        assert (large["price"], large["available"]) == (60, False)
    assert store.carts.items("cart_1") == [large, small]


def test_the_same_key_adds_once(store: CartStore) -> None:
    store.carts.add("c", "prod_a", OFFER, 5, "k1")
    assert store.carts.add("c", "prod_a", OFFER, 5, "k1")[0]["quantity"] == 5


def test_the_same_key_at_once_adds_once(store: CartStore) -> None:
    results = at_once(8, lambda _: store.carts.add("c", "prod_b", ENDLESS, 3, "k1"))
    assert [result[0]["quantity"] for result in results] == [3] * 8


def test_additions_at_once_all_count(store: CartStore) -> None:
    results = at_once(8, lambda index: store.carts.add("c", "prod_b", ENDLESS, 1, f"k{index}"))
    assert not [result for result in results if isinstance(result, Exception)]
    assert store.carts.items("c")[0]["quantity"] == 8


def test_no_cart_holds_more_than_ten_thousand(store: CartStore) -> None:
    store.carts.add("c", "prod_b", ENDLESS, 10_000, "k1")
    with pytest.raises(InvalidRequest) as caught:
        store.carts.add("c", "prod_b", ENDLESS, 1, "k2")
    assert "quality" in caught.value.facts["errors"]
    assert store.carts.items("c")[0]["quantity"] == 10_000


def test_quantity_is_set_only_for_items_in_the_cart(store: CartStore) -> None:
    with pytest.raises(NotFound):
        store.carts.set("c", "prod_a", OFFER, 1)
    store.carts.add("c", "prod_a", OFFER, 5, "k1")
    assert store.carts.set("c", "prod_a", OFFER, 1)[0]["quantity"] == 1
    with pytest.raises(Conflict):
        store.carts.set("c", "prod_a", OFFER, 11)


def test_repeated_change_does_not_undo_later_changes(store: CartStore) -> None:
    store.carts.add("c", "prod_b", ENDLESS, 5, "k1")
    changes: list[Callable[[], Any]] = [
        lambda: store.carts.set("c", "prod_b", ENDLESS, 2, "k2"),
        lambda: store.carts.remove("c", "prod_b", "k3"),
        lambda: store.carts.clear("c", "k4"),
    ]
    for change in changes:
        change()
    since = store.carts.add("c", "prod_b", ENDLESS, 7, "k5")
    for change in changes:
        assert change() == since
    store.carts.remove("c", "prod_b")
    assert store.carts.set("c", "prod_b", ENDLESS, 2, "k2") == [], "it does not fail after the item was removed"
    results = at_once(4, lambda _: store.carts.clear("c", "k6"))
    assert results == [[]] * 4


def test_shipment_belongs_to_the_cart_of_its_order(store: CartStore) -> None:
    store.orders.place(order(shipment="shp_1"), "k")
    assert store.orders.may_see_shipment("shp_1", "cart_1")
    assert not store.orders.may_see_shipment("shp_1", "cart_2", of_no_order=True)
    assert [store.orders.may_see_shipment("shp_2", "cart_1", of_no_order=free) for free in (False, True)] == [
        False,
        True,
    ]


def test_order_is_changed_once_per_key(store: CartStore) -> None:
    store.orders.place(order(), "k")
    store.orders.update("or_1", "cart_1", lambda order: setattr(order, "charge", "first"), "k1")
    store.orders.update("or_1", "cart_1", lambda order: setattr(order, "charge", "second"), "k1")
    assert store.orders.get("or_1").charge == "first"

    def refuses(_order: Order) -> None:
        raise Conflict("no")

    with pytest.raises(Conflict):
        store.orders.update("or_1", "cart_1", refuses, "k2")
    store.orders.update("or_1", "cart_1", lambda order: setattr(order, "charge", "again"), "k2")
    assert store.orders.get("or_1").charge == "again", "a failed change does not use its key"


def test_carts_are_separate_and_keep_their_sequence(store: CartStore, clock: Clock) -> None:
    store.carts.add("c", "prod_b", ENDLESS, 1, "k1")
    clock.now += 1
    store.carts.add("c", "prod_a", OFFER, 1, "k2")
    store.carts.add("d", "prod_a", OFFER, 2, "k3")
    assert [item["parent"] for item in store.carts.items("c")] == ["sku_b", "sku_a"]
    assert store.carts.remove("c", "prod_b") == [item("sku_a", "prod_a", 1, offered(OFFER))]
    assert store.carts.remove("c", "prod_b") == store.carts.items("c")
    assert store.carts.clear("c") == []
    assert store.carts.items("d")[0]["quantity"] == 2


def test_order_is_placed_once_and_read_only_by_its_cart(store: CartStore) -> None:
    at_once(8, lambda _: store.orders.place(order(), "k1"))
    assert store.orders.get("or_1", "cart_1").customer.email == "shopper@example.com"
    assert store.orders.get("or_1").id == "or_1"
    with pytest.raises(NotFound):
        store.orders.get("or_1", "cart_2")
    assert store.orders.place(order(2), "k1").id == "or_1"


@pytest.mark.parametrize(
    ("status", "same"), [(CREATED, True), (PAYING, True), (CONFIRMING, True), (PAID, False), (CANCELED, False)]
)
def test_same_checkout_gives_the_order_until_it_is_paid(store: CartStore, status: str, same: bool) -> None:
    store.orders.place(order(1), "k1", "digest")
    store.orders.update("or_1", None, lambda order: setattr(order, "status", status))
    unpaid = store.orders.unpaid("cart_1", "digest")
    assert (unpaid is not None and unpaid.id == "or_1") is same
    assert store.orders.place(order(2), "k2", "digest").id == ("or_1" if same else "or_2")


@pytest.mark.parametrize("spelling", ["chloe@münchen.de", "CHLOE@MÜNCHEN.DE", "Chloe@xn--mnchen-3ya.de"])
def test_orders_are_found_by_any_spelling_of_an_address(store: CartStore, spelling: str) -> None:
    store.orders.place(order(1, email="Chloe@München.de"), "k1")
    store.orders.place(order(2, email="zoe@example.com"), "k2")
    page, _, total = store.orders.page(None, spelling, 10, None)
    assert ([found.id for found in page], total) == (["or_1"], 1)


def test_order_of_an_old_copy_is_found_as_it_was_written(store: CartStore) -> None:
    store.orders.place(order(1, email="Chloe@example.com"), "k1")
    with store.database.write() as connection:
        connection.execute(sa.update(orders).values(email_key=None))
    assert [found.id for found in store.orders.page(None, "Chloe@example.com", 10, None)[0]] == ["or_1"]
    store.orders.update("or_1", None, lambda order: None)
    assert [found.id for found in store.orders.page(None, "chloe@example.com", 10, None)[0]] == ["or_1"]


def test_existing_orders_get_their_key_after_the_migration() -> None:
    database = Database("sqlite://", "cart")
    migrate(database, "0007")
    before = {
        **{"status": CREATED, "document": "{}", "attempt": 0, "lease": 0.0, "looks": 0, "created": 1.0},
        **{"cart_id": "cart_1"},
    }
    old = sa.table("orders", *(sa.column(name) for name in ("id", "key", "email", *before)))
    rows = [{"id": f"or_{number}", "key": f"k{number}", "email": f"A{number}@É.de", **before} for number in range(1100)]
    with database.write() as connection:
        connection.execute(sa.insert(old), rows)
    migrate(database)
    store = CartStore(database)
    filled = [store.orders.fill_email_keys() for _ in range(1 + len(rows) // FILLED_AT_ONCE)]
    assert (sum(filled), max(filled)) == (len(rows), FILLED_AT_ONCE)
    with database.read() as connection:
        found = {row.id: row.email_key for row in connection.execute(sa.select(orders.c.id, orders.c.email_key))}
    assert found == {row["id"]: email_key(row["email"]) for row in rows}
    database.dispose()


def test_keys_are_filled_in_without_waiting_for_an_order(store: CartStore) -> None:
    for number in (1, 2, 3):
        store.orders.place(order(number, email=f"Chloe{number}@example.com"), f"k{number}")
    with store.database.write() as connection:
        connection.execute(sa.update(orders).where(orders.c.id != "or_3").values(email_key=None))
    expected = 2
    if store.database.dialect == "postgresql":  # SQLite allows one writing transaction at a time
        with store.database.write() as connection:
            connection.execute(sa.select(orders).where(orders.c.id == "or_1").with_for_update())
            assert at_once(1, lambda _: store.orders.fill_email_keys()) == [1]
        expected = 1
    assert store.orders.fill_email_keys() == expected
    assert store.orders.fill_email_keys() == 0
    for number in (1, 2, 3):
        found, _, _ = store.orders.page(None, f"chloe{number}@EXAMPLE.com", 10, None)
        assert [each.id for each in found] == [f"or_{number}"]


def test_orders_are_found_by_address_with_the_index(store: CartStore) -> None:
    query = "SELECT id FROM orders WHERE email_key = 'a' OR (email_key IS NULL AND email = 'a')"
    with store.database.read() as connection:
        if store.database.dialect == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # cheaper for so few rows
            explain, search = "EXPLAIN", "Index Cond: ((email_key)"
        else:
            explain, search = "EXPLAIN QUERY PLAN", "orders_email_key (email_key=?)"
        plan = [str(row) for row in connection.exec_driver_sql(f"{explain} {query}")]
    assert any("orders_email_key" in row for row in plan), plan
    assert any(search in row for row in plan), plan
    assert not any("SCAN orders" in row or "Seq Scan on orders" in row for row in plan), plan


def test_orders_page_newest_first_without_repeating_or_skipping(store: CartStore) -> None:
    for number in range(7):
        store.orders.place(order(number, email="a@example.com" if number % 2 else "b@example.com"), f"k{number}")
    seen: list[str] = []
    after = None
    while True:
        page, more, total = store.orders.page(None, None, 3, after)
        seen += [found.id for found in page]
        assert total == 7
        if not more:
            break
        after = seen[-1]
    assert seen == [f"or_{number}" for number in reversed(range(7))]
    by_cursor: list[str] = []
    cursor = None
    while True:
        page, cursor, total = store.orders.page(None, None, 3, cursor)
        by_cursor += [found.id for found in page]
        if cursor is None:
            break
        store.orders.place(order(100 + len(by_cursor)), f"k-new{len(by_cursor)}")
    assert [one for one in by_cursor if one in seen] == seen
    for broken in ("c1.broken", Cursor("-created", None, "or_1").text(), Cursor("name", 1.0, "or_1").text()):
        with pytest.raises(InvalidRequest) as caught:
            store.orders.page(None, None, 3, broken)
        assert "starting_after" in caught.value.facts["errors"]
    assert [found.id for found in store.orders.page(None, "a@example.com", 10, None)[0]] == ["or_5", "or_3", "or_1"]
    with pytest.raises(InvalidRequest) as caught:
        store.orders.page(None, None, 3, "or_none")
    assert "starting_after" in caught.value.facts["errors"]


def test_an_order_being_paid_is_listed_as_created(store: CartStore) -> None:
    store.orders.place(order(), "k1")
    store.orders.claim("or_1", "cart_1", 1e12)
    assert [found.id for found in store.orders.page("created", None, 10, None)[0]] == ["or_1"]
    assert store.orders.page("paid", None, 10, None)[0] == []


def test_only_one_of_many_gets_the_claim(store: CartStore) -> None:
    store.orders.place(order(), "k1")
    results = at_once(8, lambda _: store.orders.claim("or_1", "cart_1", 1e12))
    assert not [result for result in results if isinstance(result, Exception)]
    assert len([result for result in results if result is not None]) == 1
    assert store.orders.get("or_1").attempt == 1


def test_holder_of_an_expired_claim_writes_nothing(store: CartStore, clock: Clock) -> None:
    store.orders.place(order(), "k1")
    first = store.orders.claim("or_1", None, 100.0)
    assert first is not None
    clock.now = 99.0
    assert store.orders.claim("or_1", None, 200.0) is None
    clock.now = 100.0
    second = store.orders.claim("or_1", None, 200.0)
    assert second is not None
    assert second.attempt == first.attempt  # the second holder resumes the same attempt
    with pytest.raises(ClaimLost):
        store.orders.begin_step(first, "stock", 300.0)
    with pytest.raises(ClaimLost):
        store.orders.keep(first)
    with pytest.raises(ClaimLost):
        store.orders.let_go(first, 100.0)
    assert [step["step"] for step in store.journal.of_order("or_1")] == ["claim"]
    store.orders.begin_step(second, "stock", 300.0)
    clock.now = 101.0
    store.orders.keep(second, outcome={"key": "x"})
    stock = store.journal.of_order("or_1")[1]
    assert (stock["step"], stock["began"], stock["ended"], stock["outcome"]) == ("stock", 100.0, 101.0, {"key": "x"})


def test_claim_of_a_dead_copy_expires_within_seconds(database: Callable[[str], Database], clock: Clock) -> None:
    first, second = copy_of(database("cart"), clock), copy_of(database("cart"), clock)
    first.orders.place(order(), "k1")
    held = first.orders.claim("or_1", None, 1000.0)
    assert held is not None
    first.deliveries.add("or_1:email", "email", "or_1")
    assert first.deliveries.claim("or_1:email", 1000.0) is not None
    clock.now += GONE_AFTER_S - 1
    first.database.heartbeat.beat()  # the first copy is alive
    clock.now += GONE_AFTER_S - 1
    assert (second.orders.stalled(), second.deliveries.due()) == ([], [])
    assert second.orders.claim("or_1", None, 2000.0) is None
    assert second.deliveries.claim("or_1:email", 1000.0) is None
    assert [row["held"] for row in second.deliveries.of("or_1")] == [True]
    clock.now += 1.5  # the first copy is dead
    assert (second.orders.stalled(), second.deliveries.due()) == (["or_1"], ["or_1:email"])
    assert [row["held"] for row in second.deliveries.of("or_1")] == [False]
    taken = second.orders.claim("or_1", None, 2000.0, fresh=False, hurry=False)
    assert taken is not None
    assert second.deliveries.claim("or_1:email", 1000.0) is not None
    with pytest.raises(ClaimLost):  # the first copy wakes up; it was only paused
        first.orders.keep(held)
    second.orders.keep(taken)


def test_payer_claims_a_released_order_at_once(store: CartStore, clock: Clock) -> None:
    store.orders.place(order(), "k1")
    assert store.orders.claim("or_1", None, 1000.0, fresh=False, hurry=False) is None  # there is no payment to resume
    held = store.orders.claim("or_1", None, 1000.0)
    assert held is not None
    store.orders.let_go(held, 11.0)
    with pytest.raises(ClaimLost):
        store.orders.keep(held)
    clock.now = 10.0
    assert store.orders.stalled() == []
    assert store.orders.claim("or_1", None, 1000.0, fresh=False, hurry=False) is None
    clock.now = 11.0
    assert store.orders.stalled() == ["or_1"]
    again = store.orders.claim("or_1", None, 1000.0, fresh=False, hurry=False)
    assert again is not None
    assert (again.attempt, again.looks) == (1, 1)
    store.orders.let_go(again, 1000.0)
    assert store.orders.claim("or_1", None, 1000.0) is not None


def test_only_paid_items_leave_the_cart(store: CartStore) -> None:
    store.carts.add("cart_1", "prod_a", OFFER, 5, "k1")
    store.carts.add("cart_1", "prod_b", ENDLESS, 1, "k2")
    store.orders.place(order(), "k3")
    held = store.orders.claim("or_1", None, 100.0)
    assert held is not None
    held.become(PAID, 2)
    with store.write():
        store.orders.keep(held)
        store.carts.bought(held)
    assert [(item["parent"], item["quantity"]) for item in store.carts.items("cart_1")] == [("sku_a", 3), ("sku_b", 1)]
    assert store.orders.get("or_1").claim is None


def test_failed_write_rolls_back_the_order_and_its_delivery(store: CartStore) -> None:
    store.orders.place(order(), "k1")
    held = store.orders.claim("or_1", None, 100.0)
    assert held is not None

    def fails() -> None:
        with store.write():
            store.orders.keep(held)
            store.deliveries.add("or_1:email", "email", "or_1")
            raise RuntimeError("killed here")

    held.become(PAID, 2)
    with pytest.raises(RuntimeError):
        fails()
    assert held.claim is not None, "what was not written is still claimed"
    assert store.deliveries.of("or_1") == []
    assert store.orders.get("or_1").status == PAYING


def test_only_one_of_many_claims_a_delivery(store: CartStore, clock: Clock) -> None:
    store.orders.place(order(), "k1")
    held = store.orders.claim("or_1", None, 100.0)
    assert held is not None
    store.deliveries.add("or_1:email", "email", "or_1")
    results = at_once(8, lambda _: store.deliveries.claim("or_1:email", 45.0))
    [first] = [result for result in results if result is not None]
    clock.now = 49.0
    assert store.deliveries.claim("or_1:email", 50.0) is None
    clock.now = 50.0
    late = store.deliveries.claim("or_1:email", 50.0)
    assert late is not None
    assert late["tries"] == 2
    store.deliveries.settle("or_1:email", first["claim"], state="done")  # the claim of the first holder has expired
    assert store.deliveries.of("or_1")[0]["state"] == "waiting"
    store.deliveries.settle("or_1:email", late["claim"], state="done", answer={"status code": "202"})
    clock.now = 1e12
    assert store.deliveries.due() == []


def test_steps_and_deliveries_can_be_encoded_as_json(store: CartStore) -> None:
    store.orders.place(order(), "k1")
    held = store.orders.claim("or_1", None, 100.0)
    assert held is not None
    store.orders.begin_step(held, "stock", 100.0)
    store.deliveries.add("or_1:sms", "sms", "or_1")
    store.deliveries.add("or_1:email", "email", "or_1")
    # orjson is stricter than Python's json: a key must be a str, not a subclass of it.
    assert {row["step"] for row in orjson.loads(orjson.dumps(store.journal.of_order("or_1")))} == {"claim", "stock"}
    assert [row["kind"] for row in orjson.loads(orjson.dumps(store.deliveries.rows(key="or_1:sms")))] == ["sms"]


def test_only_one_of_many_claims_a_refund(database: Callable[[str], Database], clock: Clock) -> None:
    first, second = copy_of(database("cart"), clock), copy_of(database("cart"), clock)
    first.orders.place(order(status=PAID, amount=100, payment="pi_1"), "k1")
    results = at_once(8, lambda index: (first, second)[index % 2].refunds.ask("or_1", 60, f"r{index}", 1000.0))
    assert [type(result) for result in results if not isinstance(result, tuple)] == [InvalidRequest] * 7
    [(row, mine)] = [result for result in results if isinstance(result, tuple)]
    assert mine
    assert second.refunds.ask("or_1", 60, row["key"], 1000.0)[0]["id"] == row["id"]
    assert second.refunds.claim(row["id"], 1000.0) is None
    with pytest.raises(InvalidRequest):
        second.refunds.ask("or_1", 41, "r9", 1000.0)
    first.refunds.let_go(row, 20.0)
    assert second.refunds.stalled() == []
    assert second.refunds.claim(row["id"], 1000.0, hurry=False) is None  # the refund is not due yet
    taken = [found for found in at_once(8, lambda _: second.refunds.claim(row["id"], 1000.0)) if found is not None]
    assert len(taken) == 1
    with pytest.raises(ClaimLost):
        first.refunds.fail(row, "late")
    clock.now += GONE_AFTER_S + 1
    assert first.refunds.stalled() == [row["id"]]
    assert first.refunds.claim(row["id"], 1000.0, hurry=False) is not None
