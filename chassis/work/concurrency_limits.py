"""Concurrency limits: a service's workers are divided, so that slow verbs never use up the workers of quick ones.

A verb that calls a provider has a limit (``@rpc(most=12)``); all such verbs together leave a third of the workers to
the others. A request that finds no place waits in line for a few seconds, without a worker, and is then refused: "come
back later" is a better answer than none for half a minute. A verb without a limit is never refused; its requests wait
for a worker in their order of arrival.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# How long a request waits in line for its place (seconds): enough for a burst to clear, but not for the backlog of a
# slow provider.
LONGEST_WAIT_S = 3.0
# How many requests wait in line, all verbs together; one more is refused at once.
MAX_WAITING = 64


@dataclass(eq=False)
class Job:
    """One request.

    Attributes:
        verb: the method that is called.
        most: how many requests of that verb may run at once; None for any number.
        start: starts a worker on it; call `ConcurrencyLimits.done` when that has finished. False when it did not start.
        refuse: answers that there is no place.
        give_back: leaves it to another copy of the service.
        patience: the timer that refuses it, while it waits in line.
    """

    verb: str
    most: int | None
    start: Callable[[], bool]
    refuse: Callable[[], None]
    give_back: Callable[[], None]
    patience: Any = None


class ConcurrencyLimits:
    """The workers of one process. For greenlets: other code may run only while a job waits for its worker.

    Args:
        workers: the most requests that run at once.
        after: ``after(seconds, call)`` calls later; the result has a `cancel` (eventlet's `spawn_after`).
        line: the most requests that wait in line.
        patience: how long they wait (seconds).
    """

    def __init__(
        self, workers: int, after: Callable[..., Any], line: int = MAX_WAITING, patience: float = LONGEST_WAIT_S
    ) -> None:
        self.workers = workers
        # The most workers for all verbs with a limit together.
        self.limited = max(1, workers - max(1, workers // 3))
        self._after = after
        self._line = line
        self._patience = patience
        self._working: Counter[str] = Counter()
        self._busy = 0
        self._limited = 0
        self._quick: deque[Job] = deque()
        self._waiting: deque[Job] = deque()

    @property
    def most_at_hand(self) -> int:
        """How many requests to prefetch from the broker: enough that a full line does not hide a quick request."""
        return self.workers + self._line

    def offer(self, job: Job) -> None:
        """Start a request, queue it, or refuse it."""
        if self._fits(job):
            self._begin(job)
        elif job.most is None:
            self._quick.append(job)
        elif len(self._waiting) < self._line:
            self._waiting.append(job)
            job.patience = self._after(self._patience, self._give_up, job)
        else:
            job.refuse()

    def done(self, job: Job) -> None:
        """A request has completed: its place is free."""
        self._leave(job)
        while self._quick and self._fits(self._quick[0]):
            self._begin(self._quick.popleft())
        for waiting in list(self._waiting):
            # Starting a job may wait for a worker; another greenlet may start or refuse the next one meanwhile.
            if waiting in self._waiting and self._fits(waiting):
                self._unline(waiting)
                self._begin(waiting)

    def clear(self) -> list[Job]:
        """Empty the line; returns the jobs that waited in it."""
        jobs = [*self._quick, *self._waiting]
        for job in jobs:
            self._unline(job)
        return jobs

    def _fits(self, job: Job) -> bool:
        if self._busy >= self.workers:
            return False
        return job.most is None or (self._working[job.verb] < job.most and self._limited < self.limited)

    def _begin(self, job: Job) -> None:
        self._busy += 1
        self._working[job.verb] += 1
        self._limited += job.most is not None
        if not job.start():
            self._leave(job)

    def _leave(self, job: Job) -> None:
        self._busy -= 1
        self._working[job.verb] -= 1
        self._limited -= job.most is not None

    def _unline(self, job: Job) -> None:
        if job.patience is None:
            self._quick.remove(job)
            return
        self._waiting.remove(job)
        job.patience.cancel()
        job.patience = None

    def _give_up(self, job: Job) -> None:
        if job in self._waiting:
            self._waiting.remove(job)
            job.patience = None
            job.refuse()
