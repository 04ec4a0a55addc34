"""Shippo's shipments: addresses and parcels in, rates out, at once or (the default) a moment later."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from sandbox.ids import hexadecimal
from sandbox.shippo.addresses import read_address
from sandbox.shippo.carriers import carriers_of
from sandbox.shippo.countries import RATES
from sandbox.shippo.customs import read_declaration
from sandbox.shippo.errors import OWNER, REQUIRED, ShippoFailure, check_known, invalid, moment, not_found
from sandbox.shippo.options import ShippoOptions
from sandbox.shippo.rates import converted, make_rates
from sandbox.state import State, without_private

FIELDS = frozenset(
    """
    address_from address_to address_return async carrier_accounts customs_declaration extra metadata parcels
    shipment_date
    """.split()  # noqa: SIM905 - a list of names reads better so
)
PARCEL_FIELDS = frozenset(
    ["distance_unit", "extra", "height", "length", "mass_unit", "metadata", "template", "weight", "width"]
)
_OWN = frozenset(["object_id", "object_created", "object_updated", "object_owner", "object_state", "test"])
_NUMBER = re.compile(r"\d{1,6}(\.\d{1,4})?|\.\d{1,4}")
# Seconds that an asynchronous shipment or transaction takes.
ASYNC_SECONDS = 0.5


def read_parcel(state: State, given: Any, now: float) -> dict[str, Any]:
    """Return the parcel object of a request, given as an object or as the id of a stored one; it is not stored."""
    if isinstance(given, str):
        stored = state.get("parcel", given)
        if stored is None:
            raise invalid({"non_field_errors": [f"Parcel with supplied object_id {given[:40]} not found."]})
        return stored
    if isinstance(given, dict):
        given = {name: value for name, value in given.items() if name not in _OWN}
    given = check_known(given, PARCEL_FIELDS)
    needed = ("length", "width", "height", "distance_unit", "weight", "mass_unit")
    wrong = {name: [REQUIRED] for name in needed if given.get(name) in (None, "")}
    for name in ("length", "width", "height", "weight"):
        if name not in wrong and not (_NUMBER.fullmatch(str(given[name])) and Decimal(str(given[name])) > 0):
            wrong[name] = ["A valid number is required."]
    for name, units in (("distance_unit", ("cm", "in", "ft", "mm", "m", "yd")), ("mass_unit", ("g", "oz", "lb", "kg"))):
        if name not in wrong and given[name] not in units:
            wrong[name] = [f'"{given[name]}" is not a valid choice.']
    if len(str(given.get("metadata") or "")) > 100:
        wrong["metadata"] = ["Ensure this field has no more than 100 characters."]
    if wrong:
        raise invalid(wrong)
    return {
        "object_state": "VALID",
        "object_created": moment(now),
        "object_updated": moment(now),
        "object_id": hexadecimal(),
        "object_owner": OWNER,
        "extra": given.get("extra") or {},
        "length": str(given["length"]),
        "width": str(given["width"]),
        "height": str(given["height"]),
        "distance_unit": given["distance_unit"],
        "weight": str(given["weight"]),
        "mass_unit": given["mass_unit"],
        "template": None,
        "metadata": given.get("metadata") or "",
        "test": True,
    }


def create_shipment(state: State, given: Any) -> dict[str, Any]:
    """Create and store a shipment with its rates; ShippoFailure (400) when the request is invalid."""
    given = check_known(given, FIELDS)
    now = state.now()
    wrong: dict[str, Any] = {}
    parts: dict[str, Any] = {}
    for name in ("address_from", "address_to", "address_return"):
        if given.get(name) is None:
            if name != "address_return":
                wrong[name] = [REQUIRED]
            continue
        try:
            parts[name] = read_address(state, given[name], now)
        except ShippoFailure as failure:
            wrong[name] = [failure.body]
    parcels = given.get("parcels")
    if isinstance(parcels, dict | str):
        parcels = [parcels]
    if not isinstance(parcels, list) or not parcels:
        wrong["parcels"] = [REQUIRED]
    else:
        try:
            parts["parcels"] = [read_parcel(state, parcel, now) for parcel in parcels]
        except ShippoFailure as failure:
            wrong["parcels"] = [failure.body]
    metadata = given.get("metadata") or ""
    if not isinstance(metadata, str) or len(metadata) > 100:
        wrong["metadata"] = ["Ensure this field has no more than 100 characters."]
    declaration = None
    if given.get("customs_declaration") is not None:
        try:
            declaration = read_declaration(state, given["customs_declaration"])
        except ShippoFailure as failure:
            wrong["customs_declaration"] = [failure.body]
    accounts = given.get("carrier_accounts") or []
    if not isinstance(accounts, list) or not all(isinstance(each, str) for each in accounts):
        wrong["carrier_accounts"] = ["Expected a list of items."]
    if wrong:
        raise invalid(wrong)
    options = ShippoOptions.of(state)
    carriers = [each for each in carriers_of(options) if not accounts or each.account in accounts]
    shipment: dict[str, Any] = {
        "object_id": hexadecimal(),
        "object_created": moment(now),
        "object_updated": moment(now),
        "object_owner": OWNER,
        "status": "SUCCESS",
        "address_from": parts["address_from"],
        "address_to": parts["address_to"],
        "address_return": parts.get("address_return", parts["address_from"]),
        "parcels": parts["parcels"],
        "shipment_date": given.get("shipment_date") or moment(now),
        "extra": given.get("extra") or {},
        "customs_declaration": declaration,
        "metadata": metadata,
        "carrier_accounts": accounts or [each.account for each in carriers],
        "test": True,
        "_ready_at": now if given.get("async") is False else now + ASYNC_SECONDS,
    }
    shipment["rates"], shipment["messages"] = make_rates(shipment, now, carriers, options.price_factor)
    state.put("shipment", shipment["object_id"], shipment)
    for rate in shipment["rates"]:
        state.put("rate", rate["object_id"], rate)
    return shown_shipment(shipment, state.now())


def shown_shipment(shipment: dict[str, Any], now: float) -> dict[str, Any]:
    """Return the shipment as Shippo shows it at `now`: QUEUED without rates until the processing time is over."""
    waiting = {} if shipment["_ready_at"] <= now else {"status": "QUEUED", "rates": [], "messages": []}
    return {**without_private(shipment), **waiting}


def age_rate(state: State, rate_id: str, days: float) -> dict[str, Any] | None:
    """Make a rate as old as this, also where its shipment shows it; return it, or None when there is no such rate."""
    rate = state.get("rate", rate_id)
    if rate is None:
        return None
    rate["object_created"] = moment(state.now() - days * 86400)
    state.put("rate", rate_id, rate)
    shipment = state.get("shipment", rate["shipment"])
    assert shipment is not None
    shipment["rates"] = [rate if each["object_id"] == rate_id else each for each in shipment["rates"]]
    state.put("shipment", shipment["object_id"], shipment)
    return rate


def rates_of(state: State, shipment_id: str, currency: str | None) -> list[dict[str, Any]]:
    """Return the rates of a shipment, in one currency if given; ShippoFailure 404 or 400."""
    shipment = state.get("shipment", shipment_id)
    if shipment is None:
        raise not_found()
    rates: list[dict[str, Any]] = shown_shipment(shipment, state.now())["rates"]
    if currency is None:
        return rates
    code = currency.upper()
    if code not in RATES:
        raise invalid({"currency_code": [f"Invalid currency code '{currency[:10]}'."]})
    return [
        {**rate, "amount_local": converted(Decimal(rate["amount"]), code), "currency_local": code} for rate in rates
    ]
