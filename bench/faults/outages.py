"""Outages: faults of the shop's clocks, its broker and its databases. Each has a beginning and an end."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import sqlalchemy as sa

from bench.faults.records import BENCH, SERVICES
from bench.faults.shim import Shim, compiler
from chassis.rpc import broker_connection
from launcher.place import ROOT
from launcher.ports import free_port
from launcher.shop import Shop

CLOCK_ONE, CLOCK_ALL, SILENT_BROKER = "clock-one", "clock-all", "silent-broker"
EXCHANGE, BINDING, QUEUE = "exchange", "binding", "queue"
READ_ONLY, DISK_FULL = "read-only", "disk-full"
# Shortest and longest duration of each (seconds). Deleted data stays deleted: only the shop can repair it.
LASTS = {
    CLOCK_ONE: (2.0, 6.0),
    CLOCK_ALL: (2.0, 6.0),
    SILENT_BROKER: (3.0, 8.0),
    EXCHANGE: (0.0, 0.0),
    BINDING: (0.0, 0.0),
    QUEUE: (0.0, 0.0),
    READ_ONLY: (2.0, 6.0),
    DISK_FULL: (2.0, 6.0),
}
STEP_S = 3600
RPC_EXCHANGE = "nameko-rpc"
BROKER_TIMEOUT_S = 10.0
PROXY_TIMEOUT_S = 10.0

Undo = Callable[[], None]


class BrokerProxy:
    """The proxy between the shop and its broker, in a separate process; started when the broker's port is known."""

    def __init__(self) -> None:
        self.port = free_port()
        self._broker: int | None = None
        self._process: subprocess.Popen[str] | None = None

    def before(self, uri: str) -> str:
        """Start the proxy before the broker of `uri`; return the URI that leads through it."""
        parts = urlsplit(uri)
        if parts.port is None:
            return uri
        if self._broker != parts.port:
            self.stop()
            self._broker = parts.port
            command = [sys.executable, "-m", "bench.faults.broker_proxy", str(self.port), str(parts.port)]
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
            )
        user, _, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{self.port}"))

    def say(self, word: str) -> None:
        """Send "silent" or "open" to the proxy; returns when it has taken effect."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        self._process.stdout.readline()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(PROXY_TIMEOUT_S)
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe:
                    pipe.close()


class ProxiedShop(Shop):
    """A shop whose processes reach the broker through a proxy."""

    proxy: BrokerProxy | None = None

    def process_env(self, amqp_uri: str) -> dict[str, str]:
        return super().process_env(self.proxy.before(amqp_uri) if self.proxy else amqp_uri)


@dataclass
class Outages:
    """The outages that can be caused in one running shop.

    Args:
        shop: the shop.
        proxy: the proxy before its broker, or None.
        shim: the shim in its processes, or None without a C compiler.
        database_url: the URL of its PostgreSQL, or None for SQLite.
    """

    shop: Shop
    proxy: BrokerProxy | None = None
    shim: Shim | None = None
    database_url: str | None = None

    @property
    def possible(self) -> list[str]:
        """Return the outages that can be caused in this shop."""
        with_shim = (CLOCK_ONE, CLOCK_ALL) if self.database_url else (CLOCK_ONE, CLOCK_ALL, DISK_FULL)
        return [
            *(with_shim if self.shim else ()),
            *((SILENT_BROKER,) if self.proxy else ()),
            *(EXCHANGE, BINDING, QUEUE),
            *((READ_ONLY,) if self.database_url else ()),
        ]

    def begin(self, name: str, dice: int) -> tuple[str, Undo]:
        """Cause one; return what exactly happened, and what ends it."""
        make: dict[str, Callable[[int], tuple[str, Undo]]] = {
            CLOCK_ONE: self._clock_of_one,
            CLOCK_ALL: self._clock_of_all,
            SILENT_BROKER: self._silent_broker,
            EXCHANGE: self._delete_exchange,
            BINDING: self._remove_binding,
            QUEUE: self._delete_queue,
            READ_ONLY: self._read_only,
            DISK_FULL: self._disk_full,
        }
        return make[name](dice)

    def _clock_of_one(self, dice: int) -> tuple[str, Undo]:
        assert self.shim is not None
        names = [name for part in (*SERVICES, "gateway") for name in self.shim.processes(part)]
        return self._stepped([names[dice % len(names)]], dice)

    def _clock_of_all(self, dice: int) -> tuple[str, Undo]:
        assert self.shim is not None
        return self._stepped([name for part in (*SERVICES, "gateway") for name in self.shim.processes(part)], dice)

    def _stepped(self, names: list[str], dice: int) -> tuple[str, Undo]:
        seconds = STEP_S if dice & 1024 else -STEP_S
        shim = self.shim
        assert shim is not None
        for name in names:
            shim.step(name, seconds)
        description = f"{', '.join(names) if len(names) == 1 else 'all'} {seconds:+d} s"

        def undo() -> None:
            for name in names:
                shim.step(name, 0)

        return description, undo

    def _silent_broker(self, dice: int) -> tuple[str, Undo]:
        proxy = self.proxy
        assert proxy is not None
        proxy.say("silent")
        return "silent", lambda: proxy.say("open")

    def _delete_exchange(self, dice: int) -> tuple[str, Undo]:
        with self._channel() as channel:
            channel.exchange_delete(RPC_EXCHANGE)
        return RPC_EXCHANGE, _nothing

    def _remove_binding(self, dice: int) -> tuple[str, Undo]:
        service = SERVICES[dice % len(SERVICES)]
        with self._channel() as channel:
            channel.queue_unbind(f"rpc-{service}", RPC_EXCHANGE, f"{service}.*")
        return service, _nothing

    def _delete_queue(self, dice: int) -> tuple[str, Undo]:
        service = SERVICES[dice % len(SERVICES)]
        with self._channel() as channel:
            channel.queue_delete(f"rpc-{service}")
        return service, _nothing

    def _read_only(self, dice: int) -> tuple[str, Undo]:
        self._set_read_only("SET default_transaction_read_only = on")
        return "on", lambda: self._set_read_only("RESET default_transaction_read_only")

    def _set_read_only(self, what: str) -> None:
        """Set it for new sessions of the database, and end existing ones except the bench's own."""
        assert self.database_url is not None
        engine = sa.create_engine(self.database_url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            connection.execute(sa.text("SET default_transaction_read_only = off"))
            name = connection.execute(sa.text("SELECT quote_ident(current_database())")).scalar_one()
            connection.execute(sa.text(f"ALTER DATABASE {name} {what}"))
            connection.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND pid <> pg_backend_pid() AND application_name <> :bench"
                ),
                {"bench": BENCH},
            )

    def _disk_full(self, dice: int) -> tuple[str, Undo]:
        shim, service = self.shim, SERVICES[dice % len(SERVICES)]
        assert shim is not None
        names = shim.processes(service)
        for name in names:
            shim.fill(name, True)

        def undo() -> None:
            for name in names:
                shim.fill(name, False)

        return service, undo

    @contextlib.contextmanager
    def _channel(self) -> Iterator[Any]:
        with broker_connection.connect(self.shop.amqp_uri, "outages", BROKER_TIMEOUT_S) as connection:
            yield connection.channel()


def made_shim(folder: Path) -> Shim | None:
    """Return the shim in `folder`; None, with a message, where it cannot be compiled or preloaded."""
    found = compiler() if sys.platform == "linux" else None
    if found is None:
        print("No C compiler here: clocks are not stepped, and no disk gets full.", flush=True)
        return None
    return Shim(folder, found)


def _nothing() -> None:
    """Only the shop itself repairs what was deleted."""
