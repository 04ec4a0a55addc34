"""Records the taxes of paid orders at the tax provider, and reverses them for refunds: work of the outbox."""

from __future__ import annotations

from typing import Any

from cart.rules.order import Order
from cart.rules.tax import REVERSAL, SALE, UNDOES, Taxes, failed_reversals, owed, sale_key, undo_key
from cart.store.unit_of_work import CartStore
from chassis.work.tasks import DONE, Task
from contracts.errors import Refused, Unavailable

TAX_KINDS = (SALE, REVERSAL)


def owe_taxes(store: CartStore, order: Order) -> None:
    """Record the work of `cart.rules.tax.owed`, and of undoing the reversals of refunds that have failed since, each
    once; part of the transaction that stores the order."""
    wanted = owed(order)
    for key, (kind, details) in wanted.items():
        store.deliveries.add(key, kind, order.id, details)
    for row in failed_reversals(store.deliveries.of(order.id, [REVERSAL]), wanted) if wanted else ():
        undone = {**row["details"], UNDOES: row["answer"]["entry"]}
        store.deliveries.add(undo_key(undone["refund"]), REVERSAL, order.id, undone)


class OwedTaxes:
    """Does that work.

    Args:
        store: has the tasks; a sale's has the provider's id of it once it is done.
        taxes: the provider; None when the payment provider in use has no taxes.
    """

    def __init__(self, store: CartStore, taxes: Taxes | None) -> None:
        self._store = store
        self._provider = taxes

    def do(self, order: Order, task: Task) -> dict[str, Any] | None:
        """Do one task; returns ``{"entry": the provider's id}``, None when there is nothing to reverse any more.

        Raises Unavailable while the sale of a reversal is not recorded, and as the provider does.
        """
        details = task["details"]
        if task["kind"] == SALE:
            assert order.tax is not None
            return {"entry": self._taxes.record(order.tax.calculation, order.id, task["key"])}
        if UNDOES in details:
            return {"entry": self._taxes.undo(_known(details[UNDOES]), task["key"], task["key"])}
        refund = details["refund"]
        if all(each.id != refund for each in order.returns):
            return None  # the refund has failed since
        return {"entry": self._taxes.reverse(self._sale(order.id), details["amount"], refund, task["key"])}

    def _sale(self, order_id: str) -> str:
        for row in self._store.deliveries.rows(key=sale_key(order_id)):
            if row["state"] == DONE:
                return _known(row["answer"]["entry"])
        raise Unavailable("The sale that is to be reversed is not recorded yet.")

    @property
    def _taxes(self) -> Taxes:
        if self._provider is None:
            raise Unavailable("The payment provider in use has no taxes.")
        return self._provider


def _known(entry: str | None) -> str:
    if entry is None:
        raise Refused("What is to be reversed is recorded, but its id is not known.", {"permanent": True})
    return entry
