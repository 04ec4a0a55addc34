"""Canceling an order: cancel its payment first, so that it can never be taken, then release what the order held.

    claim -> call_off -> canceled

Like paying, this is a list of recorded steps that any copy of the service can resume. A cancellation during a payment
waits like a second payer; if the order turns out to be paid, it stays paid.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from cart.payment.pay import LOOK_INTERVAL_S, patience
from cart.payment.settlement import Settlement
from cart.rules.order import CANCELED, CANCELING, PAYING, Order
from cart.rules.payments import SUCCEEDED
from cart.store.unit_of_work import ClaimLost
from chassis.crash_points import crash_point
from chassis.logs import log
from contracts.errors import Conflict, PaymentDeclined

POINTS = (
    "cancel:claim:begun",
    "cancel:claim:done",
    "cancel:call_off:begun",
    "cancel:call_off:asked",
    "cancel:call_off:done",
    "cancel:canceled:begun",
    "cancel:canceled:done",
)


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
            Conflict: it is paid, or another process has worked on it for as long as the caller could wait.
            OutcomeUnknown, Unavailable, DeadlineExceeded, ProviderFailure: cancel again.
        """
        until = patience()
        while True:
            order = self.store.order(order_id, cart_id)
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
            self.store.begin_step(order, "call_off", self.settlement.claim_end())
            crash_point("cancel:call_off:begun")
            payment = self.settlement.call_off(order)
            crash_point("cancel:call_off:asked")
            if payment.state == SUCCEEDED:
                raise _paid(self.settlement.paid(order, payment))
            self.store.end_step(order, {"state": payment.state})
            crash_point("cancel:call_off:done")
        return self._canceled(order)

    def _canceled(self, order: Order) -> Order:
        key = order.stock_key
        order.stock_key = None
        order.become(CANCELED, int(self.settlement.clock()))

        def also(connection: Any) -> None:
            self.settlement.owe_stock(connection, order, key)
            self.store.note_step(connection, order, "canceled", {"stock": key})

        crash_point("cancel:canceled:begun")
        self.store.keep(order, also=also)
        crash_point("cancel:canceled:done")
        log.info("order canceled", order_id=order.id)
        if key is not None:
            self.settlement.outbox.deliver(key)
        return order


def _paid(order: Order) -> Conflict:
    return Conflict(f"Order {order.id} is {order.public_status}: what is paid is refunded, not canceled.")
