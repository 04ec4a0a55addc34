"""A running sandbox: the four providers in one process, called over HTTP like the real ones."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from launcher.place import ROOT
from launcher.ports import free_port

SANDBOX_START_TIMEOUT_S = 90.0
# No gateway listens here, so a shop that runs on the same machine receives no webhook from a test.
UNUSED_GATEWAY_URL = "http://127.0.0.1:9"


class RunningSandbox:
    """`python -m sandbox` on a free port.

    Args:
        var_dir: the folder of the sandbox's file.
        webhook_url: the gateway that receives the webhooks; by default none does.
    """

    def __init__(self, var_dir: Path, webhook_url: str = UNUSED_GATEWAY_URL) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = (var_dir / "sandbox.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sandbox"],
            cwd=ROOT,
            env={
                **os.environ,
                "SANDBOX_HOST": "127.0.0.1",
                "SANDBOX_PORT": str(self.port),
                "VAR_DIR": str(var_dir),
                "WEBHOOK_URL": webhook_url,
            },
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._wait()

    def stop(self) -> None:
        """End the sandbox."""
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=10)
        self._log.close()

    def fault(self, provider: str, **fault: Any) -> None:
        """Switch on a fault of a provider; see `sandbox.faults.Fault`."""
        self._ask("PUT", f"/sandbox/faults/{provider}", json=fault)

    def hits(self, provider: str) -> int:
        """How many calls the current fault has affected."""
        return int(self._ask("GET", f"/sandbox/faults/{provider}").json()["hits"])

    def heal(self) -> None:
        """Switch off every fault."""
        for provider in ("stripe", "shippo", "twilio", "sendgrid"):
            self._ask("DELETE", f"/sandbox/faults/{provider}")

    def ledger(self, **where: str) -> dict[str, list[dict[str, Any]]]:
        """What the providers received; `to` and `order_id` filter it."""
        arrived: dict[str, list[dict[str, Any]]] = self._ask("GET", "/sandbox/ledger", params=where).json()
        return arrived

    def move(self, tracking_number: str, status: str) -> None:
        """Set the tracking status of a parcel."""
        self._ask("POST", f"/sandbox/tracks/{tracking_number}", json={"status": status})

    def _ask(self, method: str, path: str, **options: Any) -> requests.Response:
        answer = requests.request(method, self.url + path, timeout=30, **options)
        answer.raise_for_status()
        return answer

    def _wait(self) -> None:
        deadline = time.monotonic() + SANDBOX_START_TIMEOUT_S
        while True:
            try:
                self._ask("GET", "/sandbox/health")
                return
            except requests.RequestException:
                assert self._process.poll() is None, "the sandbox did not start"
                assert time.monotonic() < deadline, "the sandbox does not answer"
                time.sleep(0.1)


@pytest.fixture(scope="module")
def _module_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    running = RunningSandbox(tmp_path_factory.mktemp("sandbox"))
    yield running
    running.stop()


@pytest.fixture
def providers(_module_sandbox: RunningSandbox) -> Iterator[RunningSandbox]:
    """A running sandbox without faults. All tests of a module share it."""
    _module_sandbox.heal()
    yield _module_sandbox
    _module_sandbox.heal()
