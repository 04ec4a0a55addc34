"""Records disputes and fraud warnings with their orders: what the order shows, who is notified, what was lost.

The provider is asked for all cases of a payment, and they replace what is recorded. So it does not matter which event,
list or operator was the reason to ask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cart.deliveries.held_labels import HOLDING, is_unlabelled, release_label, take_back
from cart.deliveries.messages import settle_all
from cart.rules.attention import DISPUTE, REFUND
from cart.rules.dispute import WON, Case, shown
from cart.rules.order import PAID, RETURNED, Order
from cart.rules.payments import Disputes
from cart.rules.refunds import FAILED, failure, left_to_dispute
from cart.store.unit_of_work import CartStore
from chassis.clock import now as clock_now
from chassis.db.engine import once_more
from chassis.logs import log
from chassis.work.inbox import NotYet
from contracts.errors import Unavailable

# How often the provider is asked at once because others have just recorded another answer.
ASKED_AT_ONCE = 3


class DisputeRecords:
    """Records disputes.

    Args:
        store: stores orders and cases.
        provider: the provider's disputes; None when it reports none.
        clock: Unix seconds; another one in tests.
        holds_label: whether no label is bought while a case is open.
    """

    def __init__(
        self,
        store: CartStore,
        provider: Disputes | None,
        clock: Callable[[], float] = clock_now,
        holds_label: bool = True,
    ) -> None:
        self.store = store
        self._provider = provider
        self.clock = clock
        self._holds_label = holds_label

    def refresh(self, payment_id: str) -> bool:
        """Record the provider's state of a payment's disputes and fraud warnings.

        Returns whether there is an order of that payment. Raises NotYet while it is not known to be paid, Unavailable
        while others record the same, and as the provider does.
        """
        order = self.store.orders.of_payment(payment_id)
        if order is None or self._provider is None:
            return False
        if not order.settled:
            raise NotYet(f"Order {order.id} is not paid yet.", {"retry_after": 2})
        for _ in range(ASKED_AT_ONCE):
            # An answer that is older than the recorded one must not replace it.
            before = self.store.disputes.of_order(order.id)
            if self._record(order.id, before, self._provider.of_payment(payment_id)):
                return True
        raise Unavailable(f"The disputes of order {order.id} are being recorded.", {"retry_after": 2})

    def dismiss(self, order_id: str, kind: str, about: str) -> bool:
        """Remove an entry from the operator's list; a label that nothing else holds is bought then.

        Returns whether there was one. Raises NotFound when there is no such order.
        """
        if kind not in HOLDING:
            return self.store.attention.dismiss(order_id, kind, about)
        return self._dismiss(order_id, kind, about)

    @once_more
    def _dismiss(self, order_id: str, kind: str, about: str) -> bool:
        with self.store.write():
            order = self.store.orders.locked(order_id)
            dismissed = self.store.attention.dismiss(order_id, kind, about)
            release_label(self.store, order)
            return dismissed

    @once_more
    def _record(self, order_id: str, before: Sequence[Case], cases: Sequence[Case]) -> bool:
        """Record the cases of an order, unless others than `before` are recorded by now: then returns False."""
        with self.store.write():
            order = self.store.orders.locked(order_id)
            if self.store.disputes.of_order(order_id) != list(before):
                return False
            dispute, lost = shown(cases), sum(case.lost for case in cases)
            if sorted(cases, key=_age) == sorted(before, key=_age) and (order.dispute, order.amount_lost) == (
                dispute,
                lost,
            ):
                return True
            status = order.status
            self.store.disputes.replace(order_id, cases)
            order.show_dispute(dispute, lost, int(self.clock()))
            known = {case.id: case for case in before}
            for case in cases:
                self._attend(order, known.pop(case.id, None), case)
            for gone in known.values():
                self.store.attention.close(order_id, gone.kind, gone.id)
            self._attend_refunds(order, before, cases)
            # The goods of a lost order are only taken back while they are here.
            if order.status == RETURNED != status:
                end = take_back if status == PAID else settle_all
                end(self.store, order)
            release_label(self.store, order)
            self.store.orders.save(order)
        log.info("disputes recorded", order_id=order_id, cases=[str(case) for case in cases], lost=lost)
        return True

    def _attend(self, order: Order, before: Case | None, case: Case) -> None:
        """Put a case on the operator's list while a person has to decide something about it."""
        attention, entry = self.store.attention, (order.id, case.kind, case.id)
        listed = attention.is_open(order.id, [case.kind], case.id)
        held = self._holds_label and not order.over and is_unlabelled(self.store, order)
        if case.is_open:
            # An inquiry that becomes a chargeback is mailed again, and one that was dismissed is listed again.
            if before is None or (case.needs_response and case.status != before.status):
                attention.close(*entry)
                attention.open(*entry, case.detail(order.currency, held))
            elif listed:
                attention.open(*entry, case.detail(order.currency, held))
        elif case.lost and case.kind == DISPUTE and held and order.status == PAID and (listed or before is None):
            attention.open(*entry, case.lost_in_part(order.currency))
        elif before and before.lost and case.status == WON and order.over and order.status == PAID:
            attention.close(*entry)  # one about an appeal; this is mailed, too
            attention.open(*entry, case.won_back(order.currency))
        elif before and before.status == case.status == WON:
            pass  # it is listed until an operator has decided
        else:
            attention.close(*entry)

    def _attend_refunds(self, order: Order, before: Sequence[Case], cases: Sequence[Case]) -> None:
        """List the refunds that failed because of a dispute which left their money to the shop; unlist all refunds
        while all of the order's money is given back."""
        attention = self.store.attention
        for row in self.store.refunds.of_order(order.id):
            if row["state"] != FAILED:
                continue
            if order.status == RETURNED:
                attention.close(order.id, REFUND, row["id"])
            elif (
                left_to_dispute(row, before)
                and not left_to_dispute(row, cases)
                and not attention.is_open(order.id, [DISPUTE])  # its entry says what to do
            ):
                attention.open(order.id, REFUND, row["id"], failure(order, row))


def _age(case: Case) -> tuple[int, str]:
    return case.created, case.id
