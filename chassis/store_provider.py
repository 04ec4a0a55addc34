"""How a service gets its database: the store that each worker uses, and what runs in the background."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from nameko.containers import WorkerContext
from nameko.extensions import DependencyProvider

from chassis.db.engine import Database, url_for
from chassis.db.migrate import migrate
from chassis.settings import Settings
from chassis.work.idempotency import Idempotency

Store = TypeVar("Store")


class StoreProvider(DependencyProvider, Generic[Store]):
    """Gives a service its store: ``StoreProvider(CartStore)`` hands each worker ``CartStore(database)``, and
    ``StoreProvider(Shipping, wired=True)`` all that the service's `bootstrap` makes: ``Shipping(database, settings)``.

    The engine is made when the service starts and shared by its workers; it is thread-safe and keeps no state of the
    shop. An in-memory database is migrated here, since no other process can reach it.
    """

    def __init__(self, store_class: Callable[..., Store], wired: bool = False) -> None:
        self.store_class = store_class
        self.wired = wired

    def setup(self) -> None:
        settings = Settings.from_config(self.container.config)
        service = self.container.service_name
        self.database = Database(url_for(service, settings.database_url, settings.var_dir), service)
        if self.database.in_memory:
            migrate(self.database)
        self.store = self.store_class(self.database, *([settings] if self.wired else []))
        self.idempotency = Idempotency(self.database)
        self._threads: list[Any] = []

    def start(self) -> None:
        database = self.database
        runs = {
            "heartbeat": database.heartbeat.run,
            "deferred writes": database.deferred.run,
            "idempotency": self.idempotency.run_forget,
        }
        for name, run in runs.items():
            self._threads.append(self.container.spawn_managed_thread(run, identifier=name))

    def stop(self) -> None:
        for thread in self._threads:
            thread.kill()
        self.database.deferred.finish()
        self.database.dispose()

    def get_dependency(self, worker_ctx: WorkerContext) -> Store:
        return self.store
