"""Stub services in processes of their own, under `nameko run` with the shop's config.yml, named for one test alone."""

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
START_WAIT = 120.0  # seconds; two on an idle machine
PATIENCE = 60.0  # seconds, for whatever comes at once on an idle machine


def until(condition: Callable[[], Any], timeout: float = PATIENCE, what: str = "the condition") -> Any:
    """What `condition` gives as soon as it is true; fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what} did not come true within {timeout:g} s"
        time.sleep(0.02)


def unique(name: str) -> str:
    """A service name that nobody else on the broker has."""
    return f"{name}-{uuid.uuid4().hex[:10]}"


def connect(uri: str) -> amqp.Connection:
    """A plain connection to the broker."""
    parts = parse_url(uri)
    return amqp.Connection(
        host=f"{parts['hostname'] or '127.0.0.1'}:{parts['port'] or 5672}",
        userid=parts["userid"] or "guest",
        password=parts["password"] or "guest",
        virtual_host=parts["virtual_host"] or "/",
        connect_timeout=20,
    )


class Service:
    """One process of a stub module; `name` is what its service is called.

    Args:
        uri: the broker.
        module: the module under tests/integration/chassis.
        folder: where its log and notes go.
        name: for a further copy, the name of the first.
        env: more environment.
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
        """What its methods wrote down; one for all copies."""
        return self._folder / f"{self.name}.notes"

    @property
    def notes(self) -> list[str]:
        """The lines of the notes."""
        return self.notes_file.read_text().splitlines() if self.notes_file.exists() else []

    @property
    def log(self) -> list[dict[str, Any]]:
        """What it logged."""
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
        until(self._consumes, START_WAIT, f"{self.name} taking requests; it said:\n{self._tail()}")
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

        until(answers, START_WAIT, f"an answer of {self.name}")
        return self

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait for the end; the exit status."""
        assert self.process is not None
        return self.process.wait(timeout)

    def stop(self) -> None:
        """End it, whatever it does."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)

    def _consumes(self) -> bool:
        assert self.alive, self._tail()
        return any(line.get("link") == f"{self.name} service" for line in self.log)

    def _tail(self) -> str:
        return self._log.read_text()[-2000:]


def forget(uri: str, names: set[str]) -> None:
    """Delete the queues of `names`: the broker may be one that lives on."""
    with contextlib.suppress(OSError, amqp.exceptions.AMQPError), connect(uri) as connection:
        channel = connection.channel()
        for name in names:
            for queue in (f"rpc-{name}", suspects_queue(name), parked_queue(name)):
                channel.queue_delete(queue)
