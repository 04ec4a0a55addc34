"""Holding the labels of orders whose payment is disputed or suspected, and taking back the goods of returned ones."""

from __future__ import annotations

from cart.deliveries.messages import settle_all
from cart.rules.attention import DISPUTE, FRAUD_WARNING
from cart.rules.order import LABEL, RELEASE, RETURNED, VOID, Order
from cart.store.unit_of_work import CartStore
from chassis.work.tasks import ON_HOLD, WAITING, OnHold, Task

# While an order is on the operator's list because of one of these, no label is bought for it.
HOLDING = (DISPUTE, FRAUD_WARNING)
# The detail of a label that was on hold, for copies of the previous release.
HELD = "held"


def hold_label(store: CartStore, task: Task) -> None:
    """Put the task of buying a label on hold if the order's money may be lost. Raises OnHold then, and ClaimLost.

    Who removes the last cause locks the order, too, so that a label is never put on hold after that.
    """
    with store.write():
        order = store.orders.locked(task["subject"])
        holds = order.status != RETURNED and store.attention.is_open(order.id, HOLDING)
        if holds:
            store.deliveries.hold(task["key"], task["claim"], {**(task["details"] or {}), HELD: True})
    if holds:
        raise OnHold


def release_label(store: CartStore, order: Order) -> None:
    """Let a held label be bought if nothing holds it any more; part of the transaction that has locked the order."""
    if order.status == RETURNED or not store.attention.is_open(order.id, HOLDING):
        store.deliveries.resume(order.id, LABEL)


def is_unlabelled(store: CartStore, order: Order) -> bool:
    """Whether a label is still to be bought for an order."""
    return any(task["state"] in (WAITING, ON_HOLD) for task in store.deliveries.of(order.id, [LABEL]))


def take_back(store: CartStore, order: Order) -> None:
    """An order is returned: owe the release of its stock, and the return of its label. Its messages need nobody now.

    Part of the transaction that stores the order. A held label is not bought any more. One that was given up is tried
    again, which gives back what may have been bought.
    """
    if order.stock_key is not None:
        store.deliveries.add(order.stock_key, RELEASE, order.id)
        order.stock_key = None
    store.deliveries.add(f"{order.id}:{VOID}", VOID, order.id)
    for case in store.disputes.of_order(order.id):
        if not case.is_open:
            store.attention.close(order.id, case.kind, case.id)
        elif store.attention.is_open(order.id, [case.kind], case.id):  # only its words change
            store.attention.open(order.id, case.kind, case.id, case.detail(order.currency, held=False))
    settle_all(store, order)
    for task in store.deliveries.of(order.id, [LABEL]):
        store.deliveries.again(key=task["key"])
    release_label(store, order)
