"""How a service declares what Nameko hands to each worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar, cast

from nameko.containers import WorkerContext
from nameko.extensions import DependencyProvider

from chassis.settings import Settings

Made = TypeVar("Made")

Handed = TypeVar("Handed", covariant=True)


class Provider(Protocol[Handed]):
    """A Nameko dependency provider."""

    def get_dependency(self, worker_ctx: WorkerContext) -> Handed:
        """The object that a worker receives."""


class FromSettings(DependencyProvider, Generic[Made]):
    """Hands each worker what `make` returned for the settings of the process, once, when the service started."""

    def __init__(self, make: Callable[[Settings], Made]) -> None:
        self.make = make

    def setup(self) -> None:
        self.made = self.make(Settings.from_config(self.container.config))

    def get_dependency(self, worker_ctx: WorkerContext) -> Made:
        return self.made


def injected(provider: Provider[Handed]) -> Handed:
    """Return `provider`, typed as what it provides: ``store = injected(StoreProvider(CartStore))``.

    The attribute of the class is the provider. Nameko gives each worker an instance that has the provided object in
    its place, which no type can express.
    """
    return cast(Handed, provider)
