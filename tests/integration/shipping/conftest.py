"""The store of the shipping service."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chassis.db.engine import Database
from shipping.store.shipments import ShippingStore


@pytest.fixture
def store(database: Callable[[str], Database]) -> ShippingStore:
    return ShippingStore(database("shipping"))
