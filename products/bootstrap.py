"""The wiring of the products service: the catalogue, selected by the settings."""

from __future__ import annotations

from nameko.containers import WorkerContext
from nameko.extensions import DependencyProvider

from chassis.providers.http_session import ProviderSession
from chassis.settings import Settings
from products.rules.catalog import Catalog
from products.stripe.catalog import StripeCatalog


def stripe_catalog(settings: Settings) -> StripeCatalog:
    """Stripe, or the sandbox instead."""
    session = ProviderSession(settings.provider_connect_timeout, settings.provider_timeout, "Stripe")
    return StripeCatalog(settings.stripe.key, settings.stripe.base, session)


class CatalogProvider(DependencyProvider):
    """One `Catalog` for all workers; it holds only connections."""

    def setup(self) -> None:
        self.catalog: Catalog = stripe_catalog(Settings.from_config(self.container.config))

    def get_dependency(self, worker_ctx: WorkerContext) -> Catalog:
        return self.catalog


class CurrencyProvider(DependencyProvider):
    """The currency of a product that specifies none."""

    def setup(self) -> None:
        self.currency = Settings.from_config(self.container.config).currency

    def get_dependency(self, worker_ctx: WorkerContext) -> str:
        return self.currency
