"""The carriers: their accounts at Shippo, services, prices and limits.

The prices of USPS are chosen so that a parcel of 9 to 12 ounces within its own ZIP region costs the same as in the
seed's sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from sandbox.shippo.errors import OWNER
from sandbox.shippo.options import ShippoOptions

IMAGES = "https://shippo-static.s3.amazonaws.com/providers"


@dataclass(frozen=True)
class Service:
    """One of a carrier's services; `price(ounces, distance)` is in dollars, None when it does not accept the
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


_USPS_DOMESTIC = (
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
_USPS_INTERNATIONAL = (
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
_UPS_DOMESTIC = (
    Service("ups_next_day_air", "Next Day Air®", "Next day.", lambda distance: 1, _by_pound(32.4, 2.4, 1.6, 0.7)),
    Service("ups_second_day_air", "2nd Day Air®", "2 days.", lambda distance: 2, _by_pound(18.5, 1.3, 0.9, 0.45)),
    Service("ups_3_day_select", "3 Day Select®", "3 days.", lambda distance: 3, _by_pound(13.4, 0.9, 0.6, 0.3)),
    Service(
        "ups_ground", "Ground", "1 to 5 days.", lambda distance: (distance + 3) // 2, _by_pound(8.9, 0.3, 0.2, 0.09)
    ),
)
_UPS_INTERNATIONAL = (
    Service("ups_saver", "Saver®", "1 to 3 days.", lambda distance: 1 + distance, _by_pound(61.0, 9.0, 5.2, 2.2)),
    Service(
        "ups_expedited", "Expedited®", "2 to 5 days.", lambda distance: 3 + distance, _by_pound(48.0, 7.5, 4.1, 1.8)
    ),
)


@dataclass(frozen=True)
class Carrier:
    """A carrier.

    account: the id of its account. max_pounds, max_inches (length and girth): the limits of a parcel. quoted, sold: up
    to how many parcels of a shipment it quotes and sells labels for. post_boxes: whether it delivers to P.O. boxes and
    military addresses. tracking_number: makes a number of a serial number. tracking_url: before the number.
    """

    name: str
    account: str
    domestic: tuple[Service, ...]
    international: tuple[Service, ...]
    max_pounds: int
    max_inches: int
    quoted: int | None
    sold: int | None
    post_boxes: bool
    tracking_number: Callable[[int], str]
    tracking_url: str

    @property
    def token(self) -> str:
        """The carrier's token, as tracking names it."""
        return self.name.lower()


def _usps_number(serial: int) -> str:
    """Return a USPS tracking number of 22 digits; the last one is the check digit of the others."""
    digits = f"92055901755477{serial:07d}"
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits)))
    return f"{digits}{-total % 10}"


def _ups_number(serial: int) -> str:
    """Return a UPS tracking number: 1Z, shipper, service, serial number and check digit; letters count as digits."""
    number = f"999AA101{serial:07d}"
    values = [int(sign) if sign.isdigit() else (ord(sign) - 63) % 10 for sign in number]
    return f"1Z{number}{-(sum(values[::2]) + 2 * sum(values[1::2])) % 10}"


USPS = Carrier(
    "USPS", "c7d72d2025f740d89bdfb00f33c5d67a", _USPS_DOMESTIC, _USPS_INTERNATIONAL, 70, 130, None, None, True,
    _usps_number, "https://tools.usps.com/go/TrackConfirmAction_input?origTrackNum=",
)  # fmt: skip
# Sizes: http://www.ups.com/content/us/en/resources/ship/packaging/weight_size.html. Numbers of parcels, and that USPS
# supports no multi-piece shipments: https://docs.goshippo.com/docs/shipments/multipieceshipment
UPS = Carrier(
    "UPS", "b0c5a7f1d3a94b62a7e84fd8c1d9e302", _UPS_DOMESTIC, _UPS_INTERNATIONAL, 150, 165, 50, 40, False,
    _ups_number, "https://www.ups.com/track?tracknum=",
)  # fmt: skip
CARRIERS = {carrier.name: carrier for carrier in (USPS, UPS)}


def carriers_of(options: ShippoOptions) -> list[Carrier]:
    """Return the carriers that quote."""
    usps = replace(USPS, quoted=1) if options.usps_one_parcel else USPS
    return [usps, UPS] if options.ups else [usps]


def shown_account(carrier: Carrier, services: bool = False) -> dict[str, Any]:
    """Return the carrier's account, as Shippo shows it, with its services if asked."""
    account: dict[str, Any] = {
        "object_id": carrier.account,
        "object_owner": OWNER,
        "carrier": carrier.token,
        "carrier_name": carrier.name,
        "carrier_images": {size: f"{IMAGES}/{size}/{carrier.name}.png" for size in ("75", "200")},
        "account_id": f"shippo_{carrier.token}_account",
        "active": True,
        "is_shippo_account": True,
        "metadata": "",
        "test": True,
    }
    if services:
        account["service_levels"] = [
            {"name": each.name, "token": each.token, "supports_return_labels": False}
            for each in (*carrier.domestic, *carrier.international)
        ]
    return account
