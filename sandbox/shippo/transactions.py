"""Shippo's transactions: a label bought for a rate. A purchase that fails is a 201 with status ERROR and messages.

A purchase is QUEUED first unless the request says `async: false`:
https://docs.goshippo.com/docs/api_concepts/asynchronusapicall
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sandbox.ids import hexadecimal
from sandbox.later import forget, plan
from sandbox.shippo.addresses import missing_for_purchase
from sandbox.shippo.carriers import CARRIERS
from sandbox.shippo.customs import declared_value
from sandbox.shippo.errors import OWNER, REQUIRED, check_known, invalid, moment, seconds_of
from sandbox.shippo.invoices import add_item, price_of
from sandbox.shippo.options import ShippoOptions
from sandbox.shippo.shipments import ASYNC_SECONDS
from sandbox.state import State, without_private

FIELDS = frozenset(("async", "label_file_type", "metadata", "order", "rate"))
_FILE_TYPES = ("PDF", "PDF_4x6", "PDF_4x8", "PDF_A4", "PDF_A5", "PDF_A6", "PDF_2.3x7.5")
# Only rates less than 7 days old can be bought; see the field `rate` of a transaction:
# https://docs.goshippo.com/api-reference/transactions/create-a-shipping-label
RATE_DAYS = 7
OUTCOMES = ("SUCCESS", "ERROR")
# Domestic addresses that USPS wants a customs declaration for: https://pe.usps.com/text/dmm300/608.htm#2.4,
# https://pe.usps.com/text/dmm300/703.htm#2.3.6. "This includes shipping to US Territories for USPS":
# https://docs.goshippo.com/docs/International_Shipping/InternationalShipping
_DECLARED_STATES = ("AA", "AE", "AP", "AS", "FM", "GU", "MH", "MP", "PR", "PW", "VI")
# Above it an export must be filed: 15 CFR 30.37(a).
_EXEMPT_VALUE = Decimal(2500)
# Mail to these needs the number (ITN) of an export filing, at any value: 15 CFR 758.1(b)(1),
# https://about.usps.com/publications/pub699/pub699_tech_018.htm
_ALWAYS_FILED = ("CU", "IR", "KP", "SY")


def create_transaction(state: State, given: Any, public_url: str) -> dict[str, Any]:
    """Buy a label, whose URL begins with `public_url`; ShippoFailure (400) when the request is invalid.

    With `async: false` the answer is final, unless the option `purchase_seconds` is on.
    """
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
    now, options = state.now(), ShippoOptions.of(state)
    seconds = options.purchase_seconds
    if seconds is not None and given.get("async") is not False:
        seconds = max(seconds, ASYNC_SECONDS)
    problem = _refused(state, rate, shipment, now)
    if problem is None and options.draw(state) < options.purchase_error_rate:
        problem = _carrier_timeout(rate)
    object_id = hexadecimal()
    recipient = shipment["address_to"]
    transaction: dict[str, Any] = {
        "object_id": object_id,
        "object_state": "VALID",
        "object_created": moment(now),
        "object_updated": moment(now),
        "object_owner": OWNER,
        "status": "QUEUED",
        "rate": rate_id,
        "parcel": shipment["parcels"][0]["object_id"],
        "label_file_type": file_type,
        "label_url": None,
        "commercial_invoice_url": None,
        "qr_code_url": None,
        "tracking_number": None,
        "tracking_status": None,
        "tracking_url_provider": None,
        "eta": None,
        "messages": [],
        "metadata": metadata,
        "order": given.get("order"),
        "created_by": None,
        "test": True,
        "_problem": problem,
        "_label_url": f"{public_url}/sandbox/labels/{object_id}.pdf",
        "_shipment_metadata": shipment["metadata"],
        "_contacts": [recipient[name] for name in ("email", "phone") if recipient[name]],
        "_history": [],
    }
    if seconds == 0:
        end_purchase(state, transaction)
    else:
        state.put("transaction", object_id, transaction)
        if seconds is not None:
            plan(state, "transaction", object_id, now + seconds, "end")
    return without_private(transaction)


def end_purchase(state: State, transaction: dict[str, Any], outcome: str | None = None) -> dict[str, Any]:
    """End a queued purchase, and return its transaction.

    Args:
        outcome: one of OUTCOMES; None for the one that the purchase's rate, addresses and options lead to.
    """
    now, rate = state.now(), state.get("rate", transaction["rate"])
    assert rate is not None
    problem = transaction["_problem"]
    if outcome is not None:
        problem = None if outcome == "SUCCESS" else problem or _carrier_timeout(rate)
    forget(state, "transaction", transaction["object_id"])
    transaction |= {"object_updated": moment(now)}
    if problem:
        transaction |= {"status": "ERROR", "messages": [{"source": rate["provider"], **problem}]}
    else:
        carrier = CARRIERS[rate["provider"]]
        number = carrier.tracking_number(state.next_number("tracking_number"))
        transaction |= {
            "status": "SUCCESS",
            "label_url": transaction["_label_url"],
            "tracking_number": number,
            "tracking_status": "PRE_TRANSIT",
            "tracking_url_provider": f"{carrier.tracking_url}{number}",
            "eta": moment(now + 86400 * rate["estimated_days"]),
            "_history": [{"status": "PRE_TRANSIT", "at": now}],
        }
        add_item(state, "LABEL_PAYMENT", transaction, price_of(state, transaction))
    state.put("transaction", transaction["object_id"], transaction)
    return transaction


def end_planned_purchase(state: State, object_id: str) -> None:
    """End a queued purchase whose time has come."""
    transaction = state.get("transaction", object_id)
    assert transaction is not None
    end_purchase(state, transaction)


def _carrier_timeout(rate: dict[str, Any]) -> dict[str, str]:
    """Shippo's own example: https://docs.goshippo.com/api-reference/transactions/create-a-shipping-label."""
    text = f"{rate['provider']} API did not respond. Please try again in a few minutes."
    return {"code": "carrier_timeout", "text": text}


def _refused(state: State, rate: dict[str, Any], shipment: dict[str, Any], now: float) -> dict[str, str] | None:
    """Return code and text of why the carrier sells no label; None when it does."""
    text = _obstacle(state, rate, shipment, now)
    return {"code": "", "text": text} if text else None


def _obstacle(state: State, rate: dict[str, Any], shipment: dict[str, Any], now: float) -> str | None:
    """Return why the carrier sells no label; None when it does.

    The sandbox's own rule for a purchase that fails although rates exist: a first street line that begins with
    "Undeliverable".
    """
    if now - seconds_of(rate["object_created"]) >= RATE_DAYS * 86400:
        return "The rate is older than 7 days and cannot be purchased any more: create a new shipment."
    sold = CARRIERS[rate["provider"]].sold
    if sold is not None and len(shipment["parcels"]) > sold:
        return f"{rate['provider']} sells labels for at most {sold} parcels in one shipment."
    for role in ("address_from", "address_to"):
        lacking = missing_for_purchase(shipment[role])
        if lacking:
            return f"{role}: {', '.join(lacking)} must be given to purchase a label."
    if shipment["address_to"]["street1"].lower().startswith("undeliverable"):
        return "The address_to is not deliverable."
    declaration = shipment["customs_declaration"]
    if declaration is None:
        if shipment["address_to"]["country"] != "US":
            return "A customs declaration is required for an international shipment."
        if shipment["address_to"]["state"] in _DECLARED_STATES:
            return (
                "A customs declaration is required for military addresses, US territories and freely associated states."
            )
        return None
    if declaration["eel_pfc"] == "NOEEI_30_37_a":
        if shipment["address_to"]["country"] in _ALWAYS_FILED:
            return "An ITN is required for this country (NOEEI 30.37(a) does not apply)."
        if declared_value(state, declaration) > _EXEMPT_VALUE:
            return "An ITN is required: the value is above $2500 (NOEEI 30.37(a) does not apply)."
    return None
