"""How Shippo's address validation corrects a US address that is almost right.

The validated address is "a new, cleaned address object" with messages of the type `address_correction`:
https://docs.goshippo.com/docs/addresses/addressvalidation/. The sandbox knows few cities and street types, so it
corrects a missing state, a misspelt street type, and a misspelt name of a city in the table below.
"""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any

from sandbox.shippo.us_zips import STATES, belongs

# Standard abbreviation -> its full name and common spellings: https://pe.usps.com/text/pub28/28apc_002.htm
_STREET_TYPES = {
    "Ave": "avenue av aven avenu avn avnue",
    "Blvd": "boulevard boul boulv",
    "Cir": "circle circ circl crcl crcle",
    "Ct": "court",
    "Dr": "drive driv drv",
    "Hwy": "highway highwy hiway hiwy hway",
    "Ln": "lane",
    "Pkwy": "parkway parkwy pkway pky",
    "Pl": "place",
    "Rd": "road",
    "Sq": "square sqr sqre squ",
    "St": "street strt str",
    "Ter": "terrace terr",
    "Trl": "trail trails trls",
    "Way": "way wy",
}
_STANDARD = {spelling: short for short, spellings in _STREET_TYPES.items() for spelling in spellings.split()}
_FULL_NAMES = frozenset(spellings.split()[0] for spellings in _STREET_TYPES.values())
# The first three digits of a ZIP code -> the city that they stand for.
_CITIES = {
    "021": "Boston", "100": "New York", "101": "New York", "191": "Philadelphia", "303": "Atlanta", "331": "Miami",
    "606": "Chicago", "752": "Dallas", "770": "Houston", "802": "Denver", "850": "Phoenix", "900": "Los Angeles",
    "941": "San Francisco", "951": "San Jose", "968": "Honolulu", "972": "Portland", "981": "Seattle",
}  # fmt: skip
# A name that is at least this similar to the city's is a misspelling of it.
_SIMILAR = 0.75
# As in Shippo's guide, which shows the first, and in that of the validator whose codes these are:
# https://docs.melissa.com/on-premise-api/address-container/result-codes.html
_TEXTS = {
    "administrative_area_change": "The administrative area (state or province) was added or changed.",
    "locality_change": "The locality (city or municipality) name was added or changed.",
    "street_type_change": "The thoroughfare (street) leading or trailing type was added or changed.",
}


def corrected(address: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Return the cleaned address, and a message for each correction; not only US addresses may be given."""
    if address["country"] != "US":
        return address, []
    fields, codes = {}, []
    zip_code, city = address["zip"].strip(), address["city"].strip()
    if not address["state"].strip():
        states = [state for state in STATES if belongs(zip_code, state)]
        if states:
            fields["state"] = states[0]
            codes.append("administrative_area_change")
    known = _CITIES.get(zip_code[:3])
    longest = 2 * len(known or "")  # a longer name is never so similar, and comparing it takes long
    if known and len(city) <= longest and known.lower() != city.lower() and _likeness(known, city) >= _SIMILAR:
        fields["city"] = known
        codes.append("locality_change")
    rest, _, kind = address["street1"].strip().rpartition(" ")
    spelling = kind.lower().rstrip(".")
    if rest and spelling in _STANDARD:
        fields["street1"] = f"{rest} {_STANDARD[spelling]}"
        if spelling not in _FULL_NAMES:
            codes.append("street_type_change")
    source = "Shippo Address Validator"
    messages = [{"source": source, "type": "address_correction", "code": code, "text": _TEXTS[code]} for code in codes]
    return {**address, **fields}, messages


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one.lower(), other.lower()).ratio()
