"""The timers of the products service."""

from __future__ import annotations

from typing import Any

import pytest
from nameko.testing.services import worker_factory

from chassis.work.timer import Timer
from contracts.errors import Unavailable
from products.projection import Projection
from products.service import REBUILD_INTERVAL_S, ProductsService


def test_catalogue_is_read_hourly_despite_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    (timer,) = ProductsService.read_catalogue_again.nameko_entrypoints
    assert isinstance(timer, Timer)
    assert timer.interval == REBUILD_INTERVAL_S == 3600
    read: list[Any] = []

    def rebuild(projection: Projection) -> dict[str, int]:
        read.append(projection.catalog)
        if len(read) > 1:
            raise Unavailable("Stripe is away")
        return {"products": 1, "written": 1, "removed": 0}

    monkeypatch.setattr(Projection, "rebuild", rebuild)
    service = worker_factory(ProductsService, store=object(), catalog="Stripe's", currency="usd")
    service.read_catalogue_again()
    service.read_catalogue_again()
    assert read == ["Stripe's", "Stripe's"]
