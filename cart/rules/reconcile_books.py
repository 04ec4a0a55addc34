"""The rules for differences between an order and the shop's other records (owed work, stock, labels); like
`reconcile.py`, without I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from cart.rules.order import CANCELED, CREATED, FULFILLED, LABEL, PAID, RETURNED, VOID, Order
from cart.rules.reconcile import (
    AGAIN,
    COUNT,
    FINISH,
    GIVE_BACK,
    GIVE_CODE_BACK,
    OWE,
    RETURN,
    UNDER_WAY,
    by_hand,
    mendable,
    said,
    under_way,
)
from contracts.differences import Difference

# Nothing will ever be shipped for such an order.
OVER = (CANCELED, RETURNED)


def compare_orders(
    orders: Iterable[Order],
    owed: Mapping[str, Mapping[str, str]],
    held: Collection[str],
    labelled: Collection[str],
    unreturned: Collection[str],
    until: float,
    provider: str,
) -> list[Difference]:
    """The differences between our orders and the shop's other records.

    Args:
        orders: a page of them.
        owed: order id -> kind -> state of the work owed for it.
        held: those of these orders' reservations that hold stock.
        labelled: those of these orders' shipments with a label that was not refunded.
        unreturned: those of the shipments named by `over` whose label has never been submitted for a refund.
        provider: the payment provider's name, as people read it.
    """
    found: list[Difference] = []
    for order in orders:
        if under_way(order, until):
            continue
        rows = owed.get(order.id, {})
        if order.status in (PAID, FULFILLED):
            missing = ", ".join(kind for kind in order.deliveries if kind not in rows)
            if missing:
                theirs = f"the outbox says: no {missing}"
                found.append(mendable(order, "paid, and nothing owed", theirs, f"owe it {missing}", OWE))
            # An order whose full refund has failed gave its goods back, and stays on the operator's list.
            if VOID not in rows and (order.stock_key is None or order.stock_key not in held):
                theirs = f"products says: nothing held ({order.stock_key or 'no reservation'})"
                advice = "count the shelf, and put what is there"
                found.append(by_hand(order, "sold, and not taken from stock", theirs, advice))
        if order.status in UNDER_WAY and order.payment is None and order.busy_until <= until:
            theirs, repair = f"{provider} says: was not asked", "take it up where it stands"
            found.append(mendable(order, "payment stands still", theirs, repair, FINISH))
        found += _label(order, rows, labelled, unreturned)
    return found


def compare_codes(orders: Iterable[Order], redeemed: Mapping[str, str], until: float) -> list[Difference]:
    """The paid orders whose discount code was not redeemed.

    Args:
        redeemed: the codes that these orders have redeemed, by the order's id.
    """
    return [
        mendable(
            order, "paid with a code, and not redeemed", f"the codes say: {order.code} not redeemed", "count it", COUNT
        )
        for order in orders
        if order.settled and order.discount is not None and order.id not in redeemed and not under_way(order, until)
    ]


def compare_redemptions(ids: Iterable[str], orders: Mapping[str, Order], until: float) -> list[Difference]:
    """The redemptions of a discount code for no order.

    Args:
        ids: the orders that they are for, none younger than the grace period.
        orders: those that exist, by their id.
    """
    found = []
    for name in ids:
        order = orders.get(name)
        if order is None or not (redeems(order) or under_way(order, until)):
            said_here = "no such order" if order is None else said(order)
            fix = {"do": GIVE_CODE_BACK, "order": name}
            theirs, repair = "the codes say: redeemed", "give it back"
            found.append(Difference("code redeemed for nobody", name, said_here, theirs, repair, fix=fix))
    return found


def redeems(order: Order) -> bool:
    """Whether an order has a right to the redemption of its code."""
    return order.discount is not None and order.status not in (CREATED, CANCELED)


def over(orders: Iterable[Order], owed: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The shipments of orders that will never be shipped, and whose label is about to be neither bought nor returned.

    Args:
        owed: as for `compare_orders`, read after the orders: a label's return is owed as soon as its order is over.
    """
    return [
        order.shipment
        for order in orders
        if order.status in OVER
        and order.shipment
        and "waiting" not in (owed.get(order.id, {}).get(LABEL), owed.get(order.id, {}).get(VOID))
    ]


def _label(
    order: Order, rows: Mapping[str, str], labelled: Collection[str], unreturned: Collection[str]
) -> list[Difference]:
    paid, bought = order.status in (PAID, FULFILLED), order.shipment in labelled
    says = f"shipping says: {{}} ({order.shipment})"
    if order.status in OVER:
        if order.shipment in unreturned:
            kind, theirs = f"label of a {order.status} order", says.format("bought, and not given back")
            return [mendable(order, kind, theirs, "return the label", RETURN)]
    elif paid and rows.get(LABEL) == "failed" and bought:
        return [mendable(order, "label given up, and bought", says.format("bought"), "record it in the order", AGAIN)]
    elif paid and rows.get(LABEL) == "done" and not bought and VOID not in rows:
        return [by_hand(order, "label lost", says.format("no label"), "see what Shippo's list says of it")]
    elif bought and not order.settled:
        return [by_hand(order, "label of an order that is not paid", says.format("bought"), "refund it")]
    return []


def compare_holds(
    keys: Iterable[str], orders: Mapping[str, Order], releasing: Collection[str], until: float
) -> list[Difference]:
    """The reservations that hold stock for no order.

    Args:
        keys: of the reservations, none younger than the grace period.
        orders: the orders that these keys name, by the order's id.
        releasing: the keys whose release is already owed.
    """
    found = []
    for key in keys:
        order = orders.get(order_of(key))
        if key in releasing or (order is not None and (under_way(order, until) or holds(order, key))):
            continue
        found.append(
            Difference(
                "stock held for nobody",
                key if order is None else order.id,
                "no such order" if order is None else said(order),
                f"products says: held ({key})",
                "give it back",
                fix={"do": GIVE_BACK, "key": key, "order": order_of(key)},
            )
        )
    return found


def order_of(key: str) -> str:
    """The id of the order in a reservation's key: ``or_…:1:stock``."""
    return key.partition(":")[0]


def holds(order: Order, key: str) -> bool:
    """Whether an order has a right to the reservation under the key. So has one that was sent, and then lost by a
    dispute: its goods are gone."""
    gone = order.status == RETURNED and order.amount_lost > 0
    return order.stock_key == key and (gone or order.status not in (CREATED, CANCELED, RETURNED))
