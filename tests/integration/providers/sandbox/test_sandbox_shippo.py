"""Shippo in the sandbox through Shippo's own SDK, which parses every answer: rates, labels, tracking, refusals."""

from __future__ import annotations

import io
import time
from typing import Any

import pypdf
import pytest
from shippo.models import components, errors, operations

from tests.integration.providers.sandbox.parcels import address, buy, parcel, ship
from tests.integration.providers.sandbox.process import Sdks

KEY = {"Authorization": "ShippoToken shippo_sandbox"}
# The fields of a rate in the seed's sample.
SAMPLE_RATE = {
    "object_id", "arrives_by", "zone", "object_owner", "provider_image_200", "currency_local", "attributes", "currency",
    "amount", "duration_terms", "servicelevel", "provider_image_75", "object_created", "shipment", "estimated_days",
    "test", "amount_local", "messages", "provider", "carrier_account",
}  # fmt: skip


def amounts(shipment: components.Shipment) -> dict[str, float]:
    return {str(rate.servicelevel.token): float(rate.amount) for rate in shipment.rates}


def test_rates_in_the_own_zone_match_the_seed_sample(sdks: Sdks) -> None:
    shipment = ship(sdks, metadata="or_sample")
    assert shipment.status == components.ShipmentStatus.SUCCESS
    shown = [
        (rate.servicelevel.name, rate.amount, rate.estimated_days, rate.zone, [mark.value for mark in rate.attributes])
        for rate in shipment.rates
    ]
    assert shown == [
        ("Priority Mail Express", "21.18", 1, "1", ["FASTEST"]),
        ("Priority Mail", "5.84", 2, "1", []),
        ("Parcel Select", "5.95", 7, "1", []),
        ("First-Class Package/Mail Parcel", "3.46", 5, "1", ["BESTVALUE", "CHEAPEST"]),
    ]
    wire = sdks.get(f"/shippo/shipments/{shipment.object_id}/rates/usd", headers=KEY).json()["results"]
    assert [set(rate) for rate in wire] == [SAMPLE_RATE] * 4
    assert wire[0]["servicelevel"] == {"name": "Priority Mail Express", "token": "usps_priority_express", "terms": ""}
    assert sdks.shippo.shipments.get(shipment.object_id).metadata == "or_sample"


def test_the_zone_follows_from_the_zip_codes(sdks: Sdks) -> None:
    def zone_to(city: str, state: str, zip_code: str) -> str:
        return str(ship(sdks, address(city=city, state=state, zip=zip_code)).rates[0].zone)

    assert [
        zone_to("San Francisco", "CA", "94103"),
        zone_to("Los Angeles", "CA", "90012"),
        zone_to("Denver", "CO", "80202"),
        zone_to("Chicago", "IL", "60611"),
        zone_to("New York", "NY", "10118-0001"),
        zone_to("Honolulu", "HI", "96813"),
    ] == ["1", "3", "5", "7", "8", "8"]


def test_rates_grow_with_weight_and_distance(sdks: Sdks) -> None:
    near, again = ship(sdks), ship(sdks)
    far = ship(sdks, address(city="New York", state="New York", zip="10118"))
    heavy = ship(sdks, parcels=[parcel("160")])
    two = ship(sdks, parcels=[parcel(), parcel()])

    assert amounts(near) == amounts(again)
    assert all(amounts(far)[token] > amount for token, amount in amounts(near).items())
    assert far.address_to.state == "NY"
    assert "usps_first" in amounts(near)
    assert set(amounts(heavy)) == {"usps_priority_express", "usps_priority", "usps_parcel_select"}
    assert all(amount > amounts(near)[token] for token, amount in amounts(heavy).items())
    assert amounts(two) == {token: pytest.approx(2 * amount) for token, amount in amounts(near).items()}


@pytest.mark.parametrize(
    ("to", "parcels", "message"),
    [
        ({"city": "Nowhere"}, None, "city"),
        ({"zip": "10118"}, None, "does not belong to its state"),
        ({"zip": "9512"}, None, "ZIP code in the address is not valid"),
        ({"state": "ZZ"}, None, "state in the address could not be found"),
        ({"state": ""}, None, "state is missing"),
        ({}, [parcel("1121")], "70 lb"),
        ({}, [parcel(), parcel("9", "40")], "length and girth"),
    ],
)
def test_unshippable_parcel_has_a_message_instead_of_rates(
    sdks: Sdks, to: dict[str, str], parcels: Any, message: str
) -> None:
    shipment = ship(sdks, address(**to), parcels)
    assert (shipment.status, shipment.rates) == (components.ShipmentStatus.SUCCESS, [])
    [notice] = shipment.messages
    assert message in str(notice.text)


def test_label_is_a_pdf_with_one_page_per_parcel(sdks: Sdks) -> None:
    shipment = ship(sdks, address(street2="Unit 7"), [parcel(), parcel("12")], metadata="or_label")
    label = buy(sdks, shipment, metadata="or_label")

    assert label.status == components.TransactionStatusEnum.SUCCESS
    assert label.label_url is not None
    assert label.tracking_number is not None
    assert label.label_url.startswith(sdks.url)
    answer = sdks.get(label.label_url.removeprefix(sdks.url))
    assert answer.headers["Content-Type"] == "application/pdf"
    pages = pypdf.PdfReader(io.BytesIO(answer.content)).pages
    assert len(pages) == 2
    for number, page in enumerate(pages, start=1):
        text = page.extract_text()
        for part in (
            "The shop", "1 Market St", "Chloe Taylor", "1092 Indian Summer Ct", "Unit 7", "San Jose CA 95122",
            "First-Class Package/Mail Parcel", label.tracking_number, f"Parcel {number} of 2", "or_label",
        ):  # fmt: skip
            assert part in text
        # A Code 128 barcode of 22 digits consists of filled rectangles.
        contents = page.get_contents()
        assert contents is not None
        assert contents.get_data().count(b" re") > 40
    assert sdks.get(label.label_url.removeprefix(sdks.url)).content == answer.content
    assert sdks.shippo.transactions.get(str(label.object_id)).label_url == label.label_url
    listed = sdks.shippo.transactions.list(operations.ListTransactionsRequest(rate=shipment.rates[-1].object_id))
    assert [one.object_id for one in listed.results or []] == [label.object_id]


def test_failed_purchase_has_error_status_and_messages(sdks: Sdks) -> None:
    for to, message in (
        (address(name=""), "name"),
        (address(street1="Undeliverable Lane 1"), "not deliverable"),
        (address(country="DE", city="Berlin", state="", zip="12045"), "customs declaration"),
    ):
        shipment = ship(sdks, to)
        assert shipment.rates
        failed = buy(sdks, shipment)
        assert failed.status == components.TransactionStatusEnum.ERROR
        assert (failed.label_url, failed.tracking_number) == (None, None)
        assert failed.messages
        assert message in str(failed.messages[0].text)
        assert sdks.get(f"/sandbox/labels/{failed.object_id}.pdf").status_code == 404


def test_declared_parcel_is_shipped_abroad(sdks: Sdks) -> None:
    item = components.CustomsItemCreateRequest(
        description="Bone", mass_unit=components.WeightUnitEnum.OZ, net_weight="10", origin_country="US", quantity=1,
        value_amount="5.00", value_currency="USD",
    )  # fmt: skip
    declaration = components.CustomsDeclarationCreateRequest(
        certify=True, certify_signer="The shop", items=[item],
        contents_type=components.CustomsDeclarationContentsTypeEnum.MERCHANDISE,
        non_delivery_option=components.CustomsDeclarationNonDeliveryOptionEnum.RETURN,
    )  # fmt: skip
    abroad = address(country="Germany", city="Berlin", state="", zip="12045")
    shipment = ship(sdks, abroad, customs_declaration=declaration)
    assert shipment.address_to.country == "DE"
    assert all(rate.currency_local == "EUR" for rate in shipment.rates)
    assert len(shipment.rates) == 3
    assert min(amounts(shipment).values()) > 10
    assert buy(sdks, shipment).status == components.TransactionStatusEnum.SUCCESS


def test_calls_are_asynchronous_by_default(sdks: Sdks) -> None:
    shipment = ship(sdks, async_=None)
    assert (shipment.status, shipment.rates) == (components.ShipmentStatus.QUEUED, [])
    deadline = time.monotonic() + 60
    while shipment.status == components.ShipmentStatus.QUEUED and time.monotonic() < deadline:
        time.sleep(0.1)
        shipment = sdks.shippo.shipments.get(shipment.object_id)
    assert len(shipment.rates) == 4

    label = sdks.shippo.transactions.create(components.TransactionCreateRequest(rate=shipment.rates[0].object_id))
    assert (label.status, label.label_url) == (components.TransactionStatusEnum.QUEUED, None)
    while label.status == components.TransactionStatusEnum.QUEUED and time.monotonic() < deadline:
        time.sleep(0.1)
        label = sdks.shippo.transactions.get(str(label.object_id))
    assert label.label_url is not None


def test_a_parcel_is_tracked_from_label_to_door(sdks: Sdks) -> None:
    label = buy(sdks, ship(sdks))
    number = str(label.tracking_number)
    track = sdks.shippo.tracking_status.get(number, "usps")
    assert track.tracking_status is not None
    assert track.tracking_status.status == components.TrackingStatusEnum.PRE_TRANSIT
    assert track.transaction == label.object_id

    for status in ("TRANSIT", "DELIVERED"):
        assert sdks.post(f"/sandbox/tracks/{number}", json={"status": status}).status_code == 200

    track = sdks.shippo.tracking_status.create("usps", number)
    assert [step.status.value for step in track.tracking_history] == ["PRE_TRANSIT", "TRANSIT", "DELIVERED"]
    assert sdks.shippo.transactions.get(str(label.object_id)).tracking_status == components.TrackingStatusEnum.DELIVERED
    assert sdks.post("/sandbox/tracks/1234", json={"status": "TRANSIT"}).status_code == 404
    assert sdks.post(f"/sandbox/tracks/{number}", json={"status": "LOST"}).status_code == 400


@pytest.mark.parametrize("status", ["UNKNOWN", "PRE_TRANSIT", "TRANSIT", "DELIVERED", "RETURNED", "FAILURE"])
def test_the_test_numbers_are_tracked(sdks: Sdks, status: str) -> None:
    track = sdks.shippo.tracking_status.get(f"SHIPPO_{status}", "shippo")
    assert track.tracking_status is not None
    assert track.tracking_status.status.value == status


def test_unknown_tracking_number_has_no_status(sdks: Sdks) -> None:
    assert sdks.shippo.tracking_status.get("9400000000000000000000", "usps").tracking_status is None
    for number, carrier in (("SHIPPO_LATE", "shippo"), ("1", "pigeon")):
        with pytest.raises(errors.SDKError) as refusal:
            sdks.shippo.tracking_status.get(number, carrier)
        assert refusal.value.status_code == 400


def test_only_an_unused_label_is_refunded(sdks: Sdks) -> None:
    unused, used = buy(sdks, ship(sdks)), buy(sdks, ship(sdks))
    sdks.post(f"/sandbox/tracks/{used.tracking_number}", json={"status": "TRANSIT"})

    refund = sdks.shippo.refunds.create(str(unused.object_id))
    assert refund.status is not None
    assert refund.status.value == "SUCCESS"
    assert sdks.shippo.refunds.get(str(refund.object_id)).transaction == unused.object_id
    assert sdks.shippo.transactions.get(str(unused.object_id)).status == components.TransactionStatusEnum.REFUNDED
    refused = sdks.shippo.refunds.create(str(used.object_id))
    assert refused.status is not None
    assert refused.status.value == "ERROR"
    assert {one.object_id for one in sdks.shippo.refunds.list().results or []} >= {refund.object_id, refused.object_id}
    with pytest.raises(errors.SDKError):
        sdks.shippo.refunds.create(str(unused.object_id))


def test_shipments_are_listed_in_pages_newest_first(sdks: Sdks) -> None:
    ids = [ship(sdks).object_id for _ in range(3)][::-1]
    first = sdks.shippo.shipments.list(operations.ListShipmentsRequest(page=1, results=2))
    assert [one.object_id for one in first.results or []] == ids[:2]
    assert first.next is not None
    second = sdks.shippo.shipments.list(operations.ListShipmentsRequest(page=2, results=2))
    assert next(one.object_id for one in second.results or []) == ids[2]
    followed = sdks.get(first.next.removeprefix(sdks.url), headers=KEY).json()
    assert [one["object_id"] for one in followed["results"]] == [one.object_id for one in second.results or []]
    assert sdks.get("/shippo/shipments", params={"page": 10**6}, headers=KEY).status_code == 404


def test_rates_are_converted_to_another_currency(sdks: Sdks) -> None:
    shipment = ship(sdks)
    found = sdks.shippo.rates.list_shipment_rates_by_currency_code(
        operations.ListShipmentRatesByCurrencyCodeRequest(shipment_id=shipment.object_id, currency_code="EUR")
    )
    assert [(rate.currency, rate.currency_local) for rate in found.results or []] == [("USD", "EUR")] * 4
    assert sdks.shippo.rates.get(shipment.rates[0].object_id).amount == shipment.rates[0].amount
    for path, status in (
        (f"/shipments/{shipment.object_id}/rates/XXX", 400),
        ("/shipments/none/rates/USD", 404),
        ("/rates/none", 404),
        ("/nothing", 404),
        ("/tracks", 405),
    ):
        assert sdks.get(f"/shippo{path}", headers=KEY).status_code == status


def test_stored_address_is_validated_and_reused_by_id(sdks: Sdks) -> None:
    good = sdks.shippo.addresses.create(address())
    bad = sdks.shippo.addresses.create(address(zip="10118"))
    assert good.is_complete is True
    validation = sdks.shippo.addresses.validate(str(good.object_id)).validation_results
    assert validation is not None
    assert validation.is_valid is True
    validation = sdks.shippo.addresses.validate(str(bad.object_id)).validation_results
    assert validation is not None
    assert (validation.is_valid, len(validation.messages or [])) == (False, 1)
    assert ship(sdks, str(good.object_id)).address_to.object_id == good.object_id


PARCEL = {"length": "5", "width": "5", "height": "5", "distance_unit": "in", "weight": "5", "mass_unit": "oz"}
UNKNOWN_COUNTRY = "Invalid value specified for country 'ZZ'"
VALID_SHIPMENT: dict[str, Any] = {
    "address_from": {"country": "US", "zip": "95122", "state": "CA"},
    "address_to": {"country": "US", "zip": "95122", "state": "CA"},
    "parcels": [PARCEL],
    "async": False,
}


@pytest.mark.parametrize(
    ("change", "body"),
    [
        ({"address_to": None}, {"address_to": ["This field is required."]}),
        ({"parcels": []}, {"parcels": ["This field is required."]}),
        ({"colour": "red"}, {"colour": ["Unknown field."]}),
        ({"address_to": {"zip": "95122"}}, {"address_to": [{"country": ["This field is required."]}]}),
        ({"address_to": {"country": "ZZ"}}, {"address_to": [{"country": [UNKNOWN_COUNTRY]}]}),
        ({"address_to": {"country": "US", "street": "x"}}, {"address_to": [{"street": ["Unknown field."]}]}),
        ({"parcels": [{**PARCEL, "weight": "-1"}]}, {"parcels": [{"weight": ["A valid number is required."]}]}),
        ({"parcels": [{**PARCEL, "mass_unit": "st"}]}, {"parcels": [{"mass_unit": ['"st" is not a valid choice.']}]}),
        ({"metadata": "m" * 101}, {"metadata": ["Ensure this field has no more than 100 characters."]}),
    ],
)  # fmt: skip
def test_invalid_shipment_is_refused_with_its_field(sdks: Sdks, change: Any, body: Any) -> None:
    valid = sdks.post("/shippo/shipments", json=VALID_SHIPMENT, headers=KEY)
    assert (valid.status_code, len(valid.json()["rates"])) == (201, 4)
    answer = sdks.post("/shippo/shipments", json={**VALID_SHIPMENT, **change}, headers=KEY)
    assert (answer.status_code, answer.json()) == (400, body)


def test_invalid_purchase_is_refused(sdks: Sdks) -> None:
    rate = ship(sdks).rates[0].object_id
    for body in ({}, {"rate": "none"}, {"rate": rate, "label_file_type": "GIF"}, {"rate": rate, "colour": "red"}, []):
        assert sdks.post("/shippo/transactions", json=body, headers=KEY).status_code == 400
    assert sdks.post("/shippo/transactions", data="{", headers=KEY).status_code == 400
    with pytest.raises(errors.SDKError) as refusal:
        sdks.shippo.transactions.get("none")
    assert (refusal.value.status_code, refusal.value.body) == (404, '{"detail":"Not found."}')


def test_a_wrong_or_missing_key_is_refused(sdks: Sdks) -> None:
    with pytest.raises(errors.SDKError) as refusal:
        sdks.shippo_with("shippo_wrong").addresses.list()
    assert refusal.value.status_code == 401
    assert sdks.get("/shippo/addresses").status_code == 401
