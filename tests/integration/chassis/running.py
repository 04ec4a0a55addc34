"""Stub services in their own processes, under `nameko run` with the shop's config.yml. Each has a unique name."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import amqp
from kombu.utils.url import parse_url

from chassis.rpc.client import RpcClient
from chassis.rpc.dead_letters import parked_queue, suspects_queue
from contracts.errors import ShopError
from launcher.place import ROOT

NAMEKO = Path(sys.executable).parent / "nameko"
START_TIMEOUT_S = 120.0  # a start takes two seconds on an idle machine
CONDITION_TIMEOUT_S = 60.0  # on an idle machine, a condition holds almost at once


def until(condition: Callable[[], Any], timeout: float = CONDITION_TIMEOUT_S, what: str = "the condition") -> Any:
    """Return the first true result of `condition`; fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what} did not come true within {timeout:g} s"
        time.sleep(0.02)


def unique(name: str) -> str:
    """Return a service name that is unique on the broker."""
    return f"{name}-{uuid.uuid4().hex[:10]}"


def connect(uri: str) -> amqp.Connection:
    """Open a plain connection to the broker."""
    parts = parse_url(uri)
    return amqp.Connection(
        host=f"{parts['hostname'] or '127.0.0.1'}:{parts['port'] or 5672}",
        userid=parts["userid"] or "guest",
        password=parts["password"] or "guest",
        virtual_host=parts["virtual_host"] or "/",
        connect_timeout=20,
    )


class Service:
    """One process of a stub module; `name` is the name of its service.

    Args:
        uri: the URI of the broker.
        module: the module under tests/integration/chassis.
        folder: the folder of its log and notes.
        name: for a further copy, the name of the first.
        env: additional environment variables.
    """

    def __init__(self, uri: str, module: str, folder: Path, name: str | None = None, **env: str) -> None:
        self.name = name or unique(module.split("_")[0])
        self.uri = uri
        self._module = f"tests.integration.chassis.{module}"
        self._folder = folder
        self._log = folder / f"{self.name}-{uuid.uuid4().hex[:4]}.log"
        self._env = {"STUB_NAME": self.name, "STUB_NOTES": str(self.notes_file), **env}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def notes_file(self) -> Path:
        """The notes of its methods; all copies share one file."""
        return self._folder / f"{self.name}.notes"

    @property
    def notes(self) -> list[str]:
        """The lines of the notes."""
        return self.notes_file.read_text().splitlines() if self.notes_file.exists() else []

    @property
    def log(self) -> list[dict[str, Any]]:
        """The JSON lines of its log."""
        lines = []
        for line in self._log.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                lines.append(json.loads(line))
        return lines

    def start(self) -> Service:
        """Start the process, without waiting for it."""
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, NAMEKO, "run", "--config", "config.yml", self._module],
                cwd=ROOT,
                env={**os.environ, "AMQP_URI": self.uri, "PYTHONUNBUFFERED": "1", **self._env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self

    def consuming(self) -> Service:
        """Wait until this process takes requests."""
        until(self._consumes, START_TIMEOUT_S, f"{self.name} taking requests; its log ends with:\n{self._tail()}")
        return self

    def answering(self, client: RpcClient) -> Service:
        """Wait until the service answers `client`."""

        def answers() -> bool:
            assert self.alive, self._tail()
            try:
                client.call(self.name, "echo", timeout=5.0)
            except ShopError:
                return False
            return True

        until(answers, START_TIMEOUT_S, f"an answer of {self.name}")
        return self

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, timeout: float = CONDITION_TIMEOUT_S) -> int:
        """Wait for the end of the process; return the exit status."""
        assert self.process is not None
        return self.process.wait(timeout)

    def stop(self) -> None:
        """Kill the process if it still runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)

    def _consumes(self) -> bool:
        assert self.alive, self._tail()
        return any(line.get("link") == f"{self.name} service" for line in self.log)

    def _tail(self) -> str:
        return self._log.read_text()[-2000:]


def forget(uri: str, names: set[str]) -> None:
    """Delete the queues of `names`, because the broker may outlive the tests."""
    with contextlib.suppress(OSError, amqp.exceptions.AMQPError), connect(uri) as connection:
        channel = connection.channel()
        for name in names:
            for queue in (f"rpc-{name}", suspects_queue(name), parked_queue(name)):
                channel.queue_delete(queue)
