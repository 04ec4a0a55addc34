"""A private RabbitMQ node of the test session. Tests can stop and start it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import IO

import amqp

from launcher.ports import free_port

# Debian's wrapper runs only as root or as the user rabbitmq; the program behind it runs as any user.
PROGRAMS = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")


class RabbitNode:
    """One private node that keeps its data in `place`."""

    def __init__(self, place: Path) -> None:
        self.port = free_port()
        self.uri = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self._place = place
        self._dist_port = free_port(avoid={self.port})
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, timeout: float = 120.0) -> None:
        """Start the node and wait until it accepts a connection."""
        program = next(found for found in map(shutil.which, PROGRAMS) if found)
        (self._place / "plugins").write_text("[].")
        with (self._place / "out.log").open("ab") as out:
            self._process = self._spawn(program, out)
        deadline = time.monotonic() + timeout
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"RabbitMQ did not start: {(self._place / 'out.log').read_text()[-2000:]}")
            time.sleep(0.2)

    def _spawn(self, program: str, out: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [program],
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={
                **os.environ,
                "HOME": str(self._place),
                "RABBITMQ_NODENAME": f"gateway-test-{self.port}@localhost",
                "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
                "RABBITMQ_NODE_PORT": str(self.port),
                "RABBITMQ_DIST_PORT": str(self._dist_port),
                "RABBITMQ_MNESIA_BASE": str(self._place / "mnesia"),
                "RABBITMQ_LOG_BASE": str(self._place / "log"),
                "RABBITMQ_PID_FILE": str(self._place / "pid"),
                "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._place / "plugins"),
                "RABBITMQ_CONFIG_FILE": str(self._place / "rabbitmq"),
            },
        )

    def stop(self) -> None:
        """Kill the node, as a crash would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=20)
            self._process = None

    def _answers(self) -> bool:
        try:
            with amqp.Connection(host=f"127.0.0.1:{self.port}", connect_timeout=5) as connection:
                connection.connect()
        except (OSError, amqp.exceptions.AMQPError):
            return False
        return True
