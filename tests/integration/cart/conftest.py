"""A shop in memory, with the cart's database in a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.db.engine import Database
from tests.databases import migrated
from tests.integration.cart.till import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    database = migrated(Database(f"sqlite:///{tmp_path}/cart.db", "cart"))
    yield Shop(database)
    database.dispose()
