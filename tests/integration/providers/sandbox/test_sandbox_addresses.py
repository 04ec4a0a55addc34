"""Shippo's validation of a US address that is almost right, through Shippo's own SDK."""

from __future__ import annotations

from typing import Any

import pytest
from shippo.models import components

from tests.integration.providers.sandbox.parcels import address, ship
from tests.integration.providers.sandbox.process import Sdks

CODES = {each.value for each in components.AddressValidationResultsMessageCodeEnum}


def results(found: components.Address) -> tuple[bool | None, list[str]]:
    """Return whether the address is valid, and the codes of its messages."""
    validation = found.validation_results
    assert validation is not None
    messages = validation.messages or []
    assert all(message.text and message.source == "Shippo Address Validator" for message in messages)
    codes = [str(message.code) for message in messages]
    assert set(codes) <= CODES
    kinds = {message.type for message in messages}
    assert kinds <= ({"address_correction"} if validation.is_valid else {"address_error"})
    return validation.is_valid, codes


@pytest.mark.parametrize(
    ("wrong", "right", "codes"),
    [
        ({"state": ""}, {"state": "CA"}, ["administrative_area_change"]),
        ({"city": "San Jse"}, {"city": "San Jose"}, ["locality_change"]),
        ({"street1": "1092 Indian Summer Strt."}, {"street1": "1092 Indian Summer St"}, ["street_type_change"]),
        ({"street1": "1092 Indian Summer Court"}, {"street1": "1092 Indian Summer Ct"}, []),
        ({"city": "Milpitas"}, {"city": "Milpitas"}, []),
        ({"city": "san jose"}, {"city": "san jose"}, []),
    ],
)
def test_almost_right_address_is_corrected(
    sdks: Sdks, wrong: dict[str, Any], right: dict[str, Any], codes: list[str]
) -> None:
    validated = sdks.shippo.addresses.create(address(**wrong, validate=True))
    assert results(validated) == (True, codes)
    fields = ("street1", "city", "state", "zip", "country")
    expected = {**{name: getattr(address(), name) for name in fields}, **right}
    assert {name: getattr(validated, name) for name in fields} == expected
    assert validated.is_complete is True


def test_validation_returns_a_new_address(sdks: Sdks) -> None:
    given = sdks.shippo.addresses.create(address(state="", city="San Jse"))
    assert (given.city, given.is_complete) == ("San Jse", False)
    clean = sdks.shippo.addresses.validate(str(given.object_id))
    assert results(clean) == (True, ["administrative_area_change", "locality_change"])
    assert clean.object_id != given.object_id
    assert sdks.shippo.addresses.get(str(given.object_id)).city == "San Jse"
    assert ship(sdks, str(clean.object_id)).address_to.city == "San Jose"


def test_wrong_address_is_not_corrected(sdks: Sdks) -> None:
    wrong = sdks.shippo.addresses.create(address(city="San Jse", zip="10118", validate=True))
    assert results(wrong) == (False, ["Address Not Found"])
    assert (wrong.city, wrong.zip) == ("San Jse", "10118")


def test_address_without_validation_stays_as_given(sdks: Sdks) -> None:
    shipment = ship(sdks, address(city="San Jse"))
    assert shipment.address_to.city == "San Jse"
    assert len(shipment.rates) == 4
