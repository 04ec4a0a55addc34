"""Paying an order: a list of recorded steps, which any copy of the service can resume.

    claim -> stock -> open -> method -> confirm -> paid

Each step has a key, fixed before it begins, and records its start and its end. `settlement.py` decides the outcome of
an attempt; `outbox.py` does the work owed after it. Source of the pattern: recovery points around idempotent calls
(B. Leach, "Implementing Stripe-like Idempotency Keys in Postgres", 2017).
"""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from typing import Any

from nameko.exceptions import RemoteError

from cart.payment.settlement import Settlement, called_off
from cart.rules.order import CANCELING, CONFIRMING, CREATED, PAYING, Order
from cart.rules.payments import CANCELED, OPEN, SUCCEEDED, Payment
from cart.store.unit_of_work import ClaimLost
from chassis.crash_points import crash_point
from chassis.deadline import DEADLINE_MARGIN_S, remaining
from contracts.errors import (
    Conflict,
    DeadlineExceeded,
    OutcomeUnknown,
    PaymentActionRequired,
    PaymentDeclined,
    ShopError,
)

# How often the second payer checks whether the first has finished, and for how long if its caller set no deadline
# (seconds).
LOOK_INTERVAL_S = 0.1
CLAIM_WAIT_S = 25.0
# How long a provider's notice of a changed payment waits for a claimed order (seconds).
NOTICE_WAIT_S = 3.0

# Stripe's code for a payment that can no longer be confirmed, such as one canceled in its dashboard.
CALLED_OFF = "payment_intent_unexpected_state"

UNKNOWN = (OutcomeUnknown, DeadlineExceeded)

POINTS = (
    "pay:claim:begun",
    "pay:claim:done",
    *(f"pay:{step}:{moment}" for step in ("stock", "open", "method") for moment in ("begun", "asked", "done")),
    "pay:confirm:begun",
    "pay:confirm:asked",
)


class OrderPayment:
    """Pays orders.

    Each step's key consists of the order, the attempt and the step. After the money is taken nothing is undone, only
    finished. A process that finds an order with a void claim, which ran out or whose holder has died, resumes it.

    Args:
        settlement: brings orders to a stable state; its store and payments are used here, too.
        products: the products service: ``reserve(key, items)``.
    """

    def __init__(self, settlement: Settlement, products: Any) -> None:
        self.settlement = settlement
        self.store = settlement.store
        self.payments = settlement.payments
        self.products = products

    def pay(self, order_id: str, cart_id: str | None, card: str, payer: str | None = None) -> Order:
        """Pay an order with `card`, once; returns the paid order. Of two concurrent payers one pays, and both receive
        the paid order.

        Args:
            payer: whose limit a decline counts against; the order's cart when None.

        Raises:
            NotFound: no such order of this cart.
            TooManyRequests: too many cards were declined for this order or payer.
            Conflict: not enough stock, the order is canceled, another card has paid it, or another process has worked
                on it for as long as the caller could wait.
            Conflict with ``retry_after``: its payment was just canceled elsewhere; nothing was taken.
            PaymentDeclined, PaymentActionRequired, Refused: nothing was taken; the order can be paid again.
            OutcomeUnknown, Unavailable, DeadlineExceeded, ProviderFailure: pay again; it is never charged twice.
        """
        digest = hashlib.sha256(f"{order_id}:{card}".encode()).hexdigest()
        until = patience()
        while True:
            order = self.store.order(order_id, cart_id)
            if order.settled:
                return _same_card(order, digest)
            crash_point("pay:claim:begun")
            claimed = self.settlement.claim(order_id, cart_id, payer=payer or order.cart_id)
            if claimed is None:
                if time.monotonic() >= until:
                    what = "canceled" if order.status == CANCELING else "paid"
                    raise Conflict(f"Order {order_id} is being {what}; ask again how it ended.", {"retry_after": 1})
                time.sleep(LOOK_INTERVAL_S)
                continue
            crash_point("pay:claim:done")
            # ClaimLost: the new holder finishes the work; the next iteration reads the outcome.
            with suppress(ClaimLost), self.settlement.at_work(claimed):
                if claimed.stock_key is None:
                    return self._attempt(claimed, card, digest)
                self.settlement.finish(claimed, digest)

    def resume(self, order_id: str, hurry: bool = False) -> None:
        """Finish an abandoned payment, or one that waits for the shopper's bank.

        Args:
            hurry: resume it even before its time, as when the provider has reported a change.

        Raises as `pay` does when the provider or a service cannot be reached; it is then resumed later.
        """
        order = self.settlement.reclaim(order_id, hurry=hurry)
        if order is None:
            return
        # The order then has a stable state: waiting for the bank, open again (also when its stock may not wait for the
        # bank: Conflict), or claimed by another.
        with suppress(PaymentActionRequired, PaymentDeclined, Conflict, ClaimLost), self.settlement.at_work(order):
            self.settlement.take_up(order, order.card)

    def look_now(self, payment_id: str) -> bool:
        """The provider reports that a payment has changed: ask for its state, and update its order.

        Returns whether there is an order of that payment. Raises as `resume` does, and Conflict when the money is
        taken and the stock is gone: an operator has to refund it.
        """
        until = time.monotonic() + NOTICE_WAIT_S
        while True:
            order = self.store.order_of_payment(payment_id)
            if order is None:
                return False
            if order.status == CREATED and self.payments.find(payment_id).state == SUCCEEDED:
                self._take_up(order)
            elif order.status in (PAYING, CONFIRMING):
                self.resume(order.id, hurry=True)
            if self.store.order(order.id).status != PAYING or time.monotonic() >= until:
                return True  # the holder of the claim asks the provider, too
            time.sleep(LOOK_INTERVAL_S)

    # A new attempt

    def _attempt(self, order: Order, card: str, digest: str) -> Order:
        try:
            self._reserve(order)
            taken = self._open(order)
            if taken is not None:
                order.card = digest  # a repetition with this card returns this answer again
                return self.settlement.outcome(order, taken)
            method = self._method(order, card)
        except (ShopError, RemoteError) as error:
            self.settlement.undo(order, {"error": f"{type(error).__name__}: {error}"}, error)
            raise
        return self._confirm(order, method, digest)

    def _reserve(self, order: Order) -> None:
        # The key is stored before it is used, so that a reservation whose answer was lost is released.
        order.stock_key = order.key("stock")
        self.store.begin_step(order, "stock", self.settlement.claim_end())
        crash_point("pay:stock:begun")
        self.products.reserve(order.stock_key, order.stock)
        crash_point("pay:stock:asked")
        self.store.end_step(order, {"key": order.stock_key})
        crash_point("pay:stock:done")

    def _open(self, order: Order) -> Payment | None:
        """Open a payment of the order's amount, without a card yet, or reuse that of the last attempt if possible.

        Returns the payment when that of the last attempt turns out to have been taken.
        """
        self.store.begin_step(order, "open", self.settlement.claim_end())
        crash_point("pay:open:begun")
        if order.payment is not None:
            payment = self.payments.find(order.payment)
            # One of another amount is canceled, not changed: a suspended payer that wakes up now could otherwise change
            # it back.
            if payment.state not in (OPEN, CANCELED, SUCCEEDED) or payment.amount != order.amount:
                payment = called_off(self.payments, order.payment)
            if payment.state == SUCCEEDED:
                return payment
            if payment.state == CANCELED:
                order.payment = None
        if order.payment is None:
            email = order.document["email"]
            opened = self.payments.open(order.id, order.amount, order.currency, email, order.key("open"))
            order.payment = opened.id
        crash_point("pay:open:asked")
        self.store.end_step(order, {"payment": order.payment})
        crash_point("pay:open:done")
        return None

    def _method(self, order: Order, card: str) -> str:
        self.store.begin_step(order, "method", self.settlement.claim_end())
        crash_point("pay:method:begun")
        method = self.payments.method(card, order.key("method"))
        crash_point("pay:method:asked")
        self.store.end_step(order, {"method": method})
        crash_point("pay:method:done")
        return method

    def _confirm(self, order: Order, method: str, digest: str) -> Order:
        # The digest is stored before the request: a process that finds the money taken then knows by which card.
        order.card = digest
        self.store.begin_step(order, "confirm", self.settlement.claim_end())
        crash_point("pay:confirm:begun")
        payment = self._ask(order, method)
        crash_point("pay:confirm:asked")
        return self.settlement.outcome(order, payment)

    def _ask(self, order: Order, method: str) -> Payment:
        """Confirm the attempt's payment; a refusal opens the order again, an unknown outcome does not."""
        try:
            return self.payments.confirm(order.payment or "", method, order.key("confirm"))
        except PaymentDeclined as error:
            crash_point("pay:confirm:asked")
            self.settlement.undo(order, {"error": f"PaymentDeclined: {error}"}, error)
            raise
        except UNKNOWN:
            self.settlement.let_go(order)
            raise
        except ShopError as error:
            # Only a decline proves that nothing was taken: the SDK may have asked before, and lost that answer.
            payment = self.settlement.settle(order)
            if payment.state != CANCELED:
                return payment
            order.payment = None
            self.settlement.undo(order, {"error": f"{type(error).__name__}: {error}"})
            if error.facts.get("code") == CALLED_OFF:
                raise Conflict("The payment was called off elsewhere. Pay again.", {"retry_after": 1}) from error
            raise

    def _take_up(self, order: Order) -> None:
        """A reopened order turns out to be paid: reserve its stock, and store it as paid."""
        claimed = self.settlement.claim(order.id, None)
        if claimed is None or claimed.stock_key is not None:
            return
        with suppress(ClaimLost), self.settlement.at_work(claimed):
            try:
                self._reserve(claimed)
                payment = self.payments.find(claimed.payment or "")
            except (ShopError, RemoteError) as error:
                self.settlement.undo(claimed, {"error": f"{type(error).__name__}: {error}"})
                raise
            self.settlement.outcome(claimed, payment)


def patience() -> float:
    """Until when the second payer waits for the first (monotonic seconds)."""
    left = remaining()
    return time.monotonic() + (CLAIM_WAIT_S if left is None else left - DEADLINE_MARGIN_S)


def _same_card(order: Order, digest: str) -> Order:
    if order.card != digest:
        raise Conflict(f"Order {order.id} is paid already, by another card.")
    return order
