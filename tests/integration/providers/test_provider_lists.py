"""The providers' lists through their SDKs and the sandbox: every page is read, and a failure raises an error."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cart.stripe.lists
import notifications.twilio.lists
import shipping.shippo.lists
from cart.rules.attention import DISPUTE, FRAUD_WARNING
from cart.rules.dispute import ACTIONABLE, OVER
from cart.rules.payments import OPEN, SUCCEEDED
from cart.stripe.disputes import StripeDisputes
from cart.stripe.lists import StripeLists
from cart.stripe.payments import StripePayments
from chassis.settings import SANDBOX_KEYS, SANDBOX_TWILIO_TOKEN, Provider, Settings
from contracts.errors import ProviderFailure, ShopError, Unavailable
from notifications.rules.messages import Sms
from notifications.twilio.lists import TwilioLists
from notifications.twilio.texter import TwilioTexter
from shipping.rules.reconcile import REFUNDED, SOLD
from shipping.shippo.carriers import ShippoCarriers
from shipping.shippo.lists import ShippoLists
from tests.integration.providers.sandbox.parcels import buy, ship
from tests.integration.providers.sandbox.process import Sdks
from tests.running_sandbox import RunningSandbox

PAGE_SIZE = 2
FROM = "+15005550006"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    """Start a separate sandbox, because these tests read its lists to the end."""
    running = RunningSandbox(Path(tmp_path_factory.mktemp("lists")))
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def _heal_after_test(sandbox: RunningSandbox) -> Iterator[None]:
    yield
    sandbox.heal()


@pytest.fixture(scope="module")
def sdks(sandbox: RunningSandbox) -> Sdks:
    return Sdks(sandbox.url)


@pytest.fixture
def stripe_lists(sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> StripeLists:
    monkeypatch.setattr(cart.stripe.lists, "PAGE", PAGE_SIZE)
    stripe = Provider(SANDBOX_KEYS["stripe"], "", f"{sandbox.url}/stripe", False)
    return StripeLists(StripePayments(dataclasses.replace(Settings.load(), stripe=stripe)))


@pytest.fixture
def stripe_disputes(stripe_lists: StripeLists) -> StripeDisputes:
    return StripeDisputes(stripe_lists._payments)


@pytest.fixture
def shippo_lists(sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> ShippoLists:
    monkeypatch.setattr(shipping.shippo.lists, "PAGE", PAGE_SIZE)
    return ShippoCarriers(SANDBOX_KEYS["shippo"], f"{sandbox.url}/shippo", {"country": "US"}, 5, 20).lists


@pytest.fixture
def texter(sandbox: RunningSandbox) -> TwilioTexter:
    return TwilioTexter(SANDBOX_KEYS["twilio"], SANDBOX_TWILIO_TOKEN, f"{sandbox.url}/twilio", FROM, 5, 20)


@pytest.fixture
def twilio_lists(texter: TwilioTexter, monkeypatch: pytest.MonkeyPatch) -> TwilioLists:
    monkeypatch.setattr(notifications.twilio.lists, "PAGE", PAGE_SIZE)
    return TwilioLists(texter)


def walk(page: Callable[[Any], tuple[list[Any], Any]], first: Any = None) -> tuple[list[Any], int]:
    """Return all entries of a list and the number of its pages."""
    found, cursor = [], first
    for pages in range(1, 20):
        entries, cursor = page(cursor)
        assert len(entries) <= PAGE_SIZE
        found += entries
        if not cursor:
            return found, pages
    raise AssertionError("the list does not end")


def intent(sdks: Sdks, amount: int, card: str | None = None, **metadata: str) -> str:
    """Create a payment intent and return its id; charge the card if one is given."""
    asked: Any = {
        "amount": amount,
        "currency": "usd",
        "metadata": metadata,
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
    }
    if card:
        asked.update(confirm=True, payment_method=card)
    return sdks.stripe.v1.payment_intents.create(asked).id


def test_stripe_lists_payments_and_refunds_in_pages(stripe_lists: StripeLists, sdks: Sdks) -> None:
    before = time.time()
    taken = intent(sdks, 1000, "pm_card_visa", order_id="or_1")
    open_payment = intent(sdks, 2000, order_id="or_2")
    refunded = intent(sdks, 3000, "pm_card_visa")
    refund = sdks.stripe.v1.refunds.create({"payment_intent": refunded, "amount": 700})
    rest = sdks.stripe.v1.refunds.create({"payment_intent": refunded, "amount": 300})
    whole = sdks.stripe.v1.refunds.create({"payment_intent": taken})

    found, pages = walk(lambda after: stripe_lists.payments(after, 0.0))
    assert pages == 2
    assert [each.id for each in found] == [refunded, open_payment, taken]
    payments = {each.id: (each.state, each.amount, each.currency, each.order_id, each.taken) for each in found}
    assert payments == {
        taken: (SUCCEEDED, 1000, "usd", "or_1", 0),
        open_payment: (OPEN, 2000, "usd", "or_2", 0),
        refunded: (SUCCEEDED, 3000, "usd", None, 2000),
    }
    assert all(before - 1 <= each.created <= time.time() for each in found)
    assert walk(lambda after: stripe_lists.payments(after, time.time() + 60)) == ([], 1)
    assert len(walk(lambda after: stripe_lists.payments(after, before - 1))[0]) == 3
    assert stripe_lists.payment(refunded) == found[0]
    assert stripe_lists.payment("pi_none") is None

    returned, pages = walk(lambda after: stripe_lists.refunds(after, 0.0))
    assert pages == 2
    assert [(each.id, each.payment, each.amount, each.stands) for each in returned] == [
        (whole.id, taken, 1000, True),
        (rest.id, refunded, 300, True),
        (refund.id, refunded, 700, True),
    ]
    assert stripe_lists.refund(refund.id) == returned[2]
    assert stripe_lists.refund("re_none") is None


def charge_of(sdks: Sdks, payment: str) -> str:
    return str(sdks.stripe.v1.payment_intents.retrieve(payment).latest_charge)


def test_stripe_lists_disputes_then_warnings_in_pages(stripe_disputes: StripeDisputes, sdks: Sdks) -> None:
    before = time.time()
    cards = ("pm_card_createDispute", "pm_card_createDisputeInquiry", "pm_card_createDispute")
    disputed = [intent(sdks, 1000 + number, card) for number, card in enumerate(cards)]
    warned = [intent(sdks, 2000 + number, "pm_card_visa") for number in range(3)]
    for payment in warned:
        body = {"fraud_type": "misc"}
        assert sdks.post(f"/sandbox/charges/{charge_of(sdks, payment)}/fraud_warning", json=body).status_code == 200
    sdks.stripe.v1.refunds.create({"payment_intent": warned[0]})

    found, pages = walk(lambda after: stripe_disputes.cases(after, before - 1))
    assert pages == 4
    assert [(each.kind, each.payment, each.amount, each.status) for each in found] == [
        (DISPUTE, disputed[2], 1002, "needs_response"),
        (DISPUTE, disputed[1], 1001, "warning_needs_response"),
        (DISPUTE, disputed[0], 1000, "needs_response"),
        (FRAUD_WARNING, warned[2], 0, ACTIONABLE),
        (FRAUD_WARNING, warned[1], 0, ACTIONABLE),
        (FRAUD_WARNING, warned[0], 0, OVER),
    ]
    assert all(before - 1 <= each.created <= time.time() for each in found)
    assert found[0].evidence_due_by > time.time()
    assert walk(lambda after: stripe_disputes.cases(after, time.time() + 60)) == ([], 2)
    assert stripe_disputes.of_payment(disputed[1]) == [found[1]]
    assert stripe_disputes.of_payment(warned[0]) == [found[5]]
    for case, other in ((found[0], FRAUD_WARNING), (found[3], DISPUTE)):
        assert stripe_disputes.case(case.id, case.kind) == case
        assert stripe_disputes.case(case.id, other) is None


def test_shippo_lists_labels_in_pages(shippo_lists: ShippoLists, sdks: Sdks) -> None:
    before = time.time()
    shipments = [ship(sdks) for _ in range(3)]
    labels = [buy(sdks, each, metadata=f"or_{number}") for number, each in enumerate(shipments)]
    sdks.shippo.refunds.create(labels[1].object_id, async_=False)

    found, pages = walk(lambda number: shippo_lists.sold(number or 1, before - 1))
    assert pages == 2
    assert [each.id for each in found] == [label.object_id for label in reversed(labels)]
    assert [(each.state, each.reference, each.rate_id) for each in reversed(found)] == [
        (state, f"or_{number}", shipments[number].rates[-1].object_id)
        for number, state in enumerate((SOLD, REFUNDED, SOLD))
    ]
    assert all(each.tracking_number and each.label_url and before - 1 <= each.created for each in found)
    assert shippo_lists.sold(1, time.time() + 60) == ([], None)
    assert shippo_lists.one(found[0].id) == found[0]
    assert shippo_lists.one("f" * 32) is None
    rate = shippo_lists.rate(found[0].rate_id)
    assert rate is not None
    assert (rate.shipment_id, rate.carrier) == (shipments[2].object_id, "USPS")
    assert shippo_lists.rate("f" * 32) is None


def test_twilio_lists_messages_in_pages(twilio_lists: TwilioLists, texter: TwilioTexter, sdks: Sdks) -> None:
    before = time.time()
    sent = [texter.send(Sms(f"key {number}", f"+1415555010{number}", f"Hello {number}")) for number in range(5)]
    # The same account sends this message, but not from the shop's number.
    service = "MG" + "1" * 32
    sdks.twilio.messages.create(to="+14155550109", messaging_service_sid=service, body="Hello")

    found, pages = walk(lambda cursor: twilio_lists.texts(cursor, 0.0))
    assert pages == 3
    assert [(each.sid, each.to, each.body) for each in reversed(found)] == [
        (each.sid, f"+1415555010{number}", f"Hello {number}") for number, each in enumerate(sent)
    ]
    assert all(before - 1 <= each.created <= time.time() for each in found)
    assert twilio_lists.texts(None, time.time() + 60) == ([], None)
    one = twilio_lists.one(sent[0].sid)
    assert one is not None
    assert (one.sid, one.body) == (sent[0].sid, "Hello 0")
    assert twilio_lists.one("SM" + "0" * 32) is None


def test_messaging_service_lists_only_its_own_messages(sandbox: RunningSandbox, sdks: Sdks) -> None:
    service = "MG" + "2" * 32
    own = sdks.twilio.messages.create(to="+14155550109", messaging_service_sid=service, body="Of the service")
    texter = TwilioTexter(SANDBOX_KEYS["twilio"], SANDBOX_TWILIO_TOKEN, f"{sandbox.url}/twilio", service, 5, 20)
    found, following = TwilioLists(texter).texts(None, 0.0)
    assert ([each.sid for each in found], following) == ([own.sid], None)


@pytest.mark.parametrize(("status", "kind"), [(429, Unavailable), (401, ProviderFailure)])
@pytest.mark.parametrize("provider", ["stripe", "shippo", "twilio"])
def test_refused_list_request_raises_an_error(
    sandbox: RunningSandbox,
    stripe_lists: StripeLists,
    shippo_lists: ShippoLists,
    twilio_lists: TwilioLists,
    provider: str,
    status: int,
    kind: type[ShopError],
) -> None:
    asked: dict[str, list[Callable[[], Any]]] = {
        "stripe": [lambda: stripe_lists.payments(None, 0.0), lambda: stripe_lists.refund("re_1")],
        "shippo": [lambda: shippo_lists.sold(1, 0.0), lambda: shippo_lists.one("f" * 32)],
        "twilio": [lambda: twilio_lists.texts(None, 0.0), lambda: twilio_lists.one("SM" + "0" * 32)],
    }
    sandbox.fault(provider, error_rate=1, error_status=status)
    for ask in asked[provider]:
        with pytest.raises(kind):
            ask()
