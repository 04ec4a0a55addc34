"""Stripe's tax transactions: what was collected. They never change; a reversal is a transaction of its own."""

from __future__ import annotations

from typing import Any, Final

from sandbox.ids import alphanumeric
from sandbox.stripe.endpoint import Desk, Endpoint, Parameters
from sandbox.stripe.errors import StripeFailure, invalid, missing_object
from sandbox.stripe.params import EXPAND, Int, ListOf, Metadata, Obj, Str, Type, merged
from sandbox.stripe.tax_calculations import check_unique, reading, shown, usable_calculation
from sandbox.stripe.tax_reversals import reversed_amounts

CREATE: Final[dict[str, Type]] = {
    "calculation": Str(required=True),
    "expand": EXPAND,
    "metadata": Metadata(unsettable=True),
    "posted_at": Int(),
    "reference": Str(required=True, limit=500),
}
REVERSE: Final[dict[str, Type]] = {
    "expand": EXPAND,
    "flat_amount": Int(),
    "line_items": ListOf(
        Obj(
            {
                "amount": Int(required=True),
                "amount_tax": Int(required=True),
                "metadata": Metadata(),
                "original_line_item": Str(required=True),
                "quantity": Int(least=1),
                "reference": Str(required=True, limit=500),
            }
        )
    ),
    "metadata": Metadata(unsettable=True),
    "mode": Str(required=True, choices=("full", "partial")),
    "original_transaction": Str(required=True),
    "reference": Str(required=True, limit=500),
    "shipping_cost": Obj({"amount": Int(required=True), "amount_tax": Int(required=True)}),
}


def _create(desk: Desk, asked: Parameters) -> Parameters:
    _check_reference(desk, asked["reference"])
    calculation = usable_calculation(desk, asked["calculation"])
    if calculation is None:
        if desk.state.raw("tax_calculation", asked["calculation"]) is None:
            raise missing_object("tax calculation", asked["calculation"], param="calculation", in_path=False)
        raise StripeFailure(
            f"The tax calculation {asked['calculation']} has expired. A calculation can be used for 90 days.",
            code="resource_missing",
            param="calculation",
        )
    posted_at, now = asked.get("posted_at", desk.now()), desk.now()
    if "posted_at" in asked and not min(calculation["tax_date"], now) <= posted_at <= now:
        raise invalid("Invalid posted_at: must be from the tax_date to the current time.", "posted_at")
    shipping_cost = calculation["shipping_cost"]
    return _store(
        desk,
        asked,
        calculation,
        posted_at=posted_at,
        shipping_cost=shipping_cost and {name: shipping_cost[name] for name in _SHIPPING_FIELDS},
        lines=[{name: line[name] for name in _LINE_FIELDS} for line in calculation["_lines"]],
    )


def _reverse(desk: Desk, asked: Parameters) -> Parameters:
    _check_reference(desk, asked["reference"])
    original = desk.state.get("tax_transaction", asked["original_transaction"])
    if original is None:
        raise missing_object(
            "tax transaction", asked["original_transaction"], param="original_transaction", in_path=False
        )
    lines, shipping_cost = reversed_amounts(desk.state, original, asked)
    check_unique(lines)
    return _store(
        desk,
        asked,
        original,
        posted_at=desk.now(),
        shipping_cost=shipping_cost,
        lines=lines,
        reverses=original["id"],
        mode=asked["mode"],
    )


def _check_reference(desk: Desk, reference: str) -> None:
    """Raise StripeFailure (400) for a reference that any transaction has, also a reversal."""
    if desk.state.count("tax_transaction", {"reference": reference}):
        raise StripeFailure(
            f"A tax transaction with the reference '{reference}' already exists.",
            code="resource_already_exists",
            param="reference",
        )


_SHIPPING_FIELDS: Final = ("amount", "amount_tax", "tax_behavior", "tax_code")
_LINE_FIELDS: Final = (*_SHIPPING_FIELDS, "metadata", "product", "quantity", "reference")


def _store(
    desk: Desk,
    asked: Parameters,
    source: Parameters,
    *,
    posted_at: int,
    shipping_cost: Parameters | None,
    lines: list[Parameters],
    reverses: str | None = None,
    mode: str | None = None,
) -> Parameters:
    """Store a transaction; source: the calculation, or the transaction that it reverses."""
    transaction_id = alphanumeric("tax_", 24)
    kind = "reversal" if reverses else "transaction"
    body: dict[str, Any] = {
        "id": transaction_id,
        "object": "tax.transaction",
        "created": desk.now(),
        "currency": source["currency"],
        "customer": None,
        "customer_details": source["customer_details"],
        "livemode": False,
        "metadata": merged({}, asked.get("metadata")) or None,
        "posted_at": posted_at,
        "reference": asked["reference"],
        "reversal": {"original_transaction": reverses} if reverses else None,
        "ship_from_details": source["ship_from_details"],
        "shipping_cost": shipping_cost,
        "tax_date": source["tax_date"],
        "type": kind,
        "_lines": [_line(line, kind) for line in lines],
        "_mode": mode,
    }
    desk.state.put("tax_transaction", transaction_id, body)
    return shown(body, _url(transaction_id), asked)


def _line(line: Parameters, kind: str) -> Parameters:
    return {
        "id": alphanumeric("tax_li_", 14),
        "object": "tax.transaction_line_item",
        "livemode": False,
        "reversal": None,
        "type": kind,
        **line,
    }


def _stored(desk: Desk, transaction: str) -> Parameters:
    body = desk.state.get("tax_transaction", transaction)
    if body is None:
        raise missing_object("tax transaction", transaction, param="transaction")
    return body


def _url(transaction: str) -> str:
    return f"/v1/tax/transactions/{transaction}"


ENDPOINTS = (
    Endpoint("POST", "/v1/tax/transactions/create_from_calculation", CREATE, _create),
    Endpoint("POST", "/v1/tax/transactions/create_reversal", REVERSE, _reverse),
    *reading(_url, _stored),
)
