"""Providers' events: stored before they are acknowledged, so that none is lost, then handled once, in any order.

A provider repeats an event until it is answered 2xx, and sometimes after that. An event is stored under its own id, so
that repetitions are recognized. Handling may be interrupted anywhere; another copy of the service then starts it again.
So a handler does not trust the event: it asks the provider for the current state, and does each effect once per key.
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
from chassis.db.engine import Database, once_more
from chassis.db.shared_tables import events
from chassis.logs import log
from contracts.errors import InvalidRequest, NotFound, OutcomeUnknown, ShopError, Unavailable

WAITING, DONE, FAILED = "waiting", "done", "failed"
STATES = (WAITING, DONE, FAILED)

# How often an event is tried before it is parked for an operator.
TRIES = 5
# Seconds until the next try; up to a quarter is added at random, to spread the events of one outage.
PAUSES = (1.0, 2.0, 4.0, 8.0)
# A provider or database that cannot be reached says nothing about the event: until the event is this old (seconds),
# such a failure does not count as a try. Meanwhile the pause grows with that age, up to `LONGEST_PAUSE`.
PATIENCE = 86400.0
# The same applies, up to this age (seconds), while the object of the event is not recorded yet. The process that
# created it may have been killed, and its provider may fail when asked for the outcome; the outbox asks again every
# few seconds, later twice a minute.
EARLY = 900.0
LONGEST_PAUSE = 30.0
# The longest wait of an event (seconds): the longest pause plus its jitter.
LONGEST_WAIT = 2 * LONGEST_PAUSE
# How long a claim holds at most (seconds): longer than any handling. The claim of a copy that was killed ends sooner,
# see `chassis.db.heartbeat`.
CLAIM_S = 60.0
# How many events an operator can read at once.
LISTED = range(1, 1001)
# How long a completed event is remembered (seconds): providers repeat theirs for three days.
KEPT = 30 * 86400.0

Handler = Callable[[str, dict[str, Any]], None]


class NotYet(NotFound):
    """Raised by a handler: the object of the event is not recorded, or not yet; the event may have arrived first."""


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
        """The ids of events that are due and that no copy is handling, the longest due first."""
        with self._database.read() as connection:
            query = sa.select(events.c.id).where(self._free(now))
            return list(connection.execute(query.order_by(events.c.due, events.c.id).limit(limit)).scalars())

    def handle(self, event_id: str, handler: Handler) -> bool:
        """Handle an event, unless it is done, not due, or claimed by another; returns whether this call completed it.

        Args:
            handler: called with the kind and the body. Its errors are recorded, and it is called again later, up to
                `TRIES` times in all; then it is parked as ``failed``. For the first day of an event,
                Unavailable and OutcomeUnknown do not count as tries; for its first quarter of an hour, nor does NotYet.

        Raises Unavailable when the database cannot be asked.
        """
        holder = self._database.heartbeat.hold()
        claim = uuid.uuid4().hex
        event = self._claimed(event_id, claim, holder)
        if event is None:
            return False
        if event["tries"] > TRIES:  # each try was killed, so that none could record an error
            self._settle(event_id, claim, state=FAILED, tries=TRIES, error="left in the middle each time")
            log.error("event given up", event_id=event_id, kind=event["kind"])
            return False
        try:
            handler(event["kind"], event["body"])
        except Exception as error:  # a bug of ours must not hold up the events that follow
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
        """Events in a state (``waiting``, ``done``, ``failed``), oldest first, for an operator.

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
        """Make a failed event wait for handling again; returns whether there was such an event."""
        with self._database.write() as connection:
            parked = sa.update(events).where(events.c.id == event_id, events.c.state == FAILED)
            return connection.execute(parked.values(state=WAITING, due=self._clock(), tries=0)).rowcount == 1

    def replay(self, event_id: str) -> dict[str, str]:
        """Like `again`, but returns ``{"id", "state"}``. Raises NotFound when there is no such event."""
        if not self.again(event_id):
            raise NotFound(f"There is no failed event {event_id}.")
        return {"id": event_id, "state": WAITING}

    def forget(self, before: float) -> None:
        """Delete events that are done and were received before that moment (Unix seconds)."""
        with self._database.write() as connection:
            connection.execute(sa.delete(events).where(events.c.state == DONE, events.c.received < before))

    def _free(self, now: float) -> sa.ColumnElement[bool]:
        void = sa.or_(events.c.claim.is_(None), self._database.heartbeat.is_void(events.c.holder, events.c.until, now))
        return sa.and_(events.c.state == WAITING, due(events.c.due, now, LONGEST_WAIT), void)

    def _claimed(self, event_id: str, claim: str, holder: str) -> dict[str, Any] | None:
        now = self._clock()
        with self._database.write() as connection:
            taken = sa.update(events).where(events.c.id == event_id, self._free(now))
            values = {"claim": claim, "holder": holder, "until": now + CLAIM_S}
            if connection.execute(taken.values(tries=events.c.tries + 1, **values)).rowcount != 1:
                return None
            row = connection.execute(sa.select(events).where(events.c.id == event_id)).mappings().one()
            return {str(name): value for name, value in row.items()}

    def _failed(self, event: dict[str, Any], claim: str, error: Exception) -> None:
        said = f"{type(error).__name__}: {error}"
        age = max(0.0, self._clock() - event["received"])  # the clock may have been set back since then
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
        """Record how a try ended. Does nothing when another copy has taken the event over: that copy records it."""
        mine = sa.update(events).where(events.c.id == event_id, events.c.claim == claim)
        self._database.deferred.write(mine.values(claim=None, holder=None, until=0.0, **values), event_id)


def _patience(error: Exception) -> float:
    """Up to which age of an event (seconds) such a failure does not count as a try."""
    if isinstance(error, Unavailable | OutcomeUnknown):
        return PATIENCE
    return EARLY if isinstance(error, NotYet) else 0.0
