"""Twilio's webhooks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from twilio.request_validator import RequestValidator

from chassis.documents import is_id
from chassis.work.webhooks import signature_in, unsigned
from contracts.contacts import E164
from contracts.errors import InvalidRequest
from contracts.webhooks import Event, Handling, Reply
from notifications.rules.progress import News, Progress, Record, Unwanted, Wish

KIND = "twilio.message"
# A shopper's message to the shop.
REPLY_KIND = "twilio.reply"
# The gateway's path for it, which Twilio signs with the rest of the URL.
PATH = "/api/webhooks/twilio/"
HEADER = "X-Twilio-Signature"

# Twilio sends about 20 parameters in less than a kilobyte, and with a shopper's message up to 1600 characters, each of
# which takes at most nine bytes; its ids have 34 characters. 64 KiB of escapes take 30 ms to parse, and they are parsed
# before their signature can be verified.
MAX_BYTES = 16 * 1024
MAX_PARAMETERS = 100
LONGEST_FIELD = 64
# The words by which Twilio stops and starts messages to a number: "Twilio support for opt-out keywords (SMS STOP
# filtering)", https://support.twilio.com/hc/en-us/articles/223134027, with OPTOUT and REVOKE as in
# https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out. Only a message of one such word counts. With
# Advanced Opt-Out the words are the shop's own, and `OptOutType` says what Twilio understood.
STOP_WORDS = frozenset(("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "OPTOUT", "REVOKE"))
START_WORDS = frozenset(("START", "YES", "UNSTOP"))
# "Attempt to send to unsubscribed recipient", https://www.twilio.com/docs/api/errors/21610.
OPTED_OUT_CODE = 21610
# Twilio expects TwiML as the answer to a message, and sends what it finds there to the shopper: nothing. Any other
# content type is its error 12300 (https://www.twilio.com/docs/api/errors/12300).
NO_REPLY = Reply("text/xml", "<Response/>")
PROGRESS = {
    **dict.fromkeys(("accepted", "scheduled", "queued"), Progress.QUEUED),
    **dict.fromkeys(("sending", "sent"), Progress.SENT),
    **dict.fromkeys(("delivered", "read"), Progress.DELIVERED),
    **dict.fromkeys(("undelivered", "failed", "canceled"), Progress.FAILED),
}


class TwilioWebhooks:
    """Twilio's webhooks, as a `contracts.webhooks.WebhookSource`.

    Args:
        token: the signing secret.
        public_url: the shop's URL as Twilio calls it.
        record: records the delivery status of a message.
        wish: records whether a number wants text messages.
        clock: Unix seconds.
    """

    kinds = (KIND, REPLY_KIND)

    def __init__(
        self,
        token: str,
        public_url: str,
        record: Record,
        wish: Wish,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._token = token
        self._url = public_url + PATH
        self._record = record
        self._wish = wish
        self._clock = clock

    def verify(self, raw: bytes, headers: Mapping[str, str]) -> None:
        """See the port. The signature contains no time, so an old event counts as a repeated one."""
        signature = signature_in(headers, HEADER)
        try:
            # The signature covers the sorted parameters, so they are parsed first, with a limit on their number.
            genuine = RequestValidator(self._token).validate(self._url, _form(raw), signature)
        except (AttributeError, TypeError, ValueError):
            genuine = False
        if not genuine:
            raise unsigned(HEADER, "is not Twilio's")

    def parse(self, raw: bytes) -> list[Event]:
        """See the port."""
        form = _form(raw)
        if form.get("SmsStatus") == "received" and "MessageStatus" not in form:
            return [self._replied(form)]
        sid, status, error = (form.get(name, "") for name in ("MessageSid", "MessageStatus", "ErrorCode"))
        if not all(is_id(text) and len(text) <= LONGEST_FIELD for text in (sid, status, error or "none")):
            missing = {"errors": {"body": ["must have MessageSid and MessageStatus, and may have ErrorCode"]}}
            raise InvalidRequest("This is about no message.", missing)
        # Only some carriers say when it happened, to the minute and in a time zone of their own (`RawDlrDoneDate`).
        body = {"sid": sid, "status": status, "error": error, "at": self._clock()}
        return [Event(f"{sid}:{status}", KIND, body)]

    def handle(self, kind: str, body: dict[str, Any]) -> None:
        """See the port."""
        if kind == REPLY_KIND:
            self._wish(body["number"], body["wanted"], body["at"])
        else:
            self._record("sms", {"provider_id": body["sid"]}, news_of(body["status"], body["error"], body.get("at")))

    def _replied(self, form: Mapping[str, str]) -> Event:
        """Return a shopper's message as an event; its text is not stored.

        Twilio does not say when the message was sent, so the time of its arrival orders a STOP and a START.
        """
        sid, number = form.get("MessageSid", ""), form.get("From", "")
        if not is_id(sid) or len(sid) > LONGEST_FIELD:
            raise InvalidRequest("This is about no message.", {"errors": {"body": ["must have MessageSid"]}})
        wanted = _wish(form)
        if wanted is None or not E164.fullmatch(number):  # a question, or a message from another channel
            return Event(f"{sid}:received", REPLY_KIND, {}, Handling.NEVER, NO_REPLY)
        body = {"number": number, "wanted": wanted, "at": self._clock()}
        return Event(f"{sid}:received", REPLY_KIND, body, reply=NO_REPLY)


def callback_url(public_url: str, live: bool) -> str | None:
    """Return the callback URL for a message's status; None when Twilio cannot reach the shop."""
    host = urlsplit(public_url).hostname or ""
    # Twilio itself rejects a message whose callback is on a loopback host.
    unreachable = not host or (live and (host in ("localhost", "::1") or host.startswith("127.")))
    return None if unreachable else public_url + PATH


def news_of(status: Any, error: Any, at: float | None) -> News | None:
    """Return Twilio's status and error code in the shop's terms; None for an unknown status. `at`: see `News`."""
    progress = PROGRESS.get(str(status or ""))
    if progress is None:
        return None
    unwanted = Unwanted.OPTED_OUT if str(error) == str(OPTED_OUT_CODE) else None
    return News(progress, f"Twilio error {error}" if error else "", unwanted, at)


def _wish(form: Mapping[str, str]) -> bool | None:
    """Whether the sender of a message wants text messages; None when it does not say."""
    if understood := form.get("OptOutType"):
        return {"START": True, "STOP": False}.get(understood)
    word = form.get("Body", "").strip().upper()
    return True if word in START_WORDS else False if word in STOP_WORDS else None


def _form(raw: bytes) -> dict[str, str]:
    """The parameters. Raises ValueError when they are too many or too long."""
    if len(raw) > MAX_BYTES:
        raise ValueError("the form is too long")
    return dict(parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=MAX_PARAMETERS))
