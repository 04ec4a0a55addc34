"""A purchase with its neighbours in memory, and its store in a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cart.order import Order
from cart.outbox import Outbox
from cart.purchase import Purchase
from cart.store import CartStore
from chassis.database import Database
from chassis.migrate import migrate
from tests.unit.cart.fakes import Bank, Carrier, Postman, Shelf
from tests.unit.cart.test_order import placed


class Shop:
    """A purchase with its neighbours, and a clock that only moves when told."""

    def __init__(self, store: CartStore) -> None:
        self.now = 1000.0
        self.store = store
        self.bank, self.shelf, self.carrier, self.postman = Bank(), Shelf(), Carrier(), Postman()
        self.outbox = Outbox(store, self.shelf, self.carrier, self.postman, clock=self.clock)
        self.purchase = Purchase(store, self.bank, self.shelf, self.outbox, clock=self.clock)
        store.place(placed(), "key")

    def clock(self) -> float:
        return self.now

    def pay(self, card: str = "tok_visa", cart_id: str = "cart_1") -> Order:
        return self.purchase.pay("or_1", cart_id, card)

    @property
    def order(self) -> Order:
        return self.store.order("or_1")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    database = Database(f"sqlite:///{tmp_path}/cart.db", "cart")
    migrate(database)
    yield Shop(CartStore(database))
    database.dispose()
