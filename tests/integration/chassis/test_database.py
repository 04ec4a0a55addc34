"""The database of a service, on SQLite and PostgreSQL: transactions and locks."""

from __future__ import annotations

import contextvars
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy
from sqlalchemy import text

from chassis.db import engine as chassis_database
from chassis.db.engine import Database, no_transaction, once_more
from chassis.providers.guard import Guard
from chassis.rpc.service_rpc import Callee
from contracts.errors import Unavailable
from launcher.place import ROOT
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
