"""Migrations of a service's database, and the tables that they leave, on SQLite and PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import text

from chassis.db.engine import Database, url_for
from chassis.db.heartbeat import TIME_OF
from chassis.db.migrate import migrate
from launcher.place import ROOT
from tests.integration.chassis.running import until

Open = Callable[[str], Database]


def _postgresql(database: Database) -> bool:
    return database.dialect == "postgresql"


MIGRATE_ON_SIGNAL = """
import pathlib, sys, time
from chassis.db.migrate import main
ready, go = map(pathlib.Path, sys.argv[1:])
ready.touch()
end = time.monotonic() + 60
while not go.exists() and time.monotonic() < end:
    time.sleep(0.001)
sys.exit(main(["cart"]))
"""


def test_several_processes_migrate_at_once(database_url: str, tmp_path: Path) -> None:
    go = tmp_path / "go"
    ready = [tmp_path / f"ready-{number}" for number in range(3)]
    commands = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", MIGRATE_ON_SIGNAL, str(mark), str(go)],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": database_url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for mark in ready
    ]
    try:
        until(lambda: all(mark.exists() for mark in ready), 60, "the processes")
        go.touch()
        for command in commands:
            result, errors = command.communicate(timeout=60)
            assert command.returncode == 0, errors
            assert result == "cart: up to date\n"
    finally:
        for command in commands:
            command.kill()
    done = Database(url_for("cart", database_url, "unused"), "cart")
    try:
        with done.read() as connection:
            assert len(connection.execute(text("SELECT version_num FROM alembic_version")).all()) == 1
        migrate(done)  # a second run changes nothing
    finally:
        done.dispose()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has no statement timeout
def test_migration_has_a_longer_statement_timeout(database: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    here = database("cart")
    limits: list[str] = []

    def upgrade(config: Any, _to: str) -> None:
        connection = config.attributes["connection"]
        for name in ("statement_timeout", "lock_timeout"):
            limits.append(connection.execute(text(f"SHOW {name}")).scalar_one())

    monkeypatch.setattr("alembic.command.upgrade", upgrade)
    migrate(here)
    with here.read() as connection:
        usual = connection.execute(text("SHOW statement_timeout")).scalar_one()
    assert limits == ["10min", usual]
    assert usual != "10min"


def test_database_without_an_encoding_takes_every_text(postgresql: str) -> None:
    """Such a database once refused the mail of an order in euros, which was then retried again and again."""
    server = sqlalchemy.create_engine(url_for("any", postgresql, "unused"), isolation_level="AUTOCOMMIT")
    name, text = f"test_{uuid.uuid4().hex}", "Zoë pays 5 €, 700 ¥"
    with server.connect() as connection:
        plain = f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        connection.execute(sqlalchemy.text(plain))
    kept = Database(server.url.set(database=name), "notifications")
    try:
        with kept.write() as connection:
            connection.execute(sqlalchemy.text("CREATE TEMPORARY TABLE kept (text text)"))
            connection.execute(sqlalchemy.text("INSERT INTO kept VALUES (:text)"), {"text": text})
            assert connection.execute(sqlalchemy.text("SELECT text FROM kept")).scalar() == text
    finally:
        kept.engine.dispose()
        with server.connect() as connection:
            connection.execute(sqlalchemy.text(f"DROP DATABASE {name} WITH (FORCE)"))
        server.dispose()


def test_services_share_a_postgresql_database_but_no_table(database: Open, database_url: str) -> None:
    cart, products = database("cart"), database("products")
    tables = set(sqlalchemy.inspect(cart.engine).get_table_names(schema="cart" if _postgresql(cart) else None))
    others = set(
        sqlalchemy.inspect(products.engine).get_table_names(schema="products" if _postgresql(products) else None)
    )
    # Some tables have the same name in every service, but each service has its own.
    assert tables & others == {"alembic_version", "answers", "presence"}
    cart.heartbeat.beat()
    for each, copies in ((cart, [cart.heartbeat.holder]), (products, [])):
        with each.read() as connection:
            holders = connection.execute(sqlalchemy.text("SELECT holder FROM presence")).scalars()
            assert [holder for holder in holders if not holder.startswith(TIME_OF)] == copies
