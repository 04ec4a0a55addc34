"""Durable tasks: work that is stored in the transaction that makes it necessary, done once by any copy of the service,
and retried until it succeeds or is given up.

A try may be interrupted anywhere; another copy then starts it again. So each effect of a task needs a key, or a look
at the current state first.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from typing import Any

import sqlalchemy as sa
from nameko.exceptions import RemoteError

from chassis.clock import now as clock_now
from chassis.db.claims import RELEASED, ClaimLost, Claims
from chassis.db.engine import Database, plain
from chassis.db.shared_tables import tasks
from chassis.logs import log
from contracts.errors import InvalidRequest, NotFound, ShopError

WAITING, ON_HOLD, DONE, FAILED = "waiting", "on_hold", "done", "failed"
STATES = (WAITING, ON_HOLD, DONE, FAILED)
# How many tasks an operator can read at once.
LISTED = range(1, 1001)

# A failure that may be the task's own fault, such as a refusal, counts as a try (see `Patience`). After this many tries
# the task is given up. The pause after a try doubles from the first of these to the second (seconds).
TRIES = 5
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 8.0
# Any other failure says nothing about the task, such as a provider that cannot be reached. The pause after it is a
# share of the task's age within these bounds (seconds), so that an ordinary outage is recovered from within seconds of
# its end. For older tasks the upper bound grows with their age, up to the third of these: hours of work then do not
# return all at once, and recovery takes a thirtieth of the outage.
SHARE_OF_AGE = 1 / 4
LONGEST_OUTAGE_PAUSE_S = 3.0
LONGEST_PAUSE_OF_ALL_S = 300.0
LONG_OUTAGE_SHARE = 1 / 30
# A task that is due later than this (seconds) was stored by a wrong clock. Copies' clocks may differ by a little.
LONGEST_WAIT_S = 2 * LONGEST_PAUSE_OF_ALL_S
# A task that nobody has tried for this long after its time (seconds) was not tried because no copy was running: this
# time does not count toward its age.
UNTRIED_S = 900.0
# How long a failure that says nothing about a task does not count as a try (seconds of the task's age).
PATIENCE_S = 86400.0

Task = dict[str, Any]
# The age of the task (seconds) up to which a failure does not count as a try; None to give the task up at once.
Patience = Callable[[Task, Exception], float | None]


class OnHold(Exception):
    """Raised by the work of a task that it has put on hold, see `Tasks.hold`."""


class Tasks:
    """The tasks of one queue.

    Args:
        database: the service's; it has the table ``tasks``.
        queue: names the queue.
        clock: Unix seconds; another one in tests.
    """

    def __init__(self, database: Database, queue: str, clock: Callable[[], float] = clock_now) -> None:
        self.database = database
        self._queue = queue
        self._claims = Claims(database, tasks)
        self._clock = clock

    def add(
        self,
        key: str,
        kind: str,
        subject: str | None = None,
        details: dict[str, Any] | None = None,
        done: bool = False,
    ) -> bool:
        """Store a task, once per key; returns False when it was stored before. Part of the caller's transaction, which
        is `once_more`.

        Args:
            key: identifies it in all queues, 1 to 255 characters.
            kind: what is to be done.
            subject: the object that it is about, such as an order's id.
            details: its arguments, JSON-plain.
            done: nothing is to be done; it is only remembered.
        """
        now = self._clock()
        values = {"key": key, "queue": self._queue, "kind": kind, "subject": subject, "details": details, "tries": 0}
        state = DONE if done else WAITING
        with self.database.write() as connection:
            if connection.execute(sa.select(tasks.c.key).where(tasks.c.key == key)).first() is not None:
                return False
            connection.execute(sa.insert(tasks).values(**values, state=state, created=now, due_at=now))
        return True

    def rows(self, *, state: str | None = None, limit: int = 100, key: str | None = None) -> list[Task]:
        """The oldest tasks, oldest first: in one state, or by key.

        `held` says for each whether a live copy has claimed it.
        """
        return self._read(self._which(state=state, key=key), limit)

    def of(self, subject: str, kinds: Collection[str] | None = None) -> list[Task]:
        """All tasks about a subject, or those of these kinds, as `rows`."""
        wanted = [] if kinds is None else [tasks.c.kind.in_(kinds)]
        return self._read([*self._which(subject=subject), *wanted])

    def due(self, limit: int = 20, kinds: Collection[str] | None = None) -> list[str]:
        """The keys of the tasks that can be tried now, the longest due first."""
        wanted = [self._is_ready()] if kinds is None else [self._is_ready(), tasks.c.kind.in_(kinds)]
        query = sa.select(tasks.c.key).where(*wanted).order_by(tasks.c.due_at).limit(limit)
        with self.database.read() as connection:
            return list(connection.execute(query).scalars())

    def claim(self, key: str, claim_s: float) -> Task | None:
        """Claim a task for `claim_s` seconds; None when it is done, not due, or claimed by another.

        Raises Unavailable.
        """
        now = self._clock()
        claim = self._claims.new(now + claim_s)
        since = sa.case((tasks.c.due_at > 0, tasks.c.due_at), else_=tasks.c.claimed_until)
        untried = sa.case((since < now - UNTRIED_S, now - since), else_=0.0)
        values = {**claim, "tries": tasks.c.tries + 1, "created": tasks.c.created + untried}
        with self.database.write() as connection:
            return self._claims.take(connection, key, values, self._is_ready())

    def note(self, key: str, claim: str | None, details: dict[str, Any]) -> None:
        """Store other details with a task during a try, for the tries that follow. Raises ClaimLost, Unavailable."""
        with self.database.write() as connection:
            if connection.execute(self._claims.update(key, claim).values(details=details)).rowcount != 1:
                raise ClaimLost(key)

    def detail(self, key: str, details: dict[str, Any]) -> None:
        """Store other details with a task that nobody is trying. Part of the caller's transaction."""
        with self.database.write() as connection:
            this = sa.update(tasks).where(*self._which(key=key), tasks.c.claim.is_(None))
            connection.execute(this.values(details=details))

    def hold(self, key: str, claim: str | None, details: dict[str, Any]) -> None:
        """Put a claimed task on hold, with these details: nobody tries it until `resume`, and this try does not count.

        Part of the caller's transaction, after which the task's work raises OnHold. Raises ClaimLost.
        """
        values = {**RELEASED, "state": ON_HOLD, "tries": tasks.c.tries - 1, "details": details}
        held = self._claims.update(key, claim).values(**values)
        with self.database.write() as connection:
            if connection.execute(held).rowcount != 1:
                raise ClaimLost(key)

    def resume(self, subject: str, kind: str) -> None:
        """Let the tasks of a kind about a subject that are on hold be tried again, at once. Part of the caller's
        transaction."""
        now = self._clock()
        mine = self._which(state=ON_HOLD, subject=subject, kind=kind)
        with self.database.write() as connection:
            connection.execute(sa.update(tasks).where(*mine).values(state=WAITING, due_at=now, created=now))

    def settle(self, key: str, claim: str | None, **values: Any) -> None:
        """Record how a try ended, and release the task; later if that cannot be written now.

        Does nothing when another copy has taken the task over: that copy records it.
        """
        self._claims.release(key, claim, **values)

    def run(
        self, key: str, work: Callable[[Task], Any], patience: Patience, claim_s: float, deadly: bool = True
    ) -> Task | None:
        """Try a task, unless it is done, not due, or claimed by another; returns it when this try completed it.

        Args:
            work: does it, and returns what to store with it (JSON-plain). Its errors are recorded: the task is tried
                again later, or given up.
            patience: judges such an error.
            claim_s: how long a try may take before another copy may try (seconds); a killed one ends sooner.
            deadly: whether a task during which the process was killed `TRIES` times is given up.

        Raises Unavailable when the database cannot be asked.
        """
        task = self.claim(key, claim_s)
        if task is None:
            return None
        if deadly and task["tries"] > TRIES:  # each try was killed, so that none could record an error
            self.settle(key, task["claim"], state=FAILED, tries=TRIES, error="left in the middle each time")
            log.error("task given up", queue=self._queue, key=key, kind=task["kind"])
            return None
        try:
            answer = work(task)
        except OnHold:
            log.info("task on hold", queue=self._queue, key=key, kind=task["kind"])
            return None
        except Exception as error:  # a bug of ours must not hold up the tasks that follow
            self._failed(task, error, patience(task, error))
            return None
        self.settle(key, task["claim"], state=DONE, answer=answer, error=None)
        return task

    def again(
        self,
        key: str | None = None,
        kind: str | None = None,
        details: dict[str, Any] | None = None,
        only: Collection[sa.ColumnElement[bool]] = (),
    ) -> list[str]:
        """Make tasks that were given up wait again: one, all of a kind, or all, with other details if they are given;
        returns their keys.

        Args:
            only: further conditions on the table ``tasks``.
        """
        failed = [*self._which(key=key, kind=kind, state=FAILED), *only]
        with self.database.write() as connection:
            query = sa.select(tasks.c.key).where(*failed).order_by(tasks.c.created).with_for_update()
            keys = list(connection.execute(query).scalars())
            now = self._clock()
            waits: dict[str, Any] = {"state": WAITING, "due_at": now, "created": now, "tries": 0}
            if details is not None:
                waits["details"] = details
            connection.execute(sa.update(tasks).where(*failed).values(**waits))
            return keys

    def forget(self, before: float) -> None:
        """Delete tasks that are done and were stored before that moment (Unix seconds)."""
        with self.database.write() as connection:
            connection.execute(sa.delete(tasks).where(*self._which(state=DONE), tasks.c.created < before))

    def _read(self, wanted: Collection[sa.ColumnElement[bool]], limit: int | None = None) -> list[Task]:
        held = sa.not_(self._claims.is_void(self._clock())).label("held")
        query = sa.select(tasks, held).where(*wanted).order_by(tasks.c.created, tasks.c.key).limit(limit)
        with self.database.read() as connection:
            return [plain(row) for row in connection.execute(query).mappings()]

    def _which(self, **conditions: str | None) -> list[sa.ColumnElement[bool]]:
        wanted = {"queue": self._queue, **conditions}
        return [tasks.c[name] == value for name, value in wanted.items() if value is not None]

    def _is_ready(self) -> sa.ColumnElement[bool]:
        ready = self._claims.is_ready(self._clock(), LONGEST_WAIT_S)
        return sa.and_(*self._which(state=WAITING), ready)

    def _failed(self, task: Task, error: Exception, patience: float | None) -> None:
        text = f"{type(error).__name__}: {error}"
        bug = not isinstance(error, ShopError | RemoteError)
        facts = {"queue": self._queue, "key": task["key"], "kind": task["kind"], "error": text}
        tries, age = task["tries"], max(0.0, self._clock() - task["created"])  # the clock may have been set back
        if patience is not None and age < patience:
            log.warning("task waits", exc_info=bug, **facts)
            bound = max(LONGEST_OUTAGE_PAUSE_S, age * LONG_OUTAGE_SHARE)
            pause = min(max(FIRST_PAUSE_S, age * SHARE_OF_AGE), bound, LONGEST_PAUSE_OF_ALL_S)
            tries -= 1
        elif patience is None or tries >= TRIES:
            log.error("task given up", tries=tries, exc_info=bug, **facts)
            self.settle(task["key"], task["claim"], state=FAILED, error=text)
            return
        else:
            log.warning("task failed", tries=tries, exc_info=bug, **facts)
            pause = min(FIRST_PAUSE_S * 2 ** (tries - 1), LONGEST_PAUSE_S)
        due_at = self._clock() + pause * random.uniform(0.5, 1.0)  # noqa: S311 - spread, not secret
        self.settle(task["key"], task["claim"], tries=tries, due_at=due_at, error=text)


def listed(queues: Collection[Tasks], state: str, limit: int) -> list[Task]:
    """Tasks of several queues in a state (``waiting``, ``on_hold``, ``done``, ``failed``), for an operator.

    Args:
        limit: of each queue, 1 to 1000.

    Raises InvalidRequest for any other state or limit.
    """
    if state not in STATES:
        message = f"must be one of {', '.join(STATES)}"
        raise InvalidRequest("There is no such state.", {"errors": {"state": [message]}})
    return [task for queue in queues for task in queue.rows(state=state, limit=page_size(limit))]


def page_size(limit: Any) -> int:
    """Return an operator's limit of a list. Raises InvalidRequest unless it is 1 to 1000."""
    if isinstance(limit, bool) or not isinstance(limit, int) or limit not in LISTED:
        message = f"must be a whole number from {LISTED[0]} to {LISTED[-1]}"
        raise InvalidRequest("That is not a page size.", {"errors": {"limit": [message]}})
    return limit


def replayed(queues: Collection[Tasks], key: str) -> Tasks:
    """Make a task that was given up wait again; returns its queue. Raises NotFound when there is none."""
    for queue in queues:
        if queue.again(key=key):
            return queue
    raise NotFound(f"Nothing was given up under {key}.")
