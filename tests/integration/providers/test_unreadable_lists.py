"""Providers' lists with an unreadable entry: only that entry is set aside and reported to the operator."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import requests

from cart.rules.reconcile import Listed
from cart.stripe.lists import StripeLists
from cart.stripe.payments import StripePayments
from chassis.records import SetAside
from chassis.settings import SANDBOX_KEYS, SANDBOX_TWILIO_TOKEN, Provider, Settings
from contracts.errors import ProviderFailure
from notifications.rules.reconcile import Texted
from notifications.twilio.lists import TwilioLists
from notifications.twilio.texter import TwilioTexter
from shipping.rules.reconcile import Sold
from shipping.shippo.carriers import ShippoCarriers
from tests.integration.providers.test_shippo_carriers import CHLOE, PARCEL, SHOP, a_rate
from tests.running_sandbox import RunningSandbox
from tests.scripted_server import Scripted, ScriptedServer

KEY = {"Authorization": f"ShippoToken {SANDBOX_KEYS['shippo']}"}


def _answer(body: Any, status: int = 200) -> Scripted:
    return Scripted(status, json.dumps(body).encode())


def _ids(found: list[Any]) -> list[str]:
    return [getattr(each, "id", None) or each.sid for each in found]


# Stripe

PAYMENT: dict[str, Any] = {
    "id": "pi_1",
    "object": "payment_intent",
    "status": "succeeded",
    "amount": 100,
    "amount_received": 100,
    "currency": "usd",
    "metadata": {},
    "created": 1000,
}
REFUND: dict[str, Any] = {
    "id": "re_1",
    "object": "refund",
    "payment_intent": "pi_1",
    "amount": 100,
    "status": "succeeded",
    "created": 1000,
}


def _stripe(url: str) -> StripeLists:
    return StripeLists(
        StripePayments(dataclasses.replace(Settings.load(), stripe=Provider("k", "", f"{url}/stripe", False)))
    )


def _page(*data: Any, more: bool = False) -> Scripted:
    return _answer({"object": "list", "data": list(data), "has_more": more, "url": "/v1/x"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "new_one"},
        {"amount_received": None},
        {"amount_received": "5"},
        {"currency": "zzz"},
        {"created": None},
    ],
)
def test_unreadable_payment_is_set_aside_alone(scripted: ScriptedServer, wrong: dict[str, Any]) -> None:
    scripted.answers = [_page({**PAYMENT, "id": "pi_0"}, {**PAYMENT, **wrong}, {**PAYMENT, "id": "pi_2"})]
    found, following = _stripe(scripted.url).payments(None, 0.0)
    assert _ids(found) == ["pi_0", "pi_1", "pi_2"]
    assert [type(each) for each in found] == [Listed, SetAside, Listed]
    assert following is None


@pytest.mark.parametrize("wrong", [{"amount": None}, {"created": "x"}])
def test_unreadable_refund_is_set_aside_alone(scripted: ScriptedServer, wrong: dict[str, Any]) -> None:
    scripted.answers = [_page({**REFUND, **wrong}, {**REFUND, "id": "re_2"})]
    found, _ = _stripe(scripted.url).refunds(None, 0.0)
    assert [isinstance(each, SetAside) for each in found] == [True, False]


def test_page_ending_without_an_id_continues_after_the_last_id(scripted: ScriptedServer) -> None:
    without_id = {name: value for name, value in PAYMENT.items() if name != "id"}
    scripted.answers = [_page(PAYMENT, without_id, more=True)]
    lists = _stripe(scripted.url)
    found, following = lists.payments(None, 0.0)
    assert (_ids(found), following) == (["pi_1", "?"], "pi_1")
    scripted.answers = [_page(without_id, more=True)]
    with pytest.raises(ProviderFailure):  # without a new cursor, the walk stops instead of looping
        lists.payments("pi_1", 0.0)


def test_single_unreadable_payment_is_set_aside(scripted: ScriptedServer) -> None:
    scripted.answers = [_answer({**PAYMENT, "status": "new_one"})]
    assert isinstance(_stripe(scripted.url).payment("pi_1"), SetAside)


# Shippo


def _carriers(url: str) -> ShippoCarriers:
    return ShippoCarriers(SANDBOX_KEYS["shippo"], url, SHOP, 5.0, 20.0, sleep=lambda seconds: None)


def _shipment(providers: RunningSandbox) -> dict[str, Any]:
    quote = _carriers(f"{providers.url}/shippo").quote(CHLOE, [PARCEL], [], "or_1", "usd")
    found = requests.get(f"{providers.url}/shippo/shipments/{quote.shipment_id}", headers=KEY, timeout=30)
    body: dict[str, Any] = found.json()
    return body


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": "free"},
        {"amount": "-1.00"},
        {"amount": "1e999999"},
        {"amount": None},
        {"currency": None},
        {"servicelevel": None},
        {"estimated_days": -1},
        {"estimated_days": "soon"},
        {"attributes": ["NEW"]},
        {"object_created": "yesterday"},
    ],
)
def test_unreadable_rate_is_left_out(
    providers: RunningSandbox, scripted: ScriptedServer, wrong: dict[str, Any]
) -> None:
    shipment = _shipment(providers)
    names = [rate["object_id"] for rate in shipment["rates"]]
    assert len(names) > 1
    shipment["rates"][0].update(wrong)
    scripted.answers = [_answer(shipment, 201)]
    quote = _carriers(scripted.url).quote(CHLOE, [PARCEL], [], "or_1", "usd")
    assert [rate["object_id"] for rate in quote.rates] == names[1:]
    scripted.answers = [_answer({"count": 2, "next": None, "previous": None, "results": shipment["rates"]})]
    assert [rate["object_id"] for rate in _carriers(scripted.url).rates("shp_1", "USD")] == names[1:]


def test_quote_without_a_readable_rate_is_a_provider_failure(
    providers: RunningSandbox, scripted: ScriptedServer
) -> None:
    shipment = _shipment(providers)
    for rate in shipment["rates"]:
        rate["amount"] = "free"
    scripted.answers = [_answer(shipment, 201)]
    with pytest.raises(ProviderFailure):
        _carriers(scripted.url).quote(CHLOE, [PARCEL], [], "or_1", "usd")


def _labels(providers: RunningSandbox) -> tuple[str, dict[str, Any]]:
    usps = _carriers(f"{providers.url}/shippo")
    rates = [a_rate(usps), a_rate(usps)]
    for rate in rates:
        usps.buy(rate, "or_1")
    found = requests.get(f"{providers.url}/shippo/transactions?results=2", headers=KEY, timeout=30).json()
    return rates[1], {**found, "next": None}


def test_unreadable_label_is_set_aside_alone(providers: RunningSandbox, scripted: ScriptedServer) -> None:
    rate, listed = _labels(providers)
    listed["results"][0]["status"] = "NEW_ONE"
    scripted.answers = [_answer(listed)]
    found, more = _carriers(scripted.url).lists.sold(1, 0.0)
    assert {each.id: type(each) for each in found} == {
        listed["results"][0]["object_id"]: SetAside,
        listed["results"][1]["object_id"]: Sold,
    }
    assert not more
    # It is unknown whether this rate's label was bought, so the shop must not buy a second one.
    with pytest.raises(ProviderFailure):
        _carriers(scripted.url).bought(rate)


def test_unreadable_tracking_step_is_left_out(providers: RunningSandbox, scripted: ScriptedServer) -> None:
    url = f"{providers.url}/shippo/tracks/shippo/SHIPPO_TRANSIT"
    track = requests.get(url, headers=KEY, timeout=30).json()
    steps = len(track["tracking_history"])
    assert steps
    track["tracking_history"].append({**track["tracking_history"][0], "status": "NEW_ONE"})
    scripted.answers = [_answer(track)]
    assert len(_carriers(scripted.url).track("shippo", "SHIPPO_TRANSIT")["tracking_history"]) == steps


# Twilio

FROM = "+15005550006"
MESSAGE: dict[str, Any] = {
    "sid": "SM1",
    "from": FROM,
    "to": "+14155550100",
    "body": "Hello",
    "status": "sent",
    "direction": "outbound-api",
    "date_created": "Thu, 30 Jul 2015 20:12:31 +0000",
}


@pytest.mark.parametrize("wrong", [{"date_created": "yesterday"}, {"sid": None}, None])
def test_unreadable_text_is_set_aside_alone(scripted: ScriptedServer, wrong: dict[str, Any] | None) -> None:
    bad = None if wrong is None else {**MESSAGE, **wrong}
    page = {"messages": [{**MESSAGE, "sid": "SM0"}, bad, {**MESSAGE, "sid": "SM2"}], "page": 0, "uri": "/x"}
    scripted.answers = [_answer(page)]
    texter = TwilioTexter(SANDBOX_KEYS["twilio"], SANDBOX_TWILIO_TOKEN, scripted.url, FROM, 5, 20)
    found, _ = TwilioLists(texter).texts(None, 0.0)
    assert [type(each) for each in found] == [Texted, SetAside, Texted]
