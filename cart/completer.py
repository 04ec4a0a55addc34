"""The completer: takes up what stands still, in every copy of the service at once.

What is found is worked on in lanes, a few things of each kind side by side, so that a silent bank holds up neither the
mail nor another order. Claims see to it that no thing is in two hands, so any number of copies may do this.
"""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from nameko.exceptions import RemoteError

from chassis import deadline
from chassis.logs import log
from chassis.records import SetAside, Unreadable, note
from chassis.timer import Timer
from contracts.errors import ShopError, Unavailable

# How often what stands still is looked for (seconds), and for how long one sweep takes up new work.
SWEEP = 1.0
SWEEP_TIME = 20.0
# How often it is looked for while some is being worked on (seconds).
LOOK = 0.5
# What was just worked on and is free again is left alone for a moment (seconds).
REST = 1.0
# How many things more than there are places are looked for: some of them rest.
SPARE = 20


@dataclass
class Lane:
    """One kind of work.

    Attributes:
        name: for the log.
        due: keys of the work that is due, at most so many: ``due(limit)``.
        work: does one; an exception is logged, and it is retried at its time.
        places: how many may run at the same time.
        allowed: how long one may take (seconds), by its key.
        put_off: moves one that cannot be read behind all others for a while.
    """

    name: str
    due: Callable[[int], list[str]]
    work: Callable[[str], Any]
    places: int
    allowed: Callable[[str], float]
    put_off: Callable[[str], None] | None = None
    busy: set[str] = field(default_factory=set)
    rested: dict[str, float] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)

    def look(self, now: float) -> None:
        """Look what there is to do."""
        if len(self.busy) < self.places:
            due = self.due(self.places + SPARE)
            self.found = [key for key in due if key not in self.busy and self.rested.get(key, 0.0) <= now]

    def take_up(self, finished: queue.Queue[tuple[Lane, str]]) -> None:
        """Begin as much of it as there are places for."""
        while self.found and len(self.busy) < self.places:
            key = self.found.pop(0)
            self.busy.add(key)
            # Threads are greenlets in the service. In a copy of this one's context, so that they take turns as it does.
            run = contextvars.copy_context().run
            threading.Thread(target=run, args=(self.run, key, finished), daemon=True).start()

    def run(self, key: str, finished: queue.Queue[tuple[Lane, str]]) -> None:
        """Do one thing."""
        try:
            deadline.begin(time.monotonic() + self.allowed(key))
            self.work(key)
        except (ShopError, RemoteError) as error:
            log.warning("not settled yet", lane=self.name, key=key, error=f"{type(error).__name__}: {error}")
        except Unreadable as error:
            note(self.name, SetAside(key, str(error)))
            if self.put_off is not None:
                with suppress(Unavailable):
                    self.put_off(key)
        except Exception:  # a bug must not stop what comes after it
            log.exception("not settled", lane=self.name, key=key)
        finally:
            finished.put((self, key))


def sweep(lanes: list[Lane], stopping: Callable[[], bool], lasts: float = SWEEP_TIME) -> None:
    """Take up whatever is due in each lane, until there is nothing more, or for `lasts` seconds.

    Returns when everything that was taken up has ended; each thing has an end of its own.

    Args:
        stopping: whether the service is to stop: nothing new is taken up then.
    """
    finished: queue.Queue[tuple[Lane, str]] = queue.Queue()
    end = time.monotonic() + lasts
    next_look = 0.0
    while True:
        now = time.monotonic()
        looks = now >= next_look
        if now >= end or stopping():
            end = now
            for lane in lanes:
                lane.found.clear()
        elif looks:
            next_look = now + LOOK
            end = end if _look(lanes, now) else now
        for lane in lanes:
            lane.take_up(finished)
        if not any(lane.busy for lane in lanes):
            if looks or now >= end:
                return
            next_look = now  # everything that was found is done, and there may be more
            continue
        with suppress(queue.Empty):
            lane, key = finished.get(timeout=LOOK)
            lane.busy.discard(key)
            lane.rested[key] = time.monotonic() + REST


def _look(lanes: list[Lane], now: float) -> bool:
    try:
        for lane in lanes:
            lane.look(now)
    except Unavailable as error:
        log.warning("put off", error=str(error))
        return False
    return True


class Sweeper(Timer):
    """A timer whose method is told when the service is to stop: ``method(self, stopping)``."""

    def handle_timer_tick(self) -> None:
        stopping = self.should_stop.ready
        self.container.spawn_worker(self, (stopping,), {}, handle_result=self.handle_result)


sweeper = Sweeper.decorator
