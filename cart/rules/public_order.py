"""The order's JSON: the seed's sample, field for field, including the misspelling `fulfiled`.

It is also how an order is stored. What the shopper must not see (the payment's id, the reservation, the claim) is not
part of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from cart.rules.dispute import Dispute
from cart.rules.order import (
    CANCELED,
    FULFILLED,
    PAID,
    RETURNED,
    Customer,
    Offer,
    Order,
    Return,
    ShippingMethod,
)
from cart.rules.price import SHIPPING, Line, check_payable, price_lines, shared

# Stripe's words for the state of a refund that counts.
PENDING, SUCCEEDED = "pending", "succeeded"
# The sample's name for the time of each transition, in the sample's sequence.
TRANSITIONS = {CANCELED: "canceled", FULFILLED: "fulfiled", PAID: "paid", RETURNED: "returned"}


def render(order: Order) -> dict[str, Any]:
    """The order as the API shows it."""
    return {
        "id": order.id,
        "object": "order",
        "amount": order.amount,
        "amount_returned": order.amount_returned,
        "application": None,
        "application_fee": None,
        "charge": order.charge,
        "created": order.created,
        "currency": order.currency,
        "customer": None,
        "email": order.customer.email,
        "items": [_item(line) for line in order.all_lines],
        "livemode": order.live,
        "metadata": {},
        "payment": {
            "status": order.payment_status,
            "failure": None if order.failure is None else dict(order.failure),
        },
        "returns": {
            "object": "list",
            "data": _returns(order),
            "has_more": False,
            "total_count": len(order.returns),
            "url": f"/v1/order_returns?order={order.id}",
        },
        "selected_shipping_method": order.method_id,
        "shipping": {
            "address": asdict(order.customer.address),
            "carrier": order.carrier,
            "name": order.customer.name,
            "phone": order.customer.phone,
            "tracking_number": order.tracking_number,
        },
        "shipping_methods": [asdict(method) for method in order.methods],
        "status": order.public_status,
        "status_transitions": {name: order.times.get(status) for status, name in TRANSITIONS.items()},
        "updated": order.updated,
        "upstream_id": order.shipment,
        "dispute": None if order.dispute is None else asdict(order.dispute),
    }


def public(order: Order, shop_url: str) -> dict[str, Any]:
    """The order for its owner, for the bearer of its token, and for admins: with the URL of its page.

    The URL is not part of `render`, so that the token is stored in one place, and not in the document.

    Args:
        shop_url: the shop's public URL, without a slash at its end.
    """
    status_url = None if order.token is None else f"{shop_url}/orders/{order.id}?token={order.token}"
    return {**render(order), "status_url": status_url}


def parse(document: Mapping[str, Any], cart_id: str, **state: Any) -> Order:
    """The order that `render` has made `document` from.

    Args:
        cart_id, state: what the document does not show, by the names of `Order`.

    Raises KeyError, TypeError, ValueError, AttributeError when it is not such a document.
    """
    shipping, times = document["shipping"], document["status_transitions"]
    returns = tuple(
        Return(
            each["id"].replace("orret_", "rf_"),
            _whole(each["amount"]),
            each["created"],
            each["refund"],
            each.get("status") == PENDING,  # earlier releases wrote no status
        )
        for each in document["returns"]["data"]
    )
    dispute = document.get("dispute")  # an order of an earlier release has none
    return Order(
        id=document["id"],
        cart_id=cart_id,
        customer=Customer.of({**shipping, "email": document["email"]}),
        currency=document["currency"],
        lines=tuple(_line(item) for item in document["items"] if item["type"] != SHIPPING),
        created=_whole(document["created"]),
        updated=_whole(document["updated"]),
        shipment=document["upstream_id"],
        methods=tuple(ShippingMethod.of(method) for method in document["shipping_methods"]),
        method_id=document["selected_shipping_method"],
        live=document["livemode"],
        times={status: times[name] for status, name in TRANSITIONS.items() if times[name] is not None},
        charge=document["charge"],
        carrier=shipping["carrier"],
        tracking_number=shipping["tracking_number"],
        returns=returns,
        amount_returned=document["amount_returned"],
        dispute=None if dispute is None else Dispute(**dispute),
        # What has gone back and was not refunded was lost by disputes.
        amount_lost=max(0, (document["amount_returned"] or 0) - sum(each.amount for each in returns)),
        # A copy of older code has stored none.
        failure=(document.get("payment") or {}).get("failure"),
        **state,
    )


def quoted(order: Mapping[str, Any], currency: str, amounts: Iterable[int], offer: Offer) -> dict[str, Any]:
    """An external order with its amount and shipping methods filled in. Members unknown to the shop are kept.

    Args:
        order: in the shape of the order object.
        amounts: of its items, in their sequence, for those that name none.

    Raises Conflict when no payment can take the amount.
    """
    items = [
        item if item.get("amount") is not None else {**item, "amount": amount}
        for item, amount in zip(order["items"], amounts, strict=True)
        if item["type"] != SHIPPING
    ]
    lines = [Line(item["type"], item["amount"], currency) for item in items]
    totals = price_lines([*lines, offer.selected.line])
    check_payable(totals)
    return {
        **order,
        "currency": currency,
        "items": [*items, _item(offer.selected.line)],
        "shipping_methods": [asdict(method) for method in offer.methods],
        "upstream_id": offer.shipment,
        "selected_shipping_method": offer.selected.id,
        "amount": totals.total,
    }


def _item(line: Line) -> dict[str, Any]:
    return {
        "object": "order_item",
        "amount": line.amount,
        "currency": line.currency,
        "description": line.description,
        "parent": line.parent,
        "quantity": line.quantity,
        "type": line.kind,
    }


def _line(item: Mapping[str, Any]) -> Line:
    amount, currency, description = _whole(item["amount"]), item["currency"], item["description"]
    return Line(item["type"], amount, currency, description, item["parent"], item["quantity"])


def _returns(order: Order) -> list[dict[str, Any]]:
    """The refunds, the newest first. Each is shared out over what the earlier ones have left of every line, so that all
    of them together are the order, to the smallest unit."""
    left = list(order.all_lines)
    shown = []
    for each in reversed(order.returns):
        amounts = shared(each.amount, [line.amount for line in left]) if sum(line.amount for line in left) > 0 else []
        lines = [replace(line, amount=amount) for line, amount in zip(left, amounts, strict=False)]
        if each.amount != order.amount:  # a partial refund does not say how many pieces come back
            lines = [replace(line, quantity=None) for line in lines]
        shown.append(_return(order, each, [_item(line) for line in lines]))
        left = [replace(line, amount=line.amount - amount) for line, amount in zip(left, amounts, strict=False)]
    return shown[::-1]


def _return(order: Order, shown: Return, items: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": shown.id.replace("rf_", "orret_"),
        "object": "order_return",
        "amount": shown.amount,
        "created": shown.created,
        "currency": order.currency,
        "items": items,
        "livemode": order.live,
        "order": order.id,
        "refund": shown.refund,
        "status": PENDING if shown.pending else SUCCEEDED,
    }


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{str(value)[:20]!r} is no whole number")
    return value
