"""The store of the products service."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chassis.db.engine import Database
from products.store.products import ProductStore


@pytest.fixture
def store(database: Callable[[str], Database]) -> ProductStore:
    return ProductStore(database("products"))
