"""The completer: resumes abandoned and due work, in every copy of the service at once.

It works in lanes, one for each kind, with a few things of a kind at the same time, so that a silent bank delays neither
mail nor other orders. Claims ensure that no two copies work on the same thing, so any number of copies may run this.
"""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

from nameko.exceptions import RemoteError

from chassis import deadline
from chassis.logs import log
from chassis.records import SetAside, Unreadable, note
from chassis.work.timer import Timer
from contracts.errors import ShopError, Unavailable

# How often to look for abandoned and due work, and for how long one sweep starts new work (seconds).
SWEEP_INTERVAL_S = 1.0
SWEEP_TIME_S = 20.0
# How often to look for more while some is in progress (seconds).
LOOK_INTERVAL_S = 0.5
# A thing that was just worked on and is free again is left alone for a moment (seconds).
REST_S = 1.0
# How many things to fetch in addition to the number of places: some of them rest.
SPARE = 20


@dataclass
class Lane:
    """One kind of work.

    Attributes:
        name: for the log.
        due: the keys of due work, at most that many: ``due(limit)``.
        work: does one thing; an exception is logged, and it is retried at its time.
        places: how many may run at the same time.
        allowed: how long one may take (seconds), by its key.
        put_off: moves an unreadable one behind all others for a while.
        any_due: whether `due` can find anything. Lanes that share it ask it once per look; None: always.
    """

    name: str
    due: Callable[[int], list[str]]
    work: Callable[[str], Any]
    places: int
    allowed: Callable[[str], float]
    put_off: Callable[[str], None] | None = None
    any_due: Callable[[], Any] | None = None
    busy: set[str] = field(default_factory=set)
    rested: dict[str, float] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)

    def look(self, now: float) -> None:
        """Find out what is due."""
        if len(self.busy) < self.places:
            due = self.due(self.places + SPARE)
            self.found = [key for key in due if key not in self.busy and self.rested.get(key, 0.0) <= now]

    def take_up(self, finished: queue.Queue[tuple[Lane, str]]) -> None:
        """Start as much of it as there are places for."""
        while self.found and len(self.busy) < self.places:
            key = self.found.pop(0)
            self.busy.add(key)
            # Threads are greenlets in the service. They copy this one's context, so that they take turns as it does.
            run = contextvars.copy_context().run
            threading.Thread(target=run, args=(self.run, key, finished), daemon=True).start()

    def run(self, key: str, finished: queue.Queue[tuple[Lane, str]]) -> None:
        """Work on one thing."""
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
        except Exception:  # a bug must not stop the work behind it
            log.exception("not settled", lane=self.name, key=key)
        finally:
            finished.put((self, key))


def sweep(
    lanes: list[Lane],
    stopping: Callable[[], bool],
    lasts: float = SWEEP_TIME_S,
    reading: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> None:
    """Work on everything that is due in each lane, until there is nothing more, or for `lasts` seconds.

    Returns when everything that was started has ended; each thing has its own time limit.

    Args:
        stopping: whether the service is to stop: nothing new is started then.
        reading: a transaction in which all lanes look for what is due: an idle copy looks every second.
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
            next_look = now + LOOK_INTERVAL_S
            end = end if _look(lanes, now, reading) else now
        for lane in lanes:
            lane.take_up(finished)
        if not any(lane.busy for lane in lanes):
            if looks or now >= end:
                return
            next_look = now  # everything found so far is done, and there may be more
            continue
        with suppress(queue.Empty):
            lane, key = finished.get(timeout=LOOK_INTERVAL_S)
            lane.busy.discard(key)
            lane.rested[key] = time.monotonic() + REST_S


def _look(lanes: list[Lane], now: float, reading: Callable[[], AbstractContextManager[Any]]) -> bool:
    try:
        with reading():
            answers: dict[Callable[[], Any] | None, Any] = {None: True}
            for lane in lanes:
                if lane.any_due not in answers and lane.any_due is not None:
                    answers[lane.any_due] = lane.any_due()
                if answers[lane.any_due]:
                    lane.look(now)
                else:
                    lane.found.clear()
    except Unavailable as error:
        log.warning("postponed", error=str(error))
        return False
    return True


class Sweeper(Timer):
    """A timer whose method learns when the service is to stop: ``method(self, stopping)``."""

    def handle_timer_tick(self) -> None:
        stopping = self.should_stop.ready
        self.container.spawn_worker(self, (stopping,), {}, handle_result=self.handle_result)


sweeper = Sweeper.decorator
