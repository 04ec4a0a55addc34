"""A process is killed at each crash point of a send, on both databases.

Two copies of the service take over within seconds. A text arrives once. A mail arrives at least once, and the
record counts each repetition.
"""

from __future__ import annotations

import secrets
import threading
import time
from pathlib import Path
from typing import Any

from chassis.db.engine import Database, url_for
from chassis.db.migrate import migrate
from chassis.settings import SANDBOX_KEYS, SANDBOX_TWILIO_TOKEN
from chassis.work.ask_once import AskOnce
from notifications.delivery import Delivery
from notifications.rules.messages import Mail, Sms
from notifications.sendgrid.mailer import SendGridMailer
from notifications.store.messages import MessageStore
from notifications.store.tables import messages
from notifications.twilio.texter import TwilioTexter
from tests.integration.shipping.test_shipping_killed import ANSWER, TAKEN_OVER, outlast, repeated
from tests.processes import killed_at
from tests.running_sandbox import RunningSandbox

SETUP = "from tests.integration.notifications.test_notifications_killed import Copy"
TEXTS = {"sms:send:begun": 0, "sms:send:asked": 0, "sms:send:done": 0}
# How often each mail is resent although the first one may have arrived.
MAILS = {"email:send:begun": 1, "email:send:asked": 1, "email:send:done": 0}


class Copy:
    """The store and the providers of one copy of the service."""

    def __init__(self, database_url: str, sandbox: str) -> None:
        self.database = Database(url_for("notifications", database_url, "unused"), "notifications")
        self.store = MessageStore(self.database)
        key, token, sender = SANDBOX_KEYS["twilio"], SANDBOX_TWILIO_TOKEN, "+15005550006"
        self.texter = TwilioTexter(key, token, f"{sandbox}/twilio", sender, 2.0, ANSWER)
        self.mailer = SendGridMailer(SANDBOX_KEYS["sendgrid"], f"{sandbox}/sendgrid", ANSWER)

    def send(self, key: str, to: str) -> dict[str, Any]:
        delivery = Delivery(self.store, AskOnce(lambda seconds: seconds), self.mailer, self.texter)
        if key in TEXTS:
            return delivery.sms(Sms(key, to, "Your order is ready!"))
        return delivery.mail(Mail(key, to, "shop@example.com", "Hello", "text", None))


def test_two_copies_take_over_the_messages_of_killed_senders(
    database_url: str, providers: RunningSandbox, tmp_path: Path
) -> None:
    migrate(Copy(database_url, providers.url).database)
    to = {key: f"+7999{secrets.randbelow(10**7):07d}" for key in TEXTS}
    to |= {key: f"{secrets.token_hex(8)}@example.com" for key in MAILS}
    copy = f"Copy({database_url!r}, {providers.url!r})"
    killed_at(SETUP, {key: f"{copy}.send({key!r}, {to[key]!r})" for key in to}, tmp_path)
    began, copies = time.monotonic(), [Copy(database_url, providers.url) for _ in range(2)]
    outlast(copies[0].database, messages)
    answers: dict[str, list[Any]] = {key: [] for key in to}

    def take_over(copy: Copy, key: str) -> None:
        answers[key].append(repeated(lambda: copy.send(key, to[key])))

    takers = [threading.Thread(target=take_over, args=(copy, key)) for copy in copies for key in to]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join(timeout=2 * TAKEN_OVER)
    assert time.monotonic() - began < TAKEN_OVER
    known = {message["key"]: message for message in copies[0].store.listed(None, 100)}
    for key in TEXTS:
        (text,) = providers.ledger(to=to[key])["sms"]
        assert [answer["sid"] for answer in answers[key]] == [text["sid"]] * 2
        assert known[key]["uncertain"] == 0
    for key, uncertain in MAILS.items():
        arrived = providers.ledger(to=to[key])["emails"]
        assert len(arrived) == (2 if key == "email:send:asked" else 1)
        assert known[key]["uncertain"] == uncertain
        assert [answer["message_id"] for answer in answers[key]] == [known[key]["provider_id"]] * 2
        headers = [mail["request"]["personalizations"][0]["headers"] for mail in arrived]
        assert all(header == {"X-Shop-Message": key} for header in headers)
