"""The outcome of a claimed order: paid, open again, or released until more is known.

Before `confirm` no money can have moved, so an attempt abandoned there is undone, and its stock released. From
`confirm` on, only a known outcome is undone: the provider is asked for the payment's state, and the payment is canceled
before the order is opened again.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nameko.exceptions import RemoteError

from cart.deliveries.outbox import DISPUTE_LOOK, Outbox
from cart.deliveries.taxes import owe_taxes
from cart.payment.steps import PAY, Abandoned, call_off, undo
from cart.rules.attention import PAYMENT
from cart.rules.order import CONFIRMING, CREATED, LABEL, PAID, PAYING, Order
from cart.rules.payments import ACTION, CANCELED, OPEN, PROCESSING, SUCCEEDED, Payment, Payments
from cart.store.tables import LONGEST_PROCESSING_LOOK_S
from cart.store.unit_of_work import CartStore
from chassis.clock import AHEAD_S
from chassis.clock import now as clock_now
from chassis.crash_points import crash_point
from chassis.db.claims import ClaimLost
from chassis.logs import log
from contracts.errors import (
    Conflict,
    PaymentActionRequired,
    PaymentDeclined,
    ShopError,
)

# How long a claim holds from the beginning of a step (seconds): as long as a payment may take in all, so that the
# holder of an expired claim is no longer working. A holder that was killed is detected long before.
CLAIM_S = 30.0
# How often an order that waits for the shopper's bank is checked (seconds).
BANK_LOOK_INTERVAL_S = 15.0
# A payment that a bank settles later is checked at first as often, and later after this share of its age, at most once
# an hour: it takes up to 14 business days (https://docs.stripe.com/payments/bank-debits), and its webhook comes first.
PROCESSING_LOOK_SHARE = 0.05
# The share of a SKU, and of a code's redemptions, that all orders waiting for a bank may hold together, rounded up, and
# at least one.
BANK_SHARE = 0.5
# When to retry because some of it may have been released (seconds).
BANK_SHARE_RETRY_S = 60
# An order in an unknown state is checked after the first of these waits, which doubles up to the second; after that
# many checks (ten minutes), the third is the wait between them (seconds).
FIRST_LOOK_S = 1.0
NEXT_LOOK_S = 4.0
LATE_LOOK_S = 30.0
MANY_LOOKS = 150
# What an order shows of a payment that failed.
FAILURE = ("detail", "code", "decline_code")


class Settlement:
    """Brings claimed orders to their next stable state.

    Args:
        store: where orders and steps are stored.
        payments: takes the money.
        outbox: delivers what is owed.
        clock: Unix seconds; another one in tests.
        claim_s: how long a claim holds from the beginning of a step (seconds).
        bank_hold_s: how long an order may hold its stock while the shopper's bank is asked (seconds).
    """

    def __init__(
        self,
        store: CartStore,
        payments: Payments,
        outbox: Outbox,
        clock: Callable[[], float] = clock_now,
        claim_s: float = CLAIM_S,
        bank_hold_s: float = 600.0,
    ) -> None:
        self.store = store
        self.payments = payments
        self.products = outbox.products
        self.outbox = outbox
        self.clock = clock
        self._claim_s = claim_s
        self._bank_hold_s = bank_hold_s

    def claim(self, order_id: str, cart_id: str | None, to: str = PAYING, payer: str | None = None) -> Order | None:
        """Claim an order for a new attempt, or to resume an abandoned one, as described for `Orders.claim`."""
        return self.store.orders.claim(order_id, cart_id, self.claim_end(), to, payer=payer)

    def reclaim(self, order_id: str, to: str = PAYING, hurry: bool = False) -> Order | None:
        """Claim an order only to resume an abandoned attempt, as described for `Orders.claim`."""
        return self.store.orders.claim(order_id, None, self.claim_end(), to, fresh=False, hurry=hurry)

    def claim_end(self) -> float:
        """The end of a claim that is made or renewed now (Unix seconds)."""
        return self.clock() + self._claim_s

    @contextmanager
    def at_work(self, order: Order) -> Iterator[None]:
        """Release a claimed order when the work on it fails in a way that could not be stored."""
        try:
            yield
        except ClaimLost:
            raise
        except Exception:
            self.let_go(order)
            raise

    def finish(self, order: Order, digest: str | None) -> None:
        """Complete an abandoned attempt, for a caller who pays with the card of `digest`.

        Returns when the order is paid or open again; raises PaymentActionRequired while the bank waits for an answer,
        PaymentDeclined when it has declined.
        """
        log.info("payment resumed", order_id=order.id, attempt=order.attempt)
        asked_at = self._asked_at(order)
        if asked_at is None or order.payment is None:
            self.undo(order, {"error": "left before the money was asked for"})
            return
        self.store.orders.keep(order, until=self.claim_end())
        age = self.clock() - asked_at
        same_card = digest is not None and order.card == digest
        payment = self.settle(order)
        # A step that began much later than now was recorded by a wrong clock: its hold counts as over.
        over = not -AHEAD_S <= age <= self._bank_hold_s
        if payment.state == ACTION and (not same_card or over):
            payment = self.call_off(order)
        if payment.state == CANCELED:
            order.payment = None
            self.undo(order, {"state": CANCELED}, failure=payment.decline)
            return
        self.outcome(order, payment)

    def take_up(self, order: Order, digest: str | None) -> None:
        """Complete an attempt from the step where it was abandoned; returns and raises as `finish`."""
        if order.stock_key is None:
            self.undo(order, {"error": "left before the stock was taken"})
        else:
            self.finish(order, digest)

    def settle(self, order: Order) -> Payment:
        """The final or waiting state of the attempt's payment: taken, waiting for the bank, or canceled."""
        payment = self.look(order)
        if payment.state == OPEN:
            # Declined, never asked, or still on its way to the bank, and the shopper's own page may yet confirm it.
            # Canceling it settles that: either it can never be taken any more, or it has been taken.
            payment = self.call_off(order)
        return payment

    def look(self, order: Order) -> Payment:
        """The provider's state of the order's payment; the order is released when the provider does not answer."""
        try:
            return self.payments.find(order.payment or "")
        except ShopError:
            self.let_go(order)
            raise

    def _asked_at(self, order: Order) -> float | None:
        """When this attempt asked for the money, or found a bank settling it (Unix seconds); None when it did not."""
        confirmed = self.store.journal.began(order, "confirm")
        return self.store.journal.began(order, "processing") if confirmed is None else confirmed

    def _try_to_cancel(self, order: Order) -> Payment:
        """Cancel the payment if the provider permits it; returns its state."""
        try:
            return self.payments.cancel(order.payment or "")
        except ShopError:
            self.let_go(order)
            raise

    def call_off(self, order: Order) -> Payment:
        """Make sure that the payment is never taken, or find that it was."""
        try:
            return call_off(self.payments, order.payment or "")
        except ShopError:
            self.let_go(order)
            raise

    def outcome(self, order: Order, payment: Payment) -> Order:
        """Store the bank's decision, and return or raise it; an order whose payment settles later is returned, too."""
        if payment.state == SUCCEEDED:
            return self.paid(order, payment)
        if payment.state == ACTION:
            try:
                self._check_hold(order)
            except Conflict as refusal:
                return self._without_hold(order, refusal)
            order.waits_for = payment.state
            order.become(CONFIRMING, int(self.clock()))
            order.due_at = self.clock() + BANK_LOOK_INTERVAL_S
            with self.store.write():
                self.store.orders.keep(order)
                self.store.attempts.held(order)
            raise PaymentActionRequired("The card's bank wants its holder to confirm the payment.", payment.action)
        if payment.state == PROCESSING:
            return self._processing(order)
        if payment.state == CANCELED:
            order.payment = None
        answer = declined(payment.decline or {"detail": "The payment was not taken.", "code": payment.state})
        self.undo(order, {"state": payment.state, "error": str(answer)}, answer)
        raise answer

    def _processing(self, order: Order) -> Order:
        """A bank has accepted the payment, and settles it within days: the order waits, and keeps its stock.

        It can be canceled "in rare cases" only (https://docs.stripe.com/api/payment_intents/cancel). So the limits of
        waiting stock apply as far as the provider lets it be canceled; else the order waits beyond them.
        """
        is_new = order.waits_for != PROCESSING
        if is_new:
            try:
                self._check_hold(order)
            except Conflict as refusal:
                payment = self._try_to_cancel(order)
                if payment.state == SUCCEEDED:
                    return self.paid(order, payment)
                if payment.state == CANCELED:
                    order.payment = None
                    self.undo(order, {"error": f"Conflict: {refusal}"})
                    raise
                log.warning("stock waits for a bank beyond its limit", order_id=order.id, limit=str(refusal))
        asked_at = self._asked_at(order)
        age = 0.0 if asked_at is None else self.clock() - asked_at
        order.waits_for = PROCESSING
        order.become(CONFIRMING, int(self.clock()))
        pause = max(BANK_LOOK_INTERVAL_S, min(LONGEST_PROCESSING_LOOK_S, PROCESSING_LOOK_SHARE * age))
        order.due_at = self.clock() + pause
        if is_new:
            crash_point("pay:processing:begun")
        with self.store.write():
            self.store.orders.keep(order)
            self.store.attempts.held(order)
            if is_new:
                self._take_from_cart(order)
                self.store.journal.note(order, "processing", {"payment": order.payment})
        if is_new:
            crash_point("pay:processing:done")
            log.info("payment settles later", order_id=order.id, payment=order.payment)
        return order

    def _check_hold(self, order: Order) -> None:
        """Raise Conflict when the order's stock or its code may not wait for the bank."""
        waiting = self.store.attempts.ask_bank(order, self._bank_hold_s)
        if waiting is None:
            return
        if order.discount is not None:
            redeemed, unused = self.store.attempts.redemptions_waiting(order.discount)
            if unused is not None and redeemed > _bank_share(unused + redeemed):
                raise _too_much_waits(f"Too many orders with the discount code {order.code} wait")
        try:
            left: dict[str, int | None] = self.products.stock_left(sorted(waiting))
        except RemoteError as error:
            if error.exc_type != "MethodNotFound":
                raise
            left = {}  # a copy of the previous release, which does not know the limit
        for sku, pieces in waiting.items():
            rest = left.get(sku)
            if rest is None:
                continue
            share = _bank_share(rest + pieces)
            own = order.pieces[sku]
            if own > share:
                raise Conflict(
                    f"{own} of {sku} cannot wait for a bank to confirm: that is more than half of what there is. "
                    "Use a card that needs no confirmation, or order fewer."
                )
            if pieces > share:
                raise _too_much_waits(f"Too much of {sku} waits")

    def _without_hold(self, order: Order, refusal: Conflict) -> Order:
        """The bank asks, but the stock may not wait: cancel the payment, open the order, and raise the refusal."""
        payment = self.call_off(order)
        if payment.state == SUCCEEDED:
            return self.paid(order, payment)
        order.payment = None
        self.undo(order, {"error": f"Conflict: {refusal}"})
        raise refusal

    def paid(self, order: Order, payment: Payment) -> Order:
        """The money is taken: mark the order as paid, and record the work owed for it."""
        order.become(PAID, int(self.clock()))
        order.charge = payment.charge
        order.waits_for = order.failure = None
        crash_point("pay:paid:begun")
        with self.store.write():
            self.store.orders.keep(order, outcome={"state": payment.state, "charge": payment.charge})
            self._take_from_cart(order)
            self.store.attempts.end(order)
            look = {DISPUTE_LOOK: True} if payment.disputed else None
            for kind in order.deliveries:
                self.store.deliveries.add(f"{order.id}:{kind}", kind, order.id, look if kind == LABEL else None)
            owe_taxes(self.store, order)
            if order.payment is not None:
                self.store.attention.close(order.id, PAYMENT, order.payment)
            self.store.journal.note(order, "paid", {"charge": payment.charge})
        crash_point("pay:paid:done")
        log.info("order paid", order_id=order.id, amount=order.amount, currency=order.currency)
        return order

    def _take_from_cart(self, order: Order) -> None:
        """Remove what an order buys from its cart, once: a cart that lost it to a bank debit, even to one that failed
        since, may have been filled again. Part of the transaction that stores the order."""
        if not self.store.journal.ever(order, "processing"):
            self.store.carts.bought(order)
            self.store.discounts.bought(order)

    def undo(
        self,
        order: Order,
        outcome: dict[str, Any],
        error: Exception | None = None,
        failure: dict[str, Any] | None = None,
    ) -> None:
        """No money was taken and none will be: undo the steps, and reopen the order for payment.

        Args:
            outcome: how the open step has ended.
            error: the error that ended it, if known. A declined card counts against card testing.
            failure: the provider's reason, for the shopper; by default that of a declined card.
        """
        if failure is None and isinstance(error, PaymentDeclined):
            failure = {"detail": error.detail, **error.facts}
        order.failure = None if failure is None else {name: failure.get(name) for name in FAILURE}
        order.waits_for = None
        left = Abandoned(order, order.stock_key, error)
        order.stock_key = None
        order.become(CREATED, int(self.clock()))
        crash_point("pay:undo:begun")
        with self.store.write():
            self.store.orders.keep(order, outcome=outcome)
            self.store.attempts.end(order, declined=isinstance(error, PaymentDeclined))
            undo(self, PAY, left)
        crash_point("pay:undo:done")
        self.deliver_release(left)

    def deliver_release(self, left: Abandoned) -> None:
        """Release the stock that an undone attempt held, at once if possible."""
        if left.stock_key is not None:
            self.outbox.deliver(left.stock_key)

    def let_go(self, order: Order) -> None:
        """Release the order as it is stored, for any request to resume at once, and for the completer later.

        Does nothing when it is no longer claimed. Raises nothing: if it cannot be written now, the write is deferred.
        """
        if order.claim is None:
            return
        try:
            self.store.orders.let_go(order, self.clock() + wait_to_look(order.looks))
        except ClaimLost:
            log.warning("claim lost before its release", order_id=order.id)


def _bank_share(number: int) -> int:
    """How many of that many pieces or redemptions may wait for banks."""
    return max(1, math.ceil(BANK_SHARE * number))


def _too_much_waits(what: str) -> Conflict:
    detail = f"{what} for banks to confirm. Try again later, or use a card that needs none."
    return Conflict(detail, {"retry_after": BANK_SHARE_RETRY_S})


def wait_to_look(looks: int) -> float:
    """How long to wait after `looks` checks without an answer before the next one (seconds)."""
    longest = NEXT_LOOK_S if looks < MANY_LOOKS else LATE_LOOK_S
    # Random, so that orders affected by one outage do not all return at the same moment.
    return min(longest, FIRST_LOOK_S * 2.0 ** min(looks, 10)) * random.uniform(0.5, 1.0)  # noqa: S311 - not secret


def declined(decline: dict[str, Any]) -> PaymentDeclined:
    """The error for a provider's reason: its `detail`, `code` and `decline_code`."""
    return PaymentDeclined(decline["detail"], {name: decline.get(name) for name in ("code", "decline_code")})
