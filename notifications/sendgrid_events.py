"""What SendGrid sends by itself: whether it is from SendGrid, and what became of its mails."""

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
from notifications.progress import News, Progress
from notifications.sendgrid_email import SendGridEndpoint

KIND = "sendgrid.mail"
KEY_PATH = ("user", "webhooks", "event", "settings", "signed")
# Events that were signed longer ago than this are somebody's copy (seconds).
TOLERANCE = 300.0
# A signature that does not fit may mean that SendGrid has a new key: it is asked for, but not more often (seconds), or
# forged events would have it asked for each. What a key as young as that does not fit is no event of SendGrid's.
FETCH_SECONDS = 10.0
# When it is asked for again after it could not be had, and how long an event waits while it is (seconds).
RETRY_SECONDS = 5.0
WAIT = 3.0

# SendGrid sends a batch at 768 KB, about 2 000 events of about 25 keys and values each.
MOST_EVENTS = 5_000
MOST_VALUES = 100_000
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
    """An event that is SendGrid's own: its id, and ``{"event", "message_key", "message_id", "error"}``."""

    event_id: str
    body: dict[str, Any]

    @property
    def matters(self) -> bool:
        """Whether it tells what became of one of the shop's mails; others tell who opened or clicked."""
        return bool(self.body["message_key"]) and self.body["event"] in PROGRESS


class SendGridEvents:
    """Verifies and reads events.

    Args:
        key: SendGrid's public key, as its settings show it; "" when it is to be asked for.
        fetch: asks SendGrid for it. Raises Unavailable.
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
        """Read events, after their signature was verified over the body as it came.

        Args:
            raw: the body, each byte a character (latin-1).
            signature, timestamp: the headers ``X-Twilio-Email-Event-Webhook-Signature`` and ``-Timestamp``.

        Raises:
            InvalidRequest: it is not from SendGrid, was signed more than five minutes ago, or holds no events.
            Unavailable: it does not fit the key that was known, and whether there is another cannot be asked now.
        """
        if max(len(signature), len(timestamp)) > MAX_SIGNATURE_LENGTH:
            raise _refused("cannot be read")
        try:
            payload = raw.encode("latin-1").decode()
            late = not abs(self._clock() - float(timestamp)) <= TOLERANCE  # NaN is late, too
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
        """The key as SendGrid shows it now, or did a moment ago. Raises Unavailable when that cannot be known."""
        if not self._lock.acquire(timeout=bounded(WAIT)):  # another event has it asked for
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
    """Gives a service what reads SendGrid's events; it keeps the key."""

    def setup(self) -> None:
        settings = Settings.from_config(self.container.config)
        base, timeout = settings.sendgrid.base, settings.provider_timeout

        def fetch() -> str:
            # Whoever waits for the key waits for this: also for an answer that comes byte by byte.
            with eventlet.Timeout(timeout, _unknown(RETRY_SECONDS)):
                return public_key(settings.sendgrid.key, base, timeout)

        self.events = SendGridEvents(settings.sendgrid_webhook_key, fetch)

    def get_dependency(self, worker_ctx: WorkerContext) -> SendGridEvents:
        return self.events


def public_key(key: str, base: str | None, timeout: float) -> str:
    """Ask SendGrid for the key that its events are verified with.

    Args:
        key: the API key; base: the URL to use in place of SendGrid's own, or None; timeout: seconds.

    Raises Unavailable when it does not say.
    """
    client = SendGridAPIClient(key, **({"host": base} if base else {})).client
    endpoint = SendGridEndpoint(
        host=client.host, request_headers=dict(client.request_headers), version=3, url_path=list(KEY_PATH)
    )
    try:
        found = json.loads(endpoint.get(timeout=max(0.1, bounded(timeout))).body)["public_key"]
    except (HTTPError, OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        log.warning("sendgrid does not say what it signs with", error=type(error).__name__)
        raise _unknown(RETRY_SECONDS) from error
    if not isinstance(found, str) or not found:
        raise Unavailable("SendGrid's events cannot be verified: it signs none.", {"retry_after": 60})
    return found


def news_of(event: str, error: str) -> News | None:
    """SendGrid's event in the shop's words; None for one that tells nothing of a mail's way."""
    progress = PROGRESS.get(event)
    return None if progress is None else News(progress, error)


def _fits(key: str, payload: str, signature: str, timestamp: str) -> bool:
    try:
        return bool(EventWebhook(key).verify_signature(payload, signature, timestamp))
    except (ValueError, TypeError, AttributeError):  # no key, or no signature
        return False


def _events(payload: str) -> Iterator[MailEvent]:
    try:
        found = read_document(payload.encode(), MOST_VALUES)
    except ValueError:
        found = None
    if not isinstance(found, list) or len(found) > MOST_EVENTS:
        message = f"must be a list of at most {MOST_EVENTS} events"
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
