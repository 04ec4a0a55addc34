"""Sending each message once, by the rules of `chassis.work.ask_once`."""

from __future__ import annotations

import secrets
from typing import Any, Generic, TypeVar

from chassis.crash_points import crash_point
from chassis.work.ask_once import AskOnce, Request, TraceableRequest
from contracts.errors import Refused
from notifications.rules.email import Mailer
from notifications.rules.messages import Mail, Sms
from notifications.rules.progress import Unwanted
from notifications.rules.record import Record, State
from notifications.rules.sms import SentSms, Texter
from notifications.store.messages import MessageStore

POINTS = (
    *("email:send:begun", "email:send:asked", "email:send:done"),
    *("sms:send:begun", "sms:send:asked", "sms:send:done", "sms:resolve:asked"),
)

# What a caller reads about a recipient that wants no more messages.
UNWANTED = {
    Unwanted.OPTED_OUT: "has opted out of the shop's text messages",
    Unwanted.SPAM: "has marked the shop's mail as spam; it gets receipts only",
    Unwanted.UNSUBSCRIBED: "has unsubscribed from the shop's mail; it gets receipts only",
}

Message = TypeVar("Message", Mail, Sms)
Answer = TypeVar("Answer")


class _Sending(Request[Answer], Generic[Message, Answer]):
    """One message, and its record.

    Args:
        records: where it is recorded.
        message: the message.
        ask_once: makes the request.
    """

    doing, done, verb = "The message is being sent", "the message was sent", "send"

    def __init__(self, records: MessageStore, message: Message, ask_once: AskOnce) -> None:
        self._records = records
        self._message: Message = message
        self._ask_once = ask_once
        self._claim = secrets.token_hex(16)

    def claimed(self) -> Record:
        def take(now: float, until: float) -> Record | None:
            return self._records.claim(self._message, self._claim, now, until)

        return self._ask_once.claimed(self, take)

    def begin(self, now: float, until: float) -> bool:
        return self._records.begin(self._message, self._claim, now, until)

    def alive(self) -> bool:
        return self._records.alive()

    def end(self, unknown: bool, settled: float | None = None) -> None:
        state = State.UNKNOWN if unknown else State.FAILED
        self._records.end(self._message.key, self._claim, state, settled=settled)


class MailRequest(_Sending[Mail, str]):
    """A mail. SendGrid cannot be asked about one: if its outcome is unknown, it is sent again under the same key, and
    the repetition is recorded once."""

    def __init__(self, records: MessageStore, mail: Mail, ask_once: AskOnce, mailer: Mailer) -> None:
        super().__init__(records, mail, ask_once)
        self._mailer = mailer
        self._uncertain = False
        self.longest_call = mailer.longest_call

    def claimed(self) -> Record:
        record = super().claimed()
        self._uncertain = record.unresolved
        return record

    def begin(self, now: float, until: float) -> bool:
        uncertain, self._uncertain = self._uncertain, False
        return self._records.begin(self._message, self._claim, now, until, uncertain)

    def ask(self) -> str:
        return self._mailer.send(self._message)

    def record(self, answer: str) -> str:
        self._records.record(self._message.key, answer, "accepted", self._ask_once.clock(), self._claim)
        return answer

    def passes(self, moment: str) -> None:
        crash_point(f"email:{moment}")


class SmsRequest(_Sending[Sms, SentSms], TraceableRequest[SentSms]):
    """A text message."""

    def __init__(self, records: MessageStore, sms: Sms, ask_once: AskOnce, texter: Texter) -> None:
        super().__init__(records, sms, ask_once)
        self._texter = texter
        self._last_text = sms.body
        self._adopted: SentSms | None = None
        self.longest_call = texter.longest_call
        self.longest_answer = texter.longest_answer

    def claimed(self) -> Record:
        record = super().claimed()
        if record.unresolved:
            self._last_text = record.body  # the text of a repeated call may differ
        return record

    def begin(self, now: float, until: float) -> bool:
        self._last_text = self._message.body
        return super().begin(now, until)

    def ask(self) -> SentSms:
        return self._texter.send(self._message)

    def find(self, since: float) -> SentSms | None:
        sms = Sms(self._message.key, self._message.number, self._last_text)
        self._adopted = self._records.adopt(sms, self._texter.sent(sms, since), self._ask_once.clock())
        return self._adopted

    def record(self, answer: SentSms) -> SentSms:
        if answer is self._adopted:  # it is recorded already
            return answer
        self._records.record(self._message.key, answer.sid, answer.status, self._ask_once.clock(), self._claim)
        return answer

    def passes(self, moment: str) -> None:
        crash_point(f"sms:{moment}")


class Delivery:
    """Sends messages.

    Args:
        records: where messages are recorded.
        ask_once: makes the requests.
        mailer, texter: the ports that send them.
    """

    def __init__(self, records: MessageStore, ask_once: AskOnce, mailer: Mailer, texter: Texter) -> None:
        self._records = records
        self._ask_once = ask_once
        self._mailer = mailer
        self._texter = texter

    def mail(self, mail: Mail) -> dict[str, Any]:
        """Send a mail. The same key returns the same answer.

        Returns:
            ``{"status code": "202", "message_id"}``

        Raises:
            Conflict: the key belongs to another message.
            Refused, ProviderFailure, Unavailable: not sent. Refused with the fact ``unwanted`` when its recipient wants
                no more mail, and it is no receipt.
            OutcomeUnknown: it may have been sent.
        """
        if not mail.receipt:
            self._require_wanted(mail)
        request = MailRequest(self._records, mail, self._ask_once, self._mailer)
        record = request.claimed()
        sent = record.state is State.SENT
        message_id = record.provider_id if sent else self._ask_once.answer(request, record)
        return {"status code": "202", "message_id": message_id}

    def sms(self, sms: Sms) -> dict[str, Any]:
        """Send a text message. The same key returns the same answer, and resends nothing before Twilio was asked.

        Returns:
            ``{"status code": "201", "sid", "status"}``

        Raises:
            Conflict: the key belongs to another message.
            Refused, ProviderFailure, Unavailable: not sent. Refused with the fact ``unwanted`` when the number has
                opted out.
            OutcomeUnknown: it may have been sent; the same call finds out later.
        """
        self._require_wanted(sms)
        request = SmsRequest(self._records, sms, self._ask_once, self._texter)
        record = request.claimed()
        if record.state is State.SENT:
            sent = SentSms(record.provider_id, record.status)
        else:
            sent = self._texted(request, record)
        return {"status code": "201", "sid": sent.sid, "status": sent.status}

    def _texted(self, request: SmsRequest, record: Record) -> SentSms:
        began = self._ask_once.clock()  # a START that arrives meanwhile is newer than this refusal
        try:
            return self._ask_once.answer(request, record)
        except Refused as refusal:
            if reason := refusal.facts.get("unwanted"):
                self._records.suppressions.record(record.recipient, Unwanted(reason), began)
            raise

    def _require_wanted(self, message: Mail | Sms) -> None:
        """Raises Refused when the recipient wants no more messages."""
        reason = self._records.unwanted(message)
        if reason is not None:
            field, what = ("to_email", "mailbox") if isinstance(message, Mail) else ("number", "number")
            facts = {"errors": {field: [UNWANTED[reason]]}, "permanent": True, "unwanted": reason.value}
            raise Refused(f"This {what} {UNWANTED[reason]}.", facts)
