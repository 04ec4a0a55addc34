"""A shop of the outages' own, whose parts can be taken away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from launcher.shop import Shop
from tests.journeys.shop import Storefront


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    env = {"AMQP_URI": None, "GATEWAY_WORKERS": "2", "RPC_TIMEOUT": "4", "PROVIDER_TIMEOUT": "2"}
    with Shop.on_free_ports(tmp_path_factory.mktemp("outages") / "var", env=env) as shop:
        yield shop


@pytest.fixture
def shop(running: Shop) -> Storefront:
    running.wait_ready(60)
    return Storefront(running.url, running.sandbox_url)
