"""The injected outages work as described: the clock, the disk, the broker's proxy, and their schedule."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bench.faults import outages, storm
from bench.faults.outages import LASTS, BrokerProxy
from bench.faults.shim import Shim, compiler

PROCESS = """
import sqlite3, sys, time
books = sqlite3.connect(sys.argv[1])
books.execute("PRAGMA journal_mode=WAL")
books.execute("CREATE TABLE entries (number)")
for line in sys.stdin:
    try:
        books.execute("INSERT INTO entries VALUES (1)")
        books.commit()
        said = "written"
    except sqlite3.OperationalError as error:
        books.rollback()
        said = str(error)
    wall, monotonic = map(float, line.split())
    print(round(time.time() - wall), round(time.monotonic() - monotonic), said, flush=True)
"""


@pytest.fixture
def shim(tmp_path: Path) -> Shim:
    found = compiler()
    assert found is not None
    return Shim(tmp_path, found)


@pytest.fixture
def process(shim: Shim, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that the shim takes for a copy of the cart; it writes a row on demand."""
    env = {**os.environ, **shim.env, "SUPERVISOR_PROCESS_NAME": "cart-2"}
    command = [sys.executable, "-c", PROCESS, str(tmp_path / "books.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as running:
        yield running
        running.kill()


def asked(process: subprocess.Popen[str]) -> tuple[int, int, str]:
    """The offsets of the process's wall and monotonic clocks from this one's (seconds), and the result of its write."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{time.time()} {time.monotonic()}\n")
    process.stdin.flush()
    wall, monotonic, said = process.stdout.readline().strip().split(" ", 2)
    return int(wall), int(monotonic), said


def test_wall_clock_of_one_process_is_stepped_alone(shim: Shim, process: subprocess.Popen[str]) -> None:
    assert asked(process) == (0, 0, "written")
    assert shim.processes("cart") == ["cart-2"]
    for seconds in (-3600, 3600, 0):
        shim.step("cart-2", seconds)
        assert asked(process) == (seconds, 0, "written")


def test_full_disk_refuses_writes_until_it_has_space(shim: Shim, process: subprocess.Popen[str]) -> None:
    assert asked(process)[2] == "written"
    shim.fill("cart-2", True)
    assert asked(process)[2] == "database or disk is full"
    shim.fill("cart-2", False)
    assert asked(process)[2] == "written"


FRAME = b"\x01\x00\x00\x00\x00\x00\x02ok\xce"


class Broker:
    """Answers each connection with five frames of AMQP."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        kept = []  # keeps the connections open until the end
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.sendall(FRAME * 5)
            kept.append(connection)

    def close(self) -> None:
        self._socket.close()


def received(connection: socket.socket, count: int) -> bytes:
    """The next `count` bytes, or fewer when the peer closes or is silent for two seconds."""
    data = b""
    connection.settimeout(2.0)
    while len(data) < count:
        try:
            part = connection.recv(count - len(data))
        except (TimeoutError, ConnectionError):
            break
        if not part:
            break
        data += part
    return data


def connected(proxy: BrokerProxy) -> socket.socket:
    """A connection through the proxy, as soon as the proxy listens."""
    until = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.05)


def test_silent_broker_cuts_connections_and_sends_three_frames() -> None:
    proxy = BrokerProxy()
    with closing(Broker()) as broker:
        try:
            uri = proxy.before(f"amqp://somebody:secret@127.0.0.1:{broker.port}//")
            assert uri == f"amqp://somebody:secret@127.0.0.1:{proxy.port}//"
            with connected(proxy) as whole:
                assert received(whole, 5 * len(FRAME)) == FRAME * 5
                proxy.say("silent")
                assert received(whole, 1) == b""
                with connected(proxy) as silent:
                    assert received(silent, 5 * len(FRAME)) == FRAME * 3
                    proxy.say("open")
                    with connected(proxy) as later:
                        assert received(later, 5 * len(FRAME)) == FRAME * 5
                    silent.settimeout(0.2)
                    with pytest.raises(socket.timeout):  # still open, and still silent
                        silent.recv(1)
        finally:
            proxy.stop()


def test_schedule_has_every_outage_in_turn() -> None:
    names = list(LASTS)
    events = itertools.islice(storm.schedule(3, outages=names, share=0.3), 200)
    found = [event.trouble for event in events if event.kind == "outage"]
    assert set(found[: len(names)]) == set(names)
    assert found[: len(names)] == found[len(names) : 2 * len(names)]


def test_schedule_has_only_the_requested_faults() -> None:
    events = list(itertools.islice(storm.schedule(3, outages=[outages.QUEUE], others=[storm.PROVIDER]), 200))
    assert {event.kind for event in events} == {"outage", "trouble"}
    alone = itertools.islice(storm.schedule(3, outages=[outages.QUEUE], others=[]), 20)
    assert {event.trouble for event in alone} == {outages.QUEUE}
