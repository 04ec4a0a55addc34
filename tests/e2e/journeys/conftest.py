"""The shop of the journeys: the one at `SHOP_URL` and `SANDBOX_URL`, or a shop that the tests start.

The tests' own shop has two gateway processes, so that no journey can rely on the memory of one process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from launcher.shop import Shop
from tests.e2e.journeys.shop import Storefront
from tests.process_coverage import coverage_env


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that start a shop of their own when they would say nothing about the one at `SHOP_URL`."""
    if os.environ.get("SHOP_URL"):
        own_shop = [item for item in items if isinstance(item, pytest.Function) and "own" in item.fixturenames]
        config.hook.pytest_deselected(items=own_shop)
        items[:] = [item for item in items if item not in own_shop]


@pytest.fixture(scope="package")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The tests' own shop. Tests that need more than HTTP use it."""
    # The shop starts its own broker, since the shared broker may hold the queues of another shop.
    env = {"AMQP_URI": None, "GATEWAY_WORKERS": "2", **coverage_env()}
    with Shop.on_free_ports(tmp_path_factory.mktemp("journeys") / "var", env=env) as running:
        yield running


@pytest.fixture(scope="package")
def shop(request: pytest.FixtureRequest) -> Storefront:
    url = os.environ.get("SHOP_URL")
    if url:
        return Storefront(url.rstrip("/"), os.environ["SANDBOX_URL"].rstrip("/"))
    running: Shop = request.getfixturevalue("own")
    return Storefront(running.url, running.sandbox_url)
