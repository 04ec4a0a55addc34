"""The carrier's rates for a shipment: four domestic USPS services, three abroad, priced by weight and distance.

The prices are chosen so that a parcel of 9 to 12 ounces within its own ZIP region costs the same as in the seed's
sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import Any

from sandbox.ids import hexadecimal
from sandbox.shippo.addresses import unknown_to_carriers
from sandbox.shippo.countries import COUNTRIES, CURRENCIES, RATES
from sandbox.shippo.errors import OWNER, moment
from sandbox.shippo.us_zips import zone

CARRIER_ACCOUNT = "c7d72d2025f740d89bdfb00f33c5d67a"
MAX_OUNCES = 70 * 16
MAX_INCHES = 130  # length and girth
_IMAGES = "https://shippo-static.s3.amazonaws.com/providers"
_OUNCES = {"oz": 1.0, "lb": 16.0, "g": 0.03527396195, "kg": 35.27396195}
_INCHES = {"in": 1.0, "ft": 12.0, "yd": 36.0, "cm": 0.393700787, "mm": 0.0393700787, "m": 39.3700787}


@dataclass(frozen=True)
class Service:
    """One of the carrier's services; `price(ounces, distance)` is in dollars, None when it does not accept the
    parcel."""

    token: str
    name: str
    terms: str
    days: Callable[[int], int]
    price: Callable[[float, int], float | None]


def _by_pound(first: float, per_zone: float, pound: float, pound_per_zone: float) -> Callable[[float, int], float]:
    def price(ounces: float, distance: int) -> float:
        more = max(ceil(ounces / 16) - 1, 0)
        return first + per_zone * (distance - 1) + more * (pound + pound_per_zone * (distance - 1))

    return price


def _first_class(ounces: float, distance: int) -> float | None:
    """Price in steps of four ounces, below one pound only."""
    if ounces >= 16:
        return None
    step = min(int(max(ounces - 0.001, 0) // 4), 3)
    return (2.66, 2.96, 3.46, 4.08)[step] + 0.06 * (distance - 1)


def _first_class_abroad(ounces: float, distance: int) -> float | None:
    return None if ounces > 64 else 11.5 + 3.5 * (distance - 1) + 0.45 * ounces


DOMESTIC = (
    Service(
        "usps_priority_express",
        "Priority Mail Express",
        "Overnight delivery to most U.S. locations.",
        lambda distance: 1 if distance < 7 else 2,
        _by_pound(21.18, 1.9, 0.9, 0.6),
    ),
    Service(
        "usps_priority",
        "Priority Mail",
        "Delivery within 1, 2, or 3 days based on where your package started and where it’s being sent.",  # noqa: RUF001 - as in the sample
        lambda distance: 2 if distance < 5 else 3,
        _by_pound(5.84, 0.22, 0.35, 0.28),
    ),
    Service(
        "usps_parcel_select",
        "Parcel Select",
        "Delivery in 2 to 8 days.",
        lambda distance: 7 if distance < 6 else 8,
        _by_pound(5.95, 0.08, 0.3, 0.12),
    ),
    Service("usps_first", "First-Class Package/Mail Parcel", "", lambda distance: 5, _first_class),
)
INTERNATIONAL = (
    Service(
        "usps_priority_mail_express_international",
        "Priority Mail Express International",
        "3-5 business days to many major markets.",
        lambda distance: 3 + distance,
        _by_pound(42.5, 8.0, 4.5, 2.0),
    ),
    Service(
        "usps_priority_mail_international",
        "Priority Mail International",
        "6-10 business days to many major markets.",
        lambda distance: 6 + 2 * distance,
        _by_pound(26.4, 6.5, 2.6, 1.4),
    ),
    Service(
        "usps_first_class_package_international_service",
        "First-Class Package International Service",
        "Varies by destination.",
        lambda distance: 12 + 2 * distance,
        _first_class_abroad,
    ),
)


def make_rates(shipment: dict[str, Any], now: float) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Return the rates of a shipment, in the order of the seed's sample, and the carrier's messages when there are
    none."""
    problem = _refused(shipment)
    if problem is not None:
        return [], [{"source": "USPS", "code": "", "text": problem}]
    origin, destination = shipment["address_from"], shipment["address_to"]
    home = destination["country"] == "US"
    distance = zone(origin["zip"].strip(), destination["zip"].strip()) if home else COUNTRIES[destination["country"]]
    weights = [_ounces(parcel) for parcel in shipment["parcels"]]
    offers = []
    for service in DOMESTIC if home else INTERNATIONAL:
        prices = [service.price(weight, distance) for weight in weights]
        if None not in prices:
            amount = sum((Decimal(f"{price:.2f}") for price in prices if price is not None), Decimal(0))
            offers.append((service, amount, service.days(distance)))
    if not offers:
        return [], [
            {"source": "USPS", "code": "", "text": "No service takes a parcel of this weight to this destination."}
        ]
    cheapest = min(offers, key=lambda offer: offer[1])
    fastest = min(offers, key=lambda offer: (offer[2], offer[1]))
    best = min(offers, key=lambda offer: offer[1] + Decimal("0.40") * offer[2])
    rates = []
    for place, offer in enumerate(offers):
        marks = [("BESTVALUE", best), ("CHEAPEST", cheapest), ("FASTEST", fastest)]
        attributes = [name for name, winner in marks if winner is offer]
        rates.append(_rate(shipment, offer, distance, attributes, now - place / 1000))
    return rates, []


def _refused(shipment: dict[str, Any]) -> str | None:
    """Return why the carrier has no offer; None when it may have one."""
    if shipment["address_from"]["country"] != "US":
        return "USPS ships from the United States only."
    for role in ("address_from", "address_to"):
        problem = unknown_to_carriers(shipment[role])
        if problem is not None:
            return f"{role}: {problem}"
    for parcel in shipment["parcels"]:
        if _ounces(parcel) > MAX_OUNCES:
            return "The parcel's weight exceeds the maximum of 70 lb."
        sides = sorted(float(parcel[side]) * _INCHES[parcel["distance_unit"]] for side in ("length", "width", "height"))
        if sides[2] + 2 * (sides[0] + sides[1]) > MAX_INCHES:
            return "The parcel's length and girth exceed the maximum of 130 in."
    return None


def _ounces(parcel: dict[str, Any]) -> float:
    return float(parcel["weight"]) * _OUNCES[parcel["mass_unit"]]


def _rate(
    shipment: dict[str, Any], offer: tuple[Service, Decimal, int], distance: int, attributes: list[str], made: float
) -> dict[str, Any]:
    service, amount, days = offer
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
        "provider": "USPS",
        "provider_image_75": f"{_IMAGES}/75/USPS.png",
        "provider_image_200": f"{_IMAGES}/200/USPS.png",
        "servicelevel": {"name": service.name, "token": service.token, "terms": ""},
        "estimated_days": days,
        "arrives_by": None,
        "duration_terms": service.terms,
        "messages": [],
        "carrier_account": CARRIER_ACCOUNT,
        "test": True,
        "zone": str(distance),
    }


def converted(amount: Decimal, currency: str) -> str:
    """Convert dollars to another currency, with two decimal places."""
    return f"{amount * Decimal(str(RATES[currency])):.2f}"
