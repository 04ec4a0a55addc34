"""Every parcel is quoted; equal parcels are quoted, and their rates stored, once."""

from __future__ import annotations

from typing import Any

from shipping.quotes import QuoteDesk
from shipping.rules.parcel import MAX_PARCELS
from tests.unit.shipping.stub_carriers import StubCarriers

HOME = {"name": "Chloe", "street1": "1092 Indian Summer Ct", "city": "San Jose", "state": "CA", "country": "US"}
ORIGIN = {**HOME, "zip": "94103"}
RATE = {
    **{"object_id": "rate", "provider": "USPS", "amount": "3.46", "currency": "USD", "attributes": []},
    **{"amount_local": "3.46", "currency_local": "USD", "estimated_days": 3},
    "servicelevel": {"name": "First", "token": "usps_first"},
}


def test_rates_of_equal_parcels_are_stored_once() -> None:
    asked: list[Any] = []
    carriers = StubCarriers(fresh_rates=[RATE], on_quote=lambda: asked.append(None))
    one = {"quantity": MAX_PARCELS, "package_dimensions": {"height": 10, "length": 10, "width": 10, "weight": 1120}}
    found = QuoteDesk(carriers, ORIGIN).shipments("key", "or_1", HOME, [one], "usd", True)
    assert (len(asked), len(found)) == (1, MAX_PARCELS)
    assert [each.rates for each in found] == [[RATE], *[[]] * (MAX_PARCELS - 1)]
    assert {each.kind for each in found} == {"another-shipment"}
    assert found[0].methods[0]["amount"] == 346 * MAX_PARCELS
