"""Fixtures of the catalogue's tests."""

from __future__ import annotations

import uuid

import pytest

from products.stripe.catalog import StripeCatalog
from tests.integration.providers.stripe_catalog import Stripe, catalog_at
from tests.running_sandbox import RunningSandbox


@pytest.fixture
def catalog(providers: RunningSandbox) -> StripeCatalog:
    return catalog_at(f"{providers.url}/stripe")


@pytest.fixture
def stripe_api(providers: RunningSandbox) -> Stripe:
    return Stripe(providers.url)


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex
