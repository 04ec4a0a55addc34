"""Sending each message once: recorded before it is sent, and never sent again before the provider was asked, where it
can be."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from contracts.errors import Conflict, OutcomeUnknown, ShopError, Unavailable
from notifications.email import Mailer
from notifications.messages import Mail, Sms
from notifications.sms import SentSms, Texter

# A claim outlives the longest call to a provider by this much, and is renewed before the message is sent: who finds it
# run out may take over from a sender that died.
CLAIM_MARGIN_SECONDS = 4.0
# A message that got no answer may still be under way at the provider. Only when it does not know of it so long after
# the attempt ended was it not sent.
SETTLE_SECONDS = 5.0
# How long a second sender of the same message waits for the first, and how often it looks.
WAIT_SECONDS = 10.0
LOOK_SECONDS = 0.2


class State(str, Enum):
    """How far a message has come."""

    NEW = "new"  # claimed; nothing sent yet
    BEGAN = "began"  # it is being sent, or its sender died
    UNKNOWN = "unknown"  # it was sent, and the provider did not say
    FAILED = "failed"  # it was not sent
    SENT = "sent"


@dataclass(frozen=True)
class Record:
    """What is known of one message.

    Attributes:
        key: the caller's; kind: "email" or "sms"; recipient: an address or a number.
        body: a text message's words at the last attempt, "" for a mail.
        state: see `State`.
        tried: Unix seconds at which the last attempt began, or ended without an answer.
        provider_id, status: what the provider said when it took the message.
    """

    key: str
    kind: str
    recipient: str
    body: str
    state: State
    tried: float = 0.0
    provider_id: str = ""
    status: str = ""


class Records(Protocol):
    """Where messages are recorded. A claim is a random word; once it was taken over, it changes nothing any more."""

    def claim(self, message: Mail | Sms, claim: str, now: float, until: float) -> Record | None:
        """Take the message for this claim until then, and answer its record as it stands. One that is sent is answered
        and not taken; None when another claim holds it."""
        ...

    def begin(self, message: Mail | Sms, claim: str, now: float, until: float) -> bool:
        """Record that it is about to be sent, and renew the claim. False when it was taken over."""
        ...

    def end(self, key: str, claim: str, state: State, tried: float | None = None) -> None:
        """Record how far it came, and let the claim go."""
        ...

    def record(self, key: str, provider_id: str, status: str, now: float) -> None:
        """Record that it is sent: true whoever holds the claim."""
        ...

    def adopt(self, sms: Sms, found: list[SentSms], now: float) -> SentSms | None:
        """Record the first of the messages found that no other record holds as this one, and answer it.

        Raises:
            OutcomeUnknown: the same text is being sent to the same number right now; it may be that one.
        """
        ...


class Delivery:
    """Sends messages.

    Args:
        records: where they are recorded.
        bounded: cuts a number of seconds to what the caller still has.
        clock: Unix seconds.
        sleep: how to wait.
    """

    def __init__(
        self,
        records: Records,
        bounded: Callable[[float], float],
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._records = records
        self._bounded = bounded
        self._clock = clock
        self._sleep = sleep

    def mail(self, mail: Mail, mailer: Mailer) -> dict[str, Any]:
        """Send a mail. The same key answers the same; a mail whose outcome is unknown is sent again, under the same
        key, for SendGrid cannot be asked.

        Returns:
            ``{"status code": "202", "message_id"}``

        Raises:
            Conflict: the key stands for another message.
            Refused, ProviderFailure, Unavailable: not sent.
            OutcomeUnknown: it may have been.
        """
        claim = secrets.token_hex(16)
        record = self._claimed(mail, claim, mailer.longest_call)
        provider_id = record.provider_id
        if record.state is not State.SENT:
            self._begin(mail, claim, mailer.longest_call)
            try:
                provider_id = mailer.send(mail)
            except OutcomeUnknown:
                self._records.end(mail.key, claim, State.UNKNOWN, tried=self._clock())
                raise
            except ShopError:
                self._records.end(mail.key, claim, State.FAILED)
                raise
            self._records.record(mail.key, provider_id, "accepted", self._clock())
        return {"status code": "202", "message_id": provider_id}

    def sms(self, sms: Sms, texter: Texter) -> dict[str, Any]:
        """Send a text message. The same key answers the same, and sends nothing again before Twilio was asked.

        Returns:
            ``{"status code": "201", "sid", "status"}``

        Raises:
            Conflict: the key stands for another message.
            Refused, ProviderFailure, Unavailable: not sent.
            OutcomeUnknown: it may have been; the same call, later, finds out.
        """
        claim = secrets.token_hex(16)
        record = self._claimed(sms, claim, texter.longest_call)
        sent = SentSms(record.provider_id, record.status) if record.state is State.SENT else None
        if record.state in (State.BEGAN, State.UNKNOWN):
            # As it was said then: a repeated call may have more to tell.
            sent = self._resolved(Sms(sms.key, sms.number, record.body), record, claim, texter)
        if sent is None:
            sent = self._sent(sms, claim, texter)
        return {"status code": "201", "sid": sent.sid, "status": sent.status}

    def _claimed(self, message: Mail | Sms, claim: str, longest_call: float) -> Record:
        """The record, when it is ours or done; waits for another sender, within bounds."""
        end = self._clock() + self._bounded(WAIT_SECONDS)
        while True:
            now = self._clock()
            record = self._records.claim(message, claim, now, now + longest_call + CLAIM_MARGIN_SECONDS)
            if record is not None:
                return record
            if now + LOOK_SECONDS >= end:
                raise Unavailable("The message is being sent by another call.", {"retry_after": 2})
            self._sleep(LOOK_SECONDS)

    def _begin(self, message: Mail | Sms, claim: str, longest_call: float) -> float:
        now = self._clock()
        if not self._records.begin(message, claim, now, now + longest_call + CLAIM_MARGIN_SECONDS):
            raise Unavailable("The message is being sent by another call.", {"retry_after": 2})
        return now

    def _resolved(self, sms: Sms, record: Record, claim: str, texter: Texter) -> SentSms | None:
        """What became of an attempt that nobody saw the end of; None when it was surely not sent."""
        try:
            sent = self._records.adopt(sms, texter.sent(sms, record.tried), self._clock())
        except ShopError:
            self._records.end(sms.key, claim, State.UNKNOWN)
            raise
        left = record.tried + SETTLE_SECONDS - self._clock()
        if sent is None and left > 0:
            self._records.end(sms.key, claim, State.UNKNOWN)
            raise OutcomeUnknown("It is not known yet whether the message was sent.", {"retry_after": int(left) + 1})
        return sent

    def _sent(self, sms: Sms, claim: str, texter: Texter) -> SentSms:
        """Record the attempt, make it, record its end."""
        tried = self._begin(sms, claim, texter.longest_call)
        try:
            sent = texter.send(sms)
        except OutcomeUnknown as unknown:
            return self._asked_after(sms, claim, texter, tried, unknown)
        except ShopError:
            self._records.end(sms.key, claim, State.FAILED)
            raise
        self._records.record(sms.key, sent.sid, sent.status, self._clock())
        return sent

    def _asked_after(self, sms: Sms, claim: str, texter: Texter, tried: float, unknown: OutcomeUnknown) -> SentSms:
        """The message, when Twilio knows of it although it did not say so at once."""
        sent, certain = None, bool(unknown.facts.get("answered"))
        try:
            sent = self._records.adopt(sms, texter.sent(sms, tried), self._clock())
        except ShopError:
            certain = False
        if sent is not None:
            return sent
        if certain:
            self._records.end(sms.key, claim, State.FAILED)
            raise Unavailable(unknown.detail, {"retry_after": 2}) from unknown
        self._records.end(sms.key, claim, State.UNKNOWN, tried=self._clock())
        raise OutcomeUnknown(unknown.detail, {"retry_after": int(SETTLE_SECONDS) + 1}) from unknown


def mismatch(record: Record, message: Mail | Sms) -> Conflict | None:
    """The refusal of a key that stands for another message, or None when it is the same one."""
    kind, recipient = describe(message)
    if (record.kind, record.recipient) == (kind, recipient):
        return None
    return Conflict("This key was used for another message.")


def describe(message: Mail | Sms) -> tuple[str, str]:
    """Of what kind a message is, and whom it goes to."""
    return ("email", message.to) if isinstance(message, Mail) else ("sms", message.number)
