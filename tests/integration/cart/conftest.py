"""A shop in memory, with the cart's database in a file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.db.engine import Database
from chassis.db.migrate import migrate
from tests.integration.cart.till import Shop


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty database file. Tests copy it, because a migration takes longer than a test."""
    path = tmp_path_factory.mktemp("migrated") / "cart.db"
    database = Database(f"sqlite:///{path}", "cart")
    migrate(database)
    database.dispose()  # closing the last connection merges the WAL into the file
    return path


@pytest.fixture
def shop(tmp_path: Path, migrated: Path) -> Iterator[Shop]:
    shutil.copy(migrated, tmp_path / "cart.db")
    database = Database(f"sqlite:///{tmp_path}/cart.db", "cart")
    yield Shop(database)
    database.dispose()
