"""Shippo's transactions: a label bought for a rate. A purchase that fails is a 201 with status ERROR and messages."""

from __future__ import annotations

from typing import Any

from sandbox.ids import hexadecimal
from sandbox.shippo.addresses import missing_for_purchase
from sandbox.shippo.errors import OWNER, REQUIRED, check_known, invalid, moment, seconds_of
from sandbox.shippo.shipments import ASYNC_SECONDS
from sandbox.state import State, without_private

FIELDS = frozenset(("async", "label_file_type", "metadata", "order", "rate"))
_FILE_TYPES = ("PDF", "PDF_4x6", "PDF_4x8", "PDF_A4", "PDF_A5", "PDF_A6", "PDF_2.3x7.5")
# Only rates less than 7 days old can be bought; see the field `rate` of a transaction:
# https://docs.goshippo.com/api-reference/transactions/create-a-shipping-label
RATE_DAYS = 7


def create_transaction(state: State, given: Any, public_url: str) -> dict[str, Any]:
    """Buy a label, whose URL begins with `public_url`; ShippoFailure (400) when the request is invalid."""
    given = check_known(given, FIELDS)
    rate_id = given.get("rate")
    if not rate_id or not isinstance(rate_id, str):
        raise invalid({"rate": [REQUIRED]})
    file_type = given.get("label_file_type") or "PDF"
    if file_type not in _FILE_TYPES:
        raise invalid({"label_file_type": [f'"{file_type}" is not a valid choice: the sandbox prints PDF.']})
    metadata = given.get("metadata") or ""
    if not isinstance(metadata, str) or len(metadata) > 100:
        raise invalid({"metadata": ["Ensure this field has no more than 100 characters."]})
    rate = state.get("rate", rate_id)
    if rate is None:
        raise invalid({"rate": [f"Rate with supplied object_id {rate_id[:40]} not found."]})
    shipment = state.get("shipment", rate["shipment"])
    assert shipment is not None
    now = state.now()
    problem = _refused(rate, shipment, now)
    object_id = hexadecimal()
    number = None if problem else tracking_number(state.next_number("tracking_number"))
    recipient = shipment["address_to"]
    transaction: dict[str, Any] = {
        "object_id": object_id,
        "object_state": "VALID",
        "object_created": moment(now),
        "object_updated": moment(now),
        "object_owner": OWNER,
        "status": "ERROR" if problem else "SUCCESS",
        "rate": rate_id,
        "parcel": shipment["parcels"][0]["object_id"],
        "label_file_type": file_type,
        "label_url": None if problem else f"{public_url}/sandbox/labels/{object_id}.pdf",
        "commercial_invoice_url": None,
        "qr_code_url": None,
        "tracking_number": number,
        "tracking_status": None if problem else "PRE_TRANSIT",
        "tracking_url_provider": None
        if problem
        else f"https://tools.usps.com/go/TrackConfirmAction_input?origTrackNum={number}",
        "eta": None if problem else moment(now + 86400 * rate["estimated_days"]),
        "messages": [{"source": "USPS", "code": "", "text": problem}] if problem else [],
        "metadata": metadata,
        "order": given.get("order"),
        "created_by": None,
        "test": True,
        "_ready_at": now if given.get("async") is False else now + ASYNC_SECONDS,
        "_shipment_metadata": shipment["metadata"],
        "_contacts": [recipient[name] for name in ("email", "phone") if recipient[name]],
        "_history": [],
    }
    if not problem:
        transaction["_history"].append({"status": "PRE_TRANSIT", "at": now})
    state.put("transaction", object_id, transaction)
    return shown_transaction(transaction, state.now())


def shown_transaction(transaction: dict[str, Any], now: float) -> dict[str, Any]:
    """Return the transaction as Shippo shows it at `now`: QUEUED without a label until the processing time is over."""
    shown = without_private(transaction)
    if transaction["_ready_at"] > now:
        hidden = ("label_url", "tracking_number", "tracking_status", "tracking_url_provider", "eta")
        shown |= {**dict.fromkeys(hidden), "status": "QUEUED", "messages": []}
    return shown


def _refused(rate: dict[str, Any], shipment: dict[str, Any], now: float) -> str | None:
    """Return why the carrier sells no label; None when it does.

    The sandbox's own rule for a purchase that fails although rates exist: a first street line that begins with
    "Undeliverable".
    """
    if now - seconds_of(rate["object_created"]) >= RATE_DAYS * 86400:
        return "The rate is older than 7 days and cannot be purchased any more: create a new shipment."
    for role in ("address_from", "address_to"):
        lacking = missing_for_purchase(shipment[role])
        if lacking:
            return f"{role}: {', '.join(lacking)} must be given to purchase a label."
    if shipment["address_to"]["street1"].lower().startswith("undeliverable"):
        return "The address_to is not deliverable."
    if shipment["address_to"]["country"] != "US" and shipment["customs_declaration"] is None:
        return "A customs declaration is required for an international shipment."
    return None


def tracking_number(serial: int) -> str:
    """Return a USPS tracking number of 22 digits; the last one is the check digit of the others."""
    digits = f"92055901755477{serial:07d}"
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits)))
    return f"{digits}{-total % 10}"
