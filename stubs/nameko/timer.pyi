from typing import Any

from eventlet.event import Event
from eventlet.greenthread import GreenThread

from nameko.extensions import Entrypoint

class Timer(Entrypoint):
    interval: float
    eager: bool
    should_stop: Event
    worker_complete: Event
    # None until it is started.
    gt: GreenThread | Any
    def __init__(self, interval: float, eager: bool = False, **kwargs: Any) -> None: ...
    def _run(self) -> None: ...
    def handle_timer_tick(self) -> None: ...
