"""The data of the cart service: carts, orders, the steps of payments, discounts, refunds, disputes, and owed
work."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from cart.store.attention import Attention
from cart.store.card_attempts import CardAttempts
from cart.store.carts import Carts
from cart.store.discounts import DiscountRows
from cart.store.disputes import DisputeRows
from cart.store.journal import Journal
from cart.store.messages import Messages
from cart.store.orders import Orders
from cart.store.positions import Positions
from cart.store.refunds import RefundRows
from cart.store.tables import DELIVERIES
from chassis.clock import now as clock_now
from chassis.db.engine import Database
from chassis.work.tasks import Tasks


class CartStore:
    """All of it, in the service's one database.

    Each method of its stores is a transaction; several of them are one inside of `write`.

    Args:
        database: the service's own.
        clock: Unix seconds; another one in tests.

    Attributes:
        deliveries: the work owed for the orders, as tasks.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = clock_now) -> None:
        self.database = database
        self.deliveries = Tasks(database, DELIVERIES, clock)
        self.attention = Attention(database, clock, self.deliveries)
        self.messages = Messages(database, clock)
        self.carts = Carts(database, clock)
        self.attempts = CardAttempts(database, clock)
        self.journal = Journal(database, clock)
        self.positions = Positions(database, clock)
        self.discounts = DiscountRows(database, clock)
        self.disputes = DisputeRows(database, clock)
        self.orders = Orders(database, clock, self.journal, self.attempts)
        self.refunds = RefundRows(database, clock, self.orders)

    def write(self) -> AbstractContextManager[Any]:
        """One transaction: committed at the end of the block, rolled back by an exception."""
        return self.database.write()
