"""Tracks the messages after sending: from the providers' events, and by polling, because events may be lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from chassis.clock import now as clock_now
from chassis.logs import log
from chassis.records import SetAside, note
from chassis.work.inbox import NotYet
from contracts.errors import ShopError, Unavailable
from notifications.rules.sms import Texter
from notifications.sendgrid import webhooks as sendgrid_events
from notifications.store.messages import MessageStore
from notifications.twilio import webhooks as twilio_events

# How many text messages are polled in one run.
BATCH = 20


class Watch:
    """Stores and handles events, and polls.

    Args:
        store: where messages are recorded.
        texter: the port to poll about texts.
        clock: Unix seconds.
    """

    def __init__(self, store: MessageStore, texter: Texter, clock: Callable[[], float] = clock_now) -> None:
        self._store = store
        self._texter = texter
        self._clock = clock

    def keep(self, events: Iterable[tuple[str, str, dict[str, Any], bool]]) -> dict[str, Any]:
        """Store events, and handle them at once if possible.

        Args:
            events: for each its id, its kind, its body, and whether it needs handling.

        Returns:
            ``{"received": True, "duplicate"}``: a duplicate when all of them were stored before.

        Raises Unavailable when one cannot be stored: then all must be sent again.
        """
        given = list(events)
        new = [event for event in given if self._store.inbox.keep(*event[:3], done=not event[3])]
        with suppress(Unavailable):  # they are stored, and the timer handles them
            for event_id, _kind, _body, matters in new:
                if matters:
                    self._store.inbox.handle(event_id, self.handle)
        return {"received": True, "duplicate": bool(given) and not new}

    def handle(self, kind: str, body: dict[str, Any]) -> None:
        """Record what an event reports; repeating it is safe.

        Raises NotYet: the message is not recorded; its sender may be slower than the event, or have been killed.
        """
        now = self._clock()
        if kind == twilio_events.KIND:
            news = twilio_events.news_of(body["status"], body["error"])
            found = news is None or self._store.progressed("sms", {"provider_id": body["sid"]}, news, now)
        else:
            news = sendgrid_events.news_of(body["event"], body["error"])
            found_by = {"key": body["message_key"], "provider_id": body["message_id"]}
            found = news is None or self._store.progressed("email", found_by, news, now)
        if not found:
            raise NotYet("There is no such message.")

    def handle_due(self, until: float) -> None:
        """Handle waiting events until then (monotonic seconds)."""
        self._store.inbox.sweep(self.handle, until)

    def poll(self, every: float) -> None:
        """Poll text messages that were not asked about for this many seconds."""
        due = self._store.due(self._clock(), every, BATCH)
        for number, sid in enumerate(due):
            try:
                news = self._texter.news(sid)
            except Unavailable as error:
                log.warning("text messages not polled", error=str(error))
                self._store.put_back(due[number:])
                return
            except ShopError as error:
                log.warning("text message not polled", sid=sid, error=str(error))
                continue
            except Exception as error:  # a bug, or an unforeseen error: continue with the other messages
                note("text message", SetAside(sid, f"{type(error).__name__}: {error}"), error)
                continue
            if news is not None:
                self._store.progressed("sms", {"provider_id": sid}, news, self._clock())

    def forget(self) -> None:
        """Delete events that were handled long ago."""
        self._store.inbox.forget()
