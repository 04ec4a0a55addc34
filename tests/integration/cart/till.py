"""A purchase with its neighbours in memory, and its store in a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cart.deliveries.outbox import Outbox
from cart.disputes.record import DisputeRecords
from cart.payment.cancel import Cancellation
from cart.payment.pay import OrderPayment
from cart.payment.settlement import Settlement
from cart.refunds.refund import Refunds
from cart.rules.order import RELEASE, Order
from cart.store.unit_of_work import CartStore
from chassis.db.engine import Database
from chassis.db.heartbeat import GONE_AFTER_S, Heartbeat
from tests.discounts import made_code, redeemed, with_code
from tests.taxes import with_tax
from tests.unit.cart.fakes import Bank, Carrier, Disputed, Postman, Shelf, TaxOffice
from tests.unit.cart.test_order import placed

OPERATOR = "night@example.com"


class Killed(BaseException):
    """Simulates `kill -9`: no code of the shop may catch it."""

    @classmethod
    def at(cls, done_first: Callable[..., Any] | None = None) -> Callable[..., Any]:
        """Return a function that dies when it is called: after it calls `done_first`, and before it returns."""

        def dies(*args: Any) -> Any:
            if done_first is not None:
                done_first(*args)
            raise cls

        return dies


class Shop:
    """A purchase with its neighbours, and a clock that moves only when a test sets it.

    Attributes:
        database: stores everything; its heartbeat uses the same clock.
    """

    def __init__(self, database: Database) -> None:
        self.now = 1000.0
        self.database = database
        database.heartbeat = Heartbeat(database, self.clock)
        self.store = store = CartStore(database, self.clock)
        self.bank, self.shelf, self.carrier, self.postman = Bank(), Shelf(), Carrier(), Postman()
        self.office = TaxOffice()
        services = self.shelf, self.carrier, self.postman
        self.provider = Disputed()
        self.disputes = DisputeRecords(store, self.provider, self.clock)
        options = {"clock": self.clock, "taxes": self.office, "operator": OPERATOR, "look": self.disputes.refresh}
        self.outbox = Outbox(store, *services, self.bank, **options)  # type: ignore[arg-type]
        self.settlement = Settlement(store, self.bank, self.outbox, clock=self.clock)
        self.purchase = OrderPayment(self.settlement)
        self.cancellation = Cancellation(self.settlement)
        self.refunds = Refunds(self.settlement)
        store.orders.place(placed(), "key")

    def discounts(self, off: int = 0, **terms: Any) -> None:
        """Give the order a discount code, which takes `off` off its goods."""
        self.store.discounts.put(made_code(**terms), self.now)
        self.store.orders.update("or_1", None, lambda order: with_code(order, off))

    def taxed(self, included: bool = False) -> None:
        """Give the order a tax."""
        self.store.orders.update("or_1", None, lambda order: with_tax(order, self.office, included))

    def crowded(self) -> None:
        """Give the order the work of more failed payments than one list shows."""
        with self.store.write():
            for attempt in range(101):
                self.store.deliveries.add(f"or_1:-{attempt}:stock", RELEASE, "or_1", done=True)
        self.now += 1

    @property
    def redeemed(self) -> int:
        return redeemed(self.store)

    def clock(self) -> float:
        return self.now

    def dies(self) -> None:
        """Let the heartbeat of this copy expire; later calls belong to another copy."""
        self.now += GONE_AFTER_S + 1
        self.database.heartbeat = Heartbeat(self.database, self.clock)

    def pay(self, card: str = "tok_visa", cart_id: str = "cart_1") -> Order:
        return self.purchase.pay("or_1", cart_id, card)

    def deliver(self) -> None:
        """Deliver everything that is due, as the completer does."""
        for key in self.store.deliveries.due():
            self.outbox.deliver(key)

    @property
    def order(self) -> Order:
        return self.store.orders.get("or_1")
