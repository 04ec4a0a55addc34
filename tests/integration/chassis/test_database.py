"""The database of a service, on SQLite and PostgreSQL: transactions, locks, timeouts and migrations."""

from __future__ import annotations

import contextlib
import contextvars
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
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
from chassis.db.engine import Database, no_transaction, once_more, url_for
from chassis.db.heartbeat import TIME_OF
from chassis.db.migrate import migrate
from chassis.providers.guard import Guard
from chassis.rpc.service_rpc import Callee
from chassis.settings import Settings
from chassis.store_provider import StoreProvider
from chassis.work.inbox import Inbox
from contracts.errors import Unavailable
from launcher.place import ROOT
from tests.integration.chassis.running import until
from tests.integration.chassis.silent_proxy import SilentProxy
from tests.locked import Locked

Open = Callable[[str], Database]


@pytest.fixture
def counter(database: Open) -> Database:
    """A database with a table that holds one number."""
    found = database("cart")
    with found.write() as connection:
        connection.execute(text("CREATE TABLE counter (name VARCHAR(20) PRIMARY KEY, number INTEGER NOT NULL)"))
        connection.execute(text("INSERT INTO counter VALUES ('one', 0)"))
    return found


def number(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(text("SELECT number FROM counter WHERE name = 'one'")).scalar_one())


def test_failed_transaction_is_rolled_back(counter: Database) -> None:
    with counter.write() as connection:
        connection.execute(text("UPDATE counter SET number = 1"))

    def failing() -> None:
        with counter.write() as connection:
            connection.execute(text("UPDATE counter SET number = 2"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert number(counter) == 1


def test_concurrent_writers_do_not_lose_updates(counter: Database) -> None:
    table = sqlalchemy.table("counter", sqlalchemy.column("number", sqlalchemy.Integer))
    look = sqlalchemy.select(table.c.number).with_for_update()  # SQLite ignores it: there BEGIN locks

    def add(_: int) -> None:
        with counter.write() as connection:
            seen = connection.execute(look).scalar_one()
            time.sleep(0.002)  # so that the writers overlap
            connection.execute(text("UPDATE counter SET number = :new"), {"new": seen + 1})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(80)))
    assert number(counter) == 80


def test_a_reader_does_not_wait_for_a_writer(counter: Database) -> None:
    with counter.write() as connection:
        connection.execute(text("UPDATE counter SET number = 7"))
        with ThreadPoolExecutor(1) as pool:  # a reader that waits for the lock fails
            assert pool.submit(number, counter).result(timeout=60) == 0
    assert number(counter) == 7


def test_lock_held_too_long_raises_unavailable(counter: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chassis_database, "SQLITE_BUSY_SECONDS", 0.3)
    monkeypatch.setattr(chassis_database, "POSTGRES_STATEMENT_MS", 300)
    second = Database(counter.url, "cart")
    try:
        with counter.write() as connection:
            connection.execute(text("UPDATE counter SET number = 1"))
            began = time.monotonic()
            with pytest.raises(Unavailable) as busy, second.write() as other:
                other.execute(text("UPDATE counter SET number = 2"))
            assert time.monotonic() - began < 20  # less than the default lock timeout of these tests, 30 s
            assert busy.value.facts == {"retry_after": 1, "database": "busy"}
        with second.write() as other:
            other.execute(text("UPDATE counter SET number = number + 1"))
        assert number(counter) == 2
    finally:
        second.dispose()


WAITING_WRITER = """
import eventlet
eventlet.monkey_patch()
import sys
from chassis.db.engine import Database, url_for
from contracts.errors import Unavailable
database = Database(url_for("cart", sys.argv[1], "unused"), "cart")
done = []

def write():
    try:
        with database.write():
            pass
    except Unavailable as error:
        done.append(error.facts["database"])

writers = [eventlet.spawn(write) for _ in range(40)]
while not done:
    database.ping()  # answered while they wait
    print("answered" if not done else done, flush=True)
    eventlet.sleep(0.01)
for writer in writers:
    writer.wait()
assert done == ["busy"] * 40, done
"""


def test_waiting_writers_leave_the_process_running(tmp_path: Path) -> None:
    file = Locked(tmp_path, "cart")
    try:
        with file.held():
            command = [sys.executable, "-W", "ignore", "-c", WAITING_WRITER, file.url]
            run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    finally:
        file.dispose()
    assert run.returncode == 0, run.stderr
    # SQLite's own waiting lasts as long for each writer, and nothing is answered meanwhile.
    assert run.stdout.splitlines().count("answered") > 2, run.stdout


def test_loser_of_an_insert_race_reads_the_existing_row(counter: Database) -> None:
    together = threading.Barrier(6, timeout=30)

    @once_more
    def mine(who: int) -> int:
        with counter.write() as connection:
            found = connection.execute(text("SELECT number FROM counter WHERE name = 'race'")).scalar()
            if found is not None:
                return int(found)
            connection.execute(text("INSERT INTO counter VALUES ('race', :who)"), {"who": who})
            return who

    def run(who: int) -> int:
        together.wait()
        return mine(who)

    with ThreadPoolExecutor(6) as pool:
        winners = set(pool.map(run, range(6)))
    assert len(winners) == 1


def test_once_more_retries_exactly_once(counter: Database) -> None:
    tries = []

    @once_more
    def doubled() -> None:
        tries.append(1)
        with counter.write() as connection:
            connection.execute(text("INSERT INTO counter VALUES ('one', 1)"))

    with pytest.raises(sqlalchemy.exc.IntegrityError):
        doubled()
    assert len(tries) == 2


def test_inner_blocks_are_part_of_the_transaction(counter: Database) -> None:
    def add() -> int:
        with counter.write() as connection:
            connection.execute(text("UPDATE counter SET number = number + 1"))
        return number(counter)

    def failing() -> None:
        with counter.write():
            assert (add(), add()) == (1, 2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert number(counter) == 0


def test_after_commit_is_called_after_a_commit_only(counter: Database) -> None:
    seen: list[int] = []

    def change(fails: bool) -> None:
        with counter.write() as connection:
            with counter.write():
                counter.after_commit(lambda: seen.append(number(counter)))
            assert seen == []
            connection.execute(text("UPDATE counter SET number = number + 1"))
            if fails:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change(fails=True)
    change(fails=False)
    assert seen == [1]
    counter.after_commit(seen.clear)
    assert seen == []


def test_reading_transaction_cannot_write(counter: Database) -> None:
    with counter.read(), pytest.raises(RuntimeError, match="read-only"), counter.write():
        pass


def test_copied_context_begins_its_own_transaction(counter: Database) -> None:
    with counter.write() as connection:
        connection.execute(text("UPDATE counter SET number = 7"))
        run = contextvars.copy_context().run
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(run, number, counter).result(timeout=60) == 0


def test_once_more_leaves_the_retry_to_the_outermost(counter: Database) -> None:
    tries = []

    @once_more
    def doubled() -> None:
        tries.append(1)
        with counter.write() as connection:
            connection.execute(text("INSERT INTO counter VALUES ('one', 1)"))

    with pytest.raises(sqlalchemy.exc.IntegrityError), counter.write():
        doubled()
    assert len(tries) == 1


def test_no_call_leaves_the_process_in_a_transaction(counter: Database) -> None:
    no_transaction("a call")
    with counter.read(), pytest.raises(RuntimeError, match="a call"):
        no_transaction("a call")
    with counter.write(), pytest.raises(RuntimeError, match="a call"):
        no_transaction("a call")
    with counter.read(), pytest.raises(RuntimeError, match="Stripe is called"):
        Guard("Stripe").calling().__enter__()
    with counter.read(), pytest.raises(RuntimeError, match=r"products.price is called"):
        Callee(SimpleNamespace(timeout=1.0), "products", {}).price()  # type: ignore[arg-type]


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


def _postgresql(database: Database) -> bool:
    return database.dialect == "postgresql"


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
