"""SendGrid's webhooks: signature verification and parsing."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import eventlet
from nameko.containers import WorkerContext
from nameko.extensions import DependencyProvider
from python_http_client.exceptions import HTTPError
from sendgrid import SendGridAPIClient
from sendgrid.helpers.eventwebhook import EventWebhook

from chassis.deadline import bounded
from chassis.documents import MAX_SIGNATURE_LENGTH, is_id, read_document
from chassis.logs import log
from chassis.records import Unreadable, read_each
from chassis.settings import Settings
from contracts.errors import InvalidRequest, Unavailable
from notifications.rules.progress import News, Progress
from notifications.sendgrid.mailer import SendGridEndpoint

KIND = "sendgrid.mail"
KEY_PATH = ("user", "webhooks", "event", "settings", "signed")
# Events that were signed longer ago than this are treated as a replay (seconds).
TOLERANCE = 300.0
# A signature that does not match may mean that SendGrid has a new key, so the key is fetched again. It is not fetched
# more often than this (seconds), or every forged event would cause a request. An event that does not match a key
# younger than this is not from SendGrid.
FETCH_SECONDS = 10.0
# When the key is fetched again after a failure, and how long an event waits for the fetch (seconds).
RETRY_SECONDS = 5.0
FETCH_WAIT_S = 3.0

# SendGrid sends a batch at 768 KB, about 2 000 events with about 25 keys and values each.
MAX_EVENTS = 5_000
MAX_VALUES = 100_000
LONGEST_ERROR = 1_000
LONGEST_ID = 255  # the inbox's limit for an event's id

PROGRESS = {
    "processed": Progress.SENT,
    "delivered": Progress.DELIVERED,
    "bounce": Progress.BOUNCED,
    "dropped": Progress.FAILED,
}


@dataclass(frozen=True)
class MailEvent:
    """A verified event of SendGrid's: its id, and ``{"event", "message_key", "message_id", "error"}``."""

    event_id: str
    body: dict[str, Any]

    @property
    def matters(self) -> bool:
        """Whether it reports the delivery status of one of the shop's mails; other events report opens or clicks."""
        return bool(self.body["message_key"]) and self.body["event"] in PROGRESS


class SendGridEvents:
    """Verifies and reads events.

    Args:
        key: SendGrid's public key, as shown in its settings; "" to fetch it.
        fetch: fetches it from SendGrid. Raises Unavailable.
        clock: Unix seconds.
    """

    def __init__(self, key: str, fetch: Callable[[], str], clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._given = bool(key)
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._fetched: float | None = None
        self._failed: float | None = None

    def verified(self, raw: str, signature: str, timestamp: str) -> list[MailEvent]:
        """Parse events after verifying their signature over the raw body.

        Args:
            raw: the body, each byte a character (latin-1).
            signature, timestamp: the headers ``X-Twilio-Email-Event-Webhook-Signature`` and ``-Timestamp``.

        Raises:
            InvalidRequest: it is not from SendGrid, was signed more than five minutes ago, or holds no events.
            Unavailable: it does not match the known key, and SendGrid cannot be asked for a new key now.
        """
        if max(len(signature), len(timestamp)) > MAX_SIGNATURE_LENGTH:
            raise _refused("cannot be read")
        try:
            payload = raw.encode("latin-1").decode()
            late = not abs(self._clock() - float(timestamp)) <= TOLERANCE  # NaN counts as too old
        except (AttributeError, TypeError, ValueError):
            raise _refused("cannot be read") from None
        if not self._genuine(payload, signature, timestamp):
            raise _refused("is not SendGrid's")
        if late:
            raise _refused("is too old")
        return list(_events(payload))

    def _genuine(self, payload: str, signature: str, timestamp: str) -> bool:
        if self._key and _fits(self._key, payload, signature, timestamp):
            return True
        return not self._given and _fits(self._fresh(), payload, signature, timestamp)

    def _fresh(self) -> str:
        """Return SendGrid's current key, or one fetched a moment ago. Raises Unavailable when it cannot be fetched."""
        if not self._lock.acquire(timeout=bounded(FETCH_WAIT_S)):  # another event is fetching it
            raise _unknown(1.0)
        try:
            if not self._within(self._fetched, FETCH_SECONDS):
                self._ask()
            return self._key
        finally:
            self._lock.release()

    def _ask(self) -> None:
        if self._within(self._failed, RETRY_SECONDS):
            raise _unknown(RETRY_SECONDS)
        try:
            self._key = self._fetch()
        except Unavailable:
            self._failed = self._clock()
            raise
        self._fetched, self._failed = self._clock(), None

    def _within(self, moment: float | None, seconds: float) -> bool:
        return moment is not None and 0 <= self._clock() - moment < seconds


class MailEventsProvider(DependencyProvider):
    """Provides a service with the reader of SendGrid's events, which caches the key."""

    def setup(self) -> None:
        settings = Settings.from_config(self.container.config)
        base, timeout = settings.sendgrid.base, settings.provider_timeout

        def fetch() -> str:
            # All events that wait for the key wait for this call, even if the answer arrives byte by byte.
            with eventlet.Timeout(timeout, _unknown(RETRY_SECONDS)):
                return public_key(settings.sendgrid.key, base, timeout)

        self.events = SendGridEvents(settings.sendgrid_webhook_key, fetch)

    def get_dependency(self, worker_ctx: WorkerContext) -> SendGridEvents:
        return self.events


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
        raise _unknown(RETRY_SECONDS) from error
    if not isinstance(found, str) or not found:
        raise Unavailable("SendGrid's events cannot be verified: it signs none.", {"retry_after": 60})
    return found


def news_of(event: str, error: str) -> News | None:
    """Return SendGrid's event in the shop's terms; None for one that does not concern a mail's delivery."""
    progress = PROGRESS.get(event)
    return None if progress is None else News(progress, error)


def _fits(key: str, payload: str, signature: str, timestamp: str) -> bool:
    try:
        return bool(EventWebhook(key).verify_signature(payload, signature, timestamp))
    except (ValueError, TypeError, AttributeError):  # invalid key or signature
        return False


def _events(payload: str) -> Iterator[MailEvent]:
    try:
        found = read_document(payload.encode(), MAX_VALUES)
    except ValueError:
        found = None
    if not isinstance(found, list) or len(found) > MAX_EVENTS:
        message = f"must be a list of at most {MAX_EVENTS} events"
        raise InvalidRequest("These are no events of SendGrid's.", {"errors": {"body": [message]}})
    events, _ = read_each("event of SendGrid's", found, _event)
    yield from events


def _event(given: Any) -> MailEvent:
    if not isinstance(given, dict):
        raise Unreadable("it is no object")
    event_id = given.get("sg_event_id")
    if not isinstance(event_id, str) or not 0 < len(event_id) <= LONGEST_ID or not event_id.isprintable():
        raise Unreadable("it has no usable sg_event_id")
    body = {
        "event": _id(given.get("event")),
        "message_key": _id(given.get("message_key")),
        # SendGrid appends the handling server to the id that it answered with.
        "message_id": _id(given.get("sg_message_id")).partition(".")[0],
        "error": str(given.get("reason") or given.get("response") or "")[:LONGEST_ERROR] if _is_trouble(given) else "",
    }
    return MailEvent(event_id, body)


def _id(value: Any) -> str:
    return str(value) if is_id(value) else ""


def _is_trouble(event: dict[str, Any]) -> bool:
    return event.get("event") in ("bounce", "dropped")


def _unknown(retry_after: float) -> Unavailable:
    return Unavailable("SendGrid's events cannot be verified right now.", {"retry_after": int(retry_after)})


def _refused(why: str) -> InvalidRequest:
    message = f"The signature {why}."
    return InvalidRequest(message, {"errors": {"X-Twilio-Email-Event-Webhook-Signature": [message]}, "unsigned": True})
