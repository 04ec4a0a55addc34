"""The end of a claim that cannot be written, since the database is locked, is written soon after: the work is free, or
known to be done, long before the claim of its living holder would have run out; and what another has taken over
meanwhile is left alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from cart.order import PAID
from cart.store import CartStore, ClaimLost
from chassis.answers import Replay
from chassis.db.heartbeat import Heartbeat
from chassis.work.ask_once import AskOnce
from chassis.work.idempotency import Asked, Idempotency
from chassis.work.inbox import CLAIM_S as EVENT_CLAIM_S
from chassis.work.inbox import Inbox
from chassis.work.tasks import DONE, WAITING
from contracts.errors import OutcomeUnknown, ProviderFailure, Unavailable
from notifications.delivery import Delivery
from notifications.messages import Mail, Sms
from notifications.store import MessageStore
from shipping.label import LabelDesk
from shipping.shipment import Shipment
from shipping.store import ShippingStore
from shipping.void import VoidDesk
from tests.integration.cart.test_cart_store import Clock, copy_of, order
from tests.locked import Locked
from tests.unit.notifications import stub_providers
from tests.unit.shipping.stub_carriers import Clock as WaitingClock
from tests.unit.shipping.stub_carriers import StubCarriers

TEXT = Sms("sms:or_1", "+79994413746", "Your order is ready!")
MAIL = Mail("mail:or_1", "a@example.com", "shop@example.com", "Hello", "text", None)


# Orders, what is owed, refunds


class Carts:
    """Two copies of the cart service: `one` has claims, and `other` would take them over."""

    def __init__(self, file: Locked) -> None:
        self.file, self.clock = file, Clock()
        self.one, self.other = copy_of(file.open(), self.clock), copy_of(file.open(), self.clock)
        self.one.place(order(), "k1")

    def later(self, seconds: float) -> None:
        """Time passes, and `one` is still there."""
        self.clock.now += seconds
        self.one.database.heartbeat.beat()

    def catch_up(self, store: CartStore | None = None) -> None:
        (store or self.one).database.deferred.catch_up()


@pytest.fixture
def carts(locked: Callable[[str], Locked]) -> Carts:
    return Carts(locked("cart"))


def test_an_order_that_could_not_be_let_go_is_free_soon(carts: Carts) -> None:
    held = carts.one.claim("or_1", None, carts.clock.now + 30.0)
    assert held is not None
    with carts.file.held():
        carts.one.let_go(held, carts.clock.now + 1.0)
    with pytest.raises(ClaimLost):  # whoever let it go does no more to it
        carts.one.keep(held)
    carts.later(2.0)
    assert carts.other.claim("or_1", None, 100.0) is None
    carts.catch_up()
    assert carts.other.stalled() == ["or_1"]
    assert carts.other.claim("or_1", None, 100.0, fresh=False, hurry=False) is not None


def test_an_order_that_was_taken_over_is_not_let_go_late(carts: Carts) -> None:
    held = carts.one.claim("or_1", None, carts.clock.now + 30.0)
    assert held is not None
    with carts.file.held():
        carts.one.let_go(held, carts.clock.now + 1.0)
    carts.clock.now += 29.0  # it was taken for dead
    taken = carts.other.claim("or_1", None, 100.0)
    assert taken is not None
    carts.catch_up()
    kept = carts.one.order("or_1")
    assert (kept.claim, kept.claimed_until) == (taken.claim, 100.0)
    carts.other.keep(taken)


def test_what_was_done_and_could_not_be_noted_is_known_to_be_done_soon(carts: Carts) -> None:
    row = owing(carts)
    with carts.file.held():
        carts.one.deliveries.settle(row["key"], row["claim"], state=DONE, answer={"status code": "202"})
    carts.later(2.0)
    assert [each["held"] for each in carts.other.deliveries.rows("or_1")] == [True]
    carts.catch_up()
    [known] = carts.other.deliveries.rows("or_1")
    assert (known["state"], known["answer"], known["claim"]) == (DONE, {"status code": "202"}, None)


def test_what_was_put_off_and_could_not_be_noted_is_tried_soon(carts: Carts) -> None:
    row = owing(carts)
    with carts.file.held():
        carts.one.deliveries.settle(row["key"], row["claim"], state=WAITING, due_at=carts.clock.now + 1.0, error="away")
    carts.later(2.0)
    assert carts.other.deliveries.due() == []
    carts.catch_up()
    assert carts.other.deliveries.due() == [row["key"]]


def test_what_is_in_another_hand_is_not_settled_late(carts: Carts) -> None:
    row = owing(carts)
    with carts.file.held():
        carts.one.deliveries.settle(row["key"], row["claim"], state=WAITING, due_at=carts.clock.now + 1.0, error="away")
    carts.clock.now += 26.0
    taken = carts.other.deliveries.claim(row["key"], 25.0)
    assert taken is not None
    carts.catch_up()
    [known] = carts.one.deliveries.rows("or_1")
    assert (known["claim"], known["claimed_until"]) == (taken["claim"], taken["claimed_until"])


def owing(carts: Carts) -> dict[str, Any]:
    """A mail that is owed for the order, and in the hand of `one`."""
    held = carts.one.claim("or_1", None, 100.0)
    assert held is not None
    carts.one.keep(held, also=lambda connection: carts.one.deliveries.add(connection, "or_1:email", "email", "or_1"))
    row = carts.one.deliveries.claim("or_1:email", 25.0)
    assert row is not None
    return row


def refunding(carts: Carts) -> dict[str, Any]:
    """A refund that `one` is at work on."""
    paid = order(2, livemode=False, currency="usd", returns={"data": []}, amount=100)
    paid.status, paid.payment = PAID, "pi_1"
    carts.one.place(paid, "k2")
    return carts.one.ask_refund("or_2", 60, "r1", carts.clock.now + 30.0)[0]


def test_a_refund_that_could_not_be_let_go_is_free_soon(carts: Carts) -> None:
    row = refunding(carts)
    with carts.file.held():
        carts.one.let_refund_go(row, carts.clock.now + 1.0)
    carts.later(2.0)
    assert carts.other.stalled_refunds() == []
    carts.catch_up()
    assert carts.other.stalled_refunds() == [row["id"]]


def test_a_refund_that_was_taken_over_is_not_let_go_late(carts: Carts) -> None:
    row = refunding(carts)
    with carts.file.held():
        carts.one.let_refund_go(row, carts.clock.now + 1.0)
    carts.clock.now += 29.0
    taken = carts.other.claim_refund(row["id"], 100.0)
    assert taken is not None
    carts.catch_up()
    kept = carts.one.refund_row(row["id"])
    assert (kept["claim"], kept["claimed_until"]) == (taken["claim"], 100.0)


# What a dead copy had in hand comes first


def test_what_a_dead_copy_had_in_hand_is_taken_up_before_what_is_due_since_long(
    locked: Callable[[str], Locked],
) -> None:
    carts = Carts(locked("cart"))
    clock, dead, alive = carts.clock, carts.one, carts.other
    for number in (2, 3):
        paid = order(number, livemode=False, currency="usd", returns={"data": []}, amount=100)
        paid.status, paid.payment = PAID, f"pi_{number}"
        alive.place(paid, f"k{number}")
    alive.place(order(4), "k4")
    waiting = alive.claim("or_4", None, clock.now + 30.0)
    assert waiting is not None
    alive.keep(waiting, also=lambda connection: alive.deliveries.add(connection, "or_4:email", "email", "or_4"))
    alive.let_go(waiting, clock.now + 1.0)
    alive.let_refund_go(alive.ask_refund("or_3", 60, "r3", clock.now + 30.0)[0], clock.now + 1.0)
    held = dead.claim("or_1", None, clock.now + 30.0)
    assert held is not None
    dead.keep(held, also=lambda connection: dead.deliveries.add(connection, "or_1:email", "email", "or_1"))
    assert dead.deliveries.claim("or_1:email", 25.0) is not None
    dead_refund = dead.ask_refund("or_2", 60, "r2", clock.now + 30.0)[0]["id"]
    clock.now += 6.0  # `dead` is not seen any more; what waits is due for five seconds
    assert alive.stalled() == ["or_1", "or_4"]
    assert alive.deliveries.due() == ["or_1:email", "or_4:email"]
    assert (len(alive.stalled_refunds()), alive.stalled_refunds(1)) == (2, [dead_refund])


# Labels


class Labels:
    """Two copies of the shipping service, and a carrier."""

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
        """Whether another could have the purchase now, with `one` still there."""
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


def test_a_purchase_that_failed_and_could_not_be_ended_is_free_soon(labels: Labels) -> None:
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
    assert (labels.clock.now, labels.carriers.questions) == (began, [])  # it is known that nothing was bought


def test_a_lost_answer_stays_unknown_when_it_could_not_be_noted(labels: Labels) -> None:
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


def test_a_label_that_was_bought_and_could_not_be_recorded_is_known_soon(labels: Labels) -> None:
    labels.carriers.on_buy = labels.file.lock
    with pytest.raises(Unavailable):
        labels.buy(labels.one)
    labels.file.unlock()
    assert not labels.free()
    labels.one.database.deferred.catch_up()
    assert labels.buy(labels.other)["tracking_number"] == "94001"
    assert (labels.carriers.purchases, labels.carriers.questions) == (["first"], [])


def test_a_purchase_that_could_not_be_begun_is_free_soon_and_nothing_was_asked(labels: Labels) -> None:
    request = labels.desk(labels.one).request("ship")
    request.claimed()
    with labels.file.held(), pytest.raises(Unavailable):
        request.bought(labels.shipment, labels.shipment.rate("first"), "pay:or_1")
    assert not labels.free()
    labels.one.database.deferred.catch_up()
    assert labels.free()
    assert labels.carriers.purchases == []


def test_a_label_that_was_given_back_and_could_not_be_noted_is_known_soon(labels: Labels) -> None:
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
def test_a_purchase_that_was_taken_over_is_not_ended_late(labels: Labels, trouble: Exception | None) -> None:
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
    """Two copies of the notifications service, and providers."""

    def __init__(self, file: Locked) -> None:
        self.file, self.clock = file, stub_providers.Clock()
        self.texter, self.mailer = stub_providers.StubTexter(self.clock), stub_providers.StubMailer()
        self.one, self.other = (MessageStore(copy(file, self.clock)) for _ in range(2))

    def send(self, store: MessageStore, message: Mail | Sms) -> dict[str, Any]:
        delivery = Delivery(store, AskOnce(lambda wait: min(wait, 10.0), self.clock, self.clock.sleep, self.clock))
        if isinstance(message, Sms):
            return delivery.sms(message, self.texter)
        return delivery.mail(message, self.mailer)

    def locks_when_sent(self, message: Mail | Sms, trouble: Exception | None) -> None:
        """The provider takes or refuses it, and by then nobody can write."""
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
def test_a_message_that_was_refused_and_could_not_be_ended_is_free_soon(messages: Messages, message: Any) -> None:
    messages.locks_when_sent(message, ProviderFailure("nonsense"))
    with pytest.raises(ProviderFailure):
        messages.send(messages.one, message)
    messages.file.unlock()
    assert not messages.free()
    messages.one.database.deferred.catch_up()
    assert messages.free()
    began = messages.clock.now
    messages.send(messages.other, message)
    assert (messages.clock.now, messages.texter.questions) == (began, 0)  # it is known that it was not sent
    assert [row["uncertain"] for row in messages.other.listed(None, 9)] == [0]


@pytest.mark.parametrize("message", [TEXT, MAIL], ids=["sms", "mail"])
def test_a_message_that_was_sent_and_could_not_be_recorded_is_known_soon(messages: Messages, message: Any) -> None:
    messages.locks_when_sent(message, None)
    with pytest.raises(Unavailable):
        messages.send(messages.one, message)
    messages.file.unlock()
    assert not messages.free()
    messages.one.database.deferred.catch_up()
    messages.send(messages.other, message)
    assert len(messages.texter.arrived) + len(messages.mailer.arrived) == 1
    assert messages.texter.questions == 0


@pytest.mark.parametrize("message", [TEXT, MAIL], ids=["sms", "mail"])
def test_a_message_that_could_not_be_begun_is_free_soon_and_was_not_sent(messages: Messages, message: Any) -> None:
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
@pytest.mark.parametrize("trouble", [None, ProviderFailure("nonsense")], ids=["sent", "refused"])
def test_a_message_that_was_taken_over_is_not_ended_late(messages: Messages, message: Any, trouble: Any) -> None:
    messages.locks_when_sent(message, trouble)
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


# Events, and answers under a key


def test_an_event_that_could_not_be_settled_is_tried_soon(locked: Callable[[str], Locked]) -> None:
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


def test_an_event_that_was_taken_over_is_not_settled_late(locked: Callable[[str], Locked]) -> None:
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


def test_an_answer_that_could_not_be_kept_is_kept_soon(locked: Callable[[str], Locked]) -> None:
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


def test_a_key_that_could_not_be_let_go_is_free_soon(locked: Callable[[str], Locked]) -> None:
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
