"""A locked database defers the write that ends a claim on a message.

The deferred write follows soon after. It frees the work, or records its result, long before the claim would expire. It
changes nothing when another copy has taken the work over meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from chassis.work.ask_once import AskOnce
from contracts.errors import OutcomeUnknown, ProviderFailure, Unavailable
from notifications.delivery import Delivery
from notifications.rules.messages import Mail, Sms
from notifications.rules.record import State
from notifications.store.messages import MessageStore
from tests.integration.deferred import copy
from tests.locked import Locked
from tests.unit.notifications import stub_providers

TEXT = Sms("sms:or_1", "+79994413746", "Your order is ready!")
MAIL = Mail("mail:or_1", "a@example.com", "shop@example.com", "Hello", "text", None)


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
