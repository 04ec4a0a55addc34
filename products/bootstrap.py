"""The wiring of the products service: its store, and the catalogue that the settings select."""

from __future__ import annotations

from chassis.injection import FromSettings
from chassis.providers.http_session import ProviderSession
from chassis.settings import Settings
from chassis.store_provider import StoreProvider
from products.rules.catalog import Catalog
from products.store.products import ProductStore
from products.stripe.catalog import StripeCatalog


def stripe_catalog(settings: Settings) -> Catalog:
    """Stripe, or the sandbox instead."""
    session = ProviderSession(settings.provider_connect_timeout, settings.provider_timeout, "Stripe")
    return StripeCatalog(settings.stripe.key, settings.stripe.base, session)


STORE = StoreProvider(ProductStore)
# Holds only connections, so all workers share it.
CATALOG = FromSettings(stripe_catalog)
# The currency of a product that specifies none.
CURRENCY = FromSettings(lambda settings: settings.currency)
