"""The connections to a database: addresses, pools, timeouts, and servers that are silent."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import text

from chassis.db import engine as chassis_database
from chassis.db import migrate as chassis_migrate
from chassis.db.engine import Database, url_for
from chassis.db.migrate import migrate
from chassis.settings import Settings
from chassis.store_provider import StoreProvider
from chassis.work.inbox import Inbox
from contracts.errors import Unavailable
from launcher.place import ROOT
from tests.integration.chassis.silent_proxy import SilentProxy


def test_path_with_special_characters_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = tmp_path / "a b%20c ?#ü" / "var"
    odd.mkdir(parents=True)
    (odd / "shop 100%").symlink_to(ROOT)
    monkeypatch.setattr(chassis_migrate, "ROOT", odd / "shop 100%")
    found = Database(url_for("cart", None, str(odd)), "cart")
    try:
        migrate(found)
        found.ping()
        assert (odd / "cart.db").is_file()
        assert not found.in_memory
    finally:
        found.dispose()


def test_threads_share_an_in_memory_database() -> None:
    found = Database("sqlite://", "cart")
    try:
        assert found.in_memory
        migrate(found)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(found.ping).result(timeout=60)
            tables = pool.submit(lambda: sqlalchemy.inspect(found.engine).get_table_names())
            assert "orders" in tables.result(timeout=60)
    finally:
        found.dispose()


def test_exhausted_pool_raises_unavailable(postgresql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chassis_database, "POOL_SECONDS", 0.2)
    busy = Database(url_for("cart", postgresql, "unused"), "cart")
    try:
        with contextlib.ExitStack() as held:
            for _ in range(20):
                held.enter_context(busy.engine.connect())
            with pytest.raises(Unavailable) as unavailable:
                busy.ping()
        assert unavailable.value.facts == {"retry_after": 1, "database": "busy"}
        busy.ping()
    finally:
        busy.dispose()


def test_unreachable_server_error_hides_the_password() -> None:
    with socket.socket() as taken:  # the port is bound, but no server listens
        taken.bind(("127.0.0.1", 0))
        url = f"postgresql://shop:hush@127.0.0.1:{taken.getsockname()[1]}/shop"
        away = Database(url_for("cart", url, "unused"), "cart")
        began = time.monotonic()
        with pytest.raises(Unavailable) as unavailable:
            away.ping()
        assert time.monotonic() - began < 30
    assert unavailable.value.facts == {"retry_after": 1, "database": "unreachable"}
    assert "hush" not in str(unavailable.value)
    assert "hush" not in repr(away.url)


WITH_GREENLETS = """
import eventlet
eventlet.monkey_patch()
import contextlib, sys, time
from chassis.db import green_postgresql
from chassis.db.engine import Database, url_for
from contracts.errors import Unavailable
green_postgresql.CONNECT_SECONDS, green_postgresql.ANSWER_SECONDS = map(float, sys.argv[2:])
database = Database(url_for("cart", sys.argv[1], "unused"), "cart")
for line in sys.stdin:
    began = time.monotonic()
    end = eventlet.Timeout(40)
    try:
        database.ping()
        said = "answered"
    except Unavailable:
        said = "unavailable"
    except eventlet.Timeout:
        said = "hangs"
    end.cancel()
    print(said, time.monotonic() - began, flush=True)
"""


@contextlib.contextmanager
def pinging(url: str, connect: float, answer: float) -> Iterator[Callable[[], tuple[str, float]]]:
    """Start a process that pings the database among greenlets, as the services do.

    Yields a function that returns the outcome of one ping and its duration (seconds).

    Args:
        connect, answer: timeouts for the connection and for an answer (seconds).
    """
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", WITH_GREENLETS, url, str(connect), str(answer)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    to, of = process.stdin, process.stdout

    def ping() -> tuple[str, float]:
        to.write("\n")
        to.flush()
        result, took = next(line for line in of if not line.startswith("{")).split()  # without log lines
        return result, float(took)

    try:
        yield ping
    finally:
        process.kill()
        process.communicate(timeout=10)


def test_server_that_never_answers_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://shop:x@127.0.0.1:{silent.getsockname()[1]}/shop"
        with pinging(url, connect=1.0, answer=60.0) as ping:
            result, took = ping()
    assert result == "unavailable"
    assert 0.9 < took < 30


def test_silent_open_connection_times_out_and_recovers(postgresql: str) -> None:
    url = sqlalchemy.make_url(postgresql)
    there = f"{url.query['host']}/.s.PGSQL.{url.query.get('port', 5432)}"
    with SilentProxy(there) as proxy:
        proxied = url.set(drivername="postgresql", host="127.0.0.1", port=proxy.port, query={})
        # The timeouts leave a healthy server enough time on a busy machine.
        with pinging(proxied.render_as_string(hide_password=False), connect=6.0, answer=3.0) as ping:
            assert ping()[0] == "answered"
            proxy.silent = True
            result, took = ping()
            assert result == "unavailable"
            assert 0.9 < took < 30
            proxy.silent = False
            assert ping()[0] == "answered"


def test_idle_transaction_releases_its_locks(postgresql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = url_for("cart", postgresql, "unused")
    lock = text("SELECT pg_advisory_xact_lock(41)")
    other = Database(url, "cart")
    monkeypatch.setattr(chassis_database, "POSTGRES_IDLE_MS", 1500)  # long enough to take the lock on a busy machine
    idle = Database(url, "cart")
    freed = []

    def idle_for_too_long() -> None:
        with idle.write() as connection:
            connection.execute(lock)
            with other.write() as waiting:
                freed.append(waiting.execute(lock))
            connection.execute(lock)

    try:
        with pytest.raises(Unavailable):
            idle_for_too_long()
        assert freed
        idle.ping()
    finally:
        idle.dispose()
        other.dispose()


@pytest.mark.parametrize(
    ("given", "driver", "database"),
    [
        ("postgres://u:p@h/shop", "postgresql+psycopg2", "shop"),
        ("postgresql://u:p@h/shop_{service}", "postgresql+psycopg2", "shop_cart"),
        ("sqlite:////data/{service}.db", "sqlite", "/data/cart.db"),
        ("sqlite://", "sqlite", None),
    ],
)
def test_usual_database_urls_are_accepted(given: str, driver: str, database: str | None) -> None:
    url = url_for("cart", given, "unused")
    assert (url.drivername, url.database) == (driver, database)


def test_service_starts_the_thread_of_deferred_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "sqlite://")
    settings = Settings.load(ROOT / "config.yml")
    monkeypatch.setattr(Settings, "from_config", lambda config: settings)
    threads: dict[str, Any] = {}
    provider = StoreProvider(Inbox)
    provider.container = SimpleNamespace(
        config={},
        service_name="cart",
        spawn_managed_thread=lambda run, identifier: threads.update({identifier: run}),
    )
    provider.setup()
    provider.start()
    assert threads["deferred writes"] == provider.database.deferred.run
    provider.database.dispose()
