"""``@timer``: Nameko's timer, on the monotonic clock. Nameko's own stops for an hour when the wall clock is set back by
one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from eventlet import Timeout
from nameko.timer import Timer as NamekoTimer

Method = TypeVar("Method", bound=Callable[..., Any])


class Timer(NamekoTimer):
    """Fires every `interval` seconds, or as soon as the previous worker has completed if that took longer."""

    def _run(self) -> None:
        due = time.monotonic() + (0 if self.eager else self.interval)
        while True:
            with Timeout(max(due - time.monotonic(), 0), exception=False):
                self.should_stop.wait()
            if self.should_stop.ready():
                return
            due += self.interval
            self.handle_timer_tick()
            self.worker_complete.wait()
            self.worker_complete.reset()


def timer(interval: float, eager: bool = False, **options: Any) -> Callable[[Method], Method]:
    """Decorate a method that a timer calls; see `Timer`."""
    return Timer.decorator(interval=interval, eager=eager, **options)
