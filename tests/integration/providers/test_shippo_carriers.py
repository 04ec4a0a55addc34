"""The carriers through Shippo's SDK, against the sandbox and against scripted failures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from chassis import deadline
from chassis.settings import SANDBOX_KEYS
from contracts.errors import InvalidRequest, NotFound, OutcomeUnknown, ProviderFailure, Refused, Unavailable
from shipping.shippo.carriers import ShippoCarriers
from tests.running_sandbox import RunningSandbox, free_port
from tests.scripted_server import Scripted, ScriptedServer

SHOP = {
    "name": "The Shop",
    "street1": "965 Mission St",
    "city": "San Francisco",
    "state": "CA",
    "zip": "94103",
    "country": "US",
    "phone": "+14155550100",
    "email": "shop@example.com",
}
CHLOE: dict[str, Any] = {
    "name": "Chloe Taylor",
    "street1": "1092 Indian Summer Ct",
    "street2": "Flat 3",
    "city": "San Jose",
    "state": "CA",
    "zip": "95122",
    "country": "US",
    "phone": None,
    "email": "varvara.malysheva@saritasa.com",
}
BERLIN: dict[str, Any] = {**CHLOE, "city": "Berlin", "state": None, "zip": "10115", "country": "DE"}
PARCEL = {"height": "10", "length": "5", "width": "5", "distance_unit": "in", "weight": "10", "mass_unit": "oz"}
BONES = [
    {
        "description": "Wally bone",
        "quantity": 2,
        "net_weight": "10",
        "mass_unit": "oz",
        "value_amount": "1.00",
        "value_currency": "USD",
    }
]
SEED_RATE_FIELDS = set(
    """
    object_id arrives_by zone object_owner provider_image_200 currency_local attributes currency amount duration_terms
    servicelevel provider_image_75 object_created shipment estimated_days test amount_local messages provider
    carrier_account
    """.split()  # noqa: SIM905 - one string is easier to read than a list of names
)


def carriers(base: str, key: str = SANDBOX_KEYS["shippo"], read: float = 20.0) -> ShippoCarriers:
    return ShippoCarriers(key, base, SHOP, connect=5.0, read=read, sleep=lambda seconds: time.sleep(seconds / 10))


@pytest.fixture
def usps(providers: RunningSandbox) -> ShippoCarriers:
    return carriers(f"{providers.url}/shippo")


def a_rate(usps: ShippoCarriers, name: str = "Priority Mail", order_id: str = "or_1") -> str:
    quote = usps.quote(CHLOE, [PARCEL], [], order_id, "usd")
    return str(next(rate["object_id"] for rate in quote.rates if rate["servicelevel"]["name"] == name))


def test_quote_has_every_rate_field_of_the_seed(usps: ShippoCarriers) -> None:
    quote = usps.quote(CHLOE, [PARCEL], [], "or_1", "usd")
    assert [rate["servicelevel"]["name"] for rate in quote.rates] == [
        "Priority Mail Express",
        "Priority Mail",
        "Parcel Select",
        "First-Class Package/Mail Parcel",
    ]
    for rate in quote.rates:
        assert set(rate) == SEED_RATE_FIELDS
        assert set(rate["servicelevel"]) == {"name", "token", "terms"}
        assert rate["arrives_by"] is None
        assert rate["shipment"] == quote.shipment_id
        assert len(rate["object_created"]) == len("2017-09-05T12:20:36.546Z")
    assert json.loads(json.dumps(quote.rates)) == quote.rates
    assert quote.rates[0]["attributes"] == ["FASTEST"]
    assert type(quote.rates[0]["attributes"][0]) is str  # not the SDK's enumeration


def test_label_keeps_the_quoted_addresses_and_parcel(usps: ShippoCarriers, providers: RunningSandbox) -> None:
    order_id = "or_" + "x" * 150
    usps.buy(a_rate(usps, order_id=order_id), order_id)
    (label,) = providers.ledger(order_id=order_id[:100])["labels"]
    assert label["shipment_metadata"] == label["metadata"] == order_id[:100]
    assert label["address_from"]["street1"] == "965 Mission St"
    assert (label["address_to"]["street1"], label["address_to"]["street2"]) == ("1092 Indian Summer Ct", "Flat 3")
    assert {side: label["parcels"][0][side] for side in PARCEL} == PARCEL


def test_unknown_address_is_refused_with_the_carrier_message(usps: ShippoCarriers) -> None:
    with pytest.raises(Refused, match="could not be found") as refused:
        usps.quote({**CHLOE, "city": "Nowhere"}, [PARCEL], [], "or_1", "usd")
    assert refused.value.facts["errors"]["address"] == ["USPS: address_to: The city in the address could not be found."]


def test_invalid_country_is_refused_in_the_address_field(usps: ShippoCarriers) -> None:
    with pytest.raises(Refused) as refused:
        usps.quote({**CHLOE, "country": "Atlantis"}, [PARCEL], [], "or_1", "usd")
    assert "Atlantis" in refused.value.facts["errors"]["address"][0]


def test_rates_use_the_requested_currency(usps: ShippoCarriers) -> None:
    shipment_id = usps.quote(CHLOE, [PARCEL], [], "or_1", "usd").shipment_id
    rates = usps.rates(shipment_id, "EUR")
    assert len(rates) == 4
    assert {rate["currency_local"] for rate in rates} == {"EUR"}
    assert all(set(rate) == SEED_RATE_FIELDS for rate in rates)
    with pytest.raises(InvalidRequest) as invalid:
        usps.rates(shipment_id, "ZZZ")
    assert list(invalid.value.facts["errors"]) == ["currency"]
    with pytest.raises(NotFound):
        usps.rates("0" * 32, "USD")


def test_label_is_a_pdf_with_a_tracking_number(usps: ShippoCarriers) -> None:
    rate_id = a_rate(usps)
    assert usps.bought(rate_id) is None
    label = usps.buy(rate_id, "or_1")
    assert requests.get(label.label_url, timeout=30).content.startswith(b"%PDF")
    assert label.tracking_number
    assert usps.bought(rate_id) == label


def test_failed_purchase_answered_with_201_is_refused(usps: ShippoCarriers) -> None:
    quote = usps.quote({**CHLOE, "street1": "Undeliverable Lane 1"}, [PARCEL], [], "or_1", "usd")
    rate_id = quote.rates[0]["object_id"]
    with pytest.raises(Refused, match="not deliverable") as refused:
        usps.buy(rate_id, "or_1")
    assert refused.value.facts["errors"]["rate_id"] == ["USPS: The address_to is not deliverable."]
    assert not refused.value.permanent
    assert usps.bought(rate_id) is None


def test_unknown_rate_is_refused(usps: ShippoCarriers) -> None:
    with pytest.raises(Refused, match="not found"):
        usps.buy("0" * 32, "or_1")


def test_international_label_needs_a_customs_declaration(usps: ShippoCarriers, providers: RunningSandbox) -> None:
    bare = usps.quote(BERLIN, [PARCEL], [], "or_bare", "usd")
    with pytest.raises(Refused, match="customs declaration"):
        usps.buy(bare.rates[0]["object_id"], "or_bare")
    declared = usps.quote(BERLIN, [PARCEL], BONES, "or_berlin", "usd")
    usps.buy(declared.rates[0]["object_id"], "or_berlin")
    assert len(providers.ledger(order_id="or_berlin")["labels"]) == 1


@pytest.mark.parametrize(
    ("city", "state", "zip_code", "said"),
    [
        ("APO", "AE", "09315", "NOEEI_30_37_a"),
        ("San Juan", "PR", "00901", "NOEEI_30_37_a"),
        ("Tamuning", "GU", "96913", None),
        ("Kolonia", "FM", "96941", "NOEEI_30_37_a"),
        ("Majuro", "MH", "96960", "NOEEI_30_37_a"),
        ("Koror", "PW", "96940", "NOEEI_30_37_a"),
    ],
)
def test_label_to_apo_or_associated_state_is_declared(
    usps: ShippoCarriers, providers: RunningSandbox, city: str, state: str, zip_code: str, said: str | None
) -> None:
    there = {**CHLOE, "city": city, "state": state, "zip": zip_code}
    bare = usps.quote(there, [PARCEL], [], f"bare_{state}", "usd")
    with pytest.raises(Refused, match="customs declaration"):
        usps.buy(bare.rates[0]["object_id"], f"bare_{state}")
    usps.buy(usps.quote(there, [PARCEL], BONES, f"or_{state}", "usd").rates[0]["object_id"], f"or_{state}")
    [label] = providers.ledger(order_id=f"or_{state}")["labels"]
    assert label["customs_declaration"]["eel_pfc"] == said


@pytest.mark.parametrize(("country", "value"), [("DE", "3000.00"), ("IR", "1.00")])
def test_false_exemption_buys_no_label(usps: ShippoCarriers, country: str, value: str) -> None:
    there, inside = {**BERLIN, "country": country}, [{**BONES[0], "value_amount": value}]
    quote = usps.quote(there, [PARCEL], inside, "or_false", "usd")
    with pytest.raises(Refused, match="ITN"):
        usps.buy(quote.rates[0]["object_id"], "or_false")


def test_almost_right_address_comes_back_corrected(usps: ShippoCarriers) -> None:
    typed = {**CHLOE, "city": "San Jse", "street1": "1092 Indian Summer Strt"}
    assert usps.quote(typed, [PARCEL], [], "or_1", "usd").corrected == {}
    corrected = usps.quote({**typed, "validate": True}, [PARCEL], [], "or_1", "usd").corrected
    assert corrected == {"street1": "1092 Indian Summer St", "city": "San Jose"}
    assert usps.quote({**typed, **corrected, "validate": True}, [PARCEL], [], "or_1", "usd").corrected == {}


def test_spelling_out_an_address_is_no_correction(usps: ShippoCarriers) -> None:
    spelled = {**CHLOE, "city": "SAN JOSE", "street1": "1092 Indian Summer Court", "validate": True}
    assert usps.quote(spelled, [PARCEL], [], "or_1", "usd").corrected == {}


def test_label_is_found_after_a_lost_purchase_answer(usps: ShippoCarriers, providers: RunningSandbox) -> None:
    rate_id = a_rate(usps)
    providers.fault("shippo", lose_answer_rate=1, method="POST", path="/transactions")
    with pytest.raises(OutcomeUnknown) as unknown:
        usps.buy(rate_id, "or_1")
    assert "answered" not in unknown.value.facts
    assert usps.bought(rate_id) is not None


def test_hanging_purchase_has_an_unknown_outcome(usps: ShippoCarriers, providers: RunningSandbox) -> None:
    rate_id = a_rate(usps)
    usps = carriers(f"{providers.url}/shippo", read=0.5)
    providers.fault("shippo", hang_rate=1)
    started = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        usps.buy(rate_id, "or_1")
    with pytest.raises(Unavailable):
        usps.bought(rate_id)
    with pytest.raises(Unavailable):
        usps.quote(CHLOE, [PARCEL], [], "or_1", "usd")
    assert time.monotonic() - started < 40


@pytest.mark.parametrize(("status", "done"), [(500, True), (503, True), (502, False), (504, False)])
def test_shippo_server_error_leaves_the_purchase_unknown(
    usps: ShippoCarriers, providers: RunningSandbox, status: int, done: bool
) -> None:
    rate_id = a_rate(usps)
    providers.fault("shippo", error_rate=1, error_status=status)
    with pytest.raises(OutcomeUnknown) as unknown:
        usps.buy(rate_id, "or_1")
    assert unknown.value.facts["answered"] is done
    with pytest.raises(Unavailable):
        usps.quote(CHLOE, [PARCEL], [], "or_1", "usd")


def test_rate_limited_shippo_is_unavailable(scripted: ScriptedServer) -> None:
    usps = carriers(scripted.url)
    headers = {"Content-Type": "application/json", "Retry-After": "7"}
    scripted.answers = [Scripted(429, b'{"detail": "slow down"}', headers)]
    for ask in (lambda: usps.buy("rate", "or_1"), lambda: usps.bought("rate"), lambda: usps.rates("ship", "USD")):
        with pytest.raises(Unavailable) as unavailable:
            ask()
        assert unavailable.value.facts["retry_after"] == 7


def test_unreachable_shippo_is_unavailable() -> None:
    usps = carriers(f"http://127.0.0.1:{free_port()}")
    for ask in (lambda: usps.buy("rate", "or_1"), lambda: usps.quote(CHLOE, [PARCEL], [], "or_1", "usd")):
        with pytest.raises(Unavailable):
            ask()


def test_wrong_api_key_is_a_provider_failure(providers: RunningSandbox) -> None:
    usps = carriers(f"{providers.url}/shippo", key="shippo_" + "wrong")
    for ask in (lambda: usps.buy("rate", "or_1"), lambda: usps.quote(CHLOE, [PARCEL], [], "or_1", "usd")):
        with pytest.raises(ProviderFailure):
            ask()


UNREADABLE = [
    Scripted(201, b"not json"),
    Scripted(201, b"<html>hello</html>", {"Content-Type": "text/html"}),
    Scripted(201, b'{"object_id": "1", "status": "SUCCESS", "rate": "rate"}'),  # without created_by, the SDK fails
    Scripted(201, b'{"created_by": null, "object_id": "1", "status": "NEW"}'),
    Scripted(201, b'{"created_by": null}'),
    Scripted(201, b"null"),
    Scripted(201, b"[]"),
    Scripted(200, b"{}"),
    Scripted(302, b"", {"Location": "/elsewhere"}),
    Scripted(drop=True),
    Scripted(201, b"{", cut=True),
]


@pytest.mark.parametrize("answer", UNREADABLE, ids=lambda answer: f"{answer.status} {answer.body[:30]!r}")
def test_unreadable_answer_leaves_the_purchase_unknown(scripted: ScriptedServer, answer: Scripted) -> None:
    scripted.answers = [answer]
    with pytest.raises(OutcomeUnknown):
        carriers(scripted.url).buy("rate", "or_1")


@pytest.mark.parametrize("answer", UNREADABLE[:2], ids=["not json", "html"])
def test_unreadable_quote_is_a_provider_failure(scripted: ScriptedServer, answer: Scripted) -> None:
    scripted.answers = [answer]
    with pytest.raises(ProviderFailure):
        carriers(scripted.url).quote(CHLOE, [PARCEL], [], "or_1", "usd")


@pytest.mark.parametrize(("currency", "per_dollar"), [("eur", 0.92), ("jpy", 150), ("kwd", 0.31)])
def test_quote_converts_rates_to_the_requested_currency(usps: ShippoCarriers, currency: str, per_dollar: float) -> None:
    for rate in usps.quote(CHLOE, [PARCEL], [], "or_1", currency).rates:
        assert (rate["currency"], rate["currency_local"]) == ("USD", currency.upper())
        assert float(rate["amount_local"]) == pytest.approx(float(rate["amount"]) * per_dollar, abs=0.006)


def test_rates_in_the_right_currency_are_not_fetched_again(usps: ShippoCarriers, providers: RunningSandbox) -> None:
    providers.fault("shippo", error_rate=1, path="/shipments/*/rates/*")
    for address, currency in ((CHLOE, "usd"), (BERLIN, "eur")):
        assert usps.quote(address, [PARCEL], [], "or_1", currency).rates


def test_unsupported_currency_gives_no_rates(usps: ShippoCarriers) -> None:
    assert usps.quote(CHLOE, [PARCEL], [], "or_1", "xxx").rates == []


def test_quote_waits_for_converted_rates(usps: ShippoCarriers, scripted: ScriptedServer) -> None:
    sandbox = usps._shippo.sdk_configuration.server_url
    asked = {"address_from": SHOP, "address_to": CHLOE, "parcels": [PARCEL], "async": False}
    headers = {"Authorization": f"ShippoToken {SANDBOX_KEYS['shippo']}"}
    shipment = requests.post(f"{sandbox}/shipments", json=asked, headers=headers, timeout=10).json()
    page = requests.get(f"{sandbox}/shipments/{shipment['object_id']}/rates/EUR", headers=headers, timeout=10).json()
    scripted.answers = [answer(201, shipment), answer(200, {**page, "results": []}), answer(200, page)]
    rates = carriers(scripted.url).quote(CHLOE, [PARCEL], [], "or_1", "eur").rates
    assert {rate["currency_local"] for rate in rates} == {"EUR"}
    assert len(scripted.asked) == 3


def transaction(status: str, rate: Any = "rate", **more: Any) -> dict[str, Any]:
    return {"object_id": "t1", "status": status, "rate": rate, "created_by": None, "tracking_number": "94001", **more}


def answer(status: int, body: Any) -> Scripted:
    return Scripted(status, json.dumps(body).encode())


DONE = transaction("SUCCESS", label_url="https://labels.example.com/1.pdf")


def test_purchase_waits_for_a_queued_transaction(scripted: ScriptedServer) -> None:
    scripted.answers = [answer(201, transaction("QUEUED")), answer(200, transaction("WAITING")), answer(200, DONE)]
    label = carriers(scripted.url).buy("rate", "or_1")
    assert (label.transaction_id, label.label_url) == ("t1", "https://labels.example.com/1.pdf")
    assert [(method, path) for method, path, *_ in scripted.asked] == [
        ("POST", "/transactions"),
        ("GET", "/transactions/t1"),
        ("GET", "/transactions/t1"),
    ]
    assert json.loads(scripted.asked[0][3]) == {
        "rate": "rate",
        "async": False,
        "label_file_type": "PDF",
        "metadata": "or_1",
    }


def test_purchase_that_stays_queued_has_an_unknown_outcome(
    scripted: ScriptedServer, deadline_in: Callable[[float], None]
) -> None:
    usps = carriers(scripted.url)
    scripted.answers = [answer(201, transaction("QUEUED")), answer(200, transaction("QUEUED"))]
    deadline_in(3.0)
    with pytest.raises(OutcomeUnknown, match="not there yet"):
        usps.buy("rate", "or_1")
    scripted.answers = [answer(200, {"results": [transaction("QUEUED")]}), answer(200, transaction("QUEUED"))]
    deadline_in(3.0)
    with pytest.raises(OutcomeUnknown, match="not there yet"):
        usps.bought("rate")


def test_failed_poll_leaves_a_queued_purchase_unknown(scripted: ScriptedServer) -> None:
    scripted.answers = [answer(201, transaction("QUEUED")), Scripted(500, b"{}")]
    with pytest.raises(OutcomeUnknown):
        carriers(scripted.url).buy("rate", "or_1")


def test_only_a_successful_label_of_the_rate_is_found(scripted: ScriptedServer) -> None:
    usps = carriers(scripted.url)
    others = [transaction("SUCCESS", "another", label_url="https://x"), transaction("ERROR"), transaction("REFUNDED")]
    scripted.answers = [answer(200, {"results": others})]
    assert usps.bought("rate") is None
    embedded_rate = transaction("SUCCESS", {"object_id": "rate", "amount": "1.00"}, label_url="https://y")
    page = f"{scripted.url}/transactions?page=2"
    scripted.answers = [answer(200, {"next": page, "results": others}), answer(200, {"results": [embedded_rate]})]
    label = usps.bought("rate")
    assert label is not None
    assert label.label_url == "https://y"
    assert scripted.asked[-1][1].startswith("/transactions?rate=rate&page=2")


def test_label_is_tracked_by_carrier_and_number(usps: ShippoCarriers, providers: RunningSandbox) -> None:
    number = str(usps.buy(a_rate(usps), "or_1").tracking_number)
    providers.move(number, "TRANSIT")
    track = usps.track("USPS", number)
    assert track["tracking_status"]["status"] == "TRANSIT"
    assert [each["status"] for each in track["tracking_history"]] == ["PRE_TRANSIT", "TRANSIT"]
    assert "substatus" in track["tracking_status"]
    assert json.loads(json.dumps(track)) == track


def test_unknown_tracking_number_is_not_found(scripted: ScriptedServer) -> None:
    scripted.answers = [Scripted(404, b'{"detail": "Not found."}')]
    with pytest.raises(NotFound):
        carriers(scripted.url).track("DHL Express", "1Z")
    assert scripted.asked[0][1] == "/tracks/dhl_express/1Z"


def test_unused_label_is_refunded(usps: ShippoCarriers) -> None:
    label = usps.buy(a_rate(usps), "or_1")
    assert usps.refund_status(label.transaction_id) is None
    assert usps.refund(label.transaction_id) in ("refunded", "pending")
    assert usps.refund_status(label.transaction_id) in ("refunded", "pending")


def test_label_of_a_moved_parcel_counts_as_used(usps: ShippoCarriers, providers: RunningSandbox) -> None:
    label = usps.buy(a_rate(usps), "or_1")
    providers.move(str(label.tracking_number), "TRANSIT")
    assert usps.refund_status(label.transaction_id) == "used"
    assert usps.refund(label.transaction_id) == "used"


@pytest.mark.parametrize(
    ("transaction_status", "refund_status", "expected"),
    [("REFUNDPENDING", "PENDING", "pending"), ("REFUNDREJECTED", "ERROR", "used"), ("REFUNDED", "SUCCESS", "refunded")],
)
def test_shippo_refund_status_maps_to_the_shop_status(
    scripted: ScriptedServer, transaction_status: str, refund_status: str, expected: str
) -> None:
    scripted.answers = [
        answer(200, transaction(transaction_status)),
        answer(201, {"object_id": "r1", "status": refund_status, "transaction": "t1"}),
    ]
    usps = carriers(scripted.url)
    assert (usps.refund_status("t1"), usps.refund("t1")) == (expected, expected)
    assert json.loads(scripted.asked[1][3]) == {"transaction": "t1", "async": False}


def test_refund_without_a_readable_answer_raises_an_error(
    usps: ShippoCarriers, providers: RunningSandbox, scripted: ScriptedServer
) -> None:
    label = usps.buy(a_rate(usps), "or_1")
    providers.fault("shippo", lose_answer_rate=1, method="POST")
    with pytest.raises(Unavailable):
        usps.refund(label.transaction_id)
    providers.heal()
    assert usps.refund_status(label.transaction_id) in ("refunded", "pending")
    scripted.answers = [answer(201, {"object_id": "r1"})]
    with pytest.raises(ProviderFailure):
        carriers(scripted.url).refund("t1")


def test_shippo_is_not_called_without_time_left(scripted: ScriptedServer, deadline_in: Callable[[float], None]) -> None:
    deadline_in(0.1)
    with pytest.raises(Unavailable):
        carriers(scripted.url).buy("rate", "or_1")
    assert scripted.asked == []


@pytest.fixture
def deadline_in() -> Iterator[Callable[[float], None]]:
    """Return ``deadline_in(2)``, which sets the caller's deadline two seconds from now."""
    yield lambda seconds: deadline.begin(time.monotonic() + seconds)
    deadline.begin(None)
