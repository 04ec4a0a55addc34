"""The tour of Shippo: each route and each kind of event, with success and with errors."""

from __future__ import annotations

from typing import Any

from bench.conformance.exchanges import Caller, Exchange
from bench.conformance.tours import Chapter, Trip

FROM = {
    "name": "Wally's",
    "street1": "965 Mission St",
    "city": "San Francisco",
    "state": "CA",
    "zip": "94103",
    "country": "US",
    "phone": "+14155550100",
    "email": "shop@example.com",
}
TO = {
    "name": "Chloe Taylor",
    "street1": "1092 Indian Summer Ct",
    "city": "San Jose",
    "state": "CA",
    "zip": "95122",
    "country": "US",
    "phone": "+14155550123",
    "email": "chloe@example.com",
}
ABROAD = {"name": "Eva", "street1": "Unter den Linden 1", "city": "Berlin", "zip": "10117", "country": "DE"}
PARCEL = {"length": "5", "width": "5", "height": "5", "distance_unit": "in", "weight": "12", "mass_unit": "oz"}
ITEM = {
    "description": "Bone",
    "quantity": 1,
    "net_weight": "12",
    "mass_unit": "oz",
    "value_amount": "5.00",
    "value_currency": "USD",
    "origin_country": "US",
    "hs_code": "2309.10",
}
DECLARATION = {
    "certify": True,
    "certify_signer": "Wally",
    "contents_type": "MERCHANDISE",
    "non_delivery_option": "RETURN",
    "eel_pfc": "NOEEI_30_37_a",
    "incoterm": "DDU",
    "items": [ITEM],
}


def _addresses(shippo: Caller, trip: Trip) -> None:
    made = shippo.ask("POST", "/addresses", body={**TO, "validate": True, "metadata": "tour"}).body["object_id"]
    shippo.ask("GET", f"/addresses/{made}")
    shippo.ask("GET", f"/addresses/{made}/validate")
    wrong = shippo.ask("POST", "/addresses", body={**TO, "city": "San Jse", "zip": "00000", "validate": True})
    shippo.ask("GET", f"/addresses/{wrong.body['object_id']}/validate")
    shippo.ask("GET", "/addresses", query={"results": 2})
    shippo.ask("GET", "/addresses/", query={"results": 1, "page": 1})
    trip.refused(shippo.ask("POST", "/addresses", body={"name": "Chloe"}))
    trip.refused(shippo.ask("GET", "/addresses/none"))
    trip.refused(shippo.ask("POST", "/addresses", raw=b"{", headers={"Content-Type": "application/json"}))
    trip.refused(shippo.ask("GET", "/addresses", anonymous=True))
    trip.refused(shippo.ask("GET", "/addresses", headers={"Authorization": "ShippoToken shippo_test_wrong"}))
    trip.refused(shippo.ask("GET", "/nothing"))


def _parts(shippo: Caller, trip: Trip) -> None:
    parcel = shippo.ask("POST", "/parcels", body={**PARCEL, "metadata": "tour"}).body["object_id"]
    shippo.ask("GET", f"/parcels/{parcel}")
    shippo.ask("GET", "/parcels", query={"results": 2})
    declaration = shippo.ask("POST", "/customs/declarations", body=DECLARATION).body["object_id"]
    shippo.ask("GET", f"/customs/declarations/{declaration}")
    shippo.ask("GET", "/customs/declarations", query={"results": 2})
    accounts = shippo.ask("GET", "/carrier_accounts", query={"service_levels": "true"}).body["results"]
    shippo.ask("GET", f"/carrier_accounts/{accounts[0]['object_id']}")
    trip.refused(shippo.ask("POST", "/parcels", body={**PARCEL, "weight": "heavy"}))
    trip.refused(shippo.ask("GET", "/parcels/none"))
    trip.refused(shippo.ask("POST", "/customs/declarations", body={**DECLARATION, "contents_type": "BONES"}))
    trip.refused(shippo.ask("GET", "/customs/declarations/none"))
    trip.refused(shippo.ask("GET", "/carrier_accounts/none"))


def _shipments(shippo: Caller, trip: Trip) -> None:
    asked: dict[str, Any] = {"address_from": FROM, "address_to": TO, "parcels": [PARCEL], "async": False}
    home = shippo.ask("POST", "/shipments", body={**asked, "metadata": trip.name}).body
    shippo.ask("POST", "/shipments", body={**asked, "address_to": ABROAD, "customs_declaration": DECLARATION})
    later = shippo.ask("POST", "/shipments", body={**asked, "async": True}).body["object_id"]
    nowhere = {**TO, "zip": "00000"}
    shippo.ask("POST", "/shipments", body={**asked, "address_to": nowhere})
    heavy = {**PARCEL, "weight": "100", "mass_unit": "lb"}
    shippo.ask("POST", "/shipments", body={**asked, "parcels": [PARCEL, heavy]})
    shippo.ask("GET", f"/shipments/{home['object_id']}")
    shippo.ask("GET", "/shipments", query={"results": 2})
    shippo.ask("GET", f"/shipments/{home['object_id']}/rates")
    shippo.ask("GET", f"/shipments/{home['object_id']}/rates/EUR")
    shippo.ask("GET", f"/rates/{home['rates'][0]['object_id']}")
    # Its rates come later: the answer before that depends on the pace of the tour.
    shippo.ask_until(f"/shipments/{later}", lambda body: body["status"] != "QUEUED")
    trip.refused(shippo.ask("POST", "/shipments", body={"address_from": FROM}))
    trip.refused(shippo.ask("GET", "/shipments/none"))
    trip.refused(shippo.ask("GET", f"/shipments/{home['object_id']}/rates/XYZ"))
    trip.refused(shippo.ask("GET", "/rates/none"))
    trip.refused(shippo.ask("DELETE", f"/shipments/{home['object_id']}"))


def _rate(shippo: Caller, to: dict[str, str] = TO) -> str:
    asked = {"address_from": FROM, "address_to": to, "parcels": [PARCEL], "async": False}
    rates = shippo.ask("POST", "/shipments", body=asked).body["rates"]
    usps = [rate for rate in rates if rate["provider"] == "USPS"] or rates
    return str(usps[0]["object_id"])


def _bought(shippo: Caller, **more: Any) -> Exchange:
    return shippo.ask("POST", "/transactions", body={"rate": _rate(shippo), "async": False, **more})


def _refund(shippo: Caller, transaction: str, **more: Any) -> Exchange:
    return shippo.ask("POST", "/refunds", body={"transaction": transaction, **more})


def _labels(shippo: Caller, trip: Trip) -> None:
    bought = _bought(shippo, metadata=trip.name, label_file_type="PDF_4x6").body
    shippo.ask("GET", f"/transactions/{bought['object_id']}")
    shippo.ask("GET", "/transactions", query={"rate": bought["rate"]})
    queued = shippo.ask("POST", "/transactions", body={"rate": _rate(shippo), "async": True}).body["object_id"]
    shippo.ask_until(f"/transactions/{queued}", lambda body: body["status"] != "QUEUED")
    refund = _refund(shippo, bought["object_id"], **{"async": False})
    shippo.ask("GET", f"/refunds/{refund.body['object_id']}")
    _refund(shippo, queued, **{"async": True})
    shippo.ask("GET", "/refunds", query={"results": 2})
    trip.refused(_refund(shippo, bought["object_id"]))
    trip.refused(shippo.ask("GET", "/refunds/none"))
    trip.refused(shippo.ask("GET", "/transactions/none"))
    trip.refused(shippo.ask("POST", "/transactions", body={"rate": "none", "async": False}))
    trip.refused(shippo.ask("POST", "/transactions", body={}))


def _tracks(shippo: Caller, trip: Trip) -> None:
    for status in ("UNKNOWN", "PRE_TRANSIT", "TRANSIT", "DELIVERED", "RETURNED", "FAILURE"):
        shippo.ask("GET", f"/tracks/shippo/SHIPPO_{status}")
    shippo.ask("POST", "/tracks", body={"carrier": "shippo", "tracking_number": "SHIPPO_TRANSIT", "metadata": "tour"})
    trip.refused(shippo.ask("GET", "/tracks/nobody/123"))
    trip.refused(shippo.ask("POST", "/tracks", body={"carrier": "shippo"}))


def _later(shippo: Caller, trip: Trip) -> None:
    """What happens only by the sandbox's own switches."""
    bought = _bought(shippo, metadata="order or_conformance").body
    number = bought["tracking_number"]
    for status in ("TRANSIT", "FAILURE", "RETURNED", "UNKNOWN", "DELIVERED"):
        trip.control("POST", f"/sandbox/tracks/{number}", {"status": status})
        shippo.ask("GET", f"/tracks/usps/{number}")
    shippo.ask("GET", "/tracks/usps/9205590000000000000000")
    _refund(shippo, bought["object_id"])  # used: it is rejected
    shippo.ask("GET", f"/transactions/{bought['object_id']}")
    trip.control("POST", f"/sandbox/transactions/{bought['object_id']}/adjustments", {"amount": "1.20"})
    shippo.ask("GET", "/invoice-items")
    old = _rate(shippo)
    trip.control("POST", f"/sandbox/rates/{old}", {"age_days": 8})
    shippo.ask("GET", f"/rates/{old}")
    shippo.ask("POST", "/transactions", body={"rate": old, "async": False})
    undeliverable = _rate(shippo, {**TO, "street1": "Undeliverable 1"})
    shippo.ask("POST", "/transactions", body={"rate": undeliverable, "async": False})
    trip.control("PUT", "/sandbox/options/shippo", {"ups": True, "usps_one_parcel": True, "refund_seconds": None})
    shippo.ask("GET", "/carrier_accounts", query={"service_levels": "true"})
    asked = {"address_from": FROM, "address_to": TO, "parcels": [PARCEL, PARCEL], "async": False}
    rates = shippo.ask("POST", "/shipments", body=asked).body["rates"]
    ups = shippo.ask("POST", "/transactions", body={"rate": rates[0]["object_id"], "async": False}).body
    shippo.ask("GET", f"/tracks/ups/{ups['tracking_number']}")
    _refund(shippo, ups["object_id"])
    for status in ("PENDING", "ERROR"):
        trip.control("POST", f"/sandbox/label-refunds/{ups['object_id']}", {"status": status})
        shippo.ask("GET", f"/transactions/{ups['object_id']}")
    trip.control("PUT", "/sandbox/options/shippo", {"purchase_error_rate": 1})
    _bought(shippo)
    trip.control("PUT", "/sandbox/options/shippo", {"purchase_seconds": None})
    waiting = _bought(shippo).body["object_id"]
    trip.control("POST", f"/sandbox/transactions/{waiting}", {"status": "ERROR"})
    shippo.ask("GET", f"/transactions/{waiting}")
    trip.control("DELETE", "/sandbox/options/shippo")


CHAPTERS = (
    Chapter("addresses", _addresses),
    Chapter("parts", _parts),
    Chapter("shipments", _shipments),
    Chapter("labels", _labels),
    Chapter("tracks", _tracks),
    Chapter("later", _later, sandbox_only=True),
)
