"""Paying an order: the steps of `PAY` in `steps.py`, which any copy of the service can resume.

`settlement.py` decides the outcome of an attempt; `outbox.py` does the work owed after it.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress

from nameko.exceptions import RemoteError

from cart.payment.settlement import Settlement, declined
from cart.payment.steps import BEFORE_THE_MONEY, CONFIRM, RESERVE, Attempt, Step, ask, begin, require_card
from cart.rules.attention import PAYMENT
from cart.rules.order import CANCELING, CONFIRMING, CREATED, PAYING, Order
from cart.rules.payments import CALLED_OFF, CANCELED, PROCESSING, SUCCEEDED, USED_UP, Payment
from chassis.crash_points import crash_point
from chassis.db.claims import ClaimLost
from chassis.db.engine import once_more
from chassis.deadline import DEADLINE_MARGIN_S, remaining
from contracts.currencies import amount_for_people
from contracts.errors import (
    Conflict,
    DeadlineExceeded,
    NotFound,
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

UNKNOWN = (OutcomeUnknown, DeadlineExceeded)
# What a shopper has entered can be used no more, and the bank has given no reason.
ENTER_AGAIN = {"detail": "The payment was not made. Enter your card or bank account again."}


class OrderPayment:
    """Pays orders.

    Each step's key consists of the order, the attempt and the step. After the money is taken nothing is undone, only
    finished. A process that finds an order with a void claim, which ran out or whose holder has died, resumes it.

    Args:
        settlement: brings orders to a stable state; its store and payments are used here, too.
    """

    def __init__(self, settlement: Settlement) -> None:
        self.settlement = settlement
        self.store = settlement.store
        self.payments = settlement.payments

    def pay(
        self,
        order_id: str,
        cart_id: str | None,
        card: str,
        payer: str | None = None,
        return_url: str | None = None,
    ) -> Order:
        """Pay an order with `card`, once; returns the paid order, or one whose payment a bank settles later (it is
        `processing`). Of two concurrent payers one pays, and both receive the order.

        Args:
            card: not used for an order of 0, which is paid without one; else "" is no card.
            payer: whose limit a decline counts against; the order's cart when None.
            return_url: where the shopper comes back from a bank's page. Only with it, methods that redirect can pay.

        Raises:
            NotFound: no such order of this cart.
            InvalidRequest: naming ``cart``: the order costs something, and there is no card.
            TooManyRequests: too many cards were declined for this order or payer.
            Conflict: not enough stock, the discount code is used up or withdrawn, its tax is too old, the order is
                canceled, another card has paid it, or another process has worked on it for as long as the caller could
                wait.
            Conflict with ``retry_after``: its payment was just canceled elsewhere; nothing was taken.
            PaymentDeclined, PaymentActionRequired, Refused: nothing was taken; the order can be paid again.
            OutcomeUnknown, Unavailable, DeadlineExceeded, ProviderFailure: pay again; it is never charged twice.
        """
        until = patience()
        while True:
            order = self.store.orders.get(order_id, cart_id)
            digest = _digest(order, card)
            if order.settled:
                return _same_card(order, digest)
            if order.processing:
                return _same_payer(order, digest)
            require_card(order, card)
            order.require_current_tax(self.settlement.clock())
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
                    return self._attempt(Attempt(claimed, card, _digest(claimed, card), return_url=return_url))
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

        Returns whether there is an order of that payment. Raises as `resume` does, and Conflict when the order cannot
        be paid by it, such as without its stock. If the money is taken, the order then needs an operator.
        """
        until = time.monotonic() + NOTICE_WAIT_S
        while True:
            order = self.store.orders.of_payment(payment_id)
            if order is None:
                return False
            if order.status == CREATED:
                payment = self.payments.find(payment_id)
                if payment.state in (SUCCEEDED, PROCESSING) and not payment.refunded:
                    self._take_up(order, payment)
            elif order.status in (PAYING, CONFIRMING):
                self.resume(order.id, hurry=True)
            if self.store.orders.get(order.id).status != PAYING or time.monotonic() >= until:
                return True  # the holder of the claim asks the provider, too
            time.sleep(LOOK_INTERVAL_S)

    def report_stray(self, payment_id: str, order_id: str) -> None:
        """A payment names an order that does not name it. If its money was taken, an operator has to decide.

        Raises NotFound when it was taken and there is no such order; as the provider does.
        """
        payment = self.payments.find(payment_id)
        if payment.state != SUCCEEDED or payment.refunded:
            return  # one that was canceled, and dropped by its order, is not an error
        try:
            order = self.store.orders.get(order_id)
        except NotFound as error:
            raise NotFound(f"Payment {payment_id} was taken, and no order is paid by it ({order_id}).") from error
        self._need_operator(order, payment, f"and the order, which is {order.public_status}, has another payment.")

    # A new attempt

    def _attempt(self, attempt: Attempt) -> Order:
        order, taken = attempt.order, None
        try:
            for step in BEFORE_THE_MONEY:
                taken = self._take(step, attempt)
                if taken is not None:
                    break
        except (ShopError, RemoteError) as error:
            self.settlement.undo(order, {"error": f"{type(error).__name__}: {error}"}, error)
            raise
        if taken is None and CONFIRM.needed(order):
            self._begin(CONFIRM, attempt)
            taken = self._confirm(attempt)
        elif taken is None:
            taken = Payment("", SUCCEEDED)  # nothing to pay
        order.card = attempt.digest  # a repetition with this card returns this answer again
        return self.settlement.outcome(order, taken)

    def _begin(self, step: Step, attempt: Attempt) -> None:
        begin(self.settlement, "pay", step, attempt, self.settlement.claim_end())

    def _take(self, step: Step, attempt: Attempt) -> Payment | None:
        if not step.needed(attempt.order):
            return None
        self._begin(step, attempt)
        return ask(self.settlement, "pay", step, attempt)

    def _confirm(self, attempt: Attempt) -> Payment:
        """Confirm the attempt's payment; a refusal opens the order again, an unknown outcome does not."""
        order = attempt.order
        try:
            payment = ask(self.settlement, "pay", CONFIRM, attempt)
            assert payment is not None
            return payment
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
            # What a shopper's bank has refused cannot be used again: the shopper learns of the refusal.
            failure = (payment.decline or ENTER_AGAIN) if error.facts.get(USED_UP) else None
            self.settlement.undo(order, {"error": f"{type(error).__name__}: {error}"}, failure=failure)
            if failure is not None:
                raise declined(failure) from error
            if error.facts.get(CALLED_OFF):
                raise Conflict("The payment was called off elsewhere. Pay again.", {"retry_after": 1}) from error
            raise

    def _take_up(self, order: Order, found: Payment) -> None:
        """The payment of an open order was taken all the same, or a bank is settling it: redeem its code, reserve its
        stock, and store the outcome.

        Args:
            found: its payment. If it is taken and the order cannot have its stock or its code, an operator decides.
        """
        claimed = self.settlement.claim(order.id, None)
        if claimed is None or claimed.stock_key is not None:
            return
        with suppress(ClaimLost), self.settlement.at_work(claimed):
            try:
                for step in RESERVE:
                    self._take(step, Attempt(claimed, "", ""))
                payment = self.payments.find(claimed.payment or "")
            except (ShopError, RemoteError) as error:
                self.settlement.undo(claimed, {"error": f"{type(error).__name__}: {error}"})
                if isinstance(error, Conflict) and found.state == SUCCEEDED:
                    self._need_operator(claimed, found, f"and the order cannot be filled: {error.detail}")
                raise
            self.settlement.outcome(claimed, payment)

    @once_more
    def _need_operator(self, order: Order, payment: Payment, why: str) -> None:
        amount = amount_for_people(payment.amount, order.currency)
        with self.store.write():
            detail = f"{amount} was taken, {why} Refund it at the payment provider, or let the order have it."
            self.store.attention.open(order.id, PAYMENT, payment.id, detail)


def patience() -> float:
    """Until when the second payer waits for the first (monotonic seconds)."""
    left = remaining()
    return time.monotonic() + (CLAIM_WAIT_S if left is None else left - DEADLINE_MARGIN_S)


def _digest(order: Order, card: str) -> str:
    """Of the card that pays an order; the same for every card when there is nothing to pay."""
    return hashlib.sha256(f"{order.id}:{card if order.amount else ''}".encode()).hexdigest()


def _same_payer(order: Order, digest: str) -> Order:
    if order.card != digest:
        raise Conflict(f"A bank is processing a payment of order {order.id} already. Wait for its outcome.")
    return order


def _same_card(order: Order, digest: str) -> Order:
    if order.card != digest:
        raise Conflict(f"Order {order.id} is paid already, by another card.")
    return order
