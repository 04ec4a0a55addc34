"""Which changes of an address by Shippo's validation count as corrections."""

from __future__ import annotations

from typing import Any

import pytest
from shippo.models import components

from shipping.shippo.shapes import corrections

TYPED = {"street1": "1092 Indian Summer Ct", "street2": "", "city": "San Jse", "state": "CA", "zip": "95122"}


def cleaned(kind: str = "address_correction", is_valid: bool = True, **changes: Any) -> components.Address:
    message = components.AddressValidationResultsMessage(code="locality_change", type=kind)
    results = components.AddressValidationResults(is_valid=is_valid, messages=[message])
    return components.Address(**{**TYPED, "country": "US", **changes}, validation_results=results)


def test_changed_city_is_a_correction() -> None:
    assert corrections(TYPED, cleaned(city="San Jose")) == {"city": "San Jose"}


@pytest.mark.parametrize("change", [{"zip": "95122-2308"}, {"city": "SAN  JSE"}, {"street1": "1092 Indian Summer Ct."}])
def test_other_spelling_is_no_correction(change: dict[str, str]) -> None:
    assert corrections(TYPED, cleaned(**change)) == {}


@pytest.mark.parametrize("how", [{"kind": "address_warning"}, {"is_valid": False}])
def test_change_without_a_correcting_message_is_none(how: dict[str, Any]) -> None:
    assert corrections(TYPED, cleaned(city="San Jose", **how)) == {}
