"""Providers' events: stored before they are acknowledged, so that none is lost, then handled once, in any order.

A provider repeats an event until it is answered 2xx, and sometimes after that. An event is a task under its own id, so
repetitions are recognized. A handler does not trust the event: it asks the provider for the current state, and does
each effect once per key.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from chassis.clock import now as clock_now
from chassis.db.engine import Database, once_more
from chassis.work.tasks import PATIENCE_S, Task, Tasks
from contracts.errors import InvalidRequest, NotFound, OutcomeUnknown, Unavailable

EVENTS = "events"
# An event may arrive before its object is recorded: the process that created the object may have been killed, and its
# provider may fail when asked for the outcome. Up to this age of the event (seconds) that does not count as a try.
EARLY_S = 900.0
# How long a claim on an event holds at most (seconds): longer than any handling.
CLAIM_S = 60.0
# How long a completed event is remembered (seconds): providers repeat theirs for three days.
KEPT_S = 30 * 86400.0

Handler = Callable[[str, dict[str, Any]], None]


class NotYet(NotFound):
    """Raised by a handler: the object of the event is not recorded, or not yet; the event may have arrived first."""


class Inbox:
    """The events that one service has received.

    Args:
        database: the service's.
        clock: Unix seconds; another one in tests.

    Attributes:
        tasks: the events, as tasks.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = clock_now) -> None:
        self.tasks = Tasks(database, EVENTS, clock)
        self._clock = clock

    @once_more
    def keep(self, event_id: str, kind: str, body: dict[str, Any], done: bool = False) -> bool:
        """Store an event whose provider is authenticated; False when it was stored before.

        Args:
            event_id: the provider's, 1 to 255 characters; identifies repetitions.
            kind: what it is about, such as ``payment_intent.succeeded``.
            body: JSON-plain; handed to the handler as it is.
            done: nothing needs to be done about it; it is only stored.

        Raises InvalidRequest (no usable id or kind), Unavailable (not stored; the provider must receive an error).
        """
        for name, text, most in (("id", event_id, 255), ("kind", kind, 128)):
            if not isinstance(text, str) or not 0 < len(text) <= most or not text.isprintable():
                raise InvalidRequest("The event has no usable id or kind.", {"errors": {name: ["not usable"]}})
        return self.tasks.add(event_id, kind, details=body, done=done)

    def handle(self, event_id: str, handler: Handler) -> bool:
        """Handle an event, unless it is done, not due, or claimed by another; returns whether this call completed it.

        Args:
            handler: called with the kind and the body. Its errors are recorded, see `Tasks.run`.

        Raises Unavailable when the database cannot be asked.
        """

        def work(event: Task) -> None:
            handler(event["kind"], event["details"])

        return self.tasks.run(event_id, work, _patience, CLAIM_S) is not None

    def sweep(self, handler: Handler, until: float, timer: Callable[[], float] = time.monotonic) -> int:
        """Handle due events until there are none or `timer` reaches `until`; returns how many were completed.

        For a timer: every copy of a service may do so at once. Raises Unavailable.
        """
        done = 0
        while waiting := self.tasks.due():
            for event_id in waiting:
                if timer() >= until:
                    return done
                done += self.handle(event_id, handler)
        return done

    def forget(self) -> None:
        """Delete events that were handled long ago. Raises Unavailable."""
        self.tasks.forget(self._clock() - KEPT_S)


def _patience(_event: Task, error: Exception) -> float:
    if isinstance(error, Unavailable | OutcomeUnknown):
        return PATIENCE_S
    return EARLY_S if isinstance(error, NotYet) else 0.0
