"""Shippo's tracking: the test numbers of carrier `shippo`, and the parcels whose labels were bought here."""

from __future__ import annotations

import hashlib
from typing import Any

from sandbox.shippo.carriers import CARRIERS
from sandbox.shippo.errors import invalid, moment
from sandbox.state import State

STATUSES = ("UNKNOWN", "PRE_TRANSIT", "TRANSIT", "DELIVERED", "RETURNED", "FAILURE")
# The status that follows when all goes well.
NEXT_STATUS = {"UNKNOWN": "PRE_TRANSIT", "PRE_TRANSIT": "TRANSIT", "TRANSIT": "DELIVERED"}
_CARRIERS = frozenset(["shippo", "usps", "ups", "fedex", "dhl_express", "canada_post"])
_DETAILS = {
    "UNKNOWN": "No information about this shipment is available.",
    "PRE_TRANSIT": "The carrier has received the electronic shipment information.",
    "TRANSIT": "Your shipment has departed from the origin.",
    "DELIVERED": "Your shipment has been delivered.",
    "RETURNED": "Your shipment is being returned to its sender.",
    "FAILURE": "Your shipment could not be delivered.",
}
_PATHS = {
    "UNKNOWN": ("UNKNOWN",),
    "PRE_TRANSIT": ("PRE_TRANSIT",),
    "TRANSIT": ("PRE_TRANSIT", "TRANSIT"),
    "DELIVERED": ("PRE_TRANSIT", "TRANSIT", "DELIVERED"),
    "RETURNED": ("PRE_TRANSIT", "TRANSIT", "RETURNED"),
    "FAILURE": ("PRE_TRANSIT", "TRANSIT", "FAILURE"),
}
_FROM = {"city": "San Francisco", "state": "CA", "zip": "94103", "country": "US"}
_TO = {"city": "Chicago", "state": "IL", "zip": "60611", "country": "US"}


def track_of(state: State, carrier: str, number: str, metadata: str | None = None) -> dict[str, Any]:
    """Return the track of a number; ShippoFailure (400) for an unknown carrier or test number.

    A number without a label has a tracking_status of None, like one that the carrier has not seen.
    """
    if carrier not in _CARRIERS:
        raise invalid({"carrier": [f"Carrier '{carrier[:40]}' is not supported."]})
    if carrier == "shippo":
        status = number.removeprefix("SHIPPO_")
        if not number.startswith("SHIPPO_") or status not in STATUSES:
            raise invalid(
                {"tracking_number": ["The carrier 'shippo' knows SHIPPO_" + ", SHIPPO_".join(STATUSES) + "."]}
            )
        now = state.now()
        path = _PATHS[status]
        history = [
            _status(number, step, now - 86400 * (len(path) - 1 - place), _FROM) for place, step in enumerate(path)
        ]
        return _track(carrier, number, history, _FROM, _TO, None, "usps_priority", None, metadata)
    found = state.find("transaction", {"tracking_number": number})
    track = bought_track(state, found[0], metadata) if found else None
    if track is None or track["carrier"] != carrier:
        return _track(carrier, number, [], None, None, None, None, None, metadata)
    return track


def move(state: State, number: str, status: str) -> dict[str, Any] | None:
    """Set the status of a bought label's parcel; return its track, or None when no label has the number."""
    found = state.find("transaction", {"tracking_number": number})
    if not found:
        return None
    transaction = found[0]
    transaction["tracking_status"] = status
    transaction["object_updated"] = moment(state.now())
    transaction["_history"].append({"status": status, "at": state.now()})
    state.put("transaction", transaction["object_id"], transaction)
    return bought_track(state, transaction, None)


def bought_track(state: State, transaction: dict[str, Any], metadata: str | None) -> dict[str, Any]:
    """Return the track of a label that was bought here."""
    rate = state.get("rate", transaction["rate"]) or {}
    shipment = state.get("shipment", rate["shipment"]) or {}
    ends = [
        {name: shipment[role][name] for name in ("city", "state", "zip", "country")}
        for role in ("address_from", "address_to")
    ]
    number = transaction["tracking_number"]
    history = [
        _status(number, step["status"], step["at"], ends[1] if step["status"] == "DELIVERED" else ends[0])
        for step in transaction["_history"]
    ]
    carrier, token = CARRIERS[rate["provider"]].token, rate["servicelevel"]["token"]
    return _track(
        carrier, number, history, ends[0], ends[1], transaction["eta"], token, transaction["object_id"],
        metadata or transaction["metadata"],
    )  # fmt: skip


def _status(number: str, status: str, at: float, place: dict[str, Any]) -> dict[str, Any]:
    return {
        "object_created": moment(at),
        "object_updated": moment(at),
        "object_id": hashlib.sha256(f"{number} {status} {at:.3f}".encode()).hexdigest()[:32],
        "status": status,
        "status_details": _DETAILS[status],
        "status_date": moment(at),
        "substatus": None,
        "location": place,
    }


def _track(
    carrier: str,
    number: str,
    history: list[dict[str, Any]],
    origin: dict[str, Any] | None,
    destination: dict[str, Any] | None,
    eta: str | None,
    token: str | None,
    transaction: str | None,
    metadata: str | None,
) -> dict[str, Any]:
    return {
        "carrier": carrier,
        "tracking_number": number,
        "address_from": origin,
        "address_to": destination,
        "eta": eta,
        "original_eta": eta,
        "servicelevel": {"token": token, "name": None},
        "metadata": metadata or "",
        "tracking_status": history[-1] if history else None,
        "tracking_history": history,
        "transaction": transaction,
        "messages": [],
        "test": True,
    }
