"""A service as it runs in the shop: `nameko run` in its own process, called over the broker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from chassis.rpc.client import RpcClient
from contracts.errors import ShopError
from launcher.place import ROOT

SERVICE_START_TIMEOUT_S = 120.0
PROVIDER_KEYS = ("STRIPE_API_KEY", "SHIPPO_API_KEY", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "SENDGRID_API_KEY")


class RunningService:
    """One service in one or more copies, and a client that calls it.

    Args:
        name: the service's name.
        place: a folder for its state and its log.
        settings: more environment variables (AMQP_URI, SANDBOX_URL, DATABASE_URL).
        copies: the number of processes.
    """

    def __init__(self, name: str, place: Path, settings: dict[str, str], copies: int = 1) -> None:
        self.name = name
        self.place = place
        self._log = place / f"{name}.log"
        # The developer's own keys are removed, so no test can reach a real provider.
        inherited = {key: value for key, value in os.environ.items() if key not in PROVIDER_KEYS}
        self._env = {**inherited, "VAR_DIR": str(place), "PYTHONPATH": str(ROOT), "EVENTLET_NO_GREENDNS": "yes"}
        self._env.update(settings)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._run([sys.executable, "-m", "chassis.db.migrate", name]).wait(timeout=120)
        for _ in range(copies):
            self.start()
        self.client = RpcClient(settings["AMQP_URI"], name="tests").start()
        self.wait()

    @property
    def log(self) -> str:
        """Everything that the copies have logged."""
        return self._log.read_text(errors="replace")

    def call(self, method: str, *args: Any, timeout: float = 60.0) -> Any:
        """Call a verb of the service. Raises what `RpcClient.call` raises."""
        return self.client.call(self.name, method, args, timeout=timeout)

    def start(self) -> subprocess.Popen[bytes]:
        """Start one more copy."""
        nameko = str(Path(sys.executable).with_name("nameko"))
        process = self._run([nameko, "run", "--config", "config.yml", f"{self.name}.service"])
        self._processes.append(process)
        return process

    def kill(self) -> None:
        """`kill -9` every copy."""
        for process in self._processes:
            process.kill()
            process.wait(timeout=20)
        self._processes.clear()

    def stop(self) -> None:
        """Stop the copies as the shop does, and stop the client."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=10)
        self.client.stop()

    def wait(self) -> None:
        """Wait until the service answers."""
        deadline = time.monotonic() + SERVICE_START_TIMEOUT_S
        while True:
            try:
                self.call("health", timeout=5.0)
                return
            except ShopError:
                assert all(process.poll() is None for process in self._processes), self.log[-3000:]
                assert time.monotonic() < deadline, self.log[-3000:]
                time.sleep(0.2)

    def _run(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as out:
            return subprocess.Popen(command, cwd=ROOT, env=self._env, stdout=out, stderr=subprocess.STDOUT)
