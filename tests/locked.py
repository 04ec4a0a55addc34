"""A database that cannot be written: another connection holds its lock for longer than a writer waits."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chassis.db import engine as chassis_database
from chassis.db.engine import Database
from tests.databases import migrated

# How long a writer waits for the lock in these tests.
WRITER_WAIT_S = 0.1


class Locked:
    """The SQLite file of one service, and a connection that locks it."""

    def __init__(self, path: Path, service: str) -> None:
        self.url, self.service = f"sqlite:///{path}/{service}.db", service
        self._opened: list[Database] = []
        self._holder: sqlite3.Connection | None = None
        self._file = str(path / f"{service}.db")
        migrated(self.open())

    def open(self) -> Database:
        """Open the database as one more copy of the service."""
        self._opened.append(Database(self.url, self.service))
        return self._opened[-1]

    def lock(self) -> None:
        """Block every writer until `unlock`."""
        self._holder = sqlite3.connect(self._file, isolation_level=None, check_same_thread=False)
        self._holder.execute("BEGIN IMMEDIATE")

    def unlock(self) -> None:
        """Let writers continue."""
        if self._holder is not None:
            self._holder.close()
            self._holder = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Block every writer inside the `with` block."""
        self.lock()
        try:
            yield
        finally:
            self.unlock()

    def dispose(self) -> None:
        self.unlock()
        for database in self._opened:
            database.dispose()


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Locked]]:
    """``locked("cart")`` migrates that service's database, and can lock it."""
    monkeypatch.setattr(chassis_database, "SQLITE_BUSY_SECONDS", WRITER_WAIT_S)
    made: list[Locked] = []

    def make(service: str) -> Locked:
        made.append(Locked(tmp_path, service))
        return made[-1]

    yield make
    for each in made:
        each.dispose()
