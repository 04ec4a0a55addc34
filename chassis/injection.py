"""How a service declares what Nameko hands to each worker."""

from __future__ import annotations

from typing import Protocol, TypeVar, cast

from nameko.containers import WorkerContext

Handed = TypeVar("Handed", covariant=True)


class Provider(Protocol[Handed]):
    """A Nameko dependency provider."""

    def get_dependency(self, worker_ctx: WorkerContext) -> Handed:
        """The object that a worker receives."""


def injected(provider: Provider[Handed]) -> Handed:
    """Return `provider`, typed as what it provides: ``store = injected(StoreProvider(CartStore))``.

    The attribute of the class is the provider. Nameko gives each worker an instance that has the provided object in
    its place, which no type can express.
    """
    return cast(Handed, provider)
