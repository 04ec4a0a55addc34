"""Each message is sent once in spite of failures. The database is real; the providers are stubs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chassis.db.engine import Database
from chassis.work.ask_once import CLAIM_MARGIN_S, PATIENCE_S, SETTLE_S, AskOnce
from contracts.errors import Conflict, OutcomeUnknown, ProviderFailure, Refused, ShopError, Unavailable
from notifications.delivery import Delivery
from notifications.rules.messages import Mail, Sms
from notifications.rules.progress import Unwanted
from notifications.rules.record import State
from notifications.rules.sms import SentSms
from notifications.store.messages import MessageStore
from tests.processes import die
from tests.unit.notifications.stub_providers import Clock, StubMailer, StubTexter

TEXT = Sms("sms:or_1", "+79994413746", "Your order is ready!")
MAIL = Mail("mail:or_1", "a@example.com", "shop@example.com", "Hello", "text", None)
CLAIM_S = StubTexter.longest_call + CLAIM_MARGIN_S


class Killed(BaseException):
    """Raised where the process would be killed."""


class Shop:
    """A real message store, stub providers, and deliveries between them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = MessageStore(database)
        self.clock = Clock()
        self.texter = StubTexter(self.clock)
        self.mailer = StubMailer()

    def sms(self, sms: Sms = TEXT, patience: float = 10.0) -> dict[str, Any]:
        return self._delivery(patience).sms(sms)

    def mail(self, mail: Mail = MAIL, patience: float = 10.0) -> dict[str, Any]:
        return self._delivery(patience).mail(mail)

    @property
    def uncertain(self) -> dict[str, int]:
        """How often each message was resent although the earlier one may have arrived."""
        return {row["key"]: row["uncertain"] for row in self.store.listed(None, 100)}

    def _delivery(self, patience: float) -> Delivery:
        ask_once = AskOnce(lambda wait: min(wait, patience), self.clock, self.clock.sleep, self.clock)
        return Delivery(self.store, ask_once, self.mailer, self.texter)


@pytest.fixture
def shop(database: Callable[[str], Database]) -> Shop:
    return Shop(database("notifications"))


def test_text_is_sent_once_and_its_answer_repeated(shop: Shop) -> None:
    first = shop.sms()
    assert first == {"status code": "201", "sid": "SM1", "status": "queued"}
    assert shop.sms() == first
    assert len(shop.texter.arrived) == 1


def test_mail_is_sent_once_and_its_answer_repeated(shop: Shop) -> None:
    first = shop.mail()
    assert first == {"status code": "202", "message_id": "mail-1"}
    assert shop.mail() == first
    assert shop.mailer.arrived == [MAIL]


def test_waits_end_when_the_clock_is_set_back(shop: Shop) -> None:
    """The waits are for another sender's claim and for an unknown outcome to settle."""
    timer = Clock()
    began = timer.now

    def wait(seconds: float) -> None:
        timer.now += seconds
        shop.clock.now -= 3600
        assert timer.now - began < 60

    delivery = Delivery(
        shop.store, AskOnce(lambda bound: min(bound, 10.0), shop.clock, wait, timer), shop.mailer, shop.texter
    )
    later = shop.clock.now + CLAIM_S
    assert shop.store.claim(TEXT, "another", shop.clock.now, later) is not None
    with pytest.raises(Unavailable):
        delivery.sms(TEXT)
    began = timer.now
    assert shop.store.begin(TEXT, "another", shop.clock.now, later)
    shop.store.end(TEXT.key, "another", State.UNKNOWN, settled=shop.clock.now + SETTLE_S + PATIENCE_S - 1)
    with pytest.raises(OutcomeUnknown):
        delivery.sms(TEXT)
    assert shop.texter.arrived == []


def test_key_of_another_message_is_a_conflict(shop: Shop) -> None:
    shop.sms()
    with pytest.raises(Conflict):
        shop.sms(Sms(TEXT.key, "+15005550006", TEXT.body))
    with pytest.raises(Conflict):
        shop.mail(Mail(TEXT.key, "a@example.com", "shop@example.com", "Hello", "text", None))
    assert (len(shop.texter.arrived), shop.mailer.arrived) == (1, [])


def test_lost_answer_to_a_text_is_looked_up_and_not_resent(shop: Shop) -> None:
    shop.texter.trouble, shop.texter.sends_anyway = [OutcomeUnknown("lost")], True
    assert shop.sms()["sid"] == "SM1"
    assert len(shop.texter.arrived) == 1


def test_text_that_twilio_lists_late_is_not_resent(shop: Shop) -> None:
    shop.texter.trouble, shop.texter.sends_anyway, shop.texter.blind = [OutcomeUnknown("lost")], True, 2
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            shop.sms()
    assert shop.sms()["sid"] == "SM1"
    assert len(shop.texter.arrived) == 1


def test_missing_text_is_resent_only_after_the_settle_time(shop: Shop) -> None:
    began = shop.clock.now
    shop.texter.trouble = [OutcomeUnknown("lost")]
    with pytest.raises(OutcomeUnknown) as lost:
        shop.sms()
    assert lost.value.facts["retry_after"] == 8
    shop.clock.now += shop.texter.longest_answer - PATIENCE_S - 0.5
    with pytest.raises(OutcomeUnknown, match="not known yet") as unknown:
        shop.sms()
    assert (shop.texter.sends, unknown.value.facts["retry_after"]) == (1, 5)
    shop.clock.now += 0.6
    assert shop.sms()["sid"] == "SM2"
    assert 8.0 <= shop.clock.now - began < 9.2


def test_hanging_time_does_not_count_as_settle_time(shop: Shop) -> None:
    sent: list[float] = []

    def hang() -> None:
        sent.append(shop.clock.now)
        shop.clock.now += 11.0

    shop.texter.trouble, shop.texter.on_send = [OutcomeUnknown("hung")], hang
    with pytest.raises(OutcomeUnknown):
        shop.sms()
    shop.sms()
    assert sent[1] - sent[0] >= 11.0 + SETTLE_S


def test_answered_failure_is_repeated_at_once(shop: Shop) -> None:
    shop.texter.trouble = [OutcomeUnknown("failed", {"answered": True})]
    with pytest.raises(Unavailable):
        shop.sms()
    assert shop.sms()["sid"] == "SM2"


def test_text_is_not_resent_while_twilio_is_unreachable(shop: Shop) -> None:
    shop.texter.trouble, shop.texter.deaf = [OutcomeUnknown("failed", {"answered": True})], Unavailable("away")
    with pytest.raises(OutcomeUnknown):
        shop.sms()
    shop.clock.now += 60
    with pytest.raises(Unavailable):
        shop.sms()
    assert shop.texter.sends == 1


@pytest.mark.parametrize("error", [Refused("no"), Unavailable("away"), ProviderFailure("key")])
def test_certain_failure_is_resent_by_the_next_call(shop: Shop, error: ShopError) -> None:
    shop.texter.trouble, shop.mailer.trouble = [error], [error]
    with pytest.raises(type(error)):
        shop.sms()
    with pytest.raises(type(error)):
        shop.mail()
    assert shop.sms()["sid"] == "SM2"
    assert shop.mail()["message_id"] == "mail-2"
    assert shop.texter.questions == 0


def test_text_taken_before_its_sender_died_is_not_resent(shop: Shop) -> None:
    shop.texter.trouble, shop.texter.sends_anyway = [Killed()], True
    with pytest.raises(Killed):
        shop.sms()
    with pytest.raises(Unavailable, match="another call"):
        shop.sms(patience=1.0)
    die(shop.database)
    assert shop.sms()["sid"] == "SM1"
    assert (len(shop.texter.arrived), shop.uncertain) == (1, {TEXT.key: 0})


def test_text_not_taken_before_its_sender_died_is_sent_once(shop: Shop) -> None:
    began = shop.clock.now
    shop.texter.trouble = [Killed()]
    with pytest.raises(Killed):
        shop.sms()
    die(shop.database)
    with pytest.raises(OutcomeUnknown, match="not known yet"):  # the killed sender's request may still be under way
        shop.sms()
    shop.clock.now += 4.2
    shop.sms()
    assert (len(shop.texter.arrived), shop.uncertain) == (1, {TEXT.key: 0})
    assert 8.0 <= shop.clock.now - began < 9.2


def test_hung_sender_is_taken_over_after_its_claim_expires(shop: Shop) -> None:
    shop.texter.trouble = [Killed()]
    with pytest.raises(Killed):
        shop.sms()
    shop.clock.now += CLAIM_S
    shop.sms()
    assert (len(shop.texter.arrived), shop.texter.questions) == (1, 1)


def test_mail_of_a_killed_sender_is_resent_and_recorded(shop: Shop) -> None:
    shop.mailer.trouble, shop.mailer.sends_anyway = [Killed()], True
    with pytest.raises(Killed):
        shop.mail()
    with pytest.raises(Unavailable, match="another call"):
        shop.mail(patience=1.0)
    die(shop.database)
    assert shop.mail()["message_id"] == "mail-2"
    assert ([mail.key for mail in shop.mailer.arrived], shop.uncertain) == ([MAIL.key, MAIL.key], {MAIL.key: 1})


@pytest.mark.parametrize("kind", ["sms", "mail"])
def test_sender_without_a_fresh_heartbeat_does_not_send(shop: Shop, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    send = shop.sms if kind == "sms" else shop.mail
    monkeypatch.setattr(type(shop.database.heartbeat), "fresh", False)
    with pytest.raises(Unavailable, match="left to another copy"):
        send()
    assert (shop.texter.sends, shop.mailer.sends) == (0, 0)
    monkeypatch.undo()
    send()
    assert (shop.texter.questions, list(shop.uncertain.values())) == (0, [0])


@pytest.mark.parametrize("kind", ["sms", "mail"])
def test_claim_lost_while_connecting_prevents_sending(shop: Shop, kind: str) -> None:
    message: Any = TEXT if kind == "sms" else MAIL

    def lose_claim() -> None:
        shop.clock.now += 60
        assert shop.store.claim(message, "quick", shop.clock.now, shop.clock.now + 15) is not None

    shop.texter.on_connect = shop.mailer.on_connect = lose_claim
    with pytest.raises(Unavailable, match="held back"):
        (shop.sms if kind == "sms" else shop.mail)()
    assert (shop.texter.sends, shop.mailer.sends) == (0, 0)


def test_mail_with_unknown_outcome_is_resent_with_the_same_key(shop: Shop) -> None:
    shop.mailer.trouble, shop.mailer.sends_anyway = [OutcomeUnknown("lost")], True
    with pytest.raises(OutcomeUnknown):
        shop.mail()
    assert shop.mail()["message_id"] == "mail-2"
    assert [mail.key for mail in shop.mailer.arrived] == [MAIL.key, MAIL.key]
    assert shop.uncertain == {MAIL.key: 1}


def test_a_mail_that_failed_for_certain_is_not_uncertain(shop: Shop) -> None:
    shop.mailer.trouble = [Unavailable("away"), Refused("no")]
    for _ in range(2):
        with pytest.raises(ShopError):
            shop.mail()
    shop.mail()
    assert (shop.mailer.sends, shop.uncertain) == (3, {MAIL.key: 0})


def test_changed_text_is_looked_up_by_its_first_body(shop: Shop) -> None:
    shop.texter.trouble, shop.texter.sends_anyway, shop.texter.blind = [OutcomeUnknown("lost")], True, 1
    with pytest.raises(OutcomeUnknown):
        shop.sms()
    tracked = Sms(TEXT.key, TEXT.number, "Your order is ready! Tracking: 94001")
    assert shop.sms(tracked)["sid"] == "SM1"
    assert len(shop.texter.arrived) == 1


def test_same_body_with_another_key_is_another_text(shop: Shop) -> None:
    shop.sms(Sms("another", TEXT.number, TEXT.body))
    shop.texter.trouble = [OutcomeUnknown("lost")]
    with pytest.raises(OutcomeUnknown):
        shop.sms()
    shop.clock.now += 10
    assert shop.sms()["sid"] == "SM3"
    assert [sent.sid for sent, *_ in shop.texter.arrived] == ["SM1", "SM3"]


def test_two_lost_texts_with_one_body_get_their_own_sids(shop: Shop) -> None:
    shop.texter.trouble, shop.texter.sends_anyway = [OutcomeUnknown("lost"), OutcomeUnknown("lost")], True
    shop.texter.blind = 2
    for key in ("one", "two"):
        with pytest.raises(OutcomeUnknown):
            shop.sms(Sms(key, TEXT.number, TEXT.body))
    assert {shop.sms(Sms(key, TEXT.number, TEXT.body))["sid"] for key in ("one", "two")} == {"SM1", "SM2"}
    assert len(shop.texter.arrived) == 2


def test_text_of_a_running_request_is_not_adopted_yet(shop: Shop) -> None:
    shop.texter.trouble = [OutcomeUnknown("lost")]
    with pytest.raises(OutcomeUnknown):
        shop.sms()
    shop.clock.now += 10
    rival = Sms("rival", TEXT.number, TEXT.body)
    shop.store.claim(rival, "claim", shop.clock.now, shop.clock.now + 15)
    assert shop.store.begin(rival, "claim", shop.clock.now, shop.clock.now + 15)
    shop.texter.arrived.append((SentSms("SM-rival", "queued"), rival, shop.clock.now))
    with pytest.raises(OutcomeUnknown, match="right now"):
        shop.sms()
    shop.store.record(rival.key, "SM-rival", "queued", shop.clock.now)
    assert shop.sms()["sid"] == "SM2"


@pytest.mark.parametrize("kind", ["sms", "mail"])
def test_eight_calls_at_once_send_one_message(shop: Shop, kind: str) -> None:
    answers: list[Any] = []
    start = threading.Barrier(8)

    def send() -> None:
        # On the real clock, because the senders wait for each other.
        delivery = Delivery(shop.store, AskOnce(lambda wait: wait), shop.mailer, shop.texter)
        start.wait(timeout=30)
        answers.append(delivery.sms(TEXT) if kind == "sms" else delivery.mail(MAIL))

    senders = [threading.Thread(target=send) for _ in range(8)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(timeout=60)
    assert len(answers) == 8
    assert all(answer == answers[0] for answer in answers)
    assert len(shop.texter.arrived if kind == "sms" else shop.mailer.arrived) == 1


def test_claim_lost_while_looking_up_prevents_sending(shop: Shop) -> None:
    def lose_claim() -> None:
        shop.clock.now += CLAIM_S
        assert shop.store.claim(TEXT, "quick", shop.clock.now, shop.clock.now + 15) is not None

    shop.texter.trouble = [OutcomeUnknown("lost")]
    with pytest.raises(OutcomeUnknown):
        shop.sms()
    shop.clock.now += 10
    shop.texter.on_question = lose_claim
    with pytest.raises(Unavailable, match="another call"):
        shop.sms()
    assert shop.texter.sends == 1


def test_expired_claim_is_taken_over_by_one_sender(shop: Shop) -> None:
    start = threading.Barrier(8)
    claims: list[bool] = []

    def claim(name: str, now: float) -> None:
        start.wait(timeout=30)
        claims.append(shop.store.claim(TEXT, name, now, now + 15) is not None)

    for number in range(10):
        now = number * 100.0  # the earlier claims have expired
        claims.clear()
        senders = [threading.Thread(target=claim, args=(f"{number}:{sender}", now)) for sender in range(8)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(timeout=60)
        assert sorted(claims) == [False] * 7 + [True]


def test_a_sender_whose_claim_was_taken_over_does_not_send(shop: Shop) -> None:
    assert shop.store.claim(TEXT, "slow", 0.0, 1.0) is not None
    assert shop.store.claim(TEXT, "quick", 2.0, 20.0) is not None
    assert not shop.store.begin(TEXT, "slow", 3.0, 20.0)
    assert shop.store.claim(TEXT, "third", 3.0, 20.0) is None


# Recipients that want no more messages


def test_opted_out_number_is_not_texted(shop: Shop) -> None:
    shop.store.suppressions.record(TEXT.number, Unwanted.OPTED_OUT, shop.clock.now)
    with pytest.raises(Refused, match="has opted out") as refused:
        shop.sms()
    assert refused.value.permanent
    assert (list(refused.value.facts["errors"]), refused.value.facts["unwanted"]) == (["number"], "opted out")
    assert (shop.texter.sends, shop.store.get(TEXT.key)) == (0, None)
    shop.store.suppressions.record(TEXT.number, None, shop.clock.now)
    assert shop.sms()["status code"] == "201"


def test_text_sent_before_the_opt_out_keeps_its_answer(shop: Shop) -> None:
    first = shop.sms()
    shop.store.suppressions.record(TEXT.number, Unwanted.OPTED_OUT, shop.clock.now)
    assert shop.sms() == first


def test_lost_answer_is_looked_up_after_an_opt_out(shop: Shop) -> None:
    shop.texter.trouble, shop.texter.sends_anyway = [OutcomeUnknown("lost")], True
    shop.texter.deaf = Unavailable("away")
    with pytest.raises(OutcomeUnknown):
        shop.sms()
    shop.texter.deaf = None
    shop.store.suppressions.record(TEXT.number, Unwanted.OPTED_OUT, shop.clock.now)
    assert shop.sms()["sid"] == "SM1"


def test_refused_opt_out_is_remembered(shop: Shop) -> None:
    shop.texter.trouble = [Refused("STOP", {"permanent": True, "unwanted": "opted out"})]
    for _ in range(2):
        with pytest.raises(Refused):
            shop.sms()
    assert shop.texter.sends == 1
    assert shop.store.suppressions.reason(TEXT.number) is Unwanted.OPTED_OUT


def test_start_that_arrives_during_a_refusal_counts(shop: Shop) -> None:
    def start() -> None:
        shop.clock.now += 1
        shop.store.suppressions.record(TEXT.number, None, shop.clock.now)

    shop.texter.on_send = start
    shop.texter.trouble = [Refused("STOP", {"permanent": True, "unwanted": "opted out"})]
    with pytest.raises(Refused):
        shop.sms()
    assert shop.sms()["status code"] == "201"


def test_unwanted_mail_is_not_repeated_after_a_lost_answer(shop: Shop) -> None:
    shop.mailer.trouble, shop.mailer.sends_anyway = [OutcomeUnknown("lost")], True
    with pytest.raises(OutcomeUnknown):
        shop.mail()
    shop.store.suppressions.record(MAIL.to, Unwanted.SPAM, shop.clock.now)
    with pytest.raises(Refused, match="gets receipts only"):
        shop.mail()
    assert shop.mailer.sends == 1


@pytest.mark.parametrize("reason", [Unwanted.SPAM, Unwanted.UNSUBSCRIBED])
def test_mailbox_that_wants_none_gets_receipts_only(shop: Shop, reason: Unwanted) -> None:
    shop.store.suppressions.record(MAIL.to.upper(), reason, shop.clock.now)
    with pytest.raises(Refused, match="gets receipts only") as refused:
        shop.mail()
    assert (refused.value.permanent, list(refused.value.facts["errors"])) == (True, ["to_email"])
    assert shop.mailer.sends == 0
    shop.mail(replace(MAIL, receipt=True))
    assert shop.mailer.sends == 1
