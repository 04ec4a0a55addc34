"""Shippo's addresses: their validation, and which addresses no carrier knows."""

from __future__ import annotations

import re
from typing import Any

from sandbox.ids import hexadecimal
from sandbox.shippo.corrections import corrected
from sandbox.shippo.countries import country_code
from sandbox.shippo.errors import OWNER, REQUIRED, check_known, invalid, moment
from sandbox.shippo.us_zips import belongs, state_code
from sandbox.state import State

_TEXTS = (
    "name", "company", "street1", "street2", "street3", "street_no", "city", "state", "zip", "phone", "email",
    "metadata",
)  # fmt: skip
FIELDS = frozenset((*_TEXTS, "country", "is_residential", "validate"))
# A stored address may be sent back whole; the fields that the server added are then ignored.
_OWN = frozenset(
    ("object_id", "object_created", "object_updated", "object_owner", "is_complete", "validation_results", "test",
     "latitude", "longitude", "object_state")
)  # fmt: skip
_ZIP = re.compile(r"\d{5}(-\d{4})?")


def read_address(state: State, given: Any, now: float) -> dict[str, Any]:
    """Return the address object of a request, given as an object or as the id of a stored one; it is not stored.

    ShippoFailure (400) with field -> messages when it is not a valid address.
    """
    if isinstance(given, str):
        stored = state.get("address", given)
        if stored is None:
            raise invalid({"non_field_errors": [f"Address with supplied object_id {given[:40]} not found."]})
        return stored
    if isinstance(given, dict):
        given = {name: value for name, value in given.items() if name not in _OWN}
    given = check_known(given, FIELDS)
    if not given.get("country"):
        raise invalid({"country": [REQUIRED]})
    wrong = {
        name: ["Not a valid string."] for name in (*_TEXTS, "country") if not isinstance(given.get(name) or "", str)
    }
    if wrong:
        raise invalid(wrong)
    code = country_code(given["country"])
    if code is None:
        raise invalid({"country": [f"Invalid value specified for country '{given['country'][:40]}'"]})
    if len(given.get("metadata") or "") > 100:
        raise invalid({"metadata": ["Ensure this field has no more than 100 characters."]})
    address = {
        **{name: given.get(name) or "" for name in _TEXTS},
        "country": code,
        "is_residential": given.get("is_residential"),
        "object_id": hexadecimal(),
        "object_owner": OWNER,
        "object_created": moment(now),
        "object_updated": moment(now),
        "test": True,
    }
    if code == "US":
        address["state"] = state_code(address["state"]) or address["state"]
    address["is_complete"] = not missing_for_purchase(address)
    address["validation_results"] = {}
    return _cleaned(address) if given.get("validate") is True else address


def validated(address: dict[str, Any], now: float) -> dict[str, Any]:
    """Return a new address: the given one, cleaned, with the results of its validation; it is not stored."""
    made = moment(now)
    return {**_cleaned(address), "object_id": hexadecimal(), "object_created": made, "object_updated": made}


def _cleaned(address: dict[str, Any]) -> dict[str, Any]:
    """Return the address with the results of its validation; one that is invalid stays as it was given."""
    clean, messages = corrected(address)
    problem = unknown_to_carriers(clean)
    if problem is None:
        complete = not missing_for_purchase(clean)
        return {**clean, "is_complete": complete, "validation_results": {"is_valid": True, "messages": messages}}
    message = {
        "source": "Shippo Address Validator",
        "code": "Address Not Found",
        "type": "address_error",
        "text": problem,
    }
    return {**address, "validation_results": {"is_valid": False, "messages": [message]}}


def missing_for_purchase(address: dict[str, Any]) -> list[str]:
    """Return the fields that a label needs and the address lacks."""
    needed = ["name", "street1", "city"]
    if address["country"] in ("US", "CA", "AU"):
        needed += ["state", "zip"]
    return [name for name in needed if not address[name].strip()]


def unknown_to_carriers(address: dict[str, Any]) -> str | None:
    """Return why no carrier knows the address; None when one does.

    The sandbox rejects a city called Nowhere, in any country. In the US it also rejects an invalid ZIP code, an unknown
    state, or a ZIP code that is in another state.
    """
    if address["city"].strip().lower() == "nowhere":
        return "The city in the address could not be found."
    if address["country"] != "US":
        return None
    if not _ZIP.fullmatch(address["zip"].strip()):
        return "The ZIP code in the address is not valid."
    if not address["state"].strip():
        return "The state is missing from the address."
    code = state_code(address["state"])
    if code is None:
        return "The state in the address could not be found."
    if not belongs(address["zip"].strip(), code):
        return "The ZIP code in the address does not belong to its state."
    return None
