"""The customs declaration of a parcel: who needs one, what it says, and which goods need an export filing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any

from contracts.currencies import decimal_text
from contracts.errors import Refused

LONGEST_DESCRIPTION = 100

UNITED_STATES = "US"
# Post offices of the armed forces and of embassies: https://pe.usps.com/text/dmm300/703.htm#2.0
MILITARY_STATES, MILITARY_CITIES = ("AA", "AE", "AP"), ("APO", "FPO", "DPO")
# Goods between the United States and these count as exports: 15 CFR 30.2(a)(1).
FILED_TERRITORIES = ("PR", "VI")
# To these no export is filed, at any value: 15 CFR 30.2, 19 CFR 122.79(a).
UNFILED_TERRITORIES = ("GU", "AS", "MP", "UM")
# Sovereign, but served by USPS at domestic prices: https://pe.usps.com/text/dmm300/608.htm#2.2
ASSOCIATED_STATES = ("FM", "MH", "PW")
_NAMES = {
    "puerto rico": "PR",
    "virgin islands": "VI",
    "u.s. virgin islands": "VI",
    "us virgin islands": "VI",
    "guam": "GU",
    "american samoa": "AS",
    "northern mariana islands": "MP",
    "micronesia": "FM",
    "federated states of micronesia": "FM",
    "marshall islands": "MH",
    "palau": "PW",
    "armed forces americas": "AA",
    "armed forces europe": "AE",
    "armed forces pacific": "AP",
}
# Up to this value per Schedule B number and shipment no export is filed: 15 CFR 30.37(a).
EXEMPT_USD = Decimal(2500)
# To these every export is filed, at any value: 15 CFR 758.1(b)(1), for Country Groups E:1 and E:2 of 15 CFR 740,
# Supplement No. 1.
ALWAYS_FILED = ("CU", "IR", "KP", "SY")


class Filing(StrEnum):
    """What the declaration says about the filing of an export from the United States."""

    NONE = "none"  # nothing: no filing is required, or the shop is elsewhere
    CANADA = "canada"  # exempt by its destination: 15 CFR 30.36
    LOW_VALUE = "low value"  # exempt by its value: 15 CFR 30.37(a)


def is_declared(address: Mapping[str, Any], origin: Mapping[str, Any]) -> bool:
    """Whether a parcel needs a customs declaration.

    Every parcel abroad needs one, and one of USPS to or from a military post office, a territory or a freely associated
    state: https://pe.usps.com/text/dmm300/608.htm#2.4, https://pe.usps.com/text/dmm300/703.htm#2.3.6

    Args:
        address, origin: in the carrier's terms; ``country``, and in the United States ``state`` and ``city``.
    """
    return _area(address) != _area(origin)


def filing(address: Mapping[str, Any], origin: Mapping[str, Any]) -> Filing:
    """Return what the declaration of a parcel says about its export filing. Valid only if `check_filing` passed.

    Args:
        address, origin: as `is_declared` takes them.
    """
    here, there = _area(origin), _area(address)
    if here not in (UNITED_STATES, *FILED_TERRITORIES) or here == there or there in UNFILED_TERRITORIES:
        return Filing.NONE
    if there == "CA":
        return Filing.CANADA
    # From a territory only what goes abroad, to the States or to the Virgin Islands is filed.
    return Filing.LOW_VALUE


def check_filing(
    address: Mapping[str, Any],
    origin: Mapping[str, Any],
    declared: Sequence[Mapping[str, Any]],
    rates: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Refuse goods whose export must be filed, because the shop has no number (ITN) of such a filing.

    The exemption counts the value per Schedule B number. Products have none here, so that the value of the whole
    shipment counts: what passes is certainly exempt.

    Args:
        address, origin: as `is_declared` takes them.
        declared: as `contents` returns it, for all parcels of the shipment.
        rates: the carrier's; they convert a value that is not in US dollars. Without any, such a value passes: nothing
            is sold for it yet.

    Raises:
        Refused: an export filing is required, or it is not known whether it is.
    """
    # To the Export Administration Regulations, "United States" includes every territory and possession: 15 CFR 772.1.
    if _area(address) in ALWAYS_FILED and _area(origin) in (UNITED_STATES, *FILED_TERRITORIES, *UNFILED_TERRITORIES):
        said = "Every export to this country must be filed first, at any value (15 CFR 758.1(b)(1))."
        raise Refused(said, {"errors": {"address": {"country": [said]}}})
    if filing(address, origin) is not Filing.LOW_VALUE:
        return
    value = _usd(declared, rates)
    if value is None and rates:
        said = "These goods cannot be sent to this address: their value in US dollars is not known."
        raise Refused(said, {"errors": {"address": [said]}})
    if value is not None and value > EXEMPT_USD:
        said = (
            f"Goods worth more than ${EXEMPT_USD:,} cannot be sent to this address: their export must be filed first "
            "(15 CFR 30.37(a))."
        )
        raise Refused(said, {"errors": {"address": [said]}})


def _area(address: Mapping[str, Any]) -> str:
    """Return the customs area of an address: its country, or the territory or military state within the US."""
    country = str(address.get("country") or "").upper()
    if country != UNITED_STATES:
        return country
    named = str(address.get("state") or "").strip()
    state = _NAMES.get(named.lower(), named.upper())
    if state in (*MILITARY_STATES, *FILED_TERRITORIES, *UNFILED_TERRITORIES, *ASSOCIATED_STATES):
        return state
    words = str(address.get("city") or "").upper().replace(".", "").split()
    return "AE" if words and words[0] in MILITARY_CITIES else country


def _usd(declared: Sequence[Mapping[str, Any]], rates: Iterable[Mapping[str, Any]]) -> Decimal | None:
    """Return the declared value in US dollars; None when it cannot be converted."""
    total = sum((Decimal(each["value_amount"]) for each in declared), Decimal(0))
    currency = str(declared[0]["value_currency"]) if declared else "USD"
    if currency == "USD":
        return total
    for rate in rates:
        amounts = {rate.get("currency_local"): rate.get("amount_local"), rate.get("currency"): rate.get("amount")}
        dollars, local = (Decimal(str(amounts.get(code) or 0)) for code in ("USD", currency))
        if dollars > 0 and local > 0:
            return total * dollars / local
    return None


def contents(items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Convert items to a customs declaration.

    Args:
        items: valid items as `shipping.rules.parcel.pack` takes them, plus ``description``, ``price`` (of one unit, in
            the currency's smallest unit) and ``currency``.

    Returns:
        ``[{"description", "quantity", "net_weight", "mass_unit", "value_amount", "value_currency"}]``, weight and value
        of the whole line as strings. The list is empty when an item has no price, because a declaration must be
        complete.
    """
    declared = []
    for item in items:
        if not item.get("description") or not item.get("currency") or not isinstance(item.get("price"), int):
            return []
        weight = Decimal(str(item["package_dimensions"]["weight"])) * item["quantity"]
        declared.append(
            {
                "description": str(item["description"])[:LONGEST_DESCRIPTION],
                "quantity": item["quantity"],
                "net_weight": format(weight.normalize(), "f"),
                "mass_unit": "oz",
                "value_amount": decimal_text(item["price"] * item["quantity"], item["currency"]),
                "value_currency": str(item["currency"]).upper(),
            }
        )
    return declared
