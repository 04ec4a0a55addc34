"""A locked database defers the write that ends a claim.

The deferred write follows soon after. It frees the work, or records its result, long before the claim would expire. It
changes nothing when another copy has taken the work over meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from cart.rules.order import PAID
from cart.store.unit_of_work import CartStore
from chassis.answers import Replay
from chassis.db.claims import ClaimLost
from chassis.db.heartbeat import Heartbeat
from chassis.work.ask_once import AskOnce
from chassis.work.idempotency import Asked, Idempotency
from chassis.work.inbox import CLAIM_S as EVENT_CLAIM_S
from chassis.work.inbox import Inbox
from chassis.work.tasks import DONE, WAITING
from contracts.errors import OutcomeUnknown, ProviderFailure, Unavailable
from notifications.delivery import Delivery
from notifications.rules.messages import Mail, Sms
from notifications.rules.record import State
from notifications.store.messages import MessageStore
from shipping.labels.buy import LabelDesk
from shipping.labels.refund import VoidDesk
from shipping.rules.purchase import State as LabelState
from shipping.rules.shipment import Shipment
from shipping.store.shipments import ShippingStore
from tests.integration.cart.test_cart_store import Clock, copy_of, order
from tests.locked import Locked
from tests.unit.notifications import stub_providers
from tests.unit.shipping.stub_carriers import Clock as WaitingClock
from tests.unit.shipping.stub_carriers import StubCarriers

TEXT = Sms("sms:or_1", "+79994413746", "Your order is ready!")
MAIL = Mail("mail:or_1", "a@example.com", "shop@example.com", "Hello", "text", None)


# Orders, deliveries, refunds


class Carts:
    """Two copies of the cart service: `one` holds the claims, and `other` tries to take them over."""

    def __init__(self, file: Locked) -> None:
        self.file, self.clock = file, Clock()
        self.one, self.other = copy_of(file.open(), self.clock), copy_of(file.open(), self.clock)
        self.one.orders.place(order(), "k1")

    def later(self, seconds: float) -> None:
        """Move the clock; the heartbeat of `one` stays fresh."""
        self.clock.now += seconds
        self.one.database.heartbeat.beat()

    def catch_up(self, store: CartStore | None = None) -> None:
        (store or self.one).database.deferred.catch_up()


@pytest.fixture
def carts(locked: Callable[[str], Locked]) -> Carts:
    return Carts(locked("cart"))


def test_deferred_release_frees_the_order(carts: Carts) -> None:
    held = carts.one.orders.claim("or_1", None, carts.clock.now + 30.0)
    assert held is not None
    with carts.file.held():
        carts.one.orders.let_go(held, carts.clock.now + 1.0)
    with pytest.raises(ClaimLost):  # the holder has released the claim
        carts.one.orders.keep(held)
    carts.later(2.0)
    assert carts.other.orders.claim("or_1", None, 100.0) is None
    carts.catch_up()
    assert carts.other.orders.stalled() == ["or_1"]
    assert carts.other.orders.claim("or_1", None, 100.0, fresh=False, hurry=False) is not None


def test_deferred_release_leaves_a_taken_over_order_alone(carts: Carts) -> None:
    held = carts.one.orders.claim("or_1", None, carts.clock.now + 30.0)
    assert held is not None
    with carts.file.held():
        carts.one.orders.let_go(held, carts.clock.now + 1.0)
    carts.clock.now += 29.0  # the heartbeat of `one` is stale
    taken = carts.other.orders.claim("or_1", None, 100.0)
    assert taken is not None
    carts.catch_up()
    kept = carts.one.orders.get("or_1")
    assert (kept.claim, kept.claimed_until) == (taken.claim, 100.0)
    carts.other.orders.keep(taken)


def test_deferred_result_marks_the_delivery_done(carts: Carts) -> None:
    row = claimed_mail(carts)
    with carts.file.held():
        carts.one.deliveries.settle(row["key"], row["claim"], state=DONE, answer={"status code": "202"})
    carts.later(2.0)
    assert [each["held"] for each in carts.other.deliveries.of("or_1")] == [True]
    carts.catch_up()
    [known] = carts.other.deliveries.of("or_1")
    assert (known["state"], known["answer"], known["claim"]) == (DONE, {"status code": "202"}, None)


def test_deferred_retry_makes_the_delivery_due(carts: Carts) -> None:
    row = claimed_mail(carts)
    with carts.file.held():
        carts.one.deliveries.settle(row["key"], row["claim"], state=WAITING, due_at=carts.clock.now + 1.0, error="away")
    carts.later(2.0)
    assert carts.other.deliveries.due() == []
    carts.catch_up()
    assert carts.other.deliveries.due() == [row["key"]]


def test_deferred_retry_leaves_a_taken_over_delivery_alone(carts: Carts) -> None:
    row = claimed_mail(carts)
    with carts.file.held():
        carts.one.deliveries.settle(row["key"], row["claim"], state=WAITING, due_at=carts.clock.now + 1.0, error="away")
    carts.clock.now += 26.0
    taken = carts.other.deliveries.claim(row["key"], 25.0)
    assert taken is not None
    carts.catch_up()
    [known] = carts.one.deliveries.of("or_1")
    assert (known["claim"], known["claimed_until"]) == (taken["claim"], taken["claimed_until"])


def claimed_mail(carts: Carts) -> dict[str, Any]:
    """The delivery of a mail for the order, claimed by `one`."""
    held = carts.one.orders.claim("or_1", None, 100.0)
    assert held is not None
    carts.one.deliveries.add("or_1:email", "email", "or_1")
    row = carts.one.deliveries.claim("or_1:email", 25.0)
    assert row is not None
    return row


def claimed_refund(carts: Carts) -> dict[str, Any]:
    """A refund claimed by `one`."""
    carts.one.orders.place(order(2, status=PAID, amount=100, payment="pi_1"), "k2")
    return carts.one.refunds.ask("or_2", 60, "r1", carts.clock.now + 30.0)[0]


def test_deferred_release_frees_the_refund(carts: Carts) -> None:
    row = claimed_refund(carts)
    with carts.file.held():
        carts.one.refunds.let_go(row, carts.clock.now + 1.0)
    carts.later(2.0)
    assert carts.other.refunds.stalled() == []
    carts.catch_up()
    assert carts.other.refunds.stalled() == [row["id"]]


def test_deferred_release_leaves_a_taken_over_refund_alone(carts: Carts) -> None:
    row = claimed_refund(carts)
    with carts.file.held():
        carts.one.refunds.let_go(row, carts.clock.now + 1.0)
    carts.clock.now += 29.0
    taken = carts.other.refunds.claim(row["id"], 100.0)
    assert taken is not None
    carts.catch_up()
    kept = carts.one.refunds.get(row["id"])
    assert (kept["claim"], kept["claimed_until"]) == (taken["claim"], 100.0)


# The work of a dead copy comes first


def test_work_of_a_dead_copy_comes_before_overdue_work(
    locked: Callable[[str], Locked],
) -> None:
    carts = Carts(locked("cart"))
    clock, dead, alive = carts.clock, carts.one, carts.other
    for number in (2, 3):
        alive.orders.place(order(number, status=PAID, amount=100, payment=f"pi_{number}"), f"k{number}")
    alive.orders.place(order(4), "k4")
    waiting = alive.orders.claim("or_4", None, clock.now + 30.0)
    assert waiting is not None
    alive.deliveries.add("or_4:email", "email", "or_4")
    alive.orders.let_go(waiting, clock.now + 1.0)
    alive.refunds.let_go(alive.refunds.ask("or_3", 60, "r3", clock.now + 30.0)[0], clock.now + 1.0)
    held = dead.orders.claim("or_1", None, clock.now + 30.0)
    assert held is not None
    dead.deliveries.add("or_1:email", "email", "or_1")
    assert dead.deliveries.claim("or_1:email", 25.0) is not None
    dead_refund = dead.refunds.ask("or_2", 60, "r2", clock.now + 30.0)[0]["id"]
    clock.now += 6.0  # the heartbeat of `dead` is stale; the other work has been due for five seconds
    assert alive.orders.stalled() == ["or_1", "or_4"]
    assert alive.deliveries.due() == ["or_1:email", "or_4:email"]
    assert (len(alive.refunds.stalled()), alive.refunds.stalled(1)) == (2, [dead_refund])


# Labels


class Labels:
    """Two copies of the shipping service and a stub of the carrier."""

    def __init__(self, file: Locked) -> None:
        self.file, self.clock, self.carriers = file, WaitingClock(), StubCarriers()
        self.one, self.other = (ShippingStore(copy(file, self.clock)) for _ in range(2))
        rates = [{"object_id": "first", "provider": "USPS", "servicelevel": {"name": "first", "token": "usps_first"}}]
        self.shipment = self.one.add(Shipment("ship", "key", "or_1", self.clock.now, {}, [], [], rates, []))

    def desk(self, store: ShippingStore) -> LabelDesk:
        ask_once = AskOnce(lambda wait: min(wait, 10.0), self.clock, self.clock.sleep, self.clock)
        return LabelDesk(store, self.carriers, ask_once)

    def buy(self, store: ShippingStore) -> dict[str, Any]:
        return self.desk(store).buy(self.shipment, "first", "pay:or_1")

    def give_back(self, store: ShippingStore) -> dict[str, Any]:
        return VoidDesk(self.desk(store), store, self.carriers).give_back("ship")

    def free(self) -> bool:
        """Whether the claim on the purchase has expired, while the heartbeat of `one` is fresh."""
        self.one.database.heartbeat.beat()
        with self.one.database.read() as connection:
            return connection.execute(sa.text("SELECT claimed_until FROM labels")).scalar_one() <= self.clock.now


def copy(file: Locked, clock: Callable[[], float]) -> Any:
    database = file.open()
    database.heartbeat = Heartbeat(database, clock)
    return database


@pytest.fixture
def labels(locked: Callable[[str], Locked]) -> Labels:
    return Labels(locked("shipping"))


def test_deferred_failure_frees_the_purchase(labels: Labels) -> None:
    labels.carriers.trouble = [ProviderFailure("nonsense")]
    labels.carriers.on_buy = labels.file.lock
    with pytest.raises(ProviderFailure):
        labels.buy(labels.one)
    labels.file.unlock()
    assert not labels.free()
    labels.one.database.deferred.catch_up()
    assert labels.free()
    labels.carriers.on_buy = lambda: None
    began = labels.clock.now
    assert labels.buy(labels.other)["tracking_number"] == "94002"
    assert (labels.clock.now, labels.carriers.questions) == (began, [])  # the record says that nothing was bought


def test_deferred_outcome_keeps_a_lost_purchase_unresolved(labels: Labels) -> None:
    labels.carriers.trouble = [OutcomeUnknown("lost")]
    labels.carriers.on_buy = labels.file.lock
    with pytest.raises(OutcomeUnknown):
        labels.buy(labels.one)
    labels.file.unlock()
    labels.one.database.deferred.catch_up()
    assert labels.free()
    purchase = labels.other.purchase("ship")
    assert purchase is not None
    assert purchase.unresolved
    assert purchase.settled >= purchase.tried + labels.carriers.longest_answer


def test_deferred_record_keeps_the_bought_label(labels: Labels) -> None:
    labels.carriers.on_buy = labels.file.lock
    with pytest.raises(Unavailable):
        labels.buy(labels.one)
    labels.file.unlock()
    assert not labels.free()
    labels.one.database.deferred.catch_up()
    assert labels.buy(labels.other)["tracking_number"] == "94001"
    assert (labels.carriers.purchases, labels.carriers.questions) == (["first"], [])


def test_label_held_back_by_an_outage_counts_as_not_bought(labels: Labels) -> None:
    labels.carriers.on_connect = labels.file.lock
    with pytest.raises(Unavailable):
        labels.buy(labels.one)
    labels.file.unlock()
    labels.one.database.deferred.catch_up()
    purchase = labels.other.purchase("ship")
    assert purchase is not None
    assert purchase.state is LabelState.FAILED
    assert labels.carriers.purchases == []


def test_deferred_release_frees_an_unbegun_purchase(labels: Labels) -> None:
    request = labels.desk(labels.one).request("ship")
    request.claimed()
    with labels.file.held(), pytest.raises(Unavailable):
        request.bought(labels.shipment, labels.shipment.rate("first"), "pay:or_1")
    assert not labels.free()
    labels.one.database.deferred.catch_up()
    assert labels.free()
    assert labels.carriers.purchases == []


def test_deferred_record_keeps_the_label_refund(labels: Labels) -> None:
    labels.buy(labels.one)
    refund = labels.carriers.refund

    def locks(transaction_id: str) -> str:
        labels.file.lock()
        return refund(transaction_id)

    labels.carriers.refund = locks  # type: ignore[method-assign]
    assert labels.give_back(labels.one)["status"] == "refunded"
    labels.file.unlock()
    assert not labels.free()
    labels.one.database.deferred.catch_up()
    assert labels.free()
    assert labels.give_back(labels.other)["status"] == "refunded"
    assert labels.carriers.refunds == ["transaction-1"]


@pytest.mark.parametrize("trouble", [None, ProviderFailure("nonsense")], ids=["bought", "failed"])
def test_deferred_end_leaves_a_taken_over_purchase_alone(labels: Labels, trouble: Exception | None) -> None:
    labels.carriers.trouble = [trouble]
    labels.carriers.on_buy = labels.file.lock
    with pytest.raises((Unavailable, ProviderFailure)):
        labels.buy(labels.one)
    labels.file.unlock()
    labels.clock.now += 16.0
    until = labels.clock.now + 15.0
    assert labels.other.claim("ship", "theirs", labels.clock.now, until) is not None
    labels.one.database.deferred.catch_up()
    assert not labels.free()
    purchase = labels.other.purchase("ship")
    assert purchase is not None
    assert purchase.unresolved
    labels.other.end("ship", "theirs", purchase.state)
    assert labels.free()


# Messages


class Messages:
    """Two copies of the notifications service and stubs of the providers."""

    def __init__(self, file: Locked) -> None:
        self.file, self.clock = file, stub_providers.Clock()
        self.texter, self.mailer = stub_providers.StubTexter(self.clock), stub_providers.StubMailer()
        self.one, self.other = (MessageStore(copy(file, self.clock)) for _ in range(2))

    def send(self, store: MessageStore, message: Mail | Sms) -> dict[str, Any]:
        ask_once = AskOnce(lambda wait: min(wait, 10.0), self.clock, self.clock.sleep, self.clock)
        delivery = Delivery(store, ask_once, self.mailer, self.texter)
        if isinstance(message, Sms):
            return delivery.sms(message)
        return delivery.mail(message)

    def lock_after_sending(self, message: Mail | Sms, trouble: Exception | None) -> None:
        """Lock the database as soon as the provider has accepted or refused the message."""
        provider: Any = self.texter if isinstance(message, Sms) else self.mailer
        send = provider.send

        def sends(message: Any) -> Any:
            provider.send = send
            try:
                return send(message)
            finally:
                self.file.lock()

        provider.send = sends
        provider.trouble = [] if trouble is None else [trouble]

    def free(self) -> bool:
        self.one.database.heartbeat.beat()
        with self.one.database.read() as connection:
            return connection.execute(sa.text("SELECT claimed_until FROM messages")).scalar_one() <= self.clock.now


@pytest.fixture
def messages(locked: Callable[[str], Locked]) -> Messages:
    return Messages(locked("notifications"))


@pytest.mark.parametrize("message", [TEXT, MAIL], ids=["sms", "mail"])
def test_deferred_failure_frees_the_message(messages: Messages, message: Any) -> None:
    messages.lock_after_sending(message, ProviderFailure("nonsense"))
    with pytest.raises(ProviderFailure):
        messages.send(messages.one, message)
    messages.file.unlock()
    assert not messages.free()
    messages.one.database.deferred.catch_up()
    assert messages.free()
    began = messages.clock.now
    messages.send(messages.other, message)
    assert (messages.clock.now, messages.texter.questions) == (began, 0)  # the record says that it was not sent
    assert [row["uncertain"] for row in messages.other.listed(None, 9)] == [0]


@pytest.mark.parametrize("message", [TEXT, MAIL], ids=["sms", "mail"])
def test_deferred_record_keeps_the_sent_message(messages: Messages, message: Any) -> None:
    messages.lock_after_sending(message, None)
    with pytest.raises(Unavailable):
        messages.send(messages.one, message)
    messages.file.unlock()
    assert not messages.free()
    messages.one.database.deferred.catch_up()
    messages.send(messages.other, message)
    assert len(messages.texter.arrived) + len(messages.mailer.arrived) == 1
    assert messages.texter.questions == 0


@pytest.mark.parametrize("message", [TEXT, MAIL], ids=["sms", "mail"])
def test_deferred_release_frees_an_unbegun_message(messages: Messages, message: Any) -> None:
    now = messages.clock.now
    assert messages.one.claim(message, "mine", now, now + 15.0) is not None
    with messages.file.held(), pytest.raises(Unavailable):
        messages.one.begin(message, "mine", now, now + 15.0)
    assert not messages.free()
    messages.one.database.deferred.catch_up()
    assert messages.free()
    messages.send(messages.other, message)
    assert [row["uncertain"] for row in messages.other.listed(None, 9)] == [0]


@pytest.mark.parametrize("message", [TEXT, MAIL], ids=["sms", "mail"])
def test_message_held_back_by_an_outage_counts_as_not_sent(messages: Messages, message: Any) -> None:
    messages.texter.on_connect = messages.mailer.on_connect = messages.file.lock
    with pytest.raises(Unavailable):
        messages.send(messages.one, message)
    messages.texter.on_connect = messages.mailer.on_connect = lambda: None
    messages.file.unlock()
    messages.one.database.deferred.catch_up()
    record = messages.other.get(message.key)
    assert record is not None
    assert record.state is State.FAILED
    messages.send(messages.other, message)
    assert [row["uncertain"] for row in messages.other.listed(None, 9)] == [0]


def test_found_message_is_recorded_once(messages: Messages, monkeypatch: pytest.MonkeyPatch) -> None:
    def written_twice(*_: Any) -> None:
        raise AssertionError("written twice")

    messages.texter.trouble, messages.texter.sends_anyway = [OutcomeUnknown("lost")], True
    monkeypatch.setattr(messages.one, "record", written_twice)
    assert messages.send(messages.one, TEXT)["sid"] == "SM1"


@pytest.mark.parametrize("message", [TEXT, MAIL], ids=["sms", "mail"])
@pytest.mark.parametrize("trouble", [None, ProviderFailure("nonsense")], ids=["sent", "refused"])
def test_deferred_end_leaves_a_taken_over_message_alone(messages: Messages, message: Any, trouble: Any) -> None:
    messages.lock_after_sending(message, trouble)
    with pytest.raises((Unavailable, ProviderFailure)):
        messages.send(messages.one, message)
    messages.file.unlock()
    messages.clock.now += 25.0
    now = messages.clock.now
    assert messages.other.claim(message, "theirs", now, now + 15.0) is not None
    messages.one.database.deferred.catch_up()
    assert not messages.free()
    record = messages.other.get(message.key)
    assert record is not None
    assert record.unresolved


# Events, and answers under an idempotency key


def test_deferred_retry_makes_the_event_due(locked: Callable[[str], Locked]) -> None:
    file, clock = locked("cart"), Clock()
    one, other = (Inbox(copy(file, clock), clock) for _ in range(2))
    one.keep("evt_1", "kind", {})

    def fails(kind: str, body: dict[str, Any]) -> None:
        file.lock()
        raise Unavailable("not now")

    assert not one.handle("evt_1", fails)
    file.unlock()
    clock.now += 3.0
    one.tasks.database.heartbeat.beat()
    assert other.tasks.due() == []
    one.tasks.database.deferred.catch_up()
    assert other.tasks.due() == ["evt_1"]


def test_deferred_retry_leaves_a_taken_over_event_alone(locked: Callable[[str], Locked]) -> None:
    file, clock = locked("cart"), Clock()
    one, other = (Inbox(copy(file, clock), clock) for _ in range(2))
    one.keep("evt_1", "kind", {})

    def takes_over(kind: str, body: dict[str, Any]) -> None:
        one.tasks.database.deferred.catch_up()
        assert one.tasks.due() == []

    def fails(kind: str, body: dict[str, Any]) -> None:
        file.lock()
        raise Unavailable("not now")

    assert not one.handle("evt_1", fails)
    file.unlock()
    clock.now += EVENT_CLAIM_S + 1
    assert other.handle("evt_1", takes_over)
    assert [event["tries"] for event in other.tasks.rows(state="done")] == [2]


def test_deferred_write_stores_the_answer(locked: Callable[[str], Locked]) -> None:
    file = locked("cart")
    one, other = file.open(), file.open()

    def verb() -> Any:
        file.lock()
        return {"n": 1}

    def never() -> Any:
        raise AssertionError("done again")

    with pytest.raises(Unavailable):
        Idempotency(one).run(Asked("k1", "b1"), "pay", verb)
    file.unlock()
    one.deferred.catch_up()
    assert Idempotency(other).run(Asked("k1", "b1"), "pay", never) == Replay('{"result":{"n":1},"error":null}', None)


def test_deferred_release_frees_the_idempotency_key(locked: Callable[[str], Locked]) -> None:
    file = locked("cart")
    one, other = file.open(), file.open()

    def verb() -> Any:
        file.lock()
        raise ProviderFailure("nonsense")

    with pytest.raises(ProviderFailure):
        Idempotency(one).run(Asked("k1", "b1"), "pay", verb)
    file.unlock()
    one.deferred.catch_up()
    assert Idempotency(other).run(Asked("k1", "b1"), "pay", lambda: {"n": 2}) == {"n": 2}
