"""What providers tell us of their own accord: kept before it is answered, then handled once, in any order.

A provider sends an event again until it is answered 2xx, and sometimes after that. It is kept under its own id, so
that a second one is known for what it is; and it is only answered when it is kept, so that none is lost. Handling may
be interrupted anywhere and is then begun again by another copy of the service: a handler asks the provider for what
stands now rather than believe the event, and does each of its effects once per key.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from chassis.clock import due
from chassis.clock import now as clock_now
from chassis.database import Database, once_more
from chassis.logs import log
from chassis.shared_tables import events
from contracts.errors import InvalidRequest, NotFound, OutcomeUnknown, ShopError, Unavailable

WAITING, DONE, FAILED = "waiting", "done", "failed"
STATES = (WAITING, DONE, FAILED)

# How often an event is tried before it is parked for an operator.
TRIES = 5
# Seconds until the next try; a quarter is added at random, so that events of one outage do not come back as one.
PAUSES = (1.0, 2.0, 4.0, 8.0)
# That somebody could not be reached says nothing of the event: it counts as no try until the event is so old (seconds).
# The pause grows with the event's age then, up to so many seconds.
PATIENCE = 86400.0
# So does, for so many seconds, that what it tells of is not recorded yet. Its sender may have been killed, and its
# provider be in trouble when asked what came of it; the outbox asks again every few seconds, later twice a minute.
EARLY = 900.0
LONGEST_PAUSE = 30.0
# The longest wait of an event (seconds): the longest pause plus its jitter.
LONGEST_WAIT = 2 * LONGEST_PAUSE
# How long a claim holds at most (seconds): longer than any handling. That of a copy that was killed ends sooner, see
# `chassis.presence`.
LEASE = 60.0
# How many events an operator can read at once.
LISTED = range(1, 1001)
# How long an event that is done is remembered (seconds): providers repeat theirs for three days.
KEPT = 30 * 86400.0

Handler = Callable[[str, dict[str, Any]], None]


class NotYet(NotFound):
    """A handler's: what the event tells of is not here, or not yet; whoever did it may be slower than the event."""


class Inbox:
    """The events that one service has received.

    Args:
        database: the service's; it has the table ``events``.
        clock: Unix seconds; another one in tests.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = clock_now) -> None:
        self._database = database
        self._clock = clock

    @once_more
    def keep(self, event_id: str, kind: str, body: dict[str, Any], done: bool = False) -> bool:
        """Keep an event that its provider has proved to be its own; False when it was kept before.

        Args:
            event_id: the provider's, 1 to 255 characters; it is what a repetition is known by.
            kind: what it is about, such as ``payment_intent.succeeded``.
            body: JSON-plain; handed to the handler as it is.
            done: there is nothing to be done about it; it is only kept.

        Raises InvalidRequest (no usable id or kind), Unavailable (not kept; the provider must hear so).
        """
        for name, text, most in (("id", event_id, 255), ("kind", kind, 128)):
            if not isinstance(text, str) or not 0 < len(text) <= most or not text.isprintable():
                raise InvalidRequest("The event cannot be told from others.", {"errors": {name: ["not usable"]}})
        now = self._clock()
        with self._database.write() as connection:
            if connection.execute(sa.select(events.c.id).where(events.c.id == event_id)).first() is not None:
                return False
            state = DONE if done else WAITING
            values = {"id": event_id, "kind": kind, "body": body, "state": state, "received": now, "due": now}
            connection.execute(sa.insert(events).values(tries=0, until=0.0, **values))
            return True

    def due(self, now: float, limit: int = 20) -> list[str]:
        """The ids of events that wait to be handled and that nobody is at work on, the longest due first."""
        with self._database.read() as connection:
            query = sa.select(events.c.id).where(self._free(now))
            return list(connection.execute(query.order_by(events.c.due, events.c.id).limit(limit)).scalars())

    def handle(self, event_id: str, handler: Handler) -> bool:
        """Handle an event, unless it is done, not due, or in another's hands; whether it is done by this call.

        Args:
            handler: called with the kind and the body. What it raises is noted, and it is tried again later, up to
                `TRIES` times in all; then it is parked as ``failed``. Unavailable and OutcomeUnknown count as no try
                for a day, NotYet for a quarter of an hour.

        Raises Unavailable when the database cannot be asked.
        """
        holder = self._database.presence.hold()
        claim = uuid.uuid4().hex
        event = self._claimed(event_id, claim, holder)
        if event is None:
            return False
        if event["tries"] > TRIES:  # whoever tried was killed each time, so that nobody could say what was wrong
            self._settle(event_id, claim, state=FAILED, tries=TRIES, error="left in the middle each time")
            log.error("event given up", event_id=event_id, kind=event["kind"])
            return False
        try:
            handler(event["kind"], event["body"])
        except Exception as error:  # a bug of ours must not hide behind the events that follow it
            self._failed(event, claim, error)
            return False
        self._settle(event_id, claim, state=DONE, error=None)
        return True

    def sweep(self, handler: Handler, until: float, timer: Callable[[], float] = time.monotonic) -> int:
        """Handle due events until there are none or `timer` reaches `until`; returns how many were completed.

        For a timer: every copy of a service may do so at once. Raises Unavailable.
        """
        done = 0
        while waiting := self.due(self._clock()):
            for event_id in waiting:
                if timer() >= until:
                    return done
                done += self.handle(event_id, handler)
        return done

    def listed(self, state: str = FAILED, limit: int = 100) -> list[dict[str, Any]]:
        """Events in a state (``waiting``, ``done``, ``failed``), oldest first: what an operator reads.

        Args:
            limit: 1 to 1000.

        Raises InvalidRequest for any other state or limit.
        """
        if state not in STATES:
            message = f"must be one of {', '.join(STATES)}"
            raise InvalidRequest("There is no such state.", {"errors": {"state": [message]}})
        if isinstance(limit, bool) or not isinstance(limit, int) or limit not in LISTED:
            message = f"must be a whole number from {LISTED[0]} to {LISTED[-1]}"
            raise InvalidRequest("That is not a page size.", {"errors": {"limit": [message]}})
        with self._database.read() as connection:
            query = sa.select(events).where(events.c.state == state).order_by(events.c.received, events.c.id)
            rows = connection.execute(query.limit(limit)).mappings()
            return [{str(name): value for name, value in row.items()} for row in rows]

    def again(self, event_id: str) -> bool:
        """Put an event that was given up back among those that wait; whether there was such an event."""
        with self._database.write() as connection:
            parked = sa.update(events).where(events.c.id == event_id, events.c.state == FAILED)
            return connection.execute(parked.values(state=WAITING, due=self._clock(), tries=0)).rowcount == 1

    def replay(self, event_id: str) -> dict[str, str]:
        """As `again`: ``{"id", "state"}``. Raises NotFound when there is no such event."""
        if not self.again(event_id):
            raise NotFound(f"There is no failed event {event_id}.")
        return {"id": event_id, "state": WAITING}

    def forget(self, before: float) -> None:
        """Forget events that are done and were received before that moment (Unix seconds)."""
        with self._database.write() as connection:
            connection.execute(sa.delete(events).where(events.c.state == DONE, events.c.received < before))

    def _free(self, now: float) -> sa.ColumnElement[bool]:
        void = sa.or_(events.c.claim.is_(None), self._database.presence.is_void(events.c.holder, events.c.until, now))
        return sa.and_(events.c.state == WAITING, due(events.c.due, now, LONGEST_WAIT), void)

    def _claimed(self, event_id: str, claim: str, holder: str) -> dict[str, Any] | None:
        now = self._clock()
        with self._database.write() as connection:
            taken = sa.update(events).where(events.c.id == event_id, self._free(now))
            values = {"claim": claim, "holder": holder, "until": now + LEASE}
            if connection.execute(taken.values(tries=events.c.tries + 1, **values)).rowcount != 1:
                return None
            row = connection.execute(sa.select(events).where(events.c.id == event_id)).mappings().one()
            return {str(name): value for name, value in row.items()}

    def _failed(self, event: dict[str, Any], claim: str, error: Exception) -> None:
        said = f"{type(error).__name__}: {error}"
        age = max(0.0, self._clock() - event["received"])  # the clock may have been set back since
        if age < _patience(error):
            log.warning("event waits", event_id=event["id"], kind=event["kind"], error=said)
            pause = min(max(PAUSES[0], age / 4), LONGEST_PAUSE) * random.uniform(1.0, 1.25)  # noqa: S311
            self._settle(event["id"], claim, tries=event["tries"] - 1, due=self._clock() + pause, error=said)
            return
        facts = {"event_id": event["id"], "kind": event["kind"], "tries": event["tries"], "error": said}
        last = event["tries"] >= TRIES
        if last or not isinstance(error, ShopError):
            log.error(
                "event given up" if last else "event not handled", exc_info=not isinstance(error, ShopError), **facts
            )
        else:
            log.warning("event not handled yet", **facts)
        if last:
            self._settle(event["id"], claim, state=FAILED, error=said)
            return
        pause = PAUSES[min(event["tries"], len(PAUSES)) - 1] * random.uniform(1.0, 1.25)  # noqa: S311
        self._settle(event["id"], claim, due=self._clock() + pause, error=said)

    def _settle(self, event_id: str, claim: str, **values: Any) -> None:
        """Note how a try ended. Nothing when another has taken the event over: it is then that one's to say."""
        mine = sa.update(events).where(events.c.id == event_id, events.c.claim == claim)
        self._database.late.write(mine.values(claim=None, holder=None, until=0.0, **values), event_id)


def _patience(error: Exception) -> float:
    """Up to which age of an event (seconds) such a failure counts as no try."""
    if isinstance(error, Unavailable | OutcomeUnknown):
        return PATIENCE
    return EARLY if isinstance(error, NotYet) else 0.0
