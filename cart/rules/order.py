"""An order and its states.

Its public form is the seed's sample, field for field, including the misspelling `fulfiled`. Data that the shopper must
not see (the payment's id, the reservation, the claim) is stored separately from that form.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from contracts.errors import Conflict, InvalidRequest, Refused

CREATED = "created"
PAYING = "paying"  # the payment is in progress
CONFIRMING = "confirming"  # the shopper's bank was asked, and the shopper has to answer it
CANCELING = "canceling"  # the cancellation of the payment is in progress
PAID = "paid"
FULFILLED = "fulfilled"
CANCELED = "canceled"
RETURNED = "returned"

# The legal next statuses of each status.
NEXT: dict[str, set[str]] = {
    CREATED: {PAYING, CANCELING},
    PAYING: {PAID, CREATED, CONFIRMING},
    CONFIRMING: {PAYING, CANCELING},
    CANCELING: {CANCELED, PAID},
    PAID: {FULFILLED, RETURNED},
    FULFILLED: {RETURNED},
    CANCELED: set(),
    RETURNED: set(),
}

# An order is claimed while it is in one of these.
AT_WORK = (PAYING, CANCELING)

# The shopper's view: an order that is not paid yet is just created, regardless of internal steps.
PUBLIC = {PAYING: CREATED, CONFIRMING: CREATED, CANCELING: CREATED}
# The sample's name for the time of each transition.
TRANSITION = {PAID: "paid", FULFILLED: "fulfiled", CANCELED: "canceled", RETURNED: "returned"}

# The largest amount of one PaymentIntent: eight digits (Stripe's API reference, `amount`).
MAX_AMOUNT = 99_999_999

SETTLED = {PAID, FULFILLED, RETURNED}


@dataclass
class Order:
    """One order.

    Attributes:
        id: ``or_…``.
        cart_id: the cart that placed it; only this cart may see it.
        status: one of the states above.
        document: its public form.
        attempt: how many times a payment was begun; part of every key of that attempt.
        payment: the PaymentIntent's id, once there is one.
        stock_key: the reservation that currently holds its stock, or None.
        card: a digest of the card that paid, to distinguish a repetition from a payment by another card.
        claim: identifies the current claim; None while the order is not claimed.
        holder: the copy of the service that holds the claim.
        claimed_until: the end of that claim (Unix seconds); 0 while the order is not claimed.
        due_at: when the order is checked again (Unix seconds); 0 while it is claimed.
        looks: how often it was released while its state was unknown.
    """

    id: str
    cart_id: str
    status: str
    document: dict[str, Any]
    attempt: int = 0
    payment: str | None = None
    stock_key: str | None = None
    card: str | None = None
    claim: str | None = None
    holder: str | None = None
    claimed_until: float = 0.0
    due_at: float = 0.0
    looks: int = 0

    @classmethod
    def place(
        cls,
        order_id: str,
        cart_id: str,
        customer: dict[str, Any],
        lines: list[dict[str, Any]],
        shipment: dict[str, Any],
        now: int,
        live: bool,
    ) -> Order:
        """Turn priced lines and a quoted shipment into an order; the prices are fixed here.

        Args:
            customer: ``{"email", "phone", "name", "address": {...}}``.
            lines: from products: ``{"parent", "description", "quantity", "price", "currency", ...}``, price in cents.
            shipment: from shipping: ``{"object_id", "methods", "selected"}``.
            now: Unix seconds.
            live: whether real money is paid.

        Raises Conflict when the lines have more than one currency or exceed the limit of one payment, Refused when no
        carrier quotes in the currency.
        """
        currency = one_currency([line["currency"] for line in lines])
        document: dict[str, Any] = {
            "id": order_id,
            "object": "order",
            "amount": 0,
            "amount_returned": None,
            "application": None,
            "application_fee": None,
            "charge": None,
            "created": now,
            "currency": currency,
            "customer": None,
            "email": customer["email"],
            "items": [_sku_line(line) for line in lines] + [_tax_line(currency)],
            "livemode": live,
            "metadata": {},
            "returns": {
                "object": "list",
                "data": [],
                "has_more": False,
                "total_count": 0,
                "url": f"/v1/order_returns?order={order_id}",
            },
            "selected_shipping_method": None,
            "shipping": {
                "address": _address(customer["address"]),
                "carrier": None,
                "name": customer["name"],
                "phone": customer.get("phone"),
                "tracking_number": None,
            },
            "shipping_methods": [],
            "status": CREATED,
            "status_transitions": {"canceled": None, "fulfiled": None, "paid": None, "returned": None},
            "updated": now,
            "upstream_id": None,
        }
        return cls(order_id, cart_id, CREATED, payable(with_shipment(document, shipment)))

    @property
    def amount(self) -> int:
        """The amount to pay, in the currency's smallest unit."""
        amount: int = self.document["amount"]
        return amount

    @property
    def currency(self) -> str:
        currency: str = self.document["currency"]
        return currency

    @property
    def busy_until(self) -> float:
        """The end of its claim, or when it is checked again (Unix seconds)."""
        return max(self.claimed_until, self.due_at)

    @property
    def settled(self) -> bool:
        """True once the money is taken."""
        return self.status in SETTLED

    @property
    def stock(self) -> list[dict[str, Any]]:
        """The stock that it needs: ``{"parent": sku, "quantity"}`` for each line."""
        return [
            {"parent": line["parent"], "quantity": line["quantity"]}
            for line in self.document["items"]
            if line["type"] == "sku"
        ]

    def key(self, step: str) -> str:
        """The key under which a step of the current attempt is requested."""
        return f"{self.id}:{self.attempt}:{step}"

    def require(self, status: str) -> None:
        """Raises Conflict unless the order may become `status`."""
        if status not in NEXT[self.status]:
            raise Conflict(f"Order {self.id} is {self.public_status}; it cannot become {status}.")

    def become(self, status: str, now: int) -> None:
        """Change the status to `status`, and record when. Raises Conflict as `require` does."""
        self.require(status)
        self.status = status
        self.document["status"] = self.public_status
        self.document["updated"] = now
        if status in TRANSITION:
            self.document["status_transitions"][TRANSITION[status]] = now

    @property
    def public_status(self) -> str:
        return PUBLIC.get(self.status, self.status)

    def choose(self, method_id: str, now: int) -> None:
        """Select one of the shipping methods, and update the shipping line and the amount.

        Raises Conflict once a payment has begun, InvalidRequest for a method that was not offered for this order.
        """
        if self.status != CREATED:
            what = "is being paid" if self.status in (PAYING, CONFIRMING) else f"is {self.status}"
            raise Conflict(f"Order {self.id} {what}; its shipping method is fixed.")
        if method_id not in {method["id"] for method in self.document["shipping_methods"]}:
            raise InvalidRequest(
                f"Order {self.id} was not offered that shipping method.",
                {"errors": {"shipping_id": ["must be the id of one of the order's shipping_methods"]}},
            )
        self.document = payable(select_method(self.document, method_id))
        self.document["updated"] = now

    def give_back(self, refunds: list[dict[str, Any]], now: int) -> None:
        """Show the refunds, and change the status to returned once they cover the full amount.

        Args:
            refunds: every completed one, oldest first: ``{"id", "amount", "provider_id", "began"}``.
            now: Unix seconds.
        """
        returned = sum(refund["amount"] for refund in refunds)
        data = [self._return(refund) for refund in reversed(refunds)]  # newest first, like all lists of Stripe
        if self.document["returns"]["data"] == data:
            return
        self.document["returns"] = {**self.document["returns"], "data": data, "total_count": len(data)}
        self.document["amount_returned"] = returned
        self.document["updated"] = now
        if returned >= self.amount and self.status in (PAID, FULFILLED):
            self.become(RETURNED, now)

    def _return(self, refund: dict[str, Any]) -> dict[str, Any]:
        whole = refund["amount"] == self.amount
        return {
            "id": refund["id"].replace("rf_", "orret_"),
            "object": "order_return",
            "amount": refund["amount"],
            "created": int(refund["began"]),
            "currency": self.currency,
            # A partial refund does not say which goods come back.
            "items": copy.deepcopy(self.document["items"]) if whole else [],
            "livemode": self.document["livemode"],
            "order": self.id,
            "refund": refund["provider_id"],
        }

    def public(self) -> dict[str, Any]:
        """The order as the API shows it."""
        return copy.deepcopy(self.document)


def one_currency(named: Iterable[str]) -> str:
    """The one currency of an order, in lower case, from those that its lines name. Raises Conflict."""
    currencies = sorted({currency.lower() for currency in named})
    if len(currencies) > 1:
        raise Conflict(f"One order has one currency; this one has {', '.join(currencies)}.")
    return currencies[0]


def payable(document: dict[str, Any]) -> dict[str, Any]:
    """The order, if one payment can take its amount. Raises Conflict."""
    if document["amount"] > MAX_AMOUNT:
        raise Conflict(f"An order of {document['amount']} is more than one payment can take ({MAX_AMOUNT}).")
    if document["amount"] < 0:
        raise Conflict(f"An order of {document['amount']} cannot be paid.")
    return document


def with_shipment(document: dict[str, Any], shipment: dict[str, Any]) -> dict[str, Any]:
    """The order with its shipping methods, the cheapest selected.

    Args:
        document: an order in its public form; also an external one.
        shipment: ``{"object_id", "methods": [...], "selected"}``.

    Raises Refused when no carrier quotes in the order's currency.
    """
    currency = document["currency"]
    methods = [method for method in shipment["methods"] if method["currency"] == currency]
    if not methods:
        raise Refused(f"No carrier ships there for a price in {currency}.")
    ids = [method["id"] for method in methods]
    selected = shipment["selected"] if shipment["selected"] in ids else min(methods, key=_amount)["id"]
    document = {**document, "shipping_methods": methods, "upstream_id": shipment["object_id"]}
    return select_method(document, selected)


def select_method(document: dict[str, Any], method_id: str) -> dict[str, Any]:
    """The order with `method_id` selected, and its shipping line and amount updated."""
    method = next(method for method in document["shipping_methods"] if method["id"] == method_id)
    line = {
        "object": "order_item",
        "amount": method["amount"],
        "currency": document["currency"],
        "description": method["description"],
        "parent": method["id"],
        "quantity": None,
        "type": "shipping",
    }
    items = [item for item in document["items"] if item["type"] != "shipping"] + [line]
    return {
        **document,
        "items": items,
        "selected_shipping_method": method_id,
        "amount": sum(item["amount"] for item in items),
    }


def _sku_line(line: dict[str, Any]) -> dict[str, Any]:
    return {
        "object": "order_item",
        "amount": line["price"] * line["quantity"],
        "currency": line["currency"],
        "description": line["description"],
        "parent": line["parent"],
        "quantity": line["quantity"],
        "type": "sku",
    }


def _tax_line(currency: str) -> dict[str, Any]:
    return {
        "object": "order_item",
        "amount": 0,
        "currency": currency,
        "description": "Taxes (included)",
        "parent": None,
        "quantity": None,
        "type": "tax",
    }


def _address(address: dict[str, Any]) -> dict[str, Any]:
    return {name: address.get(name) for name in ("city", "country", "line1", "line2", "postal_code", "state")}


def _amount(method: dict[str, Any]) -> int:
    amount: int = method["amount"]
    return amount
