"""The ledger: what arrived at the providers, every charge, label, mail, SMS and tax transaction, oldest first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.state import State, without_private
from sandbox.twilio.api import shown as shown_sms

MAX_PAGE = 1000
KINDS = ("charges", "labels", "emails", "sms", "taxes")


def ledger(
    state: State,
    to: str | None = None,
    order_id: str | None = None,
    limit: int = MAX_PAGE,
    offset: int = 0,
    kind: str | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Return what arrived, each of KINDS oldest first and at most the newest `limit`.

    to: only what went to that e-mail address or phone number. order_id: only what contains that order's id (a charge
    in its metadata or description, a label in its metadata, a tax transaction in its reference or metadata, a mail and
    an SMS anywhere in their text). offset: skip this many of the newest. kind: only one of KINDS. With `offset` and
    `kind` a long ledger is read page by page.
    """
    where = {}
    if to is not None:
        where["to"] = to.lower()
    if order_id is not None:
        where["order_id"] = order_id

    def newest(kind: str) -> list[dict[str, Any]]:
        return list(reversed(state.find(kind, where, limit=limit, offset=offset)))

    readers: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "charges": lambda: newest("charge"),
        "labels": lambda: [shown_label(state, transaction) for transaction in newest("transaction")],
        "emails": lambda: [shown_mail(mail) for mail in newest("mail")],
        "sms": lambda: [
            {**shown_sms(message, state.now()), "created": message["created"]} for message in newest("message")
        ],
        "taxes": lambda: [shown_tax(transaction) for transaction in newest("tax_transaction")],
    }
    return {name: readers[name]() for name in KINDS if kind in (None, name)}


def shown_label(state: State, transaction: dict[str, Any]) -> dict[str, Any]:
    """Return a transaction with the rate and the addresses it was bought for."""
    rate = state.get("rate", transaction["rate"]) or {}
    shipment = state.get("shipment", rate.get("shipment", "")) or {}
    return {
        **without_private(transaction),
        "amount": rate.get("amount"),
        "currency": rate.get("currency"),
        "carrier": rate.get("provider"),
        "servicelevel": rate.get("servicelevel"),
        "shipment": shipment.get("object_id"),
        "shipment_metadata": shipment.get("metadata"),
        "customs_declaration": shipment.get("customs_declaration"),
        "address_from": shipment.get("address_from"),
        "address_to": shipment.get("address_to"),
        "parcels": shipment.get("parcels"),
    }


def shown_tax(transaction: dict[str, Any]) -> dict[str, Any]:
    """Return a tax transaction, of a sale or a reversal, with all its lines."""
    return {**without_private(transaction), "line_items": transaction["_lines"]}


def shown_mail(mail: dict[str, Any]) -> dict[str, Any]:
    """Return a mail: recipients, subject and content, and the full request."""
    request = mail["request"]
    contents = {part["type"].split(";")[0].strip(): part["value"] for part in request.get("content") or []}
    return {
        "message_id": mail["id"],
        "created": mail["created"],
        "to": mail["recipients"],
        "from": request["from"]["email"],
        "subject": request.get("subject") or request["personalizations"][0].get("subject"),
        "text": contents.get("text/plain"),
        "html": contents.get("text/html"),
        "request": request,
    }
