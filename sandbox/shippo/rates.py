"""The carriers' rates for a shipment, priced by weight and distance, and why a carrier has none.

A carrier without rates says why in the shipment's `messages`, beside the rates of the others; such as
https://github.com/goshippo/shippo-node-client/issues/69.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from sandbox.ids import hexadecimal
from sandbox.shippo.addresses import unknown_to_carriers
from sandbox.shippo.carriers import IMAGES, Carrier, Service
from sandbox.shippo.countries import COUNTRIES, CURRENCIES, RATES
from sandbox.shippo.errors import OWNER, moment
from sandbox.shippo.us_zips import zone

_OUNCES = {"oz": 1.0, "lb": 16.0, "g": 0.03527396195, "kg": 35.27396195}
_INCHES = {"in": 1.0, "ft": 12.0, "yd": 36.0, "cm": 0.393700787, "mm": 0.0393700787, "m": 39.3700787}
_POST_BOX = re.compile(r"\b(p\.?\s*o\.?\s*box|post office box)\b", re.IGNORECASE)
_MILITARY = ("AA", "AE", "AP")


class _Offer(NamedTuple):
    carrier: Carrier
    service: Service
    amount: Decimal
    days: int
    distance: int


def make_rates(
    shipment: dict[str, Any], now: float, carriers: Sequence[Carrier], factor: float = 1
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Return the rates of a shipment, of USPS in the order of the seed's sample, and the messages of the carriers that
    have none. The prices are `factor` times the usual ones."""
    offers: list[_Offer] = []
    messages = []
    for carrier in carriers:
        problem = _refused(shipment, carrier)
        found = [] if problem else _offers(shipment, carrier, factor)
        if not found:
            text = problem or "No service takes a parcel of this weight to this destination."
            messages.append({"source": carrier.name, "code": "", "text": text})
        offers += found
    if not offers:
        return [], messages
    cheapest = min(offers, key=lambda offer: offer.amount)
    fastest = min(offers, key=lambda offer: (offer.days, offer.amount))
    best = min(offers, key=lambda offer: offer.amount + Decimal("0.40") * offer.days)
    rates = []
    for place, offer in enumerate(offers):
        marks = [("BESTVALUE", best), ("CHEAPEST", cheapest), ("FASTEST", fastest)]
        attributes = [name for name, winner in marks if winner is offer]
        rates.append(_rate(shipment, offer, attributes, now - place / 1000))
    return rates, messages


def _offers(shipment: dict[str, Any], carrier: Carrier, factor: float) -> list[_Offer]:
    origin, destination = shipment["address_from"], shipment["address_to"]
    home = destination["country"] == "US"
    distance = zone(origin["zip"].strip(), destination["zip"].strip()) if home else COUNTRIES[destination["country"]]
    weights = [_ounces(parcel) for parcel in shipment["parcels"]]
    offers = []
    for service in carrier.domestic if home else carrier.international:
        prices = [service.price(weight, distance) for weight in weights]
        if None not in prices:
            amount = sum((Decimal(f"{price * factor:.2f}") for price in prices if price is not None), Decimal(0))
            offers.append(_Offer(carrier, service, amount, service.days(distance), distance))
    return offers


def _refused(shipment: dict[str, Any], carrier: Carrier) -> str | None:
    """Return why the carrier has no offer; None when it may have one."""
    if shipment["address_from"]["country"] != "US":
        return f"{carrier.name} ships from the United States only."
    for role in ("address_from", "address_to"):
        problem = unknown_to_carriers(shipment[role])
        if problem is not None:
            return f"{role}: {problem}"
    to, count = shipment["address_to"], len(shipment["parcels"])
    if not carrier.post_boxes and (
        _POST_BOX.search(f"{to['street1']} {to['street2']}") or (to["country"] == "US" and to["state"] in _MILITARY)
    ):
        return f"{carrier.name} does not deliver to P.O. boxes and military addresses."
    if carrier.quoted is not None and count > carrier.quoted:
        if carrier.quoted == 1:
            return f"{carrier.name} does not support multi-piece shipments."
        return f"{carrier.name} quotes at most {carrier.quoted} parcels in one shipment."
    for parcel in shipment["parcels"]:
        if _ounces(parcel) > carrier.max_pounds * 16:
            return f"The parcel's weight exceeds the maximum of {carrier.max_pounds} lb."
        sides = sorted(float(parcel[side]) * _INCHES[parcel["distance_unit"]] for side in ("length", "width", "height"))
        if sides[2] + 2 * (sides[0] + sides[1]) > carrier.max_inches:
            return f"The parcel's length and girth exceed the maximum of {carrier.max_inches} in."
    return None


def _ounces(parcel: dict[str, Any]) -> float:
    return float(parcel["weight"]) * _OUNCES[parcel["mass_unit"]]


def _rate(shipment: dict[str, Any], offer: _Offer, attributes: list[str], made: float) -> dict[str, Any]:
    carrier, service, amount, days, distance = offer
    local = CURRENCIES.get(shipment["address_to"]["country"], "USD")
    return {
        "object_id": hexadecimal(),
        "object_created": moment(made),
        "object_owner": OWNER,
        "shipment": shipment["object_id"],
        "amount": f"{amount:.2f}",
        "currency": "USD",
        "amount_local": converted(amount, local),
        "currency_local": local,
        "attributes": attributes,
        "provider": carrier.name,
        "provider_image_75": f"{IMAGES}/75/{carrier.name}.png",
        "provider_image_200": f"{IMAGES}/200/{carrier.name}.png",
        "servicelevel": {"name": service.name, "token": service.token, "terms": ""},
        "estimated_days": days,
        "arrives_by": None,
        "duration_terms": service.terms,
        "messages": [],
        "carrier_account": carrier.account,
        "test": True,
        "zone": str(distance),
    }


def converted(amount: Decimal, currency: str) -> str:
    """Convert dollars to another currency, with two decimal places."""
    return f"{amount * Decimal(str(RATES[currency])):.2f}"
