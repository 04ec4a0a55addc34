"""The shop that the journeys are told to: the one at `SHOP_URL` (and `SANDBOX_URL`), or one of their own.

Their own has two gateway processes, so that no journey can lean on what one process remembers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from launcher.shop import Shop
from tests.e2e.journeys.shop import Storefront


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The tests' own shop: for what needs more than HTTP, also when the journeys are told to another one."""
    # A broker of its own: the one that the tests share may hold another shop's queues.
    env = {"AMQP_URI": None, "GATEWAY_WORKERS": "2"}
    with Shop.on_free_ports(tmp_path_factory.mktemp("journeys") / "var", env=env) as running:
        yield running


@pytest.fixture(scope="session")
def shop(request: pytest.FixtureRequest) -> Storefront:
    url = os.environ.get("SHOP_URL")
    if url:
        return Storefront(url.rstrip("/"), os.environ["SANDBOX_URL"].rstrip("/"))
    running: Shop = request.getfixturevalue("own")
    return Storefront(running.url, running.sandbox_url)
