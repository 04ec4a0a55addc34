from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from eventlet.greenthread import GreenThread
from nameko.extensions import DependencyProvider, Entrypoint, _ExcInfo

# Takes the outcome of a worker; its dependencies receive the result.
_HandleResult: TypeAlias = Callable[[WorkerContext, Any, _ExcInfo | None], tuple[Any, _ExcInfo | None]]

class WorkerContext:
    container: ServiceContainer
    config: Mapping[str, Any]
    service: Any
    service_name: str
    entrypoint: Entrypoint
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    data: dict[str, Any]
    def __init__(
        self,
        container: ServiceContainer,
        service: object,
        entrypoint: Entrypoint,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        data: dict[str, Any] | None = None,
    ) -> None: ...

class ServiceContainer:
    service_cls: type[Any]
    service_name: str
    config: dict[str, Any]
    max_workers: int
    entrypoints: set[Entrypoint]
    dependencies: set[DependencyProvider]
    _worker_threads: dict[WorkerContext, GreenThread]
    def __init__(self, service_cls: type[Any], config: dict[str, Any]) -> None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def spawn_worker(
        self,
        entrypoint: Entrypoint,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        context_data: dict[str, Any] | None = None,
        handle_result: _HandleResult | None = None,
    ) -> WorkerContext: ...
    def spawn_managed_thread(self, fn: Callable[[], object], identifier: str | None = None) -> GreenThread: ...
    def _run_worker(self, worker_ctx: WorkerContext, handle_result: _HandleResult | None) -> None: ...
