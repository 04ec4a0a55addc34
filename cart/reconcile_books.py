"""When an order and the shop's own other books disagree (what is owed, the stock, the labels): rules alone, as
`reconcile.py`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from cart.order import CANCELED, CREATED, FULFILLED, PAID, RETURNED, Order
from cart.reconcile import AGAIN, FINISH, GIVE_BACK, OWE, RETURN, UNDER_WAY, said, under_way
from contracts.differences import Difference

# What is owed once an order is paid, by the names that the outbox has for them.
LABEL = "label"
OWED = (LABEL, "email", "sms")
# And what is owed once all of its money is given back.
VOID = "void"
# Nothing will ever be sent for such an order.
OVER = (CANCELED, RETURNED)


def compare_orders(
    orders: Iterable[Order],
    owed: Mapping[str, Mapping[str, str]],
    held: Collection[str],
    labelled: Collection[str],
    unreturned: Collection[str],
    until: float,
) -> list[Difference]:
    """What our orders and the shop's other books say differently.

    Args:
        orders: a page of them.
        owed: order id -> kind -> state of what is owed for it.
        held: the reservations, of those that these orders name, that hold stock.
        labelled: the shipments, of those that these orders name, with a label that was not given back.
        unreturned: of those that `over` names, the shipments with a label that nobody has tried to give back.
    """
    found: list[Difference] = []
    for order in orders:
        if under_way(order, until):
            continue
        rows = owed.get(order.id, {})
        fix = {"order": order.id}
        if order.status in (PAID, FULFILLED):
            missing = [kind for kind in OWED if kind not in rows]
            if missing:
                words = ", ".join(missing)
                found.append(
                    Difference(
                        "paid, and nothing owed",
                        order.id,
                        said(order),
                        f"the outbox says: no {words}",
                        f"owe it {words}",
                        fix={"do": OWE, **fix},
                    )
                )
            if order.stock_key is None or order.stock_key not in held:
                found.append(
                    Difference(
                        "sold, and not taken from stock",
                        order.id,
                        said(order),
                        f"products says: nothing held ({order.stock_key or 'no reservation'})",
                        advice="count the shelf, and put what is there",
                    )
                )
        if order.status in UNDER_WAY and order.payment is None and order.lease <= until:
            found.append(
                Difference(
                    "payment stands still",
                    order.id,
                    said(order),
                    "Stripe says: was not asked",
                    "take it up where it stands",
                    fix={"do": FINISH, **fix},
                )
            )
        found += _label(order, rows, labelled, unreturned)
    return found


def over(orders: Iterable[Order], owed: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The shipments of orders that will never be sent, and whose label nobody is about to buy or to return.

    Args:
        owed: as `compare_orders` takes it, read after the orders: a return is owed from the moment that an order is.
    """
    return [
        order.document["upstream_id"]
        for order in orders
        if order.status in OVER
        and order.document.get("upstream_id")
        and "owed" not in (owed.get(order.id, {}).get(LABEL), owed.get(order.id, {}).get(VOID))
    ]


def _label(
    order: Order, rows: Mapping[str, str], labelled: Collection[str], unreturned: Collection[str]
) -> list[Difference]:
    shipment = order.document.get("upstream_id")
    bought = shipment in labelled
    if order.status in OVER:
        if shipment not in unreturned:
            return []
        return [
            Difference(
                f"label of a {order.status} order",
                order.id,
                said(order),
                f"shipping says: bought, and not given back ({shipment})",
                "return the label",
                fix={"do": RETURN, "order": order.id},
            )
        ]
    if order.status in (PAID, FULFILLED) and rows.get(LABEL) == "failed" and bought:
        return [
            Difference(
                "label given up, and bought",
                order.id,
                said(order),
                f"shipping says: bought ({shipment})",
                "tell the order of it",
                fix={"do": AGAIN, "order": order.id},
            )
        ]
    if order.status in (PAID, FULFILLED) and rows.get(LABEL) == "done" and not bought:
        kind, theirs, advice = (
            "label lost",
            f"shipping says: no label ({shipment})",
            "see what Shippo's list says of it",
        )
    elif bought and not order.settled:
        kind, theirs, advice = "label of an order that is not paid", f"shipping says: bought ({shipment})", "refund it"
    else:
        return []
    return [Difference(kind, order.id, said(order), theirs, advice=advice)]


def compare_holds(
    keys: Iterable[str], orders: Mapping[str, Order], releasing: Collection[str], until: float
) -> list[Difference]:
    """The reservations that hold stock for nobody.

    Args:
        keys: theirs, none younger than the grace.
        orders: the orders that these keys are made of, by the order's id.
        releasing: the keys that are to be released already.
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
    """The id of the order that a reservation's key is made of: ``or_…:1:stock``."""
    return key.partition(":")[0]


def holds(order: Order, key: str) -> bool:
    """Whether an order has a right to what is reserved under the key."""
    return order.stock_key == key and order.status not in (CREATED, CANCELED, RETURNED)
