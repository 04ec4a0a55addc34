"""What happens to a label after its purchase, and Shippo's options, through Shippo's own SDK."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from shippo.models import components, errors, operations

from tests.integration.providers.sandbox.gateways import until
from tests.integration.providers.sandbox.parcels import address, buy, parcel, ship
from tests.integration.providers.sandbox.process import SandboxProcess, Sdks

STATUS = components.TransactionStatusEnum
REFUND = components.RefundStatus
OPTIONS = "/sandbox/options/shippo"


@pytest.fixture
def option(sdks: Sdks) -> Iterator[Callable[..., dict[str, Any]]]:
    """Return `option(**options)`, which sets Shippo's options; after the test they are off."""

    def switch_on(**options: Any) -> dict[str, Any]:
        answer = sdks.put(OPTIONS, json=options)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    yield switch_on
    assert sdks.delete(OPTIONS).status_code == 200


@pytest.fixture
def own_sdks(tmp_path: Path) -> Iterator[Sdks]:
    """Return the SDKs of another sandbox, whose clock and options this test may change."""
    with SandboxProcess(tmp_path) as process:
        yield Sdks(process.url)


def label_status(sdks: Sdks, label: components.Transaction) -> STATUS | None:
    return sdks.shippo.transactions.get(str(label.object_id)).status


# Refunds


def test_asynchronous_refund_is_queued_before_it_is_done(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path, constants={"sandbox.shippo.refunds.ASYNC_SECONDS": 3600.0}) as process:
        sdks = Sdks(process.url)
        label = buy(sdks, ship(sdks))
        refund = sdks.shippo.refunds.create(str(label.object_id), async_=True)
        assert refund.status == REFUND.QUEUED
        assert label_status(sdks, label) == STATUS.REFUNDPENDING
        sdks.post("/sandbox/clock", json={"advance_seconds": 3601})
        assert sdks.shippo.refunds.get(str(refund.object_id)).status == REFUND.SUCCESS
        assert label_status(sdks, label) == STATUS.REFUNDED


@pytest.mark.parametrize(("decision", "label_ends"), [("SUCCESS", STATUS.REFUNDED), ("ERROR", STATUS.REFUNDREJECTED)])
def test_held_refund_is_pending_until_it_is_decided(
    sdks: Sdks, option: Callable[..., Any], decision: str, label_ends: STATUS
) -> None:
    option(refund_seconds=None)
    label = buy(sdks, ship(sdks))
    refund = sdks.shippo.refunds.create(str(label.object_id), async_=False)
    assert refund.status == REFUND.QUEUED
    until(lambda: sdks.shippo.refunds.get(str(refund.object_id)).status == REFUND.PENDING)
    assert label_status(sdks, label) == STATUS.REFUNDPENDING
    with pytest.raises(errors.SDKError) as refused:
        sdks.shippo.refunds.create(str(label.object_id), async_=False)
    assert refused.value.status_code == 400

    route = f"/sandbox/label-refunds/{label.object_id}"
    answer = sdks.post(route, json={"status": decision})
    assert (answer.status_code, answer.json()["status"]) == (200, decision)
    assert sdks.shippo.refunds.get(str(refund.object_id)).status == REFUND(decision)
    assert label_status(sdks, label) == label_ends
    assert sdks.post(route, json={"status": "SUCCESS"}).status_code == 409
    assert sdks.post(f"/sandbox/label-refunds/{refund.object_id}", json={"status": "LOST"}).status_code == 400
    assert sdks.post("/sandbox/label-refunds/none", json={"status": "ERROR"}).status_code == 404


def test_pending_refund_is_rejected_when_the_parcel_moves(own_sdks: Sdks) -> None:
    own_sdks.put(OPTIONS, json={"refund_seconds": 3600})
    label = buy(own_sdks, ship(own_sdks))
    refund = own_sdks.shippo.refunds.create(str(label.object_id), async_=False)
    own_sdks.post(f"/sandbox/tracks/{label.tracking_number}", json={"status": "TRANSIT"})
    own_sdks.post("/sandbox/clock", json={"advance_seconds": 3601})
    assert own_sdks.shippo.refunds.get(str(refund.object_id)).status == REFUND.ERROR
    assert label_status(own_sdks, label) == STATUS.REFUNDREJECTED


def test_share_of_refunds_is_rejected(sdks: Sdks, option: Callable[..., Any]) -> None:
    option(refund_error_rate=1)
    label = buy(sdks, ship(sdks))
    assert sdks.shippo.refunds.create(str(label.object_id), async_=False).status == REFUND.ERROR
    option(refund_error_rate=0)
    assert sdks.shippo.refunds.create(str(label.object_id), async_=False).status == REFUND.SUCCESS


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"colour": 1},
        {"ups": 1},
        {"price_factor": 0},
        {"refund_error_rate": 2},
        {"refund_error_rate": None},
        {"refund_seconds": "1"},
    ],
)
def test_invalid_options_are_refused(sdks: Sdks, body: Any) -> None:
    answer = sdks.put(OPTIONS, json=body)
    assert (answer.status_code, set(answer.json())) == (400, {"error"})
    assert sdks.get(OPTIONS).json()["refund_error_rate"] == 0


def test_options_and_pending_refunds_survive_a_restart(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path) as first:
        sdks = Sdks(first.url)
        sdks.put(OPTIONS, json={"refund_seconds": None})
        refund = sdks.shippo.refunds.create(str(buy(sdks, ship(sdks)).object_id), async_=False)
        first.terminate()
    with SandboxProcess(tmp_path) as second:
        sdks = Sdks(second.url)
        assert sdks.get(OPTIONS).json()["refund_seconds"] is None
        until(lambda: sdks.shippo.refunds.get(str(refund.object_id)).status == REFUND.PENDING)


# Rates that expire


def test_rate_of_seven_days_cannot_be_bought(sdks: Sdks) -> None:
    shipment = ship(sdks)
    rate = shipment.rates[-1].object_id
    route = f"/sandbox/rates/{rate}"
    assert sdks.post(route, json={"age_days": 6.9}).status_code == 200
    assert buy(sdks, shipment).status == STATUS.SUCCESS
    aged = sdks.post(route, json={"age_days": 7})
    assert (aged.status_code, aged.json()["object_id"]) == (200, rate)
    refused = buy(sdks, shipment)
    assert (refused.status, refused.label_url) == (STATUS.ERROR, None)
    assert "older than 7 days" in str((refused.messages or [])[0].text)
    # The other rates are as new as before, and the shipment shows the same as the rate.
    assert (
        sdks.shippo.rates.get(rate).object_created
        == sdks.shippo.shipments.get(shipment.object_id).rates[-1].object_created
    )
    assert buy(sdks, shipment, rate=shipment.rates[0].object_id).status == STATUS.SUCCESS
    for body in ({}, {"age_days": "7"}, {"age_days": 391}, {"age_days": -1}):
        assert sdks.post(route, json=body).status_code == 400
    assert sdks.post("/sandbox/rates/none", json={"age_days": 7}).status_code == 404


def test_price_factor_makes_new_quotes_dearer(sdks: Sdks, option: Callable[..., Any]) -> None:
    usual = [Decimal(rate.amount) for rate in ship(sdks).rates]
    option(price_factor=2)
    assert [Decimal(rate.amount) for rate in ship(sdks).rates] == [2 * amount for amount in usual]


# Purchases that end later


@pytest.mark.parametrize("outcome", [STATUS.SUCCESS, STATUS.ERROR])
def test_held_purchase_is_queued_until_it_is_ended(sdks: Sdks, option: Callable[..., Any], outcome: STATUS) -> None:
    option(purchase_seconds=None)
    label = buy(sdks, ship(sdks))
    assert (label.status, label.label_url, label.tracking_number) == (STATUS.QUEUED, None, None)
    assert sdks.get(f"/sandbox/labels/{label.object_id}.pdf").status_code == 404
    with pytest.raises(errors.SDKError):
        sdks.shippo.refunds.create(str(label.object_id))
    route = f"/sandbox/transactions/{label.object_id}"
    assert sdks.post(route, json={"status": outcome.value}).json()["status"] == outcome.value
    ended = sdks.shippo.transactions.get(str(label.object_id))
    assert (ended.status, bool(ended.label_url), [one.code for one in ended.messages or []]) == (
        outcome, outcome == STATUS.SUCCESS, ["carrier_timeout"] if outcome == STATUS.ERROR else [],
    )  # fmt: skip
    assert sdks.post(route, json={"status": "SUCCESS"}).status_code == 409
    assert sdks.post(route, json={"status": "QUEUED"}).status_code == 400
    assert sdks.post("/sandbox/transactions/none", json={"status": "ERROR"}).status_code == 404


def test_purchase_ends_after_its_time(own_sdks: Sdks) -> None:
    own_sdks.put(OPTIONS, json={"purchase_seconds": 3600})
    label = buy(own_sdks, ship(own_sdks))
    assert label.status == STATUS.QUEUED
    own_sdks.post("/sandbox/clock", json={"advance_seconds": 3601})
    assert label_status(own_sdks, label) == STATUS.SUCCESS


def test_share_of_purchases_fails(sdks: Sdks, option: Callable[..., Any]) -> None:
    option(purchase_error_rate=1)
    failed = buy(sdks, ship(sdks))
    assert (failed.status, failed.label_url) == (STATUS.ERROR, None)
    assert (failed.messages or [])[0].source == "USPS"


def test_same_seed_fails_the_same_purchases(sdks: Sdks, option: Callable[..., Any]) -> None:
    def series(seed: int) -> list[STATUS | None]:
        option(purchase_error_rate=0.5, seed=seed)
        return [buy(sdks, ship(sdks)).status for _ in range(8)]

    first = series(3)
    assert set(first) == {STATUS.SUCCESS, STATUS.ERROR}
    assert series(3) == first


# A second carrier


def quoted_by(shipment: components.Shipment) -> set[str]:
    return {rate.provider for rate in shipment.rates}


def said(shipment: components.Shipment) -> dict[str, str]:
    return {str(message.source): str(message.text) for message in shipment.messages or []}


def test_second_carrier_has_its_own_account_rates_and_numbers(sdks: Sdks, option: Callable[..., Any]) -> None:
    alone = ship(sdks)
    option(ups=True)
    both = ship(sdks)
    assert (quoted_by(alone), quoted_by(both), said(both)) == ({"USPS"}, {"USPS", "UPS"}, {})
    ups = [rate for rate in both.rates if rate.provider == "UPS"]
    assert {str(rate.servicelevel.token) for rate in ups} <= {each.value for each in components.ServiceLevelUPSEnum}
    marks = [mark.value for rate in both.rates for mark in rate.attributes]
    assert sorted(marks) == ["BESTVALUE", "CHEAPEST", "FASTEST"]
    [account] = (
        sdks.shippo.carrier_accounts.list(
            operations.ListCarrierAccountsRequest(carrier=components.CarriersEnum.UPS, service_levels=True)
        ).results
        or []
    )
    assert {rate.carrier_account for rate in ups} == {account.object_id}
    assert len(account.service_levels or []) == 6
    assert sdks.shippo.carrier_accounts.get(str(account.object_id)).carrier == "ups"
    assert quoted_by(ship(sdks, carrier_accounts=[account.object_id])) == {"UPS"}

    label = buy(sdks, both, rate=ups[-1].object_id)
    number = str(label.tracking_number)
    assert number.startswith("1Z999AA101")
    assert number in str(label.tracking_url_provider)
    sdks.post(f"/sandbox/tracks/{number}", json={"status": "TRANSIT"})
    track = sdks.shippo.tracking_status.get(number, "ups")
    assert track.tracking_status is not None
    assert (track.carrier, track.tracking_status.status.value) == ("ups", "TRANSIT")
    assert sdks.shippo.tracking_status.get(number, "usps").tracking_status is None


def test_carrier_without_rates_says_why_beside_the_others(sdks: Sdks, option: Callable[..., Any]) -> None:
    option(ups=True)
    for to, parcels, quotes, message in (
        (address(street1="P.O. Box 12"), None, "USPS", ("UPS", "P.O. boxes")),
        (address(state="AE", city="APO", zip="09315"), None, "USPS", ("UPS", "military")),
        (address(), [parcel("1121")], "UPS", ("USPS", "70 lb")),
        (address(), [parcel()] * 51, "USPS", ("UPS", "50 parcels")),
    ):
        shipment = ship(sdks, to, parcels)
        assert quoted_by(shipment) == {quotes}
        assert set(said(shipment)) == {message[0]}
        assert message[1] in said(shipment)[message[0]]
    nowhere = ship(sdks, address(city="Nowhere"))
    assert (nowhere.rates, set(said(nowhere))) == ([], {"USPS", "UPS"})


def test_ups_sells_labels_for_forty_parcels(sdks: Sdks, option: Callable[..., Any]) -> None:
    option(ups=True)
    failed = buy(sdks, ship(sdks, parcels=[parcel()] * 41))
    assert failed.status == STATUS.ERROR
    assert "at most 40 parcels" in str((failed.messages or [])[0].text)


def test_usps_quotes_one_parcel_only(sdks: Sdks, option: Callable[..., Any]) -> None:
    option(usps_one_parcel=True)
    assert quoted_by(ship(sdks)) == {"USPS"}
    refused = ship(sdks, parcels=[parcel(), parcel()])
    assert refused.rates == []
    assert "multi-piece" in said(refused)["USPS"]
    option(usps_one_parcel=True, ups=True)
    assert quoted_by(ship(sdks, parcels=[parcel(), parcel()])) == {"UPS"}


# What a label costs in the end

KEY = {"Authorization": "ShippoToken shippo_sandbox"}


def items(sdks: Sdks, label: components.Transaction, **query: str) -> list[dict[str, Any]]:
    """Return a label's invoice items, oldest first."""
    found = sdks.get("/shippo/invoice-items", params={"results": "100", **query}, headers=KEY)
    assert found.status_code == 200, found.text
    return [one for one in found.json()["results"] if one["transaction"] == label.object_id][::-1]


def test_label_and_its_adjustments_are_invoiced(sdks: Sdks) -> None:
    label = buy(sdks, ship(sdks))
    route = f"/sandbox/transactions/{label.object_id}/adjustments"
    assert sdks.post(route, json={"amount": "1.2"}).json()["type"] == "LABEL_SURCHARGE"
    assert sdks.post(route, json={"amount": -0.5, "type": "LABEL_PAYMENT_ADJUSTMENT"}).status_code == 200
    sdks.shippo.refunds.create(str(label.object_id), async_=False)

    found = items(sdks, label)
    assert [(one["type"], one["amount"], one["currency"]) for one in found] == [
        ("LABEL_PAYMENT", "3.46", "USD"), ("LABEL_SURCHARGE", "1.20", "USD"),
        ("LABEL_PAYMENT_ADJUSTMENT", "-0.50", "USD"), ("LABEL_REFUND", "-3.46", "USD"),
    ]  # fmt: skip
    # The fields that Shippo documents.
    assert {name for one in found for name in one} == {
        "object_id", "object_created", "object_updated", "shippo_account", "type", "description", "amount", "currency",
        "charge_conversion", "invoice", "transaction",
    }  # fmt: skip
    assert items(sdks, label, invoiceObjectId=found[1]["invoice"]) == [found[1]]
    assert sdks.get("/shippo/invoice-items", params={"colour": "red"}, headers=KEY).status_code == 400
    for body in ({}, {"amount": "much"}, {"amount": "1", "type": "LABEL_PAYMENT"}, {"amount": "1", "colour": "red"}):
        assert sdks.post(route, json=body).status_code == 400
    assert sdks.post("/sandbox/transactions/none/adjustments", json={"amount": "1"}).status_code == 404


def test_failed_purchase_and_refund_are_not_invoiced(sdks: Sdks, option: Callable[..., Any]) -> None:
    option(purchase_error_rate=1, refund_error_rate=1)
    failed = buy(sdks, ship(sdks))
    route = f"/sandbox/transactions/{failed.object_id}/adjustments"
    assert (items(sdks, failed), sdks.post(route, json={"amount": "1"}).status_code) == ([], 409)
    option(refund_error_rate=1)
    label = buy(sdks, ship(sdks))
    sdks.shippo.refunds.create(str(label.object_id), async_=False)
    assert [one["type"] for one in items(sdks, label)] == ["LABEL_PAYMENT"]
