"""A shop for the outage tests, whose parts can be stopped and killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from launcher.shop import Shop
from tests.e2e.journeys.shop import Storefront, eventually


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    # Short enough for a test, and long enough for a busy machine. A payment may have to wait for a starting service.
    times = {"RPC_TIMEOUT": "8", "PROVIDER_TIMEOUT": "7", "PAY_TIMEOUT": "38"}
    env = {"AMQP_URI": None, "GATEWAY_WORKERS": "2", **times}
    with Shop.on_free_ports(tmp_path_factory.mktemp("outages") / "var", env=env) as shop:
        yield shop


@pytest.fixture
def shop(running: Shop) -> Storefront:
    """The ready shop. No circuit to a provider is still open because of the previous test."""
    running.wait_ready()
    front = Storefront(running.url, running.sandbox_url)
    shopper, product = front.shopper(), front.product()
    eventually(lambda: shopper.buy(product["id"], 1).status_code == 200)
    eventually(lambda: shopper.checkout().status_code == 201)
    return front
