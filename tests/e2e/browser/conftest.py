"""A shop for the storefront in a browser: its own, since these tests switch faults on and stop parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import requests

from launcher.shop import Shop
from tests.browser import Tab
from tests.e2e.browser.pages import Shopper
from tests.e2e.journeys.shop import Storefront
from tests.process_coverage import coverage_env


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The whole shop."""
    with Shop.on_free_ports(tmp_path_factory.mktemp("browser") / "var", env=coverage_env()) as shop:
        yield shop


@pytest.fixture
def shop(running: Shop) -> Iterator[Storefront]:
    """Its address; every fault is off afterwards."""
    yield Storefront(running.url, running.sandbox_url)
    for provider in ("stripe", "shippo", "twilio", "sendgrid"):
        requests.delete(f"{running.sandbox_url}/sandbox/faults/{provider}", timeout=30)


@pytest.fixture
def shopper(shop: Storefront, tab: Tab) -> Shopper:
    """Somebody with the storefront in a browser, at a desk."""
    return Shopper(shop, tab)


@pytest.fixture
def new_shopper(shop: Storefront, open_tab: Callable[..., Tab]) -> Callable[..., Shopper]:
    """A function that makes a shopper with a browser of another size or with other options."""

    def new(**options: object) -> Shopper:
        return Shopper(shop, open_tab(**options))

    return new
