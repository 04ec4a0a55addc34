"""Canceling an order: cancel its payment first, so that it can never be taken, then release what the order held.

The steps are those of `CANCEL` in `steps.py`; any copy of the service can resume them. A cancellation during a payment
waits like a second payer. An order that turns out to be paid stays paid; one whose payment a bank is settling waits for
the bank.
"""

from __future__ import annotations

import time
from contextlib import suppress

from cart.payment.pay import LOOK_INTERVAL_S, OrderPayment, patience
from cart.payment.settlement import Settlement
from cart.payment.steps import CALL_OFF_PAYMENT, RESERVE, Abandoned, Attempt, ask, begin, undo
from cart.rules.order import CANCELED, CANCELING, CREATED, PAYING, Order
from cart.rules.payments import PROCESSING, Payment
from chassis.crash_points import crash_point
from chassis.db.claims import ClaimLost
from chassis.logs import log
from contracts.errors import Conflict, PaymentDeclined


class Cancellation:
    """Cancels unpaid orders.

    Args:
        settlement: brings orders to a stable state; its store is used here, too.
    """

    def __init__(self, settlement: Settlement) -> None:
        self.settlement = settlement
        self.store = settlement.store

    def cancel(self, order_id: str, cart_id: str | None) -> Order:
        """Cancel an order, once; returns the canceled order, also when it was canceled before.

        Raises:
            NotFound: no such order of this cart.
            Conflict: it is paid, a bank is settling its payment, or another process has worked on it for as long as the
                caller could wait.
            OutcomeUnknown, Unavailable, DeadlineExceeded, ProviderFailure: cancel again.
        """
        until = patience()
        while True:
            order = self.store.orders.get(order_id, cart_id)
            if order.status == CANCELED:
                return order
            if order.settled:
                raise _paid(order)
            crash_point("cancel:claim:begun")
            claimed = self.settlement.claim(order_id, cart_id, CANCELING)
            if claimed is None:
                if time.monotonic() >= until:
                    raise Conflict(f"Order {order_id} is being paid; ask again how it ended.", {"retry_after": 1})
                time.sleep(LOOK_INTERVAL_S)
                continue
            crash_point("cancel:claim:done")
            # ClaimLost: the new holder finishes the work; the next iteration reads the outcome.
            with suppress(ClaimLost), self.settlement.at_work(claimed):
                if claimed.status == PAYING:  # left by a payer: finish that attempt first
                    with suppress(PaymentDeclined):
                        self.settlement.take_up(claimed, None)
                else:
                    return self._carry_out(claimed)

    def resume(self, order_id: str) -> None:
        """Finish an abandoned cancellation. Raises as `cancel` does."""
        order = self.settlement.reclaim(order_id, CANCELING)
        if order is None or order.status != CANCELING:
            return
        with suppress(Conflict, ClaimLost), self.settlement.at_work(order):
            self._carry_out(order)

    def _carry_out(self, order: Order) -> Order:
        if order.payment is not None:
            attempt = Attempt(order, "", "")
            begin(self.settlement, "cancel", CALL_OFF_PAYMENT, attempt, self.settlement.claim_end())
            taken = ask(self.settlement, "cancel", CALL_OFF_PAYMENT, attempt)
            if taken is not None:
                raise self._keep(order, taken)
        left = Abandoned(order, order.stock_key, None)
        order.stock_key = None
        order.become(CANCELED, int(self.settlement.clock()))
        crash_point("cancel:canceled:begun")
        with self.store.write():
            self.store.orders.keep(order)
            undo(self.settlement, RESERVE, left)
            self.store.journal.note(order, "canceled", {"stock": left.stock_key})
        crash_point("cancel:canceled:done")
        log.info("order canceled", order_id=order.id)
        self.settlement.deliver_release(left)
        return order

    def _keep(self, order: Order, payment: Payment) -> Conflict:
        """The payment is taken, or a bank is settling it, so it cannot be canceled: store that; returns the refusal."""
        if order.stock_key is not None:
            now = self.settlement.outcome(order, payment)
        else:
            # It holds no stock: the shopper's own page has confirmed the payment after a decline.
            order.become(CREATED, int(self.settlement.clock()))
            self.store.orders.keep(order)
            with suppress(Conflict):
                OrderPayment(self.settlement).look_now(payment.id)
            now = self.store.orders.get(order.id)
        if now.settled:
            return _paid(now)
        what = "A bank is processing" if payment.state == PROCESSING else "The shop has taken"
        return Conflict(f"{what} the payment of order {order.id}; it cannot be canceled now.")


def _paid(order: Order) -> Conflict:
    return Conflict(f"Order {order.id} is {order.public_status}: what is paid is refunded, not canceled.")
