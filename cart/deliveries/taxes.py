"""Records the taxes of paid orders at the tax provider, and reverses them for refunds: work of the outbox."""

from __future__ import annotations

from typing import Any

from cart.rules.order import Order
from cart.rules.tax import ASKED, REVERSAL, SALE, UNDOES, Taxes, failed_reversals, owed, sale_key, undo_key
from cart.store.unit_of_work import CartStore
from chassis.work.tasks import DONE, FAILED, WAITING, Task
from contracts.errors import Refused, Unavailable

TAX_KINDS = (SALE, REVERSAL)


def owe_taxes(store: CartStore, order: Order) -> None:
    """Record the work of `cart.rules.tax.owed`, and of undoing the reversals of refunds that have failed since, each
    once; part of the transaction that stores the order."""
    wanted = owed(order)
    for key, (kind, details) in wanted.items():
        store.deliveries.add(key, kind, order.id, details)
    for row in failed_reversals(store.deliveries.of(order.id, [REVERSAL]), wanted) if wanted else ():
        refund, amount = row["details"]["refund"], row["details"]["amount"]
        undone = {"refund": refund, "amount": amount, UNDOES: row["key"]}
        store.deliveries.add(undo_key(refund), REVERSAL, order.id, undone)


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

        A reversal that may have been asked for is asked for again, even if its refund has failed since: its answer may
        have been lost, and only its id lets it be undone.

        Raises Unavailable while what is to be reversed is not recorded, or an earlier reversal is still to be undone;
        ClaimLost, and as the provider does.
        """
        details = task["details"]
        if task["kind"] == SALE:
            assert order.tax is not None
            return {"entry": self._taxes.record(order.tax.calculation, order.id, task["key"])}
        if UNDOES in details:
            [undone] = self._store.deliveries.rows(key=details[UNDOES])
            if undone["state"] == FAILED and ASKED not in undone["details"]:
                return None  # it was given up before it was asked for
            reversal = self._done(undone["key"])
            return reversal and {"entry": self._taxes.undo(_known(reversal["entry"]), task["key"], task["key"])}
        refund = details["refund"]
        if ASKED not in details and all(each.id != refund for each in order.returns):
            return None  # the refund has failed since
        sale = _known((self._done(sale_key(order.id)) or {}).get("entry"))
        if ASKED not in details:
            if self._is_undoing(order.id):  # until then the provider has nothing left to reverse
                raise Unavailable("An earlier reversal is still to be undone.")
            self._store.deliveries.note(task["key"], task["claim"], {**details, ASKED: True})
        return {"entry": self._taxes.reverse(sale, details["amount"], refund, task["key"])}

    def _is_undoing(self, order_id: str) -> bool:
        rows = self._store.deliveries.of(order_id, [REVERSAL])
        return any(UNDOES in row["details"] and row["state"] == WAITING for row in rows)

    def _done(self, key: str) -> dict[str, Any] | None:
        """The answer of the task that has recorded what is to be reversed."""
        for row in self._store.deliveries.rows(key=key):
            if row["state"] == DONE:
                answer: dict[str, Any] | None = row["answer"]
                return answer
        raise Unavailable("What is to be reversed is not recorded yet.")

    @property
    def _taxes(self) -> Taxes:
        if self._provider is None:
            raise Unavailable("The payment provider in use has no taxes.")
        return self._provider


def _known(entry: str | None) -> str:
    if entry is None:
        raise Refused("What is to be reversed is recorded, but its id is not known.", {"permanent": True})
    return entry
