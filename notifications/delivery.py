"""Sending each message once: recorded before it is sent, and never sent again before the provider was asked, if it can
be asked."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable
from typing import Any

from chassis.clock import now as clock_now
from chassis.clock import settled_at
from chassis.crash_points import crash_point
from chassis.providers.http_session import last_look
from contracts.errors import OutcomeUnknown, ShopError, Unavailable
from notifications.email import Mailer
from notifications.messages import Mail, Sms
from notifications.record import Record, Records, State
from notifications.sms import SentSms, Texter

POINTS = (
    *("email:send:begun", "email:send:asked", "email:send:done"),
    *("sms:send:begun", "sms:send:asked", "sms:send:done", "sms:resolve:asked"),
)

# A claim outlives the longest call to a provider by this much, and is renewed before the message is sent. A caller that
# finds it expired may take over from a sender that hangs. The claim of a crashed sender is void within seconds.
CLAIM_MARGIN_SECONDS = 4.0
# A message whose outcome nobody saw may still be in progress at the provider. This lasts as long as the provider may
# take to answer, counted from its beginning, plus this long after its sender gave up. Only if the provider does not
# know the message after that is it certain that it was not sent.
SETTLE_SECONDS = 2.0
# How long one call waits for that, how often it asks the provider meanwhile, and how much of the caller's time must be
# left to send. A caller with less time is asked to retry later.
PATIENCE_SECONDS = 4.0
ASK_SECONDS = 1.0
RESERVE_SECONDS = 1.5
# How long a second sender of the same message waits for the first, and how often it looks. This is longer than it takes
# to detect that the first one crashed.
WAIT_SECONDS = 6.0
LOOK_SECONDS = 0.2


class Delivery:
    """Sends messages.

    Args:
        records: where messages are recorded.
        bounded: limits a number of seconds to the caller's remaining time.
        clock: Unix seconds.
        sleep: waits for the given number of seconds.
        timer: measures waits (monotonic seconds).
    """

    def __init__(
        self,
        records: Records,
        bounded: Callable[[float], float],
        clock: Callable[[], float] = clock_now,
        sleep: Callable[[float], None] = time.sleep,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._records = records
        self._bounded = bounded
        self._clock = clock
        self._sleep = sleep
        self._timer = timer

    def mail(self, mail: Mail, mailer: Mailer) -> dict[str, Any]:
        """Send a mail. The same key returns the same answer. SendGrid cannot be asked about a mail, so one whose
        outcome is unknown is sent again under the same key, and the repetition is recorded.

        Returns:
            ``{"status code": "202", "message_id"}``

        Raises:
            Conflict: the key belongs to another message.
            Refused, ProviderFailure, Unavailable: not sent.
            OutcomeUnknown: it may have been sent.
        """
        claim = secrets.token_hex(16)
        record = self._claimed(mail, claim, mailer.longest_call)
        provider_id = record.provider_id
        if record.state is not State.SENT:
            self._begin(mail, claim, mailer.longest_call, uncertain=record.unresolved)
            crash_point("email:send:begun")
            self._still_ours(mail.key, claim)
            try:
                with last_look(lambda: self._begun(mail, claim, mailer.longest_call) and self._records.alive()):
                    provider_id = mailer.send(mail)
            except OutcomeUnknown:
                self._records.end(mail.key, claim, State.UNKNOWN)
                raise
            except ShopError:
                self._records.end(mail.key, claim, State.FAILED)
                raise
            crash_point("email:send:asked")
            self._records.record(mail.key, provider_id, "accepted", self._clock(), claim)
            crash_point("email:send:done")
        return {"status code": "202", "message_id": provider_id}

    def sms(self, sms: Sms, texter: Texter) -> dict[str, Any]:
        """Send a text message. The same key returns the same answer, and resends nothing before Twilio was asked.

        Returns:
            ``{"status code": "201", "sid", "status"}``

        Raises:
            Conflict: the key belongs to another message.
            Refused, ProviderFailure, Unavailable: not sent.
            OutcomeUnknown: it may have been sent; the same call finds out later.
        """
        claim = secrets.token_hex(16)
        record = self._claimed(sms, claim, texter.longest_call)
        sent = SentSms(record.provider_id, record.status) if record.state is State.SENT else None
        if record.unresolved:
            # The text of the last attempt: the text of a repeated call may differ.
            sent = self._resolved(Sms(sms.key, sms.number, record.body), record, claim, texter)
        if sent is None:
            sent = self._sent(sms, claim, texter)
        return {"status code": "201", "sid": sent.sid, "status": sent.status}

    def _claimed(self, message: Mail | Sms, claim: str, longest_call: float) -> Record:
        """Return the record when we hold it or it is finished; wait a limited time for another sender."""
        end = self._timer() + self._bounded(WAIT_SECONDS)
        while True:
            now = self._clock()
            record = self._records.claim(message, claim, now, now + longest_call + CLAIM_MARGIN_SECONDS)
            if record is not None:
                return record
            if self._timer() + LOOK_SECONDS >= end:
                raise Unavailable("The message is being sent by another call.", {"retry_after": 2})
            self._sleep(LOOK_SECONDS)

    def _begin(self, message: Mail | Sms, claim: str, longest_call: float, uncertain: bool = False) -> float:
        now = self._clock()
        if not self._begun(message, claim, longest_call, uncertain):
            raise Unavailable("The message is being sent by another call.", {"retry_after": 2})
        return now

    def _begun(self, message: Mail | Sms, claim: str, longest_call: float, uncertain: bool = False) -> bool:
        now = self._clock()
        return self._records.begin(message, claim, now, now + longest_call + CLAIM_MARGIN_SECONDS, uncertain)

    def _still_ours(self, key: str, claim: str) -> None:
        """Skip the message when this process stalled for so long that another copy may be about to send it."""
        if not self._records.alive():
            self._records.end(key, claim, State.FAILED)
            raise Unavailable("The message is left to another copy of the service.", {"retry_after": 2})

    def _resolved(self, sms: Sms, record: Record, claim: str, texter: Texter) -> SentSms | None:
        """Find out the result of an attempt whose end nobody saw; None when the message was certainly not sent. Asks
        and waits briefly, and never sends."""
        longest = texter.longest_answer + SETTLE_SECONDS
        settled = settled_at(record.tried + texter.longest_answer, record.settled, self._clock(), longest)
        patience = min(PATIENCE_SECONDS, self._bounded(PATIENCE_SECONDS + RESERVE_SECONDS) - RESERVE_SECONDS)
        end = self._timer() + patience
        while True:
            began, asked = self._clock(), self._timer()
            try:
                sent = self._records.adopt(sms, texter.sent(sms, min(record.tried, settled - longest)), self._clock())
            except ShopError:
                self._records.end(sms.key, claim, State.UNKNOWN)
                raise
            crash_point("sms:resolve:asked")
            if sent is not None or began >= settled:
                return sent
            if asked + settled - began > end:
                self._records.end(sms.key, claim, State.UNKNOWN, settled=settled)
                facts = {"retry_after": max(1, math.ceil(settled - self._clock()))}
                raise OutcomeUnknown("It is not known yet whether the message was sent.", facts)
            self._sleep(min(ASK_SECONDS, max(LOOK_SECONDS, settled - self._clock())))

    def _sent(self, sms: Sms, claim: str, texter: Texter) -> SentSms:
        """Record the attempt, make it, and record its end."""
        tried = self._begin(sms, claim, texter.longest_call)
        crash_point("sms:send:begun")
        self._still_ours(sms.key, claim)

        def still_ours() -> bool:
            # Twilio's time to answer starts here, after any wait for a free slot and a connection.
            nonlocal tried
            tried = self._clock()
            return self._begun(sms, claim, texter.longest_call) and self._records.alive()

        try:
            with last_look(still_ours):
                sent = texter.send(sms)
        except OutcomeUnknown as unknown:
            return self._asked_after(sms, claim, texter, tried, unknown)
        except ShopError:
            self._records.end(sms.key, claim, State.FAILED)
            raise
        crash_point("sms:send:asked")
        self._records.record(sms.key, sent.sid, sent.status, self._clock(), claim)
        crash_point("sms:send:done")
        return sent

    def _asked_after(self, sms: Sms, claim: str, texter: Texter, tried: float, unknown: OutcomeUnknown) -> SentSms:
        """Return the message, if Twilio has it although its first answer did not say so."""
        sent, certain = None, bool(unknown.facts.get("answered"))
        ended = self._clock()
        try:
            sent = self._records.adopt(sms, texter.sent(sms, tried), self._clock())
        except ShopError:
            certain = False
        if sent is not None:
            return sent
        if certain:
            self._records.end(sms.key, claim, State.FAILED)
            raise Unavailable(unknown.detail, {"retry_after": 2}) from unknown
        settled = max(tried + texter.longest_answer, ended + SETTLE_SECONDS)
        self._records.end(sms.key, claim, State.UNKNOWN, settled=settled)
        facts = {"retry_after": max(1, math.ceil(settled - self._clock()))}
        raise OutcomeUnknown(unknown.detail, facts) from unknown
