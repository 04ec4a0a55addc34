"""``products = ServiceRpc("products")``: another service, called with the time left of the caller's deadline."""

from __future__ import annotations

from typing import Any

from nameko.containers import WorkerContext
from nameko.extensions import DependencyProvider, SharedExtension

from chassis.db.engine import no_transaction
from chassis.deadline import bounded
from chassis.fair_scheduling import away
from chassis.rpc.client import RpcClient
from chassis.settings import Settings


class RpcLink(SharedExtension):
    """One client per service process, shared by all its `ServiceRpc` dependencies."""

    def setup(self) -> None:
        settings = Settings.from_config(self.container.config)
        self.timeout = settings.rpc_timeout
        called = [each.service for each in self.container.dependencies if isinstance(each, ServiceRpc)]
        self.client = RpcClient(settings.amqp_uri, name=f"{self.container.service_name} calls", services=called)

    def start(self) -> None:
        self.reader = self.container.spawn_managed_thread(self.client.link.run, identifier="rpc-client")

    def stop(self) -> None:
        self.client.link.stop()
        self.reader.wait()

    def kill(self) -> None:
        self.client.link.stop()


class ServiceRpc(DependencyProvider):
    """A proxy for another service, as a worker uses it.

    Args:
        service: its name.
    """

    link = RpcLink()

    def __init__(self, service: str) -> None:
        self.service = service

    def get_dependency(self, worker_ctx: WorkerContext) -> Callee:
        context = {"request_id": worker_ctx.data["request_id"]} if "request_id" in worker_ctx.data else {}
        return Callee(self.link, self.service, context)


class Callee:
    """``callee.method(*args, **kwargs)`` calls it; raises as `RpcClient.call` does."""

    def __init__(self, link: RpcLink, service: str, context: dict[str, str]) -> None:
        self._link = link
        self._service = service
        self._context = context

    def __getattr__(self, method: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            no_transaction(f"{self._service}.{method} is called")
            with away():
                return self._link.client.call(
                    self._service, method, args, kwargs, timeout=bounded(self._link.timeout), context=self._context
                )

        return call
