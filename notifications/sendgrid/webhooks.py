"""SendGrid's webhooks."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from python_http_client.exceptions import HTTPError
from sendgrid import SendGridAPIClient
from sendgrid.helpers.eventwebhook import EventWebhook

from chassis.deadline import bounded
from chassis.documents import is_id, read_document
from chassis.logs import log
from chassis.records import Unreadable, read_each
from chassis.work.webhooks import is_current, signature_in, unsigned
from contracts.errors import InvalidRequest, Unavailable
from contracts.webhooks import Event, Handling
from notifications.rules.progress import News, Progress, Record, Unwanted
from notifications.sendgrid.mailer import SendGridEndpoint

KIND = "sendgrid.mail"
KEY_PATH = ("user", "webhooks", "event", "settings", "signed")
HEADER = "X-Twilio-Email-Event-Webhook-Signature"
TIME_HEADER = "X-Twilio-Email-Event-Webhook-Timestamp"
# A signature that does not match may mean that SendGrid has a new key, so the key is fetched again. It is not fetched
# more often than this (seconds), or every forged event would cause a request. An event that does not match a key
# younger than this is not from SendGrid.
FETCH_SECONDS = 10.0
# When the key is fetched again after a failure, and how long an event waits for the fetch (seconds).
RETRY_SECONDS = 5.0
FETCH_WAIT_S = 3.0
# How many events wait for it: fewer than the service has workers, so that forged events do not hold up the others.
MAX_WAITING_FOR_KEY = 4

# SendGrid sends a batch at 768 KB, about 2 000 events with about 25 keys and values each.
MAX_EVENTS = 5_000
MAX_VALUES = 100_000
LONGEST_ERROR = 1_000
LONGEST_ID = 255  # the inbox's limit for an event's id

PROGRESS = {
    "processed": Progress.SENT,
    "deferred": Progress.SENT,  # SendGrid tries again for 72 hours
    "delivered": Progress.DELIVERED,
    "bounce": Progress.BOUNCED,
    "dropped": Progress.FAILED,
    # These follow a delivery.
    "spamreport": Progress.DELIVERED,
    "unsubscribe": Progress.DELIVERED,
}
TROUBLE = ("deferred", "bounce", "dropped")
UNWANTED = {"spamreport": Unwanted.SPAM, "unsubscribe": Unwanted.UNSUBSCRIBED}
# The reasons for which SendGrid drops a mail to a recipient that wants none: "Event Webhook Reference", dropped.
DROPPED = {"Spam Reporting Address": Unwanted.SPAM, "Unsubscribed Address": Unwanted.UNSUBSCRIBED}


class SendGridWebhooks:
    """SendGrid's webhooks, as a `contracts.webhooks.WebhookSource`.

    Args:
        key: SendGrid's public key, as shown in its settings; "" to fetch it.
        fetch: fetches it from SendGrid. Raises Unavailable.
        record: records the delivery status of a message.
        clock: Unix seconds.
    """

    kinds = (KIND,)

    def __init__(
        self, key: str, fetch: Callable[[], str], record: Record, clock: Callable[[], float] = time.time
    ) -> None:
        self._key = key
        self._given = bool(key)
        self._fetch = fetch
        self._record = record
        self._clock = clock
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(MAX_WAITING_FOR_KEY)
        self._fetched: float | None = None
        self._failed: float | None = None

    def verify(self, raw: bytes, headers: Mapping[str, str]) -> None:
        """See the port. Raises Unavailable when the signature does not match the known key, and SendGrid cannot be
        asked for a new key now."""
        signature, timestamp = signature_in(headers, HEADER), signature_in(headers, TIME_HEADER)
        try:
            payload, current = raw.decode(), is_current(float(timestamp), self._clock())
        except ValueError:
            raise unsigned(HEADER, "cannot be read") from None
        if not self._genuine(payload, signature, timestamp):
            raise unsigned(HEADER, "is not SendGrid's")
        if not current:
            raise unsigned(HEADER, "is too old")

    def parse(self, raw: bytes) -> list[Event]:
        """See the port."""
        try:
            found = read_document(raw, MAX_VALUES)
        except ValueError:
            found = None
        if not isinstance(found, list) or len(found) > MAX_EVENTS:
            message = f"must be a list of at most {MAX_EVENTS} events"
            raise InvalidRequest("These are no events of SendGrid's.", {"errors": {"body": [message]}})
        arrived = self._clock()
        return read_each("event of SendGrid's", found, lambda given: _event(given, arrived))[0]

    def handle(self, kind: str, body: dict[str, Any]) -> None:
        """See the port."""
        found_by = {"key": body["message_key"], "provider_id": body["message_id"]}
        event, error = body["event"], body["error"]
        progress = PROGRESS.get(event)
        unwanted = DROPPED.get(error) if event == "dropped" else UNWANTED.get(event)
        news = None if progress is None else News(progress, error, unwanted, body.get("at"))
        self._record("email", found_by, news)

    def _genuine(self, payload: str, signature: str, timestamp: str) -> bool:
        if self._key and _fits(self._key, payload, signature, timestamp):
            return True
        return not self._given and _fits(self._fresh(), payload, signature, timestamp)

    def _fresh(self) -> str:
        """Return SendGrid's current key, or one fetched a moment ago. Raises Unavailable when it cannot be fetched."""
        if not self._places.acquire(blocking=False):
            raise key_unknown(1.0)
        try:
            if not self._lock.acquire(timeout=bounded(FETCH_WAIT_S)):  # another event is fetching it
                raise key_unknown(1.0)
            try:
                if not self._within(self._fetched, FETCH_SECONDS):
                    self._ask()
                return self._key
            finally:
                self._lock.release()
        finally:
            self._places.release()

    def _ask(self) -> None:
        if self._within(self._failed, RETRY_SECONDS):
            raise key_unknown()
        try:
            self._key = self._fetch()
        except Unavailable:
            self._failed = self._clock()
            raise
        self._fetched, self._failed = self._clock(), None

    def _within(self, moment: float | None, seconds: float) -> bool:
        return moment is not None and 0 <= self._clock() - moment < seconds


def public_key(key: str, base: str | None, timeout: float) -> str:
    """Fetch the key that verifies SendGrid's events.

    Args:
        key: the API key; base: the URL to use instead of SendGrid's own, or None; timeout: seconds.

    Raises Unavailable when SendGrid does not return it.
    """
    client = SendGridAPIClient(key, **({"host": base} if base else {})).client
    endpoint = SendGridEndpoint(
        host=client.host, request_headers=dict(client.request_headers), version=3, url_path=list(KEY_PATH)
    )
    try:
        found = json.loads(endpoint.get(timeout=max(0.1, bounded(timeout))).body)["public_key"]
    except (HTTPError, OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        log.warning("sendgrid's webhook key cannot be fetched", error=type(error).__name__)
        raise key_unknown() from error
    if not isinstance(found, str) or not found:
        raise Unavailable("SendGrid's events cannot be verified: it signs none.", {"retry_after": 60})
    return found


def _fits(key: str, payload: str, signature: str, timestamp: str) -> bool:
    try:
        return bool(EventWebhook(key).verify_signature(payload, signature, timestamp))
    except (ValueError, TypeError, AttributeError):  # invalid key or signature
        return False


def _event(given: Any, arrived: float) -> Event:
    if not isinstance(given, dict):
        raise Unreadable("it is no object")
    event_id = given.get("sg_event_id")
    if not isinstance(event_id, str) or not 0 < len(event_id) <= LONGEST_ID or not event_id.isprintable():
        raise Unreadable("it has no usable sg_event_id")
    reason = given.get("reason") or given.get("response") or "" if given.get("event") in TROUBLE else ""
    body = {
        "event": _id(given.get("event")),
        "message_key": _id(given.get("message_key")),
        # SendGrid appends the handling server to the id that it answered with.
        "message_id": _id(given.get("sg_message_id")).partition(".")[0],
        "error": str(reason)[:LONGEST_ERROR],
        "at": _moment(given.get("timestamp"), arrived),
    }
    # Others report opens or clicks, or another sender's mails.
    matters = bool(body["message_key"]) and body["event"] in PROGRESS
    return Event(event_id, KIND, body, Handling.AT_ONCE if matters else Handling.NEVER)


def _moment(timestamp: Any, arrived: float) -> float:
    """Return when an event happened (Unix seconds), at the latest when it arrived. SendGrid's time is in whole seconds;
    the end of the second counts. https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event"""
    known = isinstance(timestamp, int) and not isinstance(timestamp, bool) and 0 <= timestamp <= arrived
    return min(timestamp + 1.0, arrived) if known else arrived


def _id(value: Any) -> str:
    return str(value) if is_id(value) else ""


def key_unknown(retry_after: float = RETRY_SECONDS) -> Unavailable:
    """Return the error for events that cannot be verified because the key is not known."""
    return Unavailable("SendGrid's events cannot be verified right now.", {"retry_after": int(retry_after)})
