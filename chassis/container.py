"""The container that `config.yml` names: every call knows its request and its deadline, and is logged once."""

from __future__ import annotations

import time
from typing import Any

from nameko.containers import ServiceContainer, WorkerContext
from nameko.timer import Timer

from chassis import deadline, logs
from chassis.logs import log
from contracts.errors import ShopError


class ShopContainer(ServiceContainer):
    """Nameko's container, with the request's id and deadline at hand in every worker."""

    def _run_worker(self, worker_ctx: WorkerContext, handle_result: Any) -> None:
        # A pooled greenlet may have run another call before: nothing of it may be left.
        logs.clear()
        logs.bind(service=self.service_name)
        method = worker_ctx.entrypoint.method_name
        data = worker_ctx.data
        if "request_id" in data:
            logs.bind(request_id=data["request_id"])
        deadline.begin(float(data["deadline"]) if "deadline" in data else None)
        began = time.monotonic()

        def handled(ctx: WorkerContext, result: Any, exc_info: Any) -> tuple[Any, Any]:
            took = round((time.monotonic() - began) * 1000, 1)
            if exc_info is None:
                # A timer's tick is nobody's call; it speaks up when it has something to say.
                note = log.debug if isinstance(worker_ctx.entrypoint, Timer) else log.info
                note("call", method=method, ms=took)
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
