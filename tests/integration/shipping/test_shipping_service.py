"""The running shipping service, called over the broker, with its own database and the sandbox as the carrier."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import requests

from chassis.settings import SANDBOX_WEBHOOK_SECRETS
from contracts.errors import (
    Conflict,
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    Refused,
    ShopError,
    Unavailable,
)
from shipping.shippo.webhooks import sign
from tests.rabbit_node import RabbitNode
from tests.running_sandbox import RunningSandbox
from tests.running_service import RunningService

CHLOE = {
    "name": "Chloe Taylor",
    "email": "varvara.malysheva@saritasa.com",
    "phone": None,
    "line1": "1092 Indian Summer Ct",
    "line2": None,
    "city": "San Jose",
    "state": "CA",
    "postal_code": "95122",
    "country": "US",
}
BONE = {"quantity": 2, "package_dimensions": {"height": 5.0, "length": 5.0, "width": 5.0, "weight": 5.0}}


@pytest.fixture(scope="module")
def service(
    rabbit: RabbitNode, _module_sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """Two copies of the service over SQLite."""
    settings = {"AMQP_URI": rabbit.uri, "SANDBOX_URL": _module_sandbox.url, "DATABASE_URL": "", "PROVIDER_TIMEOUT": "4"}
    settings["TRACKING_POLL"] = "2"
    running = RunningService("shipping", tmp_path_factory.mktemp("shipping"), settings, copies=2)
    yield running
    running.stop()


@pytest.fixture
def shipping(service: RunningService, providers: RunningSandbox) -> RunningService:
    return service


def today() -> date:
    return datetime.now(UTC).date()


def rate_named(offer: dict[str, Any], name: str) -> str:
    return str(next(rate["id"] for rate in offer["methods"] if rate["description"] == name))


def labels(providers: RunningSandbox, order_id: str) -> list[dict[str, Any]]:
    return [label for label in providers.ledger(order_id=order_id)["labels"] if label["status"] == "SUCCESS"]


def test_shipment_offers_all_rates_with_the_cheapest_selected(shipping: RunningService) -> None:
    asked = today()
    offer = shipping.call("create", "key:offer", "or_offer", CHLOE, [BONE])
    rates = {rate["description"]: rate for rate in offer["methods"]}
    assert list(rates) == ["Priority Mail Express", "Priority Mail", "Parcel Select", "First-Class Package/Mail Parcel"]
    first = rates["First-Class Package/Mail Parcel"]
    assert offer["selected"] == first["id"] == min(offer["methods"], key=lambda rate: rate["amount"])["id"]
    # Midnight may pass during the call.
    in_five_days = {(each + timedelta(days=5)).isoformat() for each in (asked, today())}
    assert first["delivery_estimate"]["date"] in in_five_days
    assert first == {
        "id": first["id"],
        "amount": first["amount"],
        "currency": "usd",
        "description": "First-Class Package/Mail Parcel",
        "delivery_estimate": {"date": first["delivery_estimate"]["date"], "type": "exact"},
    }
    assert 300 <= first["amount"] <= 500


@pytest.mark.parametrize(("currency", "least"), [("eur", 276), ("jpy", 450), ("kwd", 920)])
@pytest.mark.parametrize("country", ["US", "DE"])
def test_an_offer_is_in_the_currency_of_its_items(
    shipping: RunningService, currency: str, least: int, country: str
) -> None:
    address = {**CHLOE, "city": "Berlin", "state": None, "postal_code": "10115"} if country == "DE" else CHLOE
    bone = {**BONE, "description": "Bone", "price": 650, "currency": currency}
    offer = shipping.call("create", f"{currency}:{country}", "or_eur", {**address, "country": country}, [bone])
    assert {rate["currency"] for rate in offer["methods"]} == {currency}
    assert least < min(rate["amount"] for rate in offer["methods"]) < 30 * least


def test_items_in_two_currencies_are_refused(shipping: RunningService) -> None:
    priced = [{**BONE, "currency": currency} for currency in ("usd", "eur")]
    with pytest.raises(Conflict, match="these items have eur, usd"):
        shipping.call("create", "key:two", "or_two", CHLOE, priced)


def test_the_same_key_answers_the_same_shipment(shipping: RunningService, providers: RunningSandbox) -> None:
    offer = shipping.call("create", "key:same", "or_same", CHLOE, [BONE])
    providers.fault("shippo", error_rate=1)  # the service does not ask Shippo again
    assert shipping.call("create", "key:same", "or_same", CHLOE, [BONE]) == offer


def test_sixteen_calls_with_one_key_make_one_shipment(shipping: RunningService) -> None:
    offers: list[Any] = []
    callers = [
        threading.Thread(
            target=lambda: offers.append(
                until(lambda: shipping.call("create", "key:sixteen", "or_sixteen", CHLOE, [BONE]))["object_id"]
            )
        )
        for _ in range(16)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=90)
    assert len(offers) == 16
    assert len(set(offers)) == 1


def test_an_address_that_no_carrier_knows_is_refused(shipping: RunningService) -> None:
    with pytest.raises(Refused, match="could not be found") as refused:
        shipping.call("create", "key:nowhere", "or_nowhere", {**CHLOE, "city": "Nowhere"}, [BONE])
    assert refused.value.facts["errors"]["address"]


def test_an_item_too_heavy_for_any_carrier_is_refused_by_name(shipping: RunningService) -> None:
    anvil = {"quantity": 1, "package_dimensions": {"height": 9, "length": 9, "width": 9, "weight": 1121}}
    with pytest.raises(Refused, match="Anvil weighs 1121 oz"):
        shipping.call("create", "key:anvil", "or_anvil", CHLOE, [BONE, {**anvil, "description": "Anvil"}])


HEAVY = {"quantity": 3, "package_dimensions": {"height": 9, "length": 9, "width": 9, "weight": 600}}


def test_heavy_order_gets_a_label_for_each_parcel(shipping: RunningService, providers: RunningSandbox) -> None:
    alone = shipping.call("create", "key:light", "or_light", CHLOE, [{**HEAVY, "quantity": 1}])
    offer = shipping.call("create", "key:heavy", "or_heavy", CHLOE, [HEAVY])
    prices = {each["description"]: each["amount"] for each in alone["methods"]}
    assert {each["description"]: each["amount"] for each in offer["methods"]} == {
        name: 3 * price for name, price in prices.items()
    }
    bought = shipping.call("buy_label", offer["object_id"], offer["selected"], "key:heavy")
    sold = labels(providers, "or_heavy")
    assert [[parcel["weight"] for parcel in label["parcels"]] for label in sold] == [["600"]] * 3
    numbers = [each["tracking_number"] for each in bought["labels"]]
    assert numbers == [label["tracking_number"] for label in sold]
    assert len(set(numbers)) == bought["parcels"] == 3
    assert shipping.call("buy_label", offer["object_id"], offer["selected"], "key:heavy") == bought
    assert shipping.call("label", offer["object_id"])["labels"] == bought["labels"]
    rates = shipping.call("rates", offer["object_id"], "eur")["rate_items"]
    assert [each["object_id"] for each in rates] == [each["id"] for each in offer["methods"]]
    assert [each["amount"] for each in rates] == [f"{each['amount'] / 100:.2f}" for each in offer["methods"]]


def test_all_parcels_of_a_shipment_are_tracked(shipping: RunningService, providers: RunningSandbox) -> None:
    offer = shipping.call("create", "key:both", "or_both", CHLOE, [{**HEAVY, "quantity": 2}])
    bought = shipping.call("buy_label", offer["object_id"], offer["selected"], "key:both")
    first, second = (each["tracking_number"] for each in bought["labels"])
    providers.move(second, "TRANSIT")
    until(lambda: shipping.call("tracking", offer["object_id"])["parcels"][1]["status"] == "TRANSIT")
    assert shipping.call("tracking", offer["object_id"])["tracking_number"] == first
    steps = [each for each in shipping.call("movements", 0, 1000) if each["tracking_number"] == second]
    assert [(each["shipment_id"], each["whole"]) for each in steps] == [(offer["object_id"], False)] * len(steps)
    providers.move(first, "TRANSIT")
    until(lambda: shipping.call("movements", 0, 1000)[-1]["whole"])


def test_refund_returns_the_labels_of_all_parcels(shipping: RunningService, providers: RunningSandbox) -> None:
    offer = shipping.call("create", "key:back", "or_back", CHLOE, [HEAVY])
    shipping.call("buy_label", offer["object_id"], offer["selected"], "key:back")
    assert shipping.call("refund_label", offer["object_id"], "key:back:void")["status"] == "refunded"
    assert [each["status"] for each in providers.ledger(order_id="or_back")["labels"]] == ["REFUNDED"] * 3
    assert shipping.call("shipments_with_label", [offer["object_id"]]) == []
    with pytest.raises(Conflict, match="given back"):
        shipping.call("buy_label", offer["object_id"], offer["selected"], "key:back")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["", "or_1", CHLOE, [BONE]], "key"),
        (["k", "or_1", {**CHLOE, "line1": ""}, [BONE]], "line1"),
        (["k", "or_1", CHLOE, []], "items"),
        (["k", "or_1", CHLOE, [{"quantity": 1}]], "items"),
    ],
)
def test_invalid_shipment_names_its_field(shipping: RunningService, arguments: list[Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as invalid:
        shipping.call("create", *arguments)
    assert list(invalid.value.facts["errors"]) == [field]


def test_shipments_are_listed_newest_first_page_by_page(shipping: RunningService) -> None:
    made = [
        shipping.call("create", f"key:list{number}", "or_list", {**CHLOE, "name": f"Zz {number}"}, [BONE])["object_id"]
        for number in range(3)
    ]
    page = shipping.call("list", None, 2)
    assert [each["object_id"] for each in page["data"]] == [made[2], made[1]]
    assert page["has_more"] is True
    rest = shipping.call("list", None, 1, made[1])
    assert [each["object_id"] for each in rest["data"]] == [made[0]]
    assert page["data"][0]["address_to"] == {
        "name": "Zz 2",
        "street1": "1092 Indian Summer Ct",
        "city": "San Jose",
        "state": "CA",
        "zip": "95122",
        "country": "US",
        "phone": None,
        "email": "varvara.malysheva@saritasa.com",
    }
    by_name = shipping.call("list", "-name", 3)["data"]
    assert [each["object_id"] for each in by_name] == made[::-1]
    for arguments in (("colour",), (None, 0), (None, 10, "nobody")):
        with pytest.raises(InvalidRequest):
            shipping.call("list", *arguments)


def test_rates_are_shown_in_a_currency(shipping: RunningService) -> None:
    offer = shipping.call("create", "key:rates", "or_rates", CHLOE, [BONE])
    answer = shipping.call("rates", offer["object_id"], "usd")
    assert answer["object_id"] == offer["object_id"]
    assert [rate["object_id"] for rate in answer["rate_items"]] == [rate["id"] for rate in offer["methods"]]
    assert all(rate["arrives_by"] is None for rate in answer["rate_items"])
    for currency in ("dollars", "zzz"):
        with pytest.raises(InvalidRequest):
            shipping.call("rates", offer["object_id"], currency)
    with pytest.raises(NotFound):
        shipping.call("rates", "nobody", "usd")


def test_a_label_is_bought_shown_and_tracked(shipping: RunningService, providers: RunningSandbox) -> None:
    offer = shipping.call("create", "key:label", "or_label", CHLOE, [BONE])
    shipment = offer["object_id"]
    for method in ("label", "tracking"):
        with pytest.raises(Conflict):
            shipping.call(method, shipment)
        with pytest.raises(NotFound):
            shipping.call(method, "nobody")
    bought = shipping.call("buy_label", shipment, rate_named(offer, "Priority Mail"), "key:label")
    assert set(bought) == {"object_id", "label_url", "carrier", "tracking_number", "parcels", "labels"}
    assert bought["parcels"] == 1
    assert (bought["object_id"], bought["carrier"]) == (shipment, "USPS")
    assert requests.get(bought["label_url"], timeout=10).content.startswith(b"%PDF")
    issued = [{name: bought[name] for name in ("label_url", "tracking_number")}]
    shown = shipping.call("label", shipment)
    assert shown == {"object_id": shipment, "label_url": bought["label_url"], "labels": issued}
    providers.move(bought["tracking_number"], "TRANSIT")
    where = shipping.call("tracking", shipment)
    assert set(where) == {"object_id", "carrier", "tracking_number", "tracking_status", "tracking_history"}
    assert (where["object_id"], where["tracking_number"]) == (shipment, bought["tracking_number"])
    assert where["tracking_status"]["status"] == "TRANSIT"
    assert len(where["tracking_history"]) == 2
    providers.move(bought["tracking_number"], "DELIVERED")
    assert shipping.call("tracking", shipment) == where  # Shippo is asked once a minute
    assert shipping.call("buy_label", shipment, rate_named(offer, "Priority Mail"), "another key") == bought
    with pytest.raises(Conflict):
        shipping.call("buy_label", shipment, rate_named(offer, "Parcel Select"), "key:label")
    assert len(labels(providers, "or_label")) == 1


def test_only_a_shipment_s_own_rate_is_bought(shipping: RunningService) -> None:
    one = shipping.call("create", "key:own1", "or_own", CHLOE, [BONE])
    two = shipping.call("create", "key:own2", "or_own", CHLOE, [BONE])
    with pytest.raises(NotFound):
        shipping.call("buy_label", one["object_id"], two["selected"], "key")
    with pytest.raises(NotFound):
        shipping.call("buy_label", "nobody", two["selected"], "key")


def test_sixteen_buyers_in_two_copies_buy_one_label(shipping: RunningService, providers: RunningSandbox) -> None:
    offer = shipping.call("create", "key:race", "or_race", CHLOE, [BONE])
    providers.fault("shippo", latency_ms=300)
    answers: list[Any] = []

    def buy() -> None:
        # On a busy machine, a buyer that waits too long gets an error and repeats the request.
        answers.append(until(lambda: shipping.call("buy_label", offer["object_id"], offer["selected"], "key")))

    buyers = [threading.Thread(target=buy) for _ in range(16)]
    for buyer in buyers:
        buyer.start()
    for buyer in buyers:
        buyer.join(timeout=90)
    assert len(answers) == 16
    assert all(answer == answers[0] for answer in answers)
    assert len(labels(providers, "or_race")) == 1


def test_a_lost_answer_costs_one_label(shipping: RunningService, providers: RunningSandbox) -> None:
    offer = shipping.call("create", "key:lost", "or_lost", CHLOE, [BONE])
    providers.fault("shippo", lose_answer_rate=1, method="POST")
    bought = shipping.call("buy_label", offer["object_id"], offer["selected"], "key")
    assert requests.get(bought["label_url"], timeout=10).status_code == 200
    assert len(labels(providers, "or_lost")) == 1


def test_shippo_without_any_answer_costs_one_label(shipping: RunningService, providers: RunningSandbox) -> None:
    offer = shipping.call("create", "key:deaf", "or_deaf", CHLOE, [BONE])
    providers.fault("shippo", lose_answer_rate=1)  # the lookup of the purchase gets no answer either
    with pytest.raises(OutcomeUnknown):
        shipping.call("buy_label", offer["object_id"], offer["selected"], "key")
    with pytest.raises(Unavailable):
        shipping.call("buy_label", offer["object_id"], offer["selected"], "key")
    providers.heal()
    shipping.call("buy_label", offer["object_id"], offer["selected"], "key")
    assert len(labels(providers, "or_deaf")) == 1


def test_a_purchase_that_hung_is_made_once_when_it_has_settled(
    shipping: RunningService, providers: RunningSandbox
) -> None:
    offer = shipping.call("create", "key:hung", "or_hung", CHLOE, [BONE])
    providers.fault("shippo", hang_rate=1, times=1, method="POST")
    with pytest.raises(OutcomeUnknown):
        shipping.call("buy_label", offer["object_id"], offer["selected"], "key")
    bought = until(lambda: shipping.call("buy_label", offer["object_id"], offer["selected"], "key"))
    assert bought["label_url"]
    assert len(labels(providers, "or_hung")) == 1


def test_a_carrier_s_refusal_leaves_the_shipment_without_a_label(
    shipping: RunningService, providers: RunningSandbox
) -> None:
    address = {**CHLOE, "line1": "Undeliverable Lane 1"}
    offer = shipping.call("create", "key:undeliverable", "or_undeliverable", address, [BONE])
    with pytest.raises(Refused, match="not deliverable"):
        shipping.call("buy_label", offer["object_id"], offer["selected"], "key")
    with pytest.raises(Conflict):
        shipping.call("label", offer["object_id"])
    assert labels(providers, "or_undeliverable") == []


def test_caller_with_a_short_deadline_is_answered_in_time(shipping: RunningService, providers: RunningSandbox) -> None:
    providers.fault("shippo", hang_rate=1)
    began = time.monotonic()
    with pytest.raises((Unavailable, DeadlineExceeded)):
        shipping.client.call("shipping", "create", ("key:slow", "or_slow", CHLOE, [BONE]), timeout=1.5)
    assert time.monotonic() - began < 30


def test_a_parcel_is_followed_from_shippo_s_event_to_the_feed(
    shipping: RunningService, providers: RunningSandbox
) -> None:
    offer = shipping.call("create", "key:moved", "or_moved", CHLOE, [BONE])
    label = shipping.call("buy_label", offer["object_id"], offer["selected"], "key:moved")

    def steps(after: int) -> list[dict[str, Any]]:
        return [step for step in shipping.call("movements", after, 1000) if step["shipment_id"] == offer["object_id"]]

    data = {
        "carrier": "usps",
        "tracking_number": label["tracking_number"],
        "tracking_status": {"status": "TRANSIT", "status_date": "2026-11-21T10:00:00.000Z"},
    }
    body = json.dumps({"event": "track_updated", "test": True, "data": data}).encode()
    raw, signature = body.decode("latin-1"), sign(SANDBOX_WEBHOOK_SECRETS["shippo"], body, time.time())
    assert shipping.call("shippo_event", raw, signature) == {"received": True, "duplicate": False}
    assert shipping.call("shippo_event", raw, signature) == {"received": True, "duplicate": True}
    with pytest.raises(InvalidRequest):
        shipping.call("shippo_event", raw + " ", signature)
    step = steps(0)[-1]
    assert (step["status"], step["tracking_number"]) == ("TRANSIT", label["tracking_number"])
    assert step["at"] == datetime(2026, 11, 21, 10, tzinfo=UTC).timestamp()
    assert steps(step["seq"]) == []
    # Polling finds a step that came without an event.
    providers.move(label["tracking_number"], "DELIVERED")
    shipping.call("tracking", offer["object_id"])
    assert [each["status"] for each in steps(step["seq"])] == ["DELIVERED"]
    assert shipping.call("tasks", "failed") == []
    for verb, arguments in (("movements", (-1,)), ("movements", (0, 1001)), ("tasks", ("asleep",))):
        with pytest.raises(InvalidRequest):
            shipping.call(verb, *arguments)
    with pytest.raises(NotFound):
        shipping.call("replay", "nobody's")


def test_parcel_without_events_is_polled(shipping: RunningService, providers: RunningSandbox) -> None:
    offer = shipping.call("create", "key:lost event", "or_lostevent", CHLOE, [BONE])
    label = shipping.call("buy_label", offer["object_id"], offer["selected"], "key:lost event")
    providers.move(label["tracking_number"], "TRANSIT")  # the service gets no event
    end = time.monotonic() + 60
    while "TRANSIT" not in [
        step["status"] for step in shipping.call("movements", 0, 1000) if step["shipment_id"] == offer["object_id"]
    ]:
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_label_is_given_back_and_none_is_bought_again(shipping: RunningService, providers: RunningSandbox) -> None:
    offer = shipping.call("create", "key:void", "or_void", CHLOE, [BONE])
    shipment = offer["object_id"]
    shipping.call("buy_label", shipment, offer["selected"], "key:void")
    assert shipping.call("unreturned", [shipment, "nobody"]) == [shipment]
    providers.fault("shippo", lose_answer_rate=1, times=1, method="POST")
    with pytest.raises(Unavailable):
        shipping.call("refund_label", shipment, "key:back")
    assert shipping.call("unreturned", [shipment, "nobody"]) == []
    answers = [shipping.call("refund_label", shipment, "key:back") for _ in range(2)]
    assert all(answer["object_id"] == shipment and answer["status"] in ("refunded", "pending") for answer in answers)
    for verb, arguments in (("buy_label", (offer["selected"], "key:void")), ("label", ())):
        with pytest.raises(Conflict, match="given back"):
            shipping.call(verb, shipment, *arguments)
    (label,) = providers.ledger(order_id="or_void")["labels"]
    assert label["status"] in ("REFUNDED", "REFUNDPENDING")
    with pytest.raises(NotFound):
        shipping.call("refund_label", "nobody", "key")


@pytest.mark.parametrize("arrives", [False, True])
def test_pending_refund_without_events_is_polled(
    shipping: RunningService, providers: RunningSandbox, arrives: bool
) -> None:
    order_id = f"or_pending{arrives:d}"
    offer = shipping.call("create", f"key:{order_id}", order_id, CHLOE, [BONE])
    shipment = offer["object_id"]
    label = shipping.call("buy_label", shipment, offer["selected"], f"key:{order_id}")
    if arrives:
        providers.move(label["tracking_number"], "DELIVERED")
        shipping.call("tracking", shipment)
    assert shipping.call("refund_label", shipment, "key:back")["status"] == ("used" if arrives else "refunded")
    # The refund was pending at Shippo, and the event of its end was lost.
    with closing(sqlite3.connect(shipping.place / "shipping.db", timeout=10)) as books, books:
        forget = "UPDATE labels SET refund = 'pending', polled = NULL, voided = voided - 60 WHERE shipment_id = ?"
        assert books.execute(forget, (shipment,)).rowcount == 1

    def refund_status() -> str:
        with closing(sqlite3.connect(shipping.place / "shipping.db", timeout=10)) as books:
            return str(books.execute("SELECT refund FROM labels WHERE shipment_id = ?", (shipment,)).fetchone()[0])

    end = time.monotonic() + 60
    while refund_status() == "pending":
        assert time.monotonic() < end
        time.sleep(0.2)
    assert refund_status() == ("used" if arrives else "refunded")


def until(ask: Callable[[], Any], seconds: float = 90.0) -> Any:
    """Repeat `ask` until it succeeds; return its answer."""
    end = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except ShopError:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)
