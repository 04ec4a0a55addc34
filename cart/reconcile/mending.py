"""Executes the repairs that a comparison proposed; each checks again, before it acts, that it is still right.

No repair charges a shopper or makes a refund. Each payment or refund that one records was already made at the provider.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cart.deliveries.outbox import Outbox
from cart.deliveries.taxes import TAX_KINDS, owe_taxes
from cart.payment.pay import OrderPayment
from cart.reconcile.books import AuditBooks
from cart.rules.order import CANCELED, CANCELING, CREATED, FULFILLED, LABEL, PAID, VOID, Order
from cart.rules.payments import CANCELED as CALLED_OFF
from cart.rules.payments import SUCCEEDED
from cart.rules.reconcile import (
    AGAIN,
    CALL_OFF,
    COUNT,
    FINISH,
    GIVE_BACK,
    GIVE_CODE_BACK,
    LOOK_AT_DISPUTES,
    OWE,
    OWE_TAX,
    RETURN,
    TAKE_UP,
)
from cart.rules.reconcile_books import OVER, holds, order_of, over, redeems
from cart.rules.tax import owed
from cart.store.unit_of_work import CartStore
from chassis.audit import no_such_repair
from contracts.errors import Conflict, NotFound


class Mending:
    """Executes repairs.

    Args:
        store: our orders.
        books: the same, as a comparison reads them.
        purchase: finishes payments.
        outbox: delivers what is owed.
        resume: resumes an order from its current state, by its id.
        refunded, disputed: update the refunds and disputes of a payment to the provider's state, by the payment's id.
    """

    def __init__(
        self,
        store: CartStore,
        books: AuditBooks,
        purchase: OrderPayment,
        outbox: Outbox,
        resume: Callable[[str], Any],
        refunded: Callable[[str], Any],
        disputed: Callable[[str], Any],
    ) -> None:
        self._store = store
        self._books = books
        self._purchase = purchase
        self._payments = purchase.payments
        self._outbox = outbox
        self._resume = resume
        self._refunded = refunded
        self._disputed = disputed

    def mend(self, fix: dict[str, Any]) -> str:
        """Execute the repair that a difference proposed; returns what was done, in a sentence.

        Args:
            fix: the difference's `fix`.

        Raises Conflict (the repair is no longer right), NotFound, InvalidRequest, and as paying does.
        """
        repairs: dict[Any, Callable[[dict[str, Any]], str]] = {
            FINISH: self._finish,
            CALL_OFF: self._call_off,
            TAKE_UP: self._take_up,
            OWE: self._owe,
            AGAIN: self._again,
            GIVE_BACK: self._give_back,
            RETURN: self._return,
            COUNT: self._count,
            GIVE_CODE_BACK: self._give_code_back,
            OWE_TAX: self._owe_tax,
            LOOK_AT_DISPUTES: self._look_at_disputes,
        }
        repair = repairs.get(fix.get("do"))
        if repair is None:
            raise no_such_repair()
        return repair(fix)

    def _finish(self, fix: dict[str, Any]) -> str:
        order = self._store.orders.get(str(fix.get("order")))
        payment = order.payment or fix.get("payment")
        if order.payment is None and payment is not None:
            self._adopt(order, str(payment))
        if payment is None or order.status == CANCELING:
            self._resume(order.id)
        else:
            self._purchase.look_now(str(payment))
        now = self._store.orders.get(order.id)
        if now.settled:
            return f"the order is {now.status}"
        return f"the order is {now.public_status}; its payment was {'taken up' if payment else 'undone'}"

    def _adopt(self, order: Order, payment_id: str) -> None:
        """Assign to an order the payment that was taken for it."""
        payment = self._payments.find(payment_id)
        if payment.state != SUCCEEDED or payment.amount != order.amount:
            raise Conflict(f"Payment {payment_id} is {payment.state}, {payment.amount}, and not what the order costs.")

        def adopt(order: Order) -> None:
            if order.status != CREATED or order.payment is not None:
                raise Conflict(f"Order {order.id} is {order.status} by now.")
            order.payment = payment_id

        self._store.orders.update(order.id, None, adopt)

    def _call_off(self, fix: dict[str, Any]) -> str:
        order, payment_id = self._store.orders.get(str(fix.get("order"))), str(fix.get("payment"))
        if order.status != CANCELED and not (order.settled and order.payment != payment_id):
            raise Conflict(f"Order {order.id} is {order.status} by now, and may need the payment.")
        payment = self._payments.cancel(payment_id)
        if payment.state != CALLED_OFF:
            raise Conflict(f"Payment {payment_id} is {payment.state} by now.")
        return f"payment {payment_id} is canceled"

    def _take_up(self, fix: dict[str, Any]) -> str:
        self._refunded(str(fix.get("payment")))
        order = self._store.orders.get(str(fix.get("order")))
        return f"the order is {order.status}, {order.amount_returned or 0} returned"

    def _look_at_disputes(self, fix: dict[str, Any]) -> str:
        order = self._store.orders.get(str(fix.get("order")))
        # Raises if the provider does not know the payment: it then lists no disputes, and none must be forgotten.
        payment = self._payments.find(order.payment or "")
        self._disputed(payment.id)
        now = self._store.orders.get(order.id)
        return f"the order is {now.status}, its dispute {now.dispute.status if now.dispute else 'none'}"

    def _owe(self, fix: dict[str, Any]) -> str:
        order = self._store.orders.get(str(fix.get("order")))
        wanted = {kind: f"{order.id}:{kind}" for kind in order.deliveries}
        missing = self._books.owe_missing(order.id, wanted, (PAID, FULFILLED))
        self._outbox.deliver_order(order.id)
        return f"owed: {', '.join(missing) or 'nothing that was not'}"

    def _again(self, fix: dict[str, Any]) -> str:
        key = f"{self._store.orders.get(str(fix.get('order'))).id}:{LABEL}"
        if not self._store.deliveries.again(key):
            raise Conflict(f"{key} is not given up any more.")
        self._outbox.deliver(key)
        return f"{key}: {self._store.deliveries.rows(key=key)[0]['state']}"

    def _give_back(self, fix: dict[str, Any]) -> str:
        key = str(fix.get("key"))
        with suppress(NotFound):
            order = self._store.orders.get(order_of(key))
            if holds(order, key):
                raise Conflict(f"Order {order.id} is {order.status} by now, and holds it.")
        # At once: the outbox may have released it before, on stock that was since restored from a backup.
        self._outbox.products.release(key)
        return f"{key} is given back"

    def _count(self, fix: dict[str, Any]) -> str:
        with self._store.write():
            order = self._store.orders.locked(str(fix.get("order")))
            if not order.settled or order.discount is None:
                raise Conflict(f"Order {order.id} is {order.status}, and has redeemed no code.")
            self._store.discounts.count(order)
        return f"{order.code} is redeemed by {order.id}"

    def _owe_tax(self, fix: dict[str, Any]) -> str:
        with self._store.write():
            order = self._store.orders.locked(str(fix.get("order")))
            if not owed(order):
                raise Conflict(f"Order {order.id} is {order.status}, and has no tax to record.")
            owe_taxes(self._store, order)
        for row in self._store.deliveries.of(order.id, TAX_KINDS):
            self._outbox.deliver(row["key"])
        return ", ".join(f"{row['key']} {row['state']}" for row in self._store.deliveries.of(order.id, TAX_KINDS))

    def _give_code_back(self, fix: dict[str, Any]) -> str:
        name = str(fix.get("order"))
        with self._store.write():
            with suppress(NotFound):
                order = self._store.orders.locked(name)
                if redeems(order):
                    raise Conflict(f"Order {order.id} is {order.status} by now, and redeems its code.")
            given = self._store.discounts.give_back(name)
        return f"{name}: {'given back' if given else 'was given back already'}"

    def _return(self, fix: dict[str, Any]) -> str:
        order = self._store.orders.get(str(fix.get("order")))
        if order.status not in OVER:
            raise Conflict(f"Order {order.id} is {order.status}, and needs its label.")
        if not over([order], self._books.owed_for([order.id])):
            raise Conflict(f"The label of order {order.id} is being bought, or returned, by the shop itself.")
        key = f"{order.id}:{VOID}"
        # At once, not through the outbox, which returns no label that the order's own deliveries do not mention.
        # Shipping refunds a label only once, however often it is asked, and never after its parcel has moved.
        answer = self._outbox.shipping.refund_label(order.shipment, key)
        if self._store.deliveries.again(key):
            self._outbox.deliver(key)
        return f"giving the label back: {answer['status']}"
