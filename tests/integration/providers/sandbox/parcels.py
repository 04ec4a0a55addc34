"""Shipments and labels for the tests, created with Shippo's own SDK."""

from __future__ import annotations

from typing import Any

from shippo.models import components

from tests.integration.providers.sandbox.process import Sdks


def address(**change: Any) -> components.AddressCreateRequest:
    fields = {
        "name": "Chloe Taylor", "street1": "1092 Indian Summer Ct", "city": "San Jose", "state": "CA", "zip": "95122",
        "country": "US", "email": "chloe@example.com", "phone": "+14085550100", **change,
    }  # fmt: skip
    return components.AddressCreateRequest(**fields)


def parcel(weight: str = "10", side: str = "5") -> components.ParcelCreateRequest:
    return components.ParcelCreateRequest(
        mass_unit=components.WeightUnitEnum.OZ, weight=weight, distance_unit=components.DistanceUnitEnum.IN,
        height=side, length=side, width=side,
    )  # fmt: skip


def ship(sdks: Sdks, to: Any = None, parcels: Any = None, **more: Any) -> components.Shipment:
    shipment = components.ShipmentCreateRequest(
        address_from=address(name="The shop", street1="1 Market St"), address_to=to or address(),
        parcels=parcels or [parcel()], **{"async_": False, **more},
    )  # fmt: skip
    return sdks.shippo.shipments.create(shipment)


def buy(sdks: Sdks, shipment: components.Shipment, **more: Any) -> components.Transaction:
    request: Any = {"rate": shipment.rates[-1].object_id, "async_": False, "label_file_type": "PDF", **more}
    return sdks.shippo.transactions.create(components.TransactionCreateRequest(**request))
