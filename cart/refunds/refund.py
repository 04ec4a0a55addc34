"""Refunds: recorded before they are requested, so that each is made once and never exceeds the payment.

Any copy of the service can resume a refund: it asks the provider whether the refund exists before it requests the
refund again. When an order is refunded in full, its stock is released, too, and its label if it was not used.

A refund may fail weeks later; its money is then the shop's again, and the order is paid again. If the reason may pass,
the refund is repeated once. Otherwise it is on the operator's list until a later refund makes it good.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from cart.deliveries.held_labels import take_back
from cart.deliveries.taxes import owe_taxes
from cart.payment.pay import LOOK_INTERVAL_S, patience
from cart.payment.settlement import Settlement, wait_to_look
from cart.payment.steps import LOCAL, Step, points
from cart.rules.attention import PAYMENT
from cart.rules.attention import REFUND as REFUND_FAILED
from cart.rules.order import CANCELED, CREATED, RETURNED, Order
from cart.rules.payments import DISPUTED, REPLAYED, OrderRefund
from cart.rules.refunds import DONE, FAILED, failure, is_repeated, left_to_dispute, made_good, refunded_elsewhere
from chassis.crash_points import crash_point
from chassis.db.claims import ClaimLost
from chassis.db.engine import once_more
from chassis.logs import log
from contracts.errors import Conflict, InvalidRequest, OutcomeUnknown, Refused, ShopError, Unavailable

# How often a refund of the whole rest is retried at once because others have just refunded part of it.
LOWERED = 5

# How often the provider is asked at once because others have just recorded another answer.
ASKED_AT_ONCE = 3

REFUND = (Step("claim", moments=LOCAL), Step("money"))
POINTS = points("refund", REFUND)


class Refunds:
    """Makes refunds.

    Args:
        settlement: its store, payments, outbox and clock are used here, too.
    """

    def __init__(self, settlement: Settlement) -> None:
        self.settlement = settlement
        self.store = settlement.store
        self.payments = settlement.payments
        self.clock = settlement.clock

    def refund(self, order_id: str, amount: int | None, key: str) -> Order:
        """Refund some or all of a paid order, once per `key`; returns the order.

        Args:
            amount: in the currency's smallest unit; None for all that is left.

        Raises:
            NotFound: no such order.
            InvalidRequest: naming ``amount``: less than 1, or more than is left.
            Conflict: the order is not paid, nothing or (by a refund just made elsewhere) less is left of it, or another
                process has worked on this refund for as long as the caller could wait.
            Refused: the provider refuses the refund.
            OutcomeUnknown, Unavailable, DeadlineExceeded, ProviderFailure: repeat with the same key. It is refunded
                once, even if nobody repeats.
        """
        order = self.store.orders.get(order_id)
        if order.settled and not order.amount and amount is None:
            return self._take_up(order_id, [])  # nothing was paid: the goods come back, and no money goes
        until = patience()
        crash_point("refund:claim:begun")
        row, mine = self.store.refunds.ask(order_id, amount, key, self.settlement.claim_end())
        crash_point("refund:claim:done")
        while True:
            if row["state"] == DONE:
                return self.store.orders.get(order_id)
            if row["state"] == FAILED:
                raise Refused(row["error"] or "The money could not be given back.")
            claimed = row if mine else self.store.refunds.claim(row["id"], self.settlement.claim_end())
            if claimed is not None:
                with suppress(ClaimLost):  # then the new holder finishes it
                    return self._carry_out(claimed, asked_before=not mine, awaited=True)
            elif time.monotonic() >= until:
                raise Conflict(f"Order {order_id} is being refunded; ask again how it ended.", {"retry_after": 1})
            else:
                time.sleep(LOOK_INTERVAL_S)
            mine = False
            row = self.store.refunds.get(row["id"])

    def resume(self, refund_id: str) -> None:
        """Finish an abandoned refund. Raises when the provider cannot be asked."""
        row = self.store.refunds.claim(refund_id, self.settlement.claim_end(), hurry=False)
        if row is not None:
            with suppress(ClaimLost, Conflict, InvalidRequest, Refused):  # it is recorded; nobody waits for the answer
                self._carry_out(row, asked_before=True, awaited=False)

    def refresh_refunds(self, payment_id: str) -> bool:
        """Record the provider's state of a payment's refunds, including those that were made elsewhere.

        Returns whether there is an order of that payment. Raises Conflict while it is not known to be paid,
        Unavailable while others record the same, and as the port does.
        """
        order = self.store.orders.of_payment(payment_id)
        if order is None or not order.settled:
            return self._is_undone(payment_id, order)
        for _ in range(ASKED_AT_ONCE):
            # An answer that is older than what is recorded must not replace it.
            before = self._recorded(order.id)
            if self._take_up_after(order.id, before, self.payments.refunds(payment_id)):
                return True
        raise Unavailable(f"The refunds of order {order.id} are being recorded.", {"retry_after": 2})

    def _is_undone(self, payment_id: str, order: Order | None) -> bool:
        """A payment that pays no order was refunded: if all of it was, no operator is needed for it any more.

        Returns whether the shop knows the payment. Raises Conflict while its order may still be paid by it.
        """
        if order is None and not self.store.attention.is_open(None, [PAYMENT], payment_id):
            return False
        over = order is None or order.status in (CREATED, CANCELED)
        if over and self.payments.find(payment_id).refunded:
            with self.store.write():
                self.store.attention.close(None, PAYMENT, payment_id)
        elif order is not None:
            raise Conflict(f"Order {order.id} is not paid yet.", {"retry_after": 2})
        return True

    def _carry_out(self, row: dict[str, Any], asked_before: bool, awaited: bool) -> Order:
        try:
            refund = self._known(row) if asked_before else None
            if refund is None:
                crash_point("refund:money:begun")
                refund = self._ask(row)
            crash_point("refund:money:asked")
            if refund is not None:
                order = self._take_up(row["order_id"], [refund])
            else:
                refusal = self._refused(row, awaited)
        except ClaimLost:
            raise
        except Exception:
            self._let_go(row)
            raise
        crash_point("refund:money:done")
        if refund is None:
            raise refusal
        if refund.failed:
            raise Refused(refund.error or "The money could not be given back.")
        log.info("refund made", order_id=order.id, refund=row["id"], amount=row["amount"])
        return order

    def _ask(self, row: dict[str, Any]) -> OrderRefund | None:
        """Request the refund; None when it is refused, with the reason in the row's `error`."""
        if self._is_superseded(row):
            row["error"] = "A refund was made elsewhere instead of repeating the one that has failed."
            return None
        for _ in range(LOWERED):
            try:
                return self.payments.refund(row["payment"], row["amount"], row["id"], row["order_id"], _key(row))
            except Refused as error:
                row["error"], row["disputed"] = error.detail, error.facts.get(DISPUTED, False)
            except OutcomeUnknown as error:
                if error.facts.get(REPLAYED):
                    # The next holder of the refund first checks whether it was made nevertheless.
                    self.store.refunds.spend_key(row)
                raise
            # Record the refunds that the provider has and we do not. ClaimLost: it has this one, which is now done.
            self._take_up(row["order_id"], self.payments.refunds(row["payment"]))
            if not self.store.refunds.lower(row):
                return None
        raise Conflict(f"Order {row['order_id']} is being refunded by others, too.", {"retry_after": 1})

    def _known(self, row: dict[str, Any]) -> OrderRefund | None:
        refunds = self.payments.refunds(row["payment"])
        found = next((refund for refund in refunds if refund.refund_id == row["id"]), None)
        if found is None and row["repeats"] is not None:
            self._take_up(row["order_id"], refunds)
        return found

    def _is_superseded(self, row: dict[str, Any]) -> bool:
        """Whether somebody has made the refund elsewhere which this one is to repeat."""
        if row["repeats"] is None:
            return False
        return refunded_elsewhere(self.store.refunds.get(row["repeats"]), self.store.refunds.of_order(row["order_id"]))

    @once_more
    def _refused(self, row: dict[str, Any], awaited: bool) -> ShopError:
        """Record that the provider refuses a refund; returns the error to report.

        Args:
            awaited: whether a caller waits for it; else the operator has to know.
        """
        with self.store.write():
            order = self.store.orders.locked(row["order_id"])
            self.store.refunds.fail(row, row["error"])
            left = self.store.refunds.left(order)
            settled = left <= 0 or row["id"] in made_good(self.store.refunds.of_order(order.id), whole=False)
            if not awaited and not settled:
                self.store.attention.open(order.id, REFUND_FAILED, row["id"], failure(order, row))
        if left <= 0:
            return Conflict(f"All of order {order.id} is given back already.")
        if left < row["amount"]:  # someone has refunded part of it elsewhere meanwhile
            return Conflict(f"Only {left} of order {order.id} is left to give back: some has just gone back elsewhere.")
        if row.get("disputed"):  # its event has not been handled yet
            return Conflict(f"The charge of order {order.id} is disputed: nothing can be given back. {row['error']}")
        return Refused(row["error"])

    def _recorded(self, order_id: str) -> list[tuple[Any, ...]]:
        rows = self.store.refunds.of_order(order_id)
        return [(row["id"], row["provider_id"], row["state"], row["pending"]) for row in rows]

    @once_more
    def _take_up_after(self, order_id: str, before: list[tuple[Any, ...]], refunds: list[OrderRefund]) -> bool:
        """Record the provider's answer, unless others than `before` are recorded by now: then returns False."""
        with self.store.write():
            self.store.orders.locked(order_id)
            if self._recorded(order_id) != before:
                return False
            self._take_up(order_id, refunds)
            return True

    @once_more
    def _take_up(self, order_id: str, refunds: list[OrderRefund]) -> Order:
        with self.store.write():
            order = self.store.orders.locked(order_id)
            before = order.status
            failed = self.store.refunds.record(order, refunds)
            if order.status == RETURNED != before:
                # Once: its goods stay given back if a refund fails later, and the operator decides about them.
                take_back(self.store, order)
            self._follow(order, failed)
            owe_taxes(self.store, order)
            self.store.orders.save(order)
            return order

    def _follow(self, order: Order, failed: list[OrderRefund]) -> None:
        """Repeat the refunds that have just failed, or list them for the operator; unlist what was made good since."""
        rows = self.store.refunds.of_order(order.id)
        for refund in failed:
            [row] = [row for row in rows if row["provider_id"] == refund.id]
            if is_repeated(row, refund, rows, self.store.refunds.left(order)):
                self.store.refunds.repeat(row)
                log.warning("refund failed and is repeated", order_id=order.id, refund=row["id"], error=row["error"])
            elif not left_to_dispute(row, self.store.disputes.of_order(order.id)):
                self.store.attention.open(order.id, REFUND_FAILED, row["id"], failure(order, row))
        for name in made_good(rows, order.status == RETURNED):
            self.store.attention.close(order.id, REFUND_FAILED, name)

    def _let_go(self, row: dict[str, Any]) -> None:
        try:
            self.store.refunds.let_go(row, self.clock() + wait_to_look(row["looks"]))
        except ClaimLost:
            log.warning("claim lost before its release", refund=row["id"])


def _key(row: dict[str, Any]) -> str:
    """The provider's idempotency key: the same for all copies, until the provider stores its own failure under it."""
    return f"refund:{row['id']}" + (f":{row['spent']}" if row["spent"] else "")
