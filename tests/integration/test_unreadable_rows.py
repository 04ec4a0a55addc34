"""Lists, sweeps and comparisons set an unreadable row aside and continue with the other rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from cart.completer import Lane, sweep
from cart.reconcile.audit import OrderAudit
from cart.reconcile.books import AuditBooks
from cart.rules.order import CREATED, PAID, PAYING
from cart.rules.payments import SUCCEEDED
from cart.rules.reconcile import Listed
from cart.store.orders import PUT_OFF_S
from cart.store.tables import orders
from cart.store.unit_of_work import CartStore
from chassis.db.engine import Database
from chassis.db.shared_tables import tasks
from chassis.records import Unreadable
from chassis.work.inbox import Inbox
from chassis.work.tasks import DONE, FAILED, TRIES
from products.store import tables
from products.store.products import ProductStore
from tests.orders import made_order
from tests.products import fill, product

NOW = 1000.0


def _break(database: Database, table: sa.Table, column: str, row_id: str) -> None:
    """Put invalid JSON into a JSON column. PostgreSQL rejects invalid JSON, so there the value gets a wrong type."""
    (key,) = table.primary_key.columns
    broken = sa.literal_column("'{broken'" if database.dialect == "sqlite" else "'[]'")
    with database.write() as connection:
        connection.execute(sa.update(table).where(key == row_id).values({column: broken}))


@pytest.fixture
def store(database: Callable[[str], Database]) -> CartStore:
    store = CartStore(database("cart"), lambda: NOW)
    for number, status in ((1, PAYING), (2, PAYING), (3, PAID)):
        order = made_order(number, status, 100, payment=f"pi_{number}")
        store.orders.place(order, f"k{number}")
    _break(store.database, orders, "document", "or_2")
    return store


def test_list_of_orders_leaves_an_unreadable_one_out(store: CartStore) -> None:
    found, _, total = store.orders.page(None, None, 10, None)
    assert ([order.id for order in found], total) == (["or_3", "or_1"], 3)
    with pytest.raises(Unreadable, match="or_2"):
        store.orders.get("or_2")


def test_sweep_continues_past_an_unreadable_order(store: CartStore) -> None:
    worked: list[str] = []

    def work(order_id: str) -> None:
        store.orders.get(order_id)
        worked.append(order_id)
        store.orders.update(order_id, None, lambda order: setattr(order, "status", CREATED))

    assert store.orders.stalled() == ["or_1", "or_2"]
    lane = Lane("orders", store.orders.stalled, work, 1, lambda _: 5.0, store.orders.put_off)
    sweep([lane], lambda: False, lasts=5.0)
    assert worked == ["or_1"]
    assert store.orders.stalled() == []  # the sweep has put it off, so it blocks no other order
    assert CartStore(store.database, lambda: NOW + PUT_OFF_S).orders.stalled() == ["or_2"]
    back = CartStore(store.database, lambda: NOW - 3600.0)  # a clock that ran ahead stored the time
    assert back.orders.stalled() == ["or_2"]
    back.orders.put_off("or_2")
    assert back.orders.stalled() == []


class Lists:
    """Stripe's list of payments: two of an unreadable order, and one without an order."""

    def payments(self, after: str | None, since: float) -> tuple[list[Any], str | None]:
        return [
            Listed("pi_2", SUCCEEDED, 100, "usd", "or_2"),
            Listed("pi_22", SUCCEEDED, 100, "usd", "or_2"),
            Listed("pi_9", SUCCEEDED, 100, "usd", "or_9"),
        ], None


class Others:
    """Stubs of products and shipping: stock is held for an unreadable order and for no order."""

    def audit(self, after: str | None, since: float, until: float) -> dict[str, Any]:
        return {"keys": ["or_2:1:stock", "or_9:1:stock"], "next": None}

    def __getattr__(self, name: str) -> Any:
        return lambda asked: []


def test_comparison_reports_an_unreadable_order_and_continues(store: CartStore) -> None:
    audit = OrderAudit(AuditBooks(store), Lists(), Others(), Others(), "Stripe")  # type: ignore[arg-type]

    def differences(part: str) -> list[tuple[str, str]]:
        return [(each["kind"], each["subject"]) for each in audit.page(part, None, 0.0, 9e12, None)["differences"]]

    assert ("record that cannot be read", "or_2") in differences("orders")
    # Its payment and its stock still belong to an order, so a repair must give nothing back.
    assert differences("payments") == [("charge without an order", "or_9")]
    assert differences("stock") == [("stock held for nobody", "or_9:1:stock")]


def test_unreadable_event_is_parked_and_others_are_handled(database: Callable[[str], Database]) -> None:
    now = [NOW]
    kept = database("cart")
    inbox = Inbox(kept, lambda: now[0])
    inbox.keep("evt_1", "x", {"object": 1})
    inbox.keep("evt_2", "x", {"object": 2})
    _break(kept, tasks, "details", "evt_1")
    handled: list[Any] = []
    for _ in range(TRIES):
        inbox.sweep(lambda _, body: handled.append(body["object"]), time.monotonic() + 60)  # type: ignore[call-overload]
        now[0] += 60
    assert handled == [2]
    assert [each["key"] for each in inbox.tasks.rows(state=FAILED)] == ["evt_1"]
    assert [each["key"] for each in inbox.tasks.rows(state=DONE)] == ["evt_2"]


def test_list_of_products_leaves_an_unreadable_one_out(database: Callable[[str], Database]) -> None:
    store = ProductStore(database("products"))
    fill(store, product(1), product(2))
    _break(store.database, tables.products, "body", "prod_1")
    found, _, total = store.page(None, "name", 10, None)
    assert ([one["id"] for one in found], total) == (["prod_2"], 2)
    with store.database.read() as connection:
        skus = list(connection.execute(sa.select(tables.products.c.sku)).scalars())
    assert [kept.product.id for kept in store.by_sku(skus).values()] == ["prod_2"]
    # The next pass over the catalogue rewrites the row.
    assert store.save_all([(product(1), 1)]) == 1
    assert len(store.page(None, "name", 10, None)[0]) == 2
