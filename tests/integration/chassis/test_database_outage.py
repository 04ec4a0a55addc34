"""A read-only, full, locked or unreachable database. Calls fail with a reason, `ready` fails, one line is logged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from chassis.db import engine as chassis_database
from chassis.db.engine import Database
from chassis.db.heartbeat import BEAT_INTERVAL_S
from chassis.db.outage import BUSY, DISK_FULL, READ_ONLY, UNREACHABLE, reason_of
from chassis.db.shared_tables import presence
from contracts.errors import Unavailable

SECRET = "4242"


class DriverError(Exception):
    """A stand-in for a psycopg2 error, which carries a SQLSTATE."""

    def __init__(self, pgcode: str | None) -> None:
        super().__init__(f"failed\nDETAIL:  Key (card)=({SECRET})")
        self.pgcode = pgcode


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("25006", READ_ONLY),
        ("53100", DISK_FULL),
        ("53300", BUSY),
        ("55P03", BUSY),
        ("57014", BUSY),
        ("40P01", BUSY),
        ("57P01", UNREACHABLE),
        ("57P03", UNREACHABLE),
        ("08006", UNREACHABLE),
        ("23505", None),  # an existing row
        ("42601", None),  # a syntax error
    ],
)
def test_sqlstate_maps_to_a_reason(state: str, reason: str | None) -> None:
    assert reason_of(sa.exc.InternalError("INSERT", {"card": SECRET}, DriverError(state))) == reason


def test_invalid_statement_is_no_outage(database: Callable[[str], Database]) -> None:
    here = database("cart")
    with pytest.raises(sa.exc.DBAPIError), here.read() as connection:
        connection.execute(sa.text("SELECT * FROM nowhere"))
    with pytest.raises(sa.exc.IntegrityError), here.write() as connection:
        connection.execute(sa.insert(presence).values(holder="a", seen=None))
    assert here.outage.reason is None


@pytest.fixture
def limited_disk(tmp_path: Path) -> Iterator[tuple[Database, Callable[[int], None]]]:
    """An SQLite database, and a function that sets its page limit."""
    here = Database(f"sqlite:///{tmp_path}/cart.db", "cart")
    with here.write() as connection:
        presence.create(connection)
        connection.execute(sa.text("CREATE TABLE things (name TEXT)"))
    here.heartbeat.beat()
    pages = 1_000_000

    def limited(connection: Any, _record: Any = None) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")

    sa.event.listen(here.engine, "connect", limited)

    def limit(most: int) -> None:
        nonlocal pages
        pages = most
        here.engine.dispose()

    yield here, limit
    here.dispose()


def fill(here: Database) -> None:
    with here.write() as connection:
        connection.execute(sa.text("INSERT INTO things VALUES (:name)"), {"name": SECRET * 4000})


def test_full_disk_is_detected_and_logged_once(limited_disk: tuple[Database, Callable[[int], None]]) -> None:
    here, limit = limited_disk
    here.ready()
    limit(1)
    with capture_logs() as logged:
        for _ in range(3):
            with pytest.raises(Unavailable) as refused:
                fill(here)
            assert refused.value.facts == {"retry_after": 1, "database": DISK_FULL}
            here.heartbeat.beat()  # an update in place still works on a full disk
            with pytest.raises(Unavailable) as not_ready:
                here.ready()
            assert not_ready.value.facts["database"] == DISK_FULL
        limit(1_000_000)
        here.ready()
        fill(here)
    events = [(line["event"], line["reason"]) for line in logged]
    assert events == [("database outage", DISK_FULL), ("database outage over", DISK_FULL)]
    assert "full" in logged[0]["message"]
    assert SECRET not in str(logged)


def test_full_file_system_is_detected_before_a_write(
    limited_disk: tuple[Database, Callable[[int], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, _ = limited_disk
    with monkeypatch.context() as filled:
        filled.setattr(chassis_database, "free_bytes", lambda _path: 0)
        with pytest.raises(Unavailable) as not_ready:
            here.ready()
        assert not_ready.value.facts["database"] == DISK_FULL
    here.ready()


def test_read_only_sqlite_file_is_detected(limited_disk: tuple[Database, Callable[[int], None]]) -> None:
    here, _ = limited_disk
    here.heartbeat._beaten -= 10 * BEAT_INTERVAL_S
    sa.event.listen(here.engine, "connect", lambda connection, _: connection.execute("PRAGMA query_only=ON"))
    here.engine.dispose()
    with pytest.raises(Unavailable) as refused:
        fill(here)
    assert refused.value.facts["database"] == READ_ONLY
    with pytest.raises(Unavailable):
        here.ready()


def test_locked_sqlite_file_is_busy(
    limited_disk: tuple[Database, Callable[[int], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, _ = limited_disk
    monkeypatch.setattr(chassis_database, "SQLITE_BUSY_SECONDS", 0.1)
    other = Database(here.url, "cart")
    with here.write(), pytest.raises(Unavailable) as refused, other.write():
        pass
    other.dispose()
    assert refused.value.facts["database"] == BUSY


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_service_recovers_from_a_failover_to_read_only(database_url: str) -> None:
    """The service also drops connections made while the server was read-only."""
    here = Database(database_url, "cart")
    with here.write() as connection:
        connection.execute(sa.text("CREATE SCHEMA cart"))
        presence.create(connection)
    here.heartbeat.beat()
    server = sa.create_engine(here.url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)

    def read_only(value: str) -> None:
        with server.connect() as connection:
            name = connection.execute(sa.text("SELECT current_database()")).scalar_one()
            connection.execute(sa.text("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE"))
            connection.execute(sa.text(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}"))

    with capture_logs() as logged:
        read_only("on")
        here.engine.dispose()  # a failover closes the connections
        here.heartbeat._beaten -= 10 * BEAT_INTERVAL_S
        for _ in range(2):
            with pytest.raises(Unavailable) as not_ready:
                here.ready()
            assert not_ready.value.facts == {"retry_after": 1, "database": READ_ONLY}
            with here.read() as connection:
                connection.execute(sa.text("SELECT 1"))
        read_only("off")
        end = time.monotonic() + 30
        while True:
            try:
                here.ready()
            except Unavailable:
                assert time.monotonic() < end
                time.sleep(0.1)
            else:
                break
    here.dispose()
    begun, over = logged
    assert (begun["event"], begun["reason"], begun["code"]) == ("database outage", READ_ONLY, "25006")
    assert over["event"] == "database outage over"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_connection_ended_by_the_server_raises_unavailable(database_url: str) -> None:
    """An administrator who stops the server ends its connections."""
    here = Database(database_url, "cart")
    other = sa.create_engine(here.url, poolclass=sa.pool.NullPool)

    def end_mine() -> None:
        with here.write() as connection:
            me = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
            with other.connect() as killer:
                killer.execute(sa.text(f"SELECT pg_terminate_backend({me})"))
            connection.execute(sa.text("SELECT 1"))

    with pytest.raises(Unavailable) as refused:
        end_mine()
    assert refused.value.facts["database"] == UNREACHABLE
    here.dispose()


def test_failed_statement_shows_no_parameters(tmp_path: Path) -> None:
    here = Database(f"sqlite:///{tmp_path}/cart.db", "cart")
    with pytest.raises(sa.exc.SQLAlchemyError) as failed, here.engine.begin() as connection:
        connection.execute(sa.text("SELECT :mail FROM nowhere"), {"mail": "chloe@example.com"})
    assert "chloe@example.com" not in str(failed.value)
