"""Shippo's invoice items: what labels cost in the end, with surcharges and adjustments after the purchase.

Shippo shows them at `GET /invoice-items` (beta) and sends no webhook for them; its SDK has no such call. Fields and
types: https://docs.goshippo.com/shippoinvoices/invoices/tag/Invoices and the page of `InvoiceItem`
in the documentation of https://github.com/goshippo/shippo-python-sdk. An account has an invoice for each purchase:
https://docs.goshippo.com/docs/billing_and_invoices/invoices
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sandbox.ids import hexadecimal
from sandbox.shippo.errors import moment
from sandbox.state import State

ACCOUNT = "915d94940ea54c3a80cbfa328722f5a1"
# What a carrier may charge or give back after the purchase of a label.
ADJUSTMENTS = ("LABEL_SURCHARGE", "LABEL_PAYMENT_ADJUSTMENT", "LABEL_REFUND_ADJUSTMENT")
_DESCRIPTIONS = {
    "LABEL_PAYMENT": "Label",
    "LABEL_REFUND": "Refund of the label",
    "LABEL_SURCHARGE": "Surcharge of the label",
    "LABEL_PAYMENT_ADJUSTMENT": "Adjustment of the label's price",
    "LABEL_REFUND_ADJUSTMENT": "Adjustment of the label's refund",
}
FILTERS = {"invoiceObjectId": "invoice", "invoiceNumber": "_number", "shippoAccountId": "shippo_account"}


def add_item(state: State, kind: str, transaction: dict[str, Any], amount: Decimal) -> dict[str, Any]:
    """Store an invoice item for a label, and return it.

    Args:
        kind: one of the types above.
        amount: in the currency of the label's rate; negative for what Shippo gives back.
    """
    rate = state.get("rate", transaction["rate"])
    assert rate is not None
    now = moment(state.now())
    item = {
        "object_id": hexadecimal(),
        "object_created": now,
        "object_updated": now,
        "shippo_account": ACCOUNT,
        "type": kind,
        "description": f"{_DESCRIPTIONS[kind]} {transaction['tracking_number']}",
        "amount": f"{amount:.2f}",
        "currency": rate["currency"],
        "charge_conversion": None,
        "invoice": hexadecimal(),
        "transaction": transaction["object_id"],
        "_number": str(state.next_number("invoice")),
    }
    state.put("invoice_item", item["object_id"], item)
    return item


def price_of(state: State, transaction: dict[str, Any]) -> Decimal:
    """Return the price of the rate that a label was bought for."""
    rate = state.get("rate", transaction["rate"])
    assert rate is not None
    return Decimal(rate["amount"])
