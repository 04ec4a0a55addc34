"""A running shop as its operator uses it: the commands, the verbs and the databases."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import Any

from chassis.rpc.client import RpcClient
from launcher.place import ROOT
from launcher.shop import Shop
from tests.e2e.journeys.shop import eventually

RECONCILE, GIVEN_UP = "launcher.reconcile", "launcher.given_up"


class Operated:
    """A running shop with access to its databases and the commands of its operator."""

    def __init__(self, running: Shop) -> None:
        self.running = running

    def operate(self, *arguments: str) -> tuple[int, str]:
        """Run a command of the operator; return its exit status and output."""
        env = self.running.process_env(self.running.amqp_uri)
        # Runs the module without the launcher; tests/docs runs the whole command.
        command = [sys.executable, "-m", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=200)
        return done.returncode, done.stdout + done.stderr

    def compare(self, *arguments: str) -> tuple[int, list[str]]:
        """Compare, including recent entries; return the exit status and the lines."""
        status, output = self.operate(RECONCILE, "--grace", "0", *arguments)
        return status, output.splitlines()

    def agrees(self) -> list[str]:
        """Compare until nothing differs, since work in progress ends soon; return the lines."""
        last: list[str] = []

        def agreed() -> bool:
            status, last[:] = self.compare()
            return status == 0

        eventually(agreed, 120)
        return last

    def write(self, service: str, statement: str, *values: Any) -> None:
        """Change one row of a service's database without the service."""
        path = self.running.place.var_dir / f"{service}.db"
        with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
            assert connection.execute(statement, values).rowcount == 1, statement

    def read(self, service: str, statement: str, *values: Any) -> Any:
        with closing(sqlite3.connect(self.running.place.var_dir / f"{service}.db", timeout=30)) as connection:
            return connection.execute(statement, values).fetchone()[0]

    def call(self, service: str, method: str, *arguments: Any) -> Any:
        client = RpcClient(self.running.amqp_uri).start()
        try:
            client.link.wait(30)
            return client.call(service, method, arguments, timeout=30)
        finally:
            client.stop()
