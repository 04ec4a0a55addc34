"""Paying an order: a list of recorded steps, which any copy of the service can take up again.

    claim -> stock -> open -> method -> confirm -> paid

Every step has a key made of the order, the attempt and the step before it begins, and notes that it begins and how it
ended. Up to `confirm` no money can have moved, so an attempt that was left there is undone: the stock is given back.
From `confirm` on nothing is undone that is not known: the payment is asked what has become of it, and is called off
before the order is opened again. After the money nothing is undone, only finished: see `outbox.py`.

The pattern is that of recovery points around idempotent calls (B. Leach, "Implementing Stripe-like Idempotency Keys in
Postgres", 2017).
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable
from typing import Any

from nameko.exceptions import RemoteError

from cart.order import CONFIRMING, CREATED, PAID, Order
from cart.outbox import DELIVERIES, RELEASE, Outbox
from cart.payments import ACTION, CANCELED, OPEN, PROCESSING, SUCCEEDED, Payment, Payments
from cart.store import CartStore, ClaimLost
from chassis.deadline import MARGIN, remaining
from chassis.logs import log
from contracts.errors import (
    Conflict,
    DeadlineExceeded,
    OutcomeUnknown,
    PaymentActionRequired,
    PaymentDeclined,
    ShopError,
)

# How long a claim holds from the beginning of a step (seconds): as long as a payment may take in all, so that whoever
# held a claim that has run out is no longer at work.
LEASE = 30.0
# How often whoever came second looks whether the first has finished (seconds), and how long when its caller set no
# deadline of its own.
LOOK = 0.1
PATIENCE = 25.0
# How often an order that waits for the shopper's bank is looked at (seconds), and how long it may hold its stock: a
# bank's page is answered within minutes or never.
BANK_LOOK = 15.0
BANK_PATIENCE = 1800.0

UNKNOWN = (OutcomeUnknown, DeadlineExceeded)


class Purchase:
    """Pays orders.

    Args:
        store: where orders and steps are kept.
        payments: takes the money.
        products: the products service: ``reserve(key, items)``.
        outbox: gives back and delivers what is owed.
        clock: Unix seconds; another one in tests.
        lease: how long a claim holds from the beginning of a step (seconds).
    """

    def __init__(
        self,
        store: CartStore,
        payments: Payments,
        products: Any,
        outbox: Outbox,
        clock: Callable[[], float] = time.time,
        lease: float = LEASE,
    ) -> None:
        self.store = store
        self.payments = payments
        self.products = products
        self.outbox = outbox
        self.clock = clock
        self.lease = lease

    def pay(self, order_id: str, cart_id: str | None, card: str) -> Order:
        """Pay an order with `card`, once; the paid order. Two payers at once: one pays, the other gets the paid order.

        Raises:
            NotFound: no such order of this cart.
            Conflict: not enough stock, the order is canceled, another card has paid it, or somebody has been at it for
                as long as the caller could wait.
            PaymentDeclined, PaymentActionRequired, Refused: nothing was taken; the order can be paid again.
            OutcomeUnknown, Unavailable, DeadlineExceeded, ProviderFailure: pay again; it is never charged twice.
        """
        digest = hashlib.sha256(f"{order_id}:{card}".encode()).hexdigest()
        left = remaining()
        until = self.clock() + (PATIENCE if left is None else left - MARGIN)
        while True:
            order = self.store.order(order_id, cart_id)
            if order.settled:
                return _same_card(order, digest)
            order_claimed = self._claim(order_id, cart_id)
            if order_claimed is None:
                if self.clock() >= until:
                    raise Conflict(f"Order {order_id} is being paid; ask again how it ended.", {"retry_after": 1})
                time.sleep(LOOK)
                continue
            try:
                if order_claimed.stock_key is None:
                    return self._attempt(order_claimed, card, digest)
                self._finish(order_claimed, digest)
            except ClaimLost:
                continue  # whoever has it now finishes it; see what comes of it

    def resume(self, order_id: str) -> None:
        """Finish a payment that nobody is at work on any more, or that waits for the shopper's bank.

        Raises as `pay` does when the provider or a service cannot be reached; it is then resumed later.
        """
        order = self._claim(order_id, None)
        if order is None:
            return
        try:
            if order.stock_key is None:
                self._undo(order)
            else:
                self._finish(order, order.card)
        except (PaymentActionRequired, PaymentDeclined, ClaimLost):
            pass  # it is where it belongs: waiting for the bank, open again, or in another's hands

    def _claim(self, order_id: str, cart_id: str | None) -> Order | None:
        now = self.clock()
        return self.store.claim(order_id, cart_id, uuid.uuid4().hex, now + self.lease, now)

    # A new attempt

    def _attempt(self, order: Order, card: str, digest: str) -> Order:
        try:
            self._reserve(order)
            taken = self._open(order)
            if taken is not None:
                order.card = digest  # whoever asks again with it gets this answer again
                return self._outcome(order, taken)
            method = self._method(order, card)
        except (ShopError, RemoteError):
            self._undo(order)
            raise
        return self._confirm(order, method, digest)

    def _reserve(self, order: Order) -> None:
        # The key is kept before it is used, so that a reservation whose answer was lost is given back.
        order.stock_key = _key(order, "stock")
        self.store.begin_step(order, "stock", self._lease())
        self.products.reserve(order.stock_key, order.stock)
        self.store.end_step(order, "stock", {"key": order.stock_key})

    def _open(self, order: Order) -> Payment | None:
        """Have a payment of the order's amount with no money in it: that of the last attempt, if it serves.

        Returns the payment when the last attempt's turns out to have been taken after all.
        """
        self.store.begin_step(order, "open", self._lease())
        if order.payment is not None:
            payment = self._look(order)
            if payment.state not in (OPEN, CANCELED):
                payment = self._call_off(order)
            if payment.state == SUCCEEDED:
                return payment
            if payment.state == CANCELED:
                order.payment = None
            elif payment.amount != order.amount:
                self.payments.set_amount(payment.id, order.amount)
        if order.payment is None:
            email = order.document["email"]
            opened = self.payments.open(order.id, order.amount, order.currency, email, _key(order, "open"))
            order.payment = opened.id
        self.store.end_step(order, "open", {"payment": order.payment})
        return None

    def _method(self, order: Order, card: str) -> str:
        self.store.begin_step(order, "method", self._lease())
        method = self.payments.method(card, _key(order, "method"))
        self.store.end_step(order, "method", {"method": method})
        return method

    def _confirm(self, order: Order, method: str, digest: str) -> Order:
        # The digest is kept before the question: whoever finds the money taken knows by which card.
        order.card = digest
        self.store.begin_step(order, "confirm", self._lease())
        return self._outcome(order, self._ask(order, method))

    # What becomes of an attempt

    def _finish(self, order: Order, digest: str | None) -> None:
        """Bring an attempt that was left in the middle to its end, for a caller who pays with the card of `digest`.

        Returns when the order is paid or open again; raises PaymentActionRequired while the bank has to be answered.
        """
        log.info("payment resumed", order_id=order.id, attempt=order.attempt)
        steps = {step["step"]: step for step in self.store.steps(order.id) if step["attempt"] == order.attempt}
        if "confirm" not in steps or order.payment is None:
            self._undo(order)  # the money was never asked for
            return
        self.store.keep(order, lease=self._lease())
        age = self.clock() - steps["confirm"]["began"]
        same_card = digest is not None and order.card == digest
        payment = self._settle(order)
        if payment.state == ACTION and (not same_card or age > BANK_PATIENCE):
            payment = self._call_off(order)
        if payment.state == CANCELED:
            order.payment = None
            self._undo(order)
            return
        self._outcome(order, payment)

    def _ask(self, order: Order, method: str) -> Payment:
        """Confirm the attempt's payment; on a refusal the order is open again, on an unknown outcome it is not."""
        try:
            return self.payments.confirm(order.payment or "", method, _key(order, "confirm"))
        except PaymentDeclined:
            self._undo(order)
            raise
        except UNKNOWN:
            self._let_go(order)
            raise
        except ShopError:
            # Only a decline proves that nothing was taken: the SDK may have asked before, and lost that answer.
            payment = self._settle(order)
            if payment.state != CANCELED:
                return payment
            order.payment = None
            self._undo(order)
            raise

    def _settle(self, order: Order) -> Payment:
        """What has become of the attempt's payment: taken, waiting for the bank, or called off."""
        payment = self._look(order)
        if payment.state == OPEN:
            # Refused, never asked, or still on its way to the bank, and the shopper's own page may yet confirm it.
            # Calling it off is final: either it can never be taken any more, or it has been.
            payment = self._call_off(order)
        return payment

    def _look(self, order: Order) -> Payment:
        try:
            return self.payments.find(order.payment or "")
        except ShopError:
            self._let_go(order)
            raise

    def _call_off(self, order: Order) -> Payment:
        """Make sure that the payment is never taken; or find that it was."""
        try:
            payment = self.payments.cancel(order.payment or "")
        except ShopError:
            self._let_go(order)
            raise
        if payment.state not in (SUCCEEDED, CANCELED):
            self._let_go(order)
            raise OutcomeUnknown("The bank has not decided yet.", {"retry_after": 2})
        return payment

    def _outcome(self, order: Order, payment: Payment) -> Order:
        """Keep what the bank said, and say it."""
        now = self.clock()
        if payment.state == SUCCEEDED:
            order.become(PAID, int(now))
            order.document["charge"] = payment.charge

            def paid(connection: Any) -> None:
                self.store.bought(connection, order)
                for kind in DELIVERIES:
                    self.store.owe(connection, order.id, kind, f"{order.id}:{kind}", now)

            self.store.keep(order, also=paid)
            log.info("order paid", order_id=order.id, amount=order.amount, currency=order.currency)
            return order
        if payment.state == ACTION:
            order.become(CONFIRMING, int(now))
            self.store.keep(order, lease=now + BANK_LOOK)
            raise PaymentActionRequired("The card's bank wants its holder to confirm the payment.", payment.action)
        if payment.state == PROCESSING:
            self._let_go(order)
            raise OutcomeUnknown("The bank has not decided yet.", {"retry_after": 2})
        if payment.state == CANCELED:
            order.payment = None
        self._undo(order)
        raise _declined(payment.decline or {"detail": "The payment was not taken.", "code": payment.state})

    def _undo(self, order: Order) -> None:
        """No money was taken and none will be: give the stock back, and open the order to be paid again."""
        key = order.stock_key
        order.stock_key = None
        order.become(CREATED, int(self.clock()))

        def give_back(connection: Any) -> None:
            if key is not None:
                self.store.owe(connection, order.id, RELEASE, key, self.clock())

        self.store.keep(order, also=give_back)
        if key is not None:
            self.outbox.deliver(key)

    def _let_go(self, order: Order) -> None:
        """Leave the order as it is, for whoever comes next to take up at once."""
        try:
            self.store.keep(order, lease=self.clock())
        except (ShopError, ClaimLost) as error:
            log.warning("claim kept; it runs out by itself", order_id=order.id, error=str(error))

    def _lease(self) -> float:
        return self.clock() + self.lease


def _key(order: Order, step: str) -> str:
    return f"{order.id}:{order.attempt}:{step}"


def _declined(decline: dict[str, Any]) -> PaymentDeclined:
    return PaymentDeclined(decline["detail"], {name: decline.get(name) for name in ("code", "decline_code")})


def _same_card(order: Order, digest: str) -> Order:
    if order.card != digest:
        raise Conflict(f"Order {order.id} is paid already, by another card.")
    return order
