"""How a service declares what Nameko hands to each worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar, cast

from nameko.containers import WorkerContext
from nameko.extensions import DependencyProvider

from chassis.settings import Settings

Handed = TypeVar("Handed")
Provided = TypeVar("Provided", covariant=True)


class Provider(Protocol[Provided]):
    """A Nameko dependency provider."""

    def get_dependency(self, worker_ctx: WorkerContext) -> Provided:
        """The object that a worker receives."""


class FromSettings(DependencyProvider, Generic[Handed]):
    """Gives every worker what `make` returns for the settings of the process: ``FromSettings(stripe_catalog)``.

    It is made once, when the service starts.
    """

    def __init__(self, make: Callable[[Settings], Handed]) -> None:
        self.make = make

    def setup(self) -> None:
        self.made = self.make(Settings.from_config(self.container.config))

    def get_dependency(self, worker_ctx: WorkerContext) -> Handed:
        return self.made


def injected(provider: Provider[Handed]) -> Handed:
    """Return `provider`, typed as what it provides: ``store = injected(StoreProvider(CartStore))``.

    The attribute of the class is the provider. Nameko gives each worker an instance that has the provided object in
    its place, which no type can express.
    """
    return cast(Handed, provider)
