"""Two shops for the tests of this folder: one with several copies of every service, so that one can die and one lives,
and one with a copy of each, whose modules can be replaced from outside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.faults.front import Front
from bench.faults.stage import Stage, stage
from launcher.shop import Shop
from tests.e2e.faults.sabotage import Saboteur

# The cart is killed at most points, and each kill hits whatever else its process has in hand: the more there are, the
# less a story is held up by the others.
COPIES = {"products": 2, "shipping": 3, "notifications": 3, "cart": 6}


@pytest.fixture(scope="session")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The shop, running; every process of it dies at a point whose file lies in the folder ``points``."""
    place = tmp_path_factory.mktemp("twins")
    (place / "points").mkdir()
    env = {"AMQP_URI": None, "GATEWAY_WORKERS": "2", "TRACKING_POLL": "10", "CRASH_POINTS": str(place / "points")}
    with Shop.on_free_ports(place / "var", env=env, copies=COPIES) as shop:
        yield shop


@pytest.fixture
def front(twins: Shop) -> Front:
    """The same shop, ready."""
    twins.wait_ready()
    return Front(twins.url, twins.sandbox_url)


@pytest.fixture(scope="session")
def saboteur(tmp_path_factory: pytest.TempPathFactory) -> Saboteur:
    """Who can replace modules of the shop `lone`."""
    return Saboteur(tmp_path_factory.mktemp("saboteur"))


@pytest.fixture(scope="session")
def lone(saboteur: Saboteur) -> Iterator[Stage]:
    """A shop with one copy of every service, running."""
    with stage(env={**saboteur.env, "TRACKING_POLL": "10"}) as found:
        yield found
