"""Text messages through Twilio's SDK. Twilio's terms and failure modes do not pass beyond this adapter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from twilio.base.exceptions import TwilioException, TwilioRestException, TwilioServiceException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from chassis.logs import log
from chassis.providers.failures import calling
from chassis.providers.http_session import ProviderSession
from contracts.contacts import without_contacts
from contracts.errors import OutcomeUnknown, ProviderFailure, Refused, ShopError, Unavailable
from notifications.rules.messages import Sms
from notifications.rules.progress import News, Unwanted
from notifications.rules.sms import SentSms
from notifications.twilio.webhooks import OPTED_OUT_CODE, news_of

RETRY_AFTER = 2  # seconds
# Twilio's error codes (https://www.twilio.com/docs/api/errors) for a bad recipient, a bad text, and a bad sender, which
# is ours.
NUMBER_CODES = frozenset(
    (
        *(21211, 21214, 21217, 21219, 21265, 21266, 21408, 21421),
        *(21604, 21608, OPTED_OUT_CODE, 21612, 21614, 21635),
    )
)
TEXT_CODES = frozenset((21602, 21605, 21617, 21619, 21623, 30007))
SENDER_CODES = frozenset((21212, 21601, 21603, 21606, 21607, 21611, 21618, 21659, 21660, 21661, 21701, 21703))
# How many of a number's latest messages are searched for one: a shopper gets a few per hour.
LATEST = 100
# How much Twilio's clock and ours may differ (seconds): ours may have been an hour off when a message was sent.
CLOCKS_APART_S = 7200.0


class TwilioTexter:
    """Twilio as an implementation of the port `notifications.rules.sms.Texter`.

    Args:
        account, token: the credentials.
        base: the URL to use instead of Twilio's own, or None.
        sender: the number to send from, or the SID of a messaging service ("MG...").
        connect, read: timeouts in seconds.
        callback: the URL to which Twilio reports a message's status; None for none.
    """

    def __init__(
        self,
        account: str,
        token: str,
        base: str | None,
        sender: str,
        connect: float,
        read: float,
        callback: str | None = None,
    ) -> None:
        self.longest_call = connect + read
        self.longest_answer = read
        self.sender = sender
        self._sender = {"messaging_service_sid": sender} if sender.startswith("MG") else {"from_": sender}
        self._callback = {"status_callback": callback} if callback else {}
        http = TwilioHttpClient(timeout=read)
        http.session = ProviderSession(connect, read, "Twilio")
        # A private environment, and not an empty one, which would be ignored: TWILIO_REGION and TWILIO_EDGE in the
        # process's own environment would change the host.
        self._twilio = Client(account, token, environment={"_": ""}, http_client=http)
        if base:
            self._twilio.api.base_url = base

    @property
    def client(self) -> Client:
        """The SDK's client, for `twilio_lists.py`."""
        return self._twilio

    def send(self, sms: Sms) -> SentSms:
        """See the port."""
        with _sending():
            message = self._twilio.messages.create(to=sms.number, body=sms.body, **self._sender, **self._callback)
        if not message.sid:
            # The SDK accepts any JSON as a message.
            log.error("twilio answered without a sid")
            raise OutcomeUnknown("Twilio answered without saying which message it sent.")
        return SentSms(str(message.sid), str(message.status or "queued"))

    def sent(self, sms: Sms, since: float) -> list[SentSms]:
        """See the port."""
        with asking():
            latest = self._twilio.messages.list(to=sms.number, limit=LATEST)
            return [
                SentSms(str(each.sid), str(each.status or "queued"))
                for each in reversed(latest)
                if each.sid
                and each.to == sms.number
                # Twilio puts a sentence of its own in front of a trial account's messages.
                and (each.body or "").strip().endswith(sms.body.strip())
                and each.date_created is not None
                and each.date_created.timestamp() >= since - CLOCKS_APART_S
            ]

    def news(self, sid: str) -> News | None:
        """See the port."""
        try:
            with asking():
                message = self._twilio.messages(sid).fetch()
                changed = message.date_updated
                return news_of(message.status, message.error_code, None if changed is None else changed.timestamp())
        except ProviderFailure as failure:
            if getattr(failure.__cause__, "status", None) == 404:
                return None
            raise


@contextmanager
def _sending() -> Iterator[None]:
    """Translate the failures of sending. Unless the failure proves that nothing was sent, the message may have been
    sent."""
    try:
        with calling("Twilio", "messages.create", doubt="it sent the message"):
            yield
    except (TwilioRestException, TwilioServiceException) as error:
        status = int(error.status)
        if status >= 500:
            log.warning("twilio failed", status=status, code=error.code)
            done = status in (500, 503)  # after a gateway's 502 or 504 the request may still run behind it
            raise OutcomeUnknown("Twilio failed while sending the message.", {"answered": done}) from error
        raise _answered(error) from error


@contextmanager
def asking() -> Iterator[None]:
    """Translate the failures of a query, which can be repeated."""
    try:
        with calling("Twilio", "messages"):
            yield
    except TwilioException as error:
        # The SDK's list calls report the failure in the second argument, its single-object calls in attributes.
        status = int(getattr(error, "status", 0) or getattr((*error.args, None, None)[1], "status_code", 0))
        log.warning("twilio does not list messages", status=status)
        if status == 429 or status >= 500:
            raise Unavailable("Twilio is not available.", {"retry_after": RETRY_AFTER}) from error
        raise ProviderFailure(f"Twilio answered with status {status}.") from error


def _answered(error: TwilioRestException | TwilioServiceException) -> ShopError:
    """Return the error for a rejected request. Never use str(error): it adds ANSI colours on a terminal."""
    said = getattr(error, "msg", None) or getattr(error, "detail", None) or getattr(error, "title", None)
    message = without_contacts(str(said or "no reason given").removeprefix("Unable to create record: "))
    status, code = int(error.status), error.code
    if status == 429:
        return Unavailable("Twilio asks us to slow down.", {"retry_after": RETRY_AFTER})
    if status == 400 and code not in SENDER_CODES:
        field = "number" if code in NUMBER_CODES else "content" if code in TEXT_CODES else "message"
        # The same number and text are rejected each time.
        permanent = field != "message"
        unwanted = {"unwanted": Unwanted.OPTED_OUT.value} if code == OPTED_OUT_CODE else {}
        facts = {"errors": {field: [message]}, "code": code, "permanent": permanent, **unwanted}
        return Refused(message, facts)
    # Our credentials, our number, or an invalid answer (such as a redirect).
    log.error("twilio refuses the shop", status=status, code=code, said=message)
    if status in (400, 401, 403):
        return ProviderFailure(f"Twilio refuses the shop, not the message: {message}", {"ours": True})
    return ProviderFailure(f"Twilio answered with status {status}.")
