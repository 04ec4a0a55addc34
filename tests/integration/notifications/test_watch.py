"""The status of a message after sending: from provider events in any order, from repeated events, or by polling."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa

from chassis.db.engine import Database
from chassis.work.webhooks import Webhooks
from contracts.errors import InvalidRequest, OutcomeUnknown, Unavailable
from notifications.rules.progress import News, Progress, Unwanted
from notifications.rules.record import State
from notifications.sendgrid.webhooks import SendGridWebhooks
from notifications.store.messages import LOST_AFTER_S, NEWS_KEPT_S
from notifications.store.tables import news
from notifications.twilio.webhooks import TwilioWebhooks
from notifications.watch import Watch
from tests.integration.notifications.test_delivery import MAIL, TEXT, Killed, Shop


class TrackedShop(Shop):
    """A shop that tracks the status of its messages."""

    @property
    def watch(self) -> Watch:
        return Watch(self.store, self.texter, self.clock)

    def status(self, key: str) -> tuple[str | None, str | None]:
        """Return the delivery status and the error of a message."""
        (row,) = [row for row in self.store.listed(None, 100) if row["key"] == key]
        return row["status"], row["error"]

    @property
    def webhooks(self) -> Webhooks:
        return Webhooks(self.store.inbox, {"twilio": self.twilio_source, "sendgrid": self.sendgrid_source})

    @property
    def twilio_source(self) -> TwilioWebhooks:
        return TwilioWebhooks("", "", self.watch.record, self.watch.wish, self.clock)

    @property
    def sendgrid_source(self) -> SendGridWebhooks:
        return SendGridWebhooks("", str, self.watch.record, self.clock)

    def twilio(self, status: str, sid: str = "SM1", error: str = "") -> dict[str, Any]:
        form = urlencode({"MessageSid": sid, "MessageStatus": status, "ErrorCode": error})
        return self.webhooks.keep(self.twilio_source.parse(form.encode()))

    def replies(self, text: str, number: str = TEXT.number, **form: str) -> dict[str, Any]:
        """Handle a shopper's message to the shop."""
        sid = f"SM{len(self.store.inbox.tasks.rows(limit=1000)) + 1000}"
        given = {"MessageSid": sid, "SmsStatus": "received", "From": number, "Body": text, **form}
        return self.webhooks.keep(self.twilio_source.parse(urlencode(given).encode()))

    def sendgrid(self, *events: str, key: str = MAIL.key, reason: str = "", at: float | None = None) -> dict[str, Any]:
        body = [
            {
                "sg_event_id": f"{key}:{event}",
                "event": event,
                "message_key": key,
                "sg_message_id": "mail-1",
                "reason": reason,
                "timestamp": int(self.clock.now if at is None else at),
            }
            for event in events
        ]
        return self.webhooks.keep(self.sendgrid_source.parse(json.dumps(body).encode()))


@pytest.fixture
def shop(database: Callable[[str], Database]) -> TrackedShop:
    return TrackedShop(database("notifications"))


# The progress of a message


def test_progress_of_a_message_only_moves_forward() -> None:
    steps = (Progress.QUEUED, Progress.SENT, Progress.DELIVERED)
    for order in itertools.permutations(steps):
        known = None
        for step in order:
            known = step if step.follows(known) else known
        assert known is Progress.DELIVERED
    assert Progress.BOUNCED.follows(Progress.DELIVERED)
    for step, known in (("delivered", "bounced"), ("failed", "delivered"), ("delivered", "failed"), ("sent", "sent")):
        assert not Progress(step).follows(Progress(known))


def test_twilio_events_may_be_reordered_and_repeated(shop: TrackedShop) -> None:
    shop.sms()
    assert shop.status(TEXT.key) == ("queued", None)
    assert shop.twilio("delivered") == {"received": True, "duplicate": False}
    assert shop.twilio("delivered") == {"received": True, "duplicate": True}
    shop.twilio("sent")
    assert shop.status(TEXT.key) == ("delivered", None)
    assert shop.sms()["status"] == "queued"  # the same key returns the same answer


def test_undelivered_text_is_listed_as_failed(shop: TrackedShop) -> None:
    shop.sms()
    shop.sms(type(TEXT)("another", "+15005550006", "Hello"))
    shop.twilio("undelivered", error="30005")
    (failed,) = shop.store.listed("failed", 10)
    assert (failed["key"], failed["error"], failed["recipient"]) == (TEXT.key, "Twilio error 30005", TEXT.number)


def test_event_that_arrives_before_its_message_is_retried(shop: TrackedShop) -> None:
    shop.twilio("sent")
    (waiting,) = shop.store.inbox.tasks.rows(state="waiting")
    assert (waiting["tries"], waiting["error"]) == (0, "NotYet: There is no such message.")
    shop.sms()
    time.sleep(1.3)
    shop.webhooks.sweep(time.monotonic() + 10)
    assert shop.status(TEXT.key) == ("sent", None)


def test_early_event_is_retried_for_minutes_but_not_for_hours(
    shop: TrackedShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox, clock = shop.store.inbox, shop.clock
    monkeypatch.setattr(inbox.tasks, "_clock", clock)
    shop.texter.trouble, shop.texter.sends_anyway = [Killed()], True
    with pytest.raises(Killed):
        shop.sms()
    shop.twilio("delivered")
    shop.twilio("delivered", "SM-of-a-stranger")
    began = clock.now
    while clock.now < began + 240:  # no sender looks the text up, so its SID is not recorded yet
        clock.now += 5
        shop.webhooks.sweep(time.monotonic() + 10)
    assert inbox.tasks.rows(state="failed") == []
    shop.sms()
    clock.now += 60
    shop.webhooks.sweep(time.monotonic() + 10)
    assert shop.status(TEXT.key) == ("delivered", None)
    for _ in range(8):
        clock.now += 600
        shop.webhooks.sweep(time.monotonic() + 10)
    assert [event["key"] for event in inbox.tasks.rows(state="failed")] == ["SM-of-a-stranger:delivered"]


def test_sendgrid_events_find_a_mail_by_its_key(shop: TrackedShop) -> None:
    shop.mail()
    assert shop.sendgrid("delivered", "processed", "open") == {"received": True, "duplicate": False}
    assert shop.status(MAIL.key) == ("delivered", None)
    assert shop.sendgrid("open", "delivered") == {"received": True, "duplicate": True}
    assert shop.sendgrid("delivered", "bounce", reason="550 no such mailbox") == {"received": True, "duplicate": False}
    assert shop.status(MAIL.key) == ("bounced", "550 no such mailbox")
    shop.sendgrid("dropped")
    assert shop.status(MAIL.key)[0] == "bounced"


def test_sendgrid_event_resolves_a_mail_with_a_lost_answer(shop: TrackedShop) -> None:
    shop.mailer.trouble, shop.mailer.sends_anyway = [OutcomeUnknown("lost")], True
    with pytest.raises(OutcomeUnknown):
        shop.mail()
    shop.sendgrid("processed")
    record = shop.store.get(MAIL.key)
    assert record is not None
    assert record.state is State.SENT
    assert shop.mail() == {"status code": "202", "message_id": "mail-1"}
    assert (shop.mailer.sends, shop.uncertain) == (1, {MAIL.key: 0})


def test_event_of_an_unknown_mail_is_marked_done(shop: TrackedShop) -> None:
    shop.sendgrid("processed", key="")
    assert [event["state"] for event in shop.store.inbox.tasks.rows(state="done")] == ["done"]


def test_polling_replaces_a_lost_event(shop: TrackedShop) -> None:
    shop.sms()
    shop.mail()
    shop.texter.news_by_sid["SM1"] = News(Progress.SENT)
    shop.watch.poll(300)
    assert shop.texter.asked_about == []
    shop.clock.now += 301
    shop.watch.poll(300)
    assert shop.status(TEXT.key) == ("sent", None)
    shop.texter.news_by_sid["SM1"] = News(Progress.FAILED, "Twilio error 30003")
    shop.clock.now += 301
    shop.watch.poll(300)
    assert shop.status(TEXT.key) == ("failed", "Twilio error 30003")
    shop.clock.now += 301
    shop.watch.poll(300)
    assert shop.texter.asked_about == ["SM1", "SM1"]


def test_poll_is_repeated_soon_after_a_twilio_outage(shop: TrackedShop) -> None:
    shop.sms()
    shop.clock.now += 301
    shop.texter.deaf = Unavailable("away")
    shop.watch.poll(300)
    shop.texter.deaf = None
    shop.texter.news_by_sid["SM1"] = News(Progress.DELIVERED)
    shop.watch.poll(300)
    assert shop.status(TEXT.key) == ("delivered", None)


def test_text_without_news_is_abandoned_after_a_last_poll(shop: TrackedShop) -> None:
    shop.sms()
    shop.clock.now += LOST_AFTER_S + 1
    for _ in range(3):
        shop.watch.poll(300)
        shop.clock.now += 301
    assert shop.texter.asked_about == ["SM1"]


def test_text_found_by_a_lookup_is_polled(shop: TrackedShop) -> None:
    shop.texter.trouble, shop.texter.sends_anyway = [Killed()], True
    with pytest.raises(Killed):
        shop.sms()
    shop.clock.now += 30
    shop.sms()
    assert shop.store.due(shop.clock.now + 301, 300, 10) == ["SM1"]


# What recipients want


@pytest.mark.parametrize(
    ("text", "form", "wanted"),
    [
        *((word, {}, False) for word in ("STOP", " stop\n", "Unsubscribe", "CANCEL", "end", "QUIT", "STOPALL")),
        *((word, {}, False) for word in ("OptOut", "REVOKE")),
        *((word, {}, None) for word in ("START", "yes", "UNSTOP", "STOP it, please", "HELP", "")),
        ("ARRET", {"OptOutType": "STOP"}, False),
        ("STOP", {"OptOutType": "HELP"}, None),
        ("STOP", {"From": "whatsapp:+15005550006"}, None),
    ],
)
def test_reply_decides_whether_a_number_is_texted(
    shop: TrackedShop, text: str, form: dict[str, str], wanted: bool | None
) -> None:
    assert shop.replies(text, **form) == {
        **{"received": True, "duplicate": False},
        "reply": {"content_type": "text/xml", "text": "<Response/>"},
    }
    assert [row["reason"] for row in shop.store.suppressions.listed(10)] == (["opted out"] if wanted is False else [])
    assert shop.store.inbox.tasks.rows(state="waiting") == shop.store.inbox.tasks.rows(state="failed") == []


def test_start_ends_what_stop_began(shop: TrackedShop) -> None:
    shop.replies("STOP")
    shop.clock.now += 1
    shop.replies("START", number="+15005550006")
    assert [row["recipient"] for row in shop.store.suppressions.listed(10)] == [TEXT.number]
    shop.replies("any word", OptOutType="START")
    assert shop.store.suppressions.listed(10) == []


def test_older_reply_changes_nothing(shop: TrackedShop) -> None:
    shop.watch.wish(TEXT.number, True, 20.0)
    shop.watch.wish(TEXT.number, False, 10.0)  # its event could not be handled at once
    assert shop.store.suppressions.listed(10) == []
    shop.watch.wish(TEXT.number, False, 30.0)
    shop.watch.wish(TEXT.number, True, 20.0)
    assert [row["at"] for row in shop.store.suppressions.listed(10)] == [30.0]


def test_reply_is_stored_without_its_text(shop: TrackedShop) -> None:
    shop.replies("I live at 1 Main Street")
    shop.replies("STOP")
    question, stop = shop.store.inbox.tasks.rows(state="done")
    assert (question["details"], question["kind"]) == ({}, "twilio.reply")
    assert stop["details"] == {"number": TEXT.number, "wanted": False, "at": shop.clock.now}


@pytest.mark.parametrize("event", ["spamreport", "unsubscribe"])
def test_unwanted_mail_is_remembered(shop: TrackedShop, event: str) -> None:
    shop.mail()
    shop.sendgrid("delivered", event)
    assert shop.status(MAIL.key) == ("delivered", None)
    [known] = shop.store.suppressions.listed(10)
    assert known["recipient"] == MAIL.to
    assert known["reason"] == {"spamreport": "marked as spam", "unsubscribe": "unsubscribed"}[event]


def test_dropped_mail_tells_what_its_mailbox_wants(shop: TrackedShop) -> None:
    shop.mail()
    shop.sendgrid("dropped", reason="Spam Reporting Address")
    assert shop.status(MAIL.key) == ("failed", "Spam Reporting Address")
    assert shop.store.suppressions.reason(MAIL.to.upper()) == "marked as spam"
    shop.mail(replace(MAIL, key="other", to="b@example.com"))
    shop.sendgrid("dropped", key="other", reason="Bounced Address")
    assert shop.store.suppressions.reason("b@example.com") is None
    assert [(entry["key"], entry["unwanted"]) for entry in shop.store.feed.after(0, 10)] == [
        (MAIL.key, True),
        ("other", False),
    ]


def test_late_refusal_of_an_opted_out_number_is_remembered(shop: TrackedShop) -> None:
    shop.sms()
    shop.twilio("failed", error="21610")
    assert shop.store.suppressions.reason(TEXT.number) == "opted out"
    [entry] = shop.store.feed.after(0, 10)
    assert (entry["status"], entry["unwanted"]) == ("failed", True)


def test_late_report_does_not_undo_a_newer_wish(shop: TrackedShop) -> None:
    shop.mail()
    shop.sms()
    reported = shop.clock.now
    stop = shop.twilio_source.parse(
        urlencode({"MessageSid": "SM1", "MessageStatus": "failed", "ErrorCode": "21610"}).encode()
    )
    shop.clock.now += 60
    shop.store.suppressions.record(MAIL.to, None, shop.clock.now)
    shop.replies("START")
    shop.clock.now += 60
    shop.webhooks.keep(stop)  # its event could not be handled at once
    shop.sendgrid("spamreport", at=reported)
    assert shop.store.suppressions.listed(10) == []
    shop.sendgrid("unsubscribe", at=shop.clock.now)
    assert [row["at"] for row in shop.store.suppressions.listed(10)] == [shop.clock.now]


def test_polled_opt_out_does_not_undo_a_newer_start(shop: TrackedShop) -> None:
    shop.sms()
    shop.texter.news_by_sid["SM1"] = News(Progress.FAILED, "Twilio error 21610", Unwanted.OPTED_OUT, shop.clock.now)
    shop.clock.now += 301
    shop.replies("START")
    shop.clock.now += 1
    shop.watch.poll(300)
    assert shop.status(TEXT.key)[0] == "failed"
    assert shop.store.suppressions.listed(10) == []


# The feed


def test_feed_lists_what_became_of_messages_once(shop: TrackedShop) -> None:
    shop.mail()
    shop.sms()
    shop.twilio("sent")
    shop.twilio("undelivered", error="30003")
    shop.twilio("delivered")
    shop.sendgrid("processed", "delivered", "delivered")
    shop.sendgrid("bounce", reason="550 no such mailbox")
    names = ("seq", "key", "kind", "status", "error")
    assert [tuple(entry[name] for name in names) for entry in shop.store.feed.after(0, 10)] == [
        (1, TEXT.key, "sms", "failed", "Twilio error 30003"),
        (2, MAIL.key, "email", "delivered", None),
        (3, MAIL.key, "email", "bounced", "550 no such mailbox"),
    ]
    assert [entry["seq"] for entry in shop.store.feed.after(1, 1)] == [2]
    for after, limit in ((-1, 1), (0, 0), (0, 1001), (True, 1), ("0", 1)):
        with pytest.raises(InvalidRequest):
            shop.store.feed.after(after, limit)  # type: ignore[arg-type]


def test_delayed_mail_is_news_until_it_arrives(shop: TrackedShop) -> None:
    shop.mail()
    shop.sendgrid("processed")
    shop.sendgrid("deferred", reason="450 try later")
    assert shop.status(MAIL.key) == ("sent", "450 try later")
    shop.sendgrid("delivered")
    assert shop.status(MAIL.key) == ("delivered", None)
    assert [(entry["status"], entry["error"]) for entry in shop.store.feed.after(0, 10)] == [
        ("sent", "450 try later"),
        ("delivered", None),
    ]


def test_polled_failure_is_in_the_feed(shop: TrackedShop) -> None:
    shop.sms()
    shop.texter.news_by_sid["SM1"] = News(Progress.FAILED, "Twilio error 30003")
    shop.clock.now += 301
    shop.watch.poll(300)
    assert [entry["error"] for entry in shop.store.feed.after(0, 10)] == ["Twilio error 30003"]


def test_old_news_is_forgotten(shop: TrackedShop) -> None:
    shop.sms()
    shop.twilio("delivered")
    shop.store.forget_news(shop.clock.now + NEWS_KEPT_S)
    assert len(shop.store.feed.after(0, 10)) == 1
    shop.store.forget_news(shop.clock.now + NEWS_KEPT_S + 1)
    assert shop.store.feed.after(0, 10) == []


def test_states_recorded_by_older_code_reach_the_feed(shop: TrackedShop) -> None:
    shop.sms()
    shop.mail()
    shop.twilio("failed", error="30003")
    shop.sendgrid("delivered")
    with shop.store.database.write() as connection:
        connection.execute(sa.delete(news).where(news.c.key == TEXT.key))
    shop.sms(replace(TEXT, key="on its way"))
    assert [shop.store.catch_up(shop.clock.now) for _ in range(2)] == [1, 0]
    assert [(entry["key"], entry["status"]) for entry in shop.store.feed.after(0, 10)] == [
        (MAIL.key, "delivered"),
        (TEXT.key, "failed"),
    ]


def test_two_copies_add_a_missing_state_once(shop: TrackedShop) -> None:
    shop.sms()
    shop.twilio("failed", error="30003")
    database, added = shop.store.database, list[int]()
    with database.write() as connection:
        connection.execute(sa.delete(news))
    # On SQLite, a writer waits before its first statement.
    blocked = sa.text("SELECT count(*) FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))")
    other = threading.Thread(target=lambda: added.append(shop.store.catch_up(shop.clock.now)))
    with database.write() as connection:
        added.append(shop.store.catch_up(shop.clock.now))
        other.start()
        while database.dialect == "postgresql" and not connection.execute(blocked).scalar_one():
            assert other.is_alive()
    other.join(60)
    assert (added, len(shop.store.feed.after(0, 10))) == ([1, 0], 1)
