"""Two shops for the tests in this folder.

`twins` has several copies of every service, so that one copy can die while another lives. `lone` has one copy of every
service, and the tests can replace its modules.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.faults.front import Front
from bench.faults.stage import TAXED, Stage, stage
from launcher.shop import Shop
from tests.e2e.faults.sabotage import Saboteur

# Most crash points kill a cart, and each kill also interrupts the other stories in that process. More copies delay
# fewer stories.
COPIES = {"products": 2, "shipping": 3, "notifications": 3, "cart": 6}


@pytest.fixture(scope="package")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The running shop. A process dies at a crash point when the folder ``points`` has a file for it."""
    place = tmp_path_factory.mktemp("twins")
    (place / "points").mkdir()
    env = {"AMQP_URI": None, "GATEWAY_WORKERS": "2", "TRACKING_POLL": "30", **TAXED}
    env["CRASH_POINTS"] = str(place / "points")
    with Shop.on_free_ports(place / "var", env=env, copies=COPIES) as shop:
        yield shop


@pytest.fixture
def front(twins: Shop) -> Front:
    """The storefront of `twins`, once the shop is ready."""
    twins.wait_ready()
    return Front(twins.url, twins.sandbox_url)


@pytest.fixture(scope="package")
def saboteur(tmp_path_factory: pytest.TempPathFactory) -> Saboteur:
    """Replaces modules of the shop `lone`."""
    return Saboteur(tmp_path_factory.mktemp("saboteur"))


@pytest.fixture(scope="package")
def lone(saboteur: Saboteur) -> Iterator[Stage]:
    """A running shop with one copy of every service."""
    with stage(env={**saboteur.env, "TRACKING_POLL": "10"}) as found:
        yield found
