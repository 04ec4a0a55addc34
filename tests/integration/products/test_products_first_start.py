"""The first start of the products service with an empty database, while the catalogue cannot be read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import Unavailable
from tests.products import least_product
from tests.rabbit_node import RabbitNode
from tests.running_sandbox import RunningSandbox
from tests.running_service import RunningService

BONE = least_product(inventory={"type": "finite", "quantity": 5})
CATALOGUE_WAIT_S = 90.0


class Starting(RunningService):
    """A service whose start is not waited for."""

    def wait(self) -> None:
        pass


def eventually(run: Callable[[], Any]) -> Any:
    """Repeat `run` until it does not raise Unavailable, and return its answer."""
    end = time.monotonic() + CATALOGUE_WAIT_S
    while True:
        try:
            return run()
        except Unavailable:
            assert time.monotonic() < end
            time.sleep(0.3)


@pytest.fixture
def settings(rabbit: RabbitNode, providers: RunningSandbox) -> dict[str, str]:
    return {"AMQP_URI": rabbit.uri, "SANDBOX_URL": providers.url, "DATABASE_URL": ""}


@pytest.fixture
def sold(settings: dict[str, str], tmp_path: Path) -> dict[str, Any]:
    """A product of an earlier shop on the same Stripe account. Two of its five pieces are sold."""
    place = tmp_path / "earlier"
    place.mkdir()
    earlier = RunningService("products", place, settings)
    try:
        made: dict[str, Any] = earlier.call("create", BONE, "key")
        earlier.call("reserve", "order", [{"parent": made["skus"]["data"][0]["id"], "quantity": 2}])
    finally:
        earlier.stop()
    return made


@pytest.fixture
def fresh(
    sold: dict[str, Any], settings: dict[str, str], providers: RunningSandbox, tmp_path: Path
) -> Iterator[RunningService]:
    """A service with an empty database that starts during a Stripe outage."""
    providers.fault("stripe", error_rate=1, error_status=503)
    place = tmp_path / "fresh"
    place.mkdir()
    running = Starting("products", place, settings)
    yield running
    running.stop()


def test_first_start_reads_the_catalogue_when_stripe_returns(
    fresh: RunningService, providers: RunningSandbox, sold: dict[str, Any]
) -> None:
    end = time.monotonic() + CATALOGUE_WAIT_S
    while "catalogue not read" not in fresh.log:
        assert time.monotonic() < end, fresh.log
        time.sleep(0.2)
    item = [{"parent": sold["skus"]["data"][0]["id"], "quantity": 1}]
    for verb, *arguments in (("list",), ("get", sold["id"]), ("offer", sold["id"]), ("price", item), ("health",)):
        with pytest.raises(Unavailable) as failure:
            fresh.call(str(verb), *arguments)
        assert "still being read" in failure.value.detail
        assert failure.value.facts["retry_after"] > 0

    providers.heal()
    assert eventually(lambda: fresh.call("health")) == {"status": "ok", "database": "ok"}
    # Stripe does not know the sold quantity, so a new database starts with the original stock.
    assert fresh.call("list")["data"] == [sold]
