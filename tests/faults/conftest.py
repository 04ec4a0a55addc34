"""One shop for the tests of this folder, with several copies of every service, so that one can die and one lives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.faults.front import Front
from launcher.place import SERVICES
from launcher.shop import Shop

# The cart is killed at most points.
COPIES = {**dict.fromkeys(SERVICES, 2), "cart": 3}


@pytest.fixture(scope="session")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The shop, running; every process of it dies at a point whose file lies in the folder ``points``."""
    place = tmp_path_factory.mktemp("twins")
    (place / "points").mkdir()
    env = {"AMQP_URI": None, "GATEWAY_WORKERS": "2", "CRASH_POINTS": str(place / "points")}
    with Shop.on_free_ports(place / "var", env=env, copies=COPIES) as shop:
        yield shop


@pytest.fixture
def front(twins: Shop) -> Front:
    """The same shop, ready."""
    twins.wait_ready(60)
    return Front(twins.url, twins.sandbox_url)
