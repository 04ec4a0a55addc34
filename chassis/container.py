"""The container that `config.yml` names. It gives every call its request id and deadline, and logs it once.

It also bounds the shutdown: a service that is asked to stop does so in time, even if calls are still in progress.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import Any, Protocol

import orjson
from eventlet import patcher
from nameko.containers import ServiceContainer, WorkerContext

from chassis import deadline, fair_scheduling, logs, name_lookup, safe_start
from chassis.answers import Replay
from chassis.logs import log
from chassis.settings import Settings
from chassis.store_provider import StoreProvider
from chassis.work.idempotency import Asked
from chassis.work.timer import Timer
from contracts.errors import ShopError

# How long after its callers' last deadline a stopping service still waits for answers in transit (seconds). Supervisors
# wait longer than that before they kill.
DRAIN_MARGIN_S = 3.0

# A real thread of the operating system: it must run even if the greenlets are blocked.
_threading = patcher.original("threading")


class Named(Protocol):
    """A service class."""

    name: str


class ShopContainer(ServiceContainer):
    """Nameko's container, with the request's id and deadline available in every worker.

    Attributes:
        fair_scheduling: of this process: quick requests go before all others.
    """

    def __init__(self, service_cls: type[Named], config: dict[str, Any]) -> None:
        try:
            settings = Settings.from_config(config)
            for warning in safe_start.check(settings, service_cls.name):
                log.warning(warning, service=service_cls.name)
        except ValueError as error:
            raise SystemExit(f"{service_cls.name}: {error}") from None
        name_lookup.import_late()
        super().__init__(service_cls, {**config, "AMQP_URI": settings.amqp_uri})
        self._started = False
        self.fair_scheduling = fair_scheduling.FairScheduling()

    def start(self) -> None:
        """Start all entrypoints and dependencies."""
        super().start()
        self._started = True

    def stop(self) -> None:
        """Accept nothing new and finish all calls in progress. End the process if that outlasts every caller.

        Unacknowledged requests then return to the broker when the connection closes.
        """
        if not self._started and not self._worker_threads:
            # A stop during the start would wait for consumers that never appeared. Nothing is in progress.
            os.write(1, orjson.dumps({"event": "stopped while starting", "service": self.service_name}) + b"\n")
            os._exit(0)
        bound = Settings.from_config(self.config).longest_call + DRAIN_MARGIN_S
        gone = _threading.Event()
        _threading.Thread(target=self._leave, args=(gone, bound), name="drain", daemon=True).start()
        super().stop()
        gone.set()

    def _leave(self, gone: Any, bound: float) -> None:
        """End the process unless it has stopped within `bound` seconds. Runs in a thread outside the greenlets."""
        if gone.wait(bound):
            return
        calls = sorted(worker.entrypoint.method_name for worker in list(self._worker_threads))
        note = {"event": "drain given up", "level": "error", "service": self.service_name, "calls": calls}
        os.write(1, orjson.dumps(note) + b"\n")
        os._exit(1)

    def _run_worker(self, worker_ctx: WorkerContext, handle_result: Any) -> None:
        # A pooled greenlet may have run another call before: clear the context of that call.
        logs.clear()
        logs.bind(service=self.service_name)
        entrypoint = worker_ctx.entrypoint
        method, data = entrypoint.method_name, worker_ctx.data
        if "request_id" in data:
            logs.bind(request_id=data["request_id"])
        deadline.begin(deadline.of(data))
        began = time.monotonic()
        fair_scheduling.begin(self.fair_scheduling, quick=getattr(entrypoint, "quick", False))
        if getattr(entrypoint, "idempotent", False):  # Nameko's own entrypoints say neither
            self._guard(worker_ctx)

        def handled(ctx: WorkerContext, result: Any, exc_info: Any) -> tuple[Any, Any]:
            took = round((time.monotonic() - began) * 1000, 1)
            if exc_info is None:
                # No caller waits for a timer's tick, and the timer's method logs what matters.
                note = log.debug if isinstance(entrypoint, Timer) else log.info
                note("call", method=method, ms=took, **({"replayed": True} if isinstance(result, Replay) else {}))
            elif isinstance(exc_info[1], ShopError):
                error = exc_info[1]
                log.info("call", method=method, ms=took, refused=type(error).__name__, detail=error.detail)
            else:
                log.error("call", method=method, ms=took, exc_info=exc_info)
            if handle_result is None:
                return result, exc_info
            answer: tuple[Any, Any] = handle_result(ctx, result, exc_info)
            return answer

        super()._run_worker(worker_ctx, handled)

    def _guard(self, worker_ctx: WorkerContext) -> None:
        """Answer a call that carries a key only once, from the service's own database."""
        data, method = worker_ctx.data, worker_ctx.entrypoint.method_name
        key, body = data.get("once_key"), data.get("once_body")
        if not isinstance(key, str) or not isinstance(body, str):
            return
        [store] = [each for each in self.dependencies if isinstance(each, StoreProvider)]
        asked = Asked(key, body, data.get("request_id"), data.get("redelivered") is True)
        verb = getattr(worker_ctx.service, method)

        def once(*args: Any, **kwargs: Any) -> Any:
            return store.idempotency.run(asked, method, partial(verb, *args, **kwargs))

        # Each call has its own service object: this shadows the method for this call only.
        setattr(worker_ctx.service, method, once)
