"""SQL for a service: SQLite in a file, SQLite in memory, or PostgreSQL, with two kinds of transaction.

A transaction is a unit of work: what is read and written inside its `with` block, by any function, is part of it. So
functions need not hand a connection on, and each of them can also be called alone.

A transaction never spans an RPC or a provider's call (`no_transaction`). On SQLite a writing transaction takes the
write lock when it begins (BEGIN IMMEDIATE): a transaction that reads first and writes later would otherwise fail when
another has written in between, and waiting could not cure that.
"""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, ParamSpec, TypeVar

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, RowMapping, make_url
from sqlalchemy.pool import StaticPool

from chassis.db import green_postgresql
from chassis.db.deferred_writes import DeferredWrites
from chassis.db.heartbeat import Heartbeat
from chassis.db.outage import BUSY, DISK_FULL, READ_ONLY, SENTENCES, Outage, reason_of
from chassis.fair_scheduling import pause
from contracts.errors import Unavailable

# How long a writer waits for another process's transaction on the same SQLite file. Transactions take a few
# milliseconds; even a queue of a hundred is far below it. Together with a beat it is less than
# `chassis.db.heartbeat.GONE_AFTER_S`, so that a process that waited still counts as alive.
SQLITE_BUSY_SECONDS = 2.5
# How often the first waiting writer tries again (seconds). Between two tries, other greenlets run.
SQLITE_RETRY_S = 0.005
# A PostgreSQL statement that takes longer than this is waiting for a lock; no query of the shop takes nearly as long.
POSTGRES_STATEMENT_MS = 5000
# The server ends a transaction that is idle for longer: its client's host may have vanished, and others wait for its
# locks.
POSTGRES_IDLE_MS = 10000
# Where no greenlet waits, the operating system detects that the other end has vanished.
POSTGRES_TCP = {
    "connect_timeout": int(green_postgresql.CONNECT_SECONDS),
    "tcp_user_timeout": int(green_postgresql.ANSWER_SECONDS * 1000),
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 1,
    "keepalives_count": 3,
}
# How long a worker waits for a free connection: longer than any transaction takes.
POOL_SECONDS = 5.0
# With less free space on its file system, SQLite's file counts as full (bytes): transactions in progress need some.
LEAST_FREE_BYTES = 1024 * 1024


def free_bytes(path: str) -> int:
    """Free bytes on the file system of `path`."""
    found = os.statvfs(os.path.dirname(path) or ".")
    return found.f_bavail * found.f_frsize


def url_for(service: str, database_url: str | None, var_dir: str) -> URL:
    """The URL of the database in which `service` keeps its state.

    Args:
        service: the service's name; part of the file's name on SQLite, the schema's on PostgreSQL.
        database_url: None for a file under `var_dir`; else any SQLAlchemy URL, in which ``{service}`` is replaced.
        var_dir: the folder for the shop's data.
    """
    if not database_url:
        # Not parsed from a string: a path may contain a ? or a #.
        return URL.create("sqlite", database=str(Path(var_dir).absolute() / f"{service}.db"))
    url = make_url(database_url.replace("{service}", service))
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg2")
    return url


# The one field of the object that replaces unreadable JSON.
UNREADABLE = "unreadable json"


class Open(NamedTuple):
    """A transaction in progress, and the thread or greenlet that it belongs to: a context can be copied to others."""

    connection: Connection
    writing: bool
    owner: int
    after: list[Callable[[], None]]


_open: ContextVar[Mapping[Database, Open]] = ContextVar("transactions", default=MappingProxyType({}))


class Database:
    """One service's database.

    Args:
        url: an SQLAlchemy URL, as `url_for` makes it.
        service: names the schema on PostgreSQL, so that four services share one database and no table.

    Attributes:
        heartbeat: which copies of the service are alive, including this one.
        deferred: writes to repeat once the database is reachable.
        outage: the current outage, if any.
    """

    def __init__(self, url: str | URL, service: str) -> None:
        self.url = make_url(url)
        self.service = service
        self.dialect = self.url.get_backend_name()
        if self.dialect == "sqlite":
            self.engine = _sqlite(self.url)
        else:
            self.engine = _postgresql(self.url, service)
        self.outage = Outage(service)
        self._left = 0.0
        self.heartbeat = Heartbeat(self)
        self.deferred = DeferredWrites(self)

    @property
    def in_memory(self) -> bool:
        """True when the state is lost with the process."""
        return self.dialect == "sqlite" and self.url.database in (None, "", ":memory:")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that may write, or part of the one in progress. Commits at the end of the outermost block.

        Any exception rolls it back, and has to leave that block.

        A slow call pauses after it: the whole process executes SQLite's transactions, and waits for them.
        """
        joined = self._joined()
        if joined is not None:
            if not joined.writing:
                raise RuntimeError("A transaction that began as read-only cannot write.")
            yield joined.connection
            return
        with self._begin(writing=True) as connection:
            yield connection
        pause()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read-only transaction, or part of the one in progress: one consistent view, and nothing waits for it."""
        joined = self._joined()
        if joined is not None:
            yield joined.connection
            return
        with self._begin(writing=False) as connection:
            yield connection

    def _joined(self) -> Open | None:
        found = _open.get().get(self)
        return found if found is not None and found.owner == threading.get_ident() else None

    @contextmanager
    def _begin(self, writing: bool) -> Iterator[Connection]:
        try:
            with self.engine.connect().execution_options(writing=writing) as connection, connection.begin():
                after: list[Callable[[], None]] = []
                token = _open.set({**_open.get(), self: Open(connection, writing, threading.get_ident(), after)})
                try:
                    yield connection
                finally:
                    _open.reset(token)
        except (sqlalchemy.exc.DBAPIError, sqlalchemy.exc.TimeoutError) as error:
            reason = reason_of(error)
            if reason is None:
                raise
            self.outage.failed(reason, error)
            if reason == READ_ONLY:
                self._leave_old_primary()
            # The driver's message may quote the statement: log it as the cause, and keep it from the caller.
            raise self._unavailable(reason) from error
        self.outage.worked(writing)
        for then in after:
            then()

    def after_commit(self, then: Callable[[], None]) -> None:
        """Call `then` once the transaction in progress is committed; at once when there is none."""
        joined = self._joined()
        joined.after.append(then) if joined else then()

    def ping(self) -> None:
        """Raises Unavailable when the database cannot be queried."""
        with self.read() as connection:
            connection.execute(sqlalchemy.text("SELECT 1"))

    def ready(self) -> None:
        """Raises Unavailable, with the reason in ``facts["database"]``, when the database is not writable.

        This process's heartbeat writes every second: more is tried only when it has not, and while the disk was full.
        """
        if not self.heartbeat.wrote_lately:
            self.heartbeat.beat()
        self.probe_room()

    def probe_room(self) -> None:
        """Raises Unavailable while there is no space for new rows. Costs a transaction only after a lack of space,
        because rows can be updated in place even on a full disk."""
        if self.dialect == "sqlite" and not self.in_memory and free_bytes(self.url.database or "") < LEAST_FREE_BYTES:
            self.outage.failed(DISK_FULL, OSError("the file system has no room left"))
            raise self._unavailable(DISK_FULL)
        if self.outage.reason == DISK_FULL:
            with self.write() as connection:
                self.heartbeat.grow(connection)
            self.outage.worked(writing=True, room=True)

    def _unavailable(self, reason: str) -> Unavailable:
        facts = {"retry_after": 1, "database": reason}
        return Unavailable(f"The database of {self.service} {SENTENCES[reason]}.", facts)

    def _leave_old_primary(self) -> None:
        """After a failover, connections stay with the old primary: replace them, at most once a second."""
        now = time.monotonic()
        if now - self._left >= 1.0:
            self._left = now
            self.engine.dispose()

    def dispose(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def json_or_marker(text: str | bytes) -> Any:
    """A JSON column's value; for invalid JSON, an object that says so.

    Raising would fail the whole query for one row. The row's reader misses its fields, and sets it aside.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return {UNREADABLE: str(text[:100])}


def _sqlite(url: URL) -> Engine:
    options: dict[str, Any] = {"connect_args": {"timeout": SQLITE_BUSY_SECONDS, "check_same_thread": False}}
    memory = url.database in (None, "", ":memory:")
    if memory:
        options["poolclass"] = StaticPool  # one connection: a second one would open a separate, empty database
    else:
        options["max_overflow"] = -1  # a waiting writer keeps its connection, and readers must not wait for it
        Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
    engine = sqlalchemy.create_engine(url, hide_parameters=True, json_deserializer=json_or_marker, **options)

    @event.listens_for(engine, "connect")
    def on_connect(dbapi: Any, _record: Any) -> None:
        dbapi.isolation_level = None  # the driver's own BEGIN comes too late; ours is below
        if not memory:
            dbapi.execute("PRAGMA journal_mode=WAL")
            # FULL: a commit that was answered must survive a power failure, because money depends on it.
            dbapi.execute("PRAGMA synchronous=FULL")
        dbapi.execute("PRAGMA foreign_keys=ON")

    line = _WritersLine()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        if connection.get_execution_options().get("writing", True):
            line.begin(connection)
        else:
            connection.exec_driver_sql("BEGIN")

    return engine


class _WritersLine:
    """The writers of one process that wait for SQLite's lock. Only the first of them tries to take it.

    SQLite's own waiting would stop the whole process, including its greenlets. A writer gives up when this process has
    not got the lock for `SQLITE_BUSY_SECONDS`: as long as its writers advance, it waits for those before it.
    """

    def __init__(self) -> None:
        self._first = threading.Lock()
        self._locked_at = 0.0

    def begin(self, connection: Connection) -> None:
        """Begin a writing transaction."""
        came_at = time.monotonic()
        with self._first:
            connection.exec_driver_sql("PRAGMA busy_timeout = 0")
            try:
                while not self._took(connection, came_at):
                    time.sleep(SQLITE_RETRY_S)
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(SQLITE_BUSY_SECONDS * 1000)}")

    def _took(self, connection: Connection, came_at: float) -> bool:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except sqlalchemy.exc.OperationalError as error:
            if reason_of(error) != BUSY or time.monotonic() >= max(came_at, self._locked_at) + SQLITE_BUSY_SECONDS:
                raise
            return False
        self._locked_at = time.monotonic()
        return True


def _postgresql(url: URL, service: str) -> Engine:
    green_postgresql.bound_waits()
    return sqlalchemy.create_engine(
        url,
        json_deserializer=json_or_marker,
        hide_parameters=True,  # they are shoppers' data, and failures are logged
        pool_size=5,
        max_overflow=15,
        pool_timeout=POOL_SECONDS,
        pool_pre_ping=True,  # a connection that died with a restarted server is replaced unnoticed
        connect_args={
            **POSTGRES_TCP,
            # A database without an encoding (SQL_ASCII, as `initdb` makes it without a locale) would take ASCII only.
            "client_encoding": "utf8",
            "options": f"-csearch_path={service} -cstatement_timeout={POSTGRES_STATEMENT_MS}"
            f" -cidle_in_transaction_session_timeout={POSTGRES_IDLE_MS}",
        },
    )


Answer = TypeVar("Answer")
Arguments = ParamSpec("Arguments")


def once_more(transaction: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """Repeat a transaction that lost the race to insert a row: the second time it finds and uses the other's row.

    As a part of another transaction it is not repeated: the outermost one has to be.
    """

    @functools.wraps(transaction)
    def repeated(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        try:
            return transaction(*args, **kwargs)
        except sqlalchemy.exc.IntegrityError:
            if _in_transaction():
                raise
            return transaction(*args, **kwargs)

    return repeated


def no_transaction(call: str) -> None:
    """Raises RuntimeError, a bug, when a transaction is open where `call` leaves the process: locks would last as long
    as the other end takes, and what it did would not be undone with the transaction."""
    if _in_transaction():
        raise RuntimeError(f"{call} inside of a transaction")


def _in_transaction() -> bool:
    return any(each.owner == threading.get_ident() for each in _open.get().values())


def plain(row: RowMapping) -> dict[str, Any]:
    """A row as it can be sent: SQLAlchemy names columns with its own subclass of str, which the wire's JSON does not
    accept as a key."""
    return {str(name): value for name, value in row.items()}
