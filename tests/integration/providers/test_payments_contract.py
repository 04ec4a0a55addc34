"""What the shop relies on in each `Payments` port: Stripe's over the sandbox, AcmePay's, the unit tests' `Bank`."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import pytest
import requests

from cart.rules.payments import (
    ACTION,
    CALLED_OFF,
    CANCELED,
    OPEN,
    REPLAYED,
    SUCCEEDED,
    PaymentProvider,
    Payments,
)
from cart.stripe.bundle import Stripe
from cart.stripe.payments import StripePayments
from chassis.settings import SANDBOX_KEYS, Provider, Settings
from contracts.errors import OutcomeUnknown, PaymentDeclined, ProviderFailure, Refused, Unavailable
from launcher.ports import free_port
from tests.providers.acme_pay import server as acme_pay
from tests.providers.acme_pay.bundle import AcmePay
from tests.providers.acme_pay.server import AcmePayServer
from tests.running_sandbox import RunningSandbox
from tests.unit.cart.fakes import Bank

TAKEN, DECLINED, ASKED, UNKNOWN = "taken", "declined", "asked", "unknown"


class Played(Protocol):
    """A provider with its client, and what a test does at the provider's side."""

    @property
    def payments(self) -> Payments:
        """The client."""

    def card(self, outcome: str) -> str:
        """A card whose confirmation ends so."""

    def lost(self, call: str) -> Any:
        """A context in which the answers to a call ("open", "confirm", "refund") are lost."""

    def approve(self, payment_id: str) -> None:
        """The holder confirms the payment at the bank."""

    def give_back(self, payment_id: str, amount: int) -> None:
        """Refund some of a payment without the shop."""

    def unreachable(self) -> Payments:
        """A client that reaches nobody."""

    def taken(self, order_id: str, payment_id: str) -> int:
        """How often money was taken for an order, which has one payment."""


def settings(stripe_url: str) -> Settings:
    stripe = Provider(SANDBOX_KEYS["stripe"], "", f"{stripe_url}/stripe", False)
    return dataclasses.replace(Settings.load(), stripe=stripe)


def closed_url() -> str:
    """An address on which nobody listens."""
    return f"http://127.0.0.1:{free_port()}"


class PlayedStripe:
    CARDS = {
        TAKEN: "tok_visa",
        DECLINED: "tok_visa_chargeDeclinedInsufficientFunds",
        ASKED: "pm_card_authenticationRequired",
        UNKNOWN: "tok_nonsense",
    }
    PATHS = {"open": "/v1/payment_intents", "confirm": "/v1/payment_intents", "refund": "/v1/refunds"}

    def __init__(self, sandbox: RunningSandbox) -> None:
        self.sandbox = sandbox
        self.provider: PaymentProvider = Stripe(settings(sandbox.url))
        self.payments = self.provider.payments

    def card(self, outcome: str) -> str:
        return self.CARDS[outcome]

    @contextmanager
    def lost(self, call: str) -> Iterator[None]:
        self.sandbox.fault("stripe", path=self.PATHS[call], method="POST", lose_answer_rate=1)
        yield
        self.sandbox.heal()

    def approve(self, payment_id: str) -> None:
        url = f"{self.sandbox.url}/sandbox/3ds/{payment_id}"
        requests.post(url, json={"result": "succeed"}, timeout=30).raise_for_status()

    def give_back(self, payment_id: str, amount: int) -> None:
        asked: Any = {"payment_intent": payment_id, "amount": amount}
        assert isinstance(self.payments, StripePayments)
        self.payments.asked(lambda client: client.v1.refunds.create(asked))

    def unreachable(self) -> Payments:
        return Stripe(settings(closed_url())).payments

    def taken(self, order_id: str, payment_id: str) -> int:
        return len([charge for charge in self.sandbox.ledger(order_id=order_id)["charges"] if charge["paid"]])


class PlayedAcmePay:
    CARDS = {TAKEN: acme_pay.VISA, DECLINED: acme_pay.POOR, ASKED: acme_pay.BANK, UNKNOWN: "acme-nonsense"}
    CALLS = {
        "open": "POST /payments",
        "confirm": "POST /payments/.+/take",
        "refund": "POST /payments/.+/refunds",
    }

    def __init__(self, server: AcmePayServer, environment: pytest.MonkeyPatch) -> None:
        self.server = server
        self._environment = environment
        self.payments = self._made(server.url).payments

    def _made(self, url: str) -> PaymentProvider:
        self._environment.setenv("ACMEPAY_URL", url)
        return AcmePay(Settings.load())

    def card(self, outcome: str) -> str:
        return self.CARDS[outcome]

    @contextmanager
    def lost(self, call: str) -> Iterator[None]:
        self.server.trouble = {self.CALLS[call]: acme_pay.LOSE}
        yield
        self.server.trouble = {}

    def approve(self, payment_id: str) -> None:
        self.server.approve(payment_id)

    def give_back(self, payment_id: str, amount: int) -> None:
        self.server.give_back(payment_id, amount)

    def unreachable(self) -> Payments:
        return self._made(closed_url()).payments

    def taken(self, order_id: str, payment_id: str) -> int:
        return len(self.server.taken(order_id))


class PlayedBank:
    MOODS = {TAKEN: "take", DECLINED: "decline", ASKED: "ask"}

    def __init__(self) -> None:
        self.payments: Payments = Bank()  # type: ignore[assignment]  # it has no `live`
        self.bank: Any = self.payments

    def card(self, outcome: str) -> str:
        self.bank.mood = self.MOODS[outcome]
        return "tok_any"

    @contextmanager
    def lost(self, call: str) -> Iterator[None]:
        if call == "open":
            self.bank.opening = ["lose"]
        else:
            self.bank.mood = "lose"
        yield

    def approve(self, payment_id: str) -> None:
        self.bank.take(payment_id)

    def give_back(self, payment_id: str, amount: int) -> None:
        self.bank.give_back(payment_id, amount)

    def unreachable(self) -> Payments:
        bank: Any = Bank()
        bank.opening = ["full"]
        payments: Payments = bank
        return payments

    def taken(self, order_id: str, payment_id: str) -> int:
        return len([paid for paid, _, _ in self.bank.charges if paid == payment_id])


@pytest.fixture
def server() -> Iterator[AcmePayServer]:
    running = AcmePayServer()
    yield running
    running.stop()


@pytest.fixture(params=["stripe", "acmepay", "bank"])
def played(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Played:
    if request.param == "stripe":
        return PlayedStripe(request.getfixturevalue("providers"))
    if request.param == "acmepay":
        return PlayedAcmePay(request.getfixturevalue("server"), monkeypatch)
    return PlayedBank()


def only(*providers: str) -> Callable[..., Any]:
    """Run a test with these providers: the others cannot play it."""
    return pytest.mark.parametrize("played", providers, indirect=True)


def key() -> str:
    return uuid.uuid4().hex


def opened(played: Played, amount: int = 1000) -> tuple[str, str]:
    """Open a payment; return the id of its order and its own id."""
    order_id = f"or_{key()}"
    return order_id, played.payments.open(order_id, amount, "usd", "shopper@example.com", key()).id


def paid(played: Played) -> tuple[str, str]:
    order_id, payment_id = opened(played)
    confirm(played, payment_id)
    return order_id, payment_id


def confirm(played: Played, payment_id: str, outcome: str = TAKEN) -> Any:
    method = played.payments.method(played.card(outcome), key())
    return played.payments.confirm(payment_id, method, key())


def test_opened_payment_takes_no_money(played: Played) -> None:
    order_id, payment_id = opened(played, 1234)
    found = played.payments.find(payment_id)
    assert (found.id, found.state, found.amount, found.charge) == (payment_id, OPEN, 1234, None)
    assert played.taken(order_id, payment_id) == 0


def test_one_key_opens_one_payment(played: Played) -> None:
    order_id, mail, first = f"or_{key()}", "shopper@example.com", key()
    payment = played.payments.open(order_id, 1000, "usd", mail, first)
    assert played.payments.open(order_id, 1000, "usd", mail, first) == payment
    assert played.payments.open(order_id, 1000, "usd", mail, key()).id != payment.id
    with pytest.raises(ProviderFailure):
        played.payments.open(order_id, 999, "usd", mail, first)


def test_one_key_takes_the_money_once(played: Played) -> None:
    order_id, payment_id = opened(played, 1234)
    method, once = played.payments.method(played.card(TAKEN), key()), key()
    payment = played.payments.confirm(payment_id, method, once)
    assert (payment.state, payment.amount, bool(payment.charge)) == (SUCCEEDED, 1234, True)
    assert played.payments.confirm(payment_id, method, once) == payment
    assert played.payments.find(payment_id) == payment
    assert played.taken(order_id, payment_id) == 1


def test_declined_payment_stays_open_for_another_card(played: Played) -> None:
    order_id, payment_id = opened(played)
    method, once = played.payments.method(played.card(DECLINED), key()), key()
    for _ in range(2):  # the decline is stored under the key
        with pytest.raises(PaymentDeclined) as caught:
            played.payments.confirm(payment_id, method, once)
        assert caught.value.facts["code"] == "card_declined"
    found = played.payments.find(payment_id)
    assert (found.state, bool(found.decline)) == (OPEN, True)
    assert confirm(played, payment_id).state == SUCCEEDED
    assert played.taken(order_id, payment_id) == 1


@only("stripe", "acmepay")
def test_unknown_card_is_refused(played: Played) -> None:
    order_id, payment_id = opened(played)
    with pytest.raises(Refused):
        confirm(played, payment_id, UNKNOWN)
    assert played.taken(order_id, payment_id) == 0


def test_bank_confirmation_takes_the_money(played: Played) -> None:
    order_id, payment_id = opened(played)
    payment = confirm(played, payment_id, ASKED)
    assert payment.state == ACTION
    assert set(payment.action) == {"client_secret", "next_action"}
    assert played.taken(order_id, payment_id) == 0
    played.approve(payment_id)
    assert played.payments.find(payment_id).state == SUCCEEDED
    assert played.taken(order_id, payment_id) == 1


def test_canceled_payment_is_never_taken(played: Played) -> None:
    order_id, payment_id = opened(played)
    for _ in range(2):
        assert played.payments.cancel(payment_id).state == CANCELED
    with pytest.raises(Refused) as caught:
        confirm(played, payment_id)
    assert caught.value.facts[CALLED_OFF] is True
    assert played.taken(order_id, payment_id) == 0


def test_taken_payment_is_not_canceled(played: Played) -> None:
    _, payment_id = paid(played)
    assert played.payments.cancel(payment_id).state == SUCCEEDED


def test_one_key_makes_one_refund(played: Played) -> None:
    order_id, payment_id = paid(played)
    assert played.payments.refunds(payment_id) == []
    once = key()
    refund = played.payments.refund(payment_id, 300, "rf_1", order_id, once)
    assert (refund.amount, refund.refund_id, refund.failed) == (300, "rf_1", False)
    assert played.payments.refund(payment_id, 300, "rf_1", order_id, once) == refund
    with pytest.raises(Refused):
        played.payments.refund(payment_id, 701, "rf_2", order_id, key())
    assert played.payments.refunds(payment_id) == [refund]


def test_refund_made_elsewhere_is_listed(played: Played) -> None:
    _, payment_id = paid(played)
    played.give_back(payment_id, 400)
    [refund] = played.payments.refunds(payment_id)
    assert (refund.amount, refund.refund_id) == (400, None)


def test_lost_answer_to_open_is_repeated_by_its_key(played: Played) -> None:
    order_id, once = f"or_{key()}", key()

    def open_it() -> Any:
        return played.payments.open(order_id, 1000, "usd", "shopper@example.com", once)

    with played.lost("open"), pytest.raises(OutcomeUnknown):
        open_it()
    payment = open_it()
    assert open_it() == payment


def test_lost_answer_to_confirm_is_one_charge(played: Played) -> None:
    order_id, payment_id = opened(played)
    method, once = played.payments.method(played.card(TAKEN), key()), key()
    with played.lost("confirm"), pytest.raises(OutcomeUnknown):
        played.payments.confirm(payment_id, method, once)
    assert played.payments.find(payment_id).state == SUCCEEDED
    assert played.payments.confirm(payment_id, method, once).state == SUCCEEDED
    assert played.taken(order_id, payment_id) == 1


def test_lost_answer_to_refund_is_one_refund(played: Played) -> None:
    order_id, payment_id = paid(played)
    once = key()
    with played.lost("refund"), pytest.raises(OutcomeUnknown):
        played.payments.refund(payment_id, 300, "rf_1", order_id, once)
    refund = played.payments.refund(payment_id, 300, "rf_1", order_id, once)
    assert played.payments.refunds(payment_id) == [refund]


def test_unreachable_provider_has_done_nothing(played: Played) -> None:
    with pytest.raises(Unavailable):
        played.unreachable().open("or_1", 1000, "usd", "shopper@example.com", key())


@only(
    "acmepay", "bank"
)  # the sandbox keeps no failure; tests/integration/providers/test_stripe_payments.py scripts one
def test_failure_kept_under_a_key_is_marked_as_replayed(played: Played) -> None:
    order_id, payment_id = paid(played)
    once = key()
    if isinstance(played, PlayedAcmePay):
        played.server.trouble = {PlayedAcmePay.CALLS["refund"]: acme_pay.BREAK}
    else:
        played.bank.mood = "break"  # type: ignore[attr-defined]
    for _ in range(2):
        with pytest.raises(OutcomeUnknown) as caught:
            played.payments.refund(payment_id, 300, "rf_1", order_id, once)
    assert caught.value.facts[REPLAYED] is True
