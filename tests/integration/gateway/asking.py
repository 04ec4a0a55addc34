"""Start gateway processes and send them HTTP requests, with full control of every byte."""

from __future__ import annotations

import base64
import contextlib
import hmac
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launcher import checks
from launcher.place import ROOT
from launcher.ports import free_port

HEX32 = re.compile(r"[0-9a-f]{32}")
# Deadlines in seconds, short enough for a test to wait for. Each is more than twice the one before.
SHORT_DEADLINES = {"RPC_TIMEOUT": "1.5", "CHECKOUT_TIMEOUT": "4", "PAY_TIMEOUT": "9"}


@dataclass(frozen=True)
class Answer:
    """The answer of the gateway: status, headers (names in lower case), raw body."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


def assert_problem(answer: Answer, status: int) -> dict[str, Any]:
    """Assert that `answer` is a complete problem document with `status`; return its body."""
    assert answer.status == status, answer.raw[:500]
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json
    assert body["status"] == status
    assert body["request_id"] == answer.headers["x-request-id"]
    assert all(isinstance(body[name], str) and body[name] for name in ("type", "title", "detail"))
    return body


def signed(unsigned: str, secret: str) -> str:
    """Sign a cart id as a shop with `secret` does."""
    digest = hmac.digest(secret.encode(), unsigned.encode(), "sha256")[:16]
    return f"{unsigned}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def ask(
    port: int,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
    raw: bytes | Iterable[bytes] | None = None,
    timeout: float = 60.0,
) -> Answer:
    """Send one request on its own connection: `body` as JSON, or `raw` unchanged (an iterable: in chunks)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        all_headers = dict(headers or {})
        data: Any = raw
        if body is not None:
            data = json.dumps(body).encode()
            all_headers.setdefault("Content-Type", "application/json")
        connection.request(method, path, body=data, headers=all_headers, encode_chunked=not isinstance(data, bytes))
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        connection.close()


@dataclass
class Running:
    """A gateway in its own processes, which listens on `port` and writes its output to `log`."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    extra: dict[str, str] = field(default_factory=dict)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        raw: bytes | Iterable[bytes] | None = None,
        timeout: float = 60.0,
    ) -> Answer:
        """Send a request to this gateway; see the function `ask`."""
        return ask(self.port, method, path, body, headers, raw, timeout)

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of `event`."""
        whole, _, _ = self.log.read_text().rpartition("\n")  # the last line may be incomplete
        found = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in found if line.get("event") == event]

    def logged(self, request_id: str, event: str = "request") -> dict[str, Any]:
        """Return the one log line of this request. Wait for it: the gateway writes it after the answer."""
        deadline = time.monotonic() + 30
        while True:
            found = [line for line in self.lines(event) if line.get("request_id") == request_id]
            if found or time.monotonic() > deadline:
                assert len(found) == 1, (request_id, found)
                return found[0]
            time.sleep(0.05)

    def workers(self) -> list[int]:
        """Return the process ids of the live workers."""
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True, timeout=30
        ).stdout
        return [int(pid) for pid in listed.split()]

    def stop(self) -> None:
        """Stop the gateway with SIGTERM, and with SIGKILL after 20 s."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(timeout=10)

    def kill(self) -> None:
        """Kill the gateway and its workers."""
        pids = [self.process.pid, *self.workers()]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=10)


def environment(uri: str, **extra: str) -> dict[str, str]:
    """Return the environment of a shop process, without the settings of the caller."""
    # The last one lets the launcher find the processes of an interrupted run.
    names = ("PATH", "HOME", "LANG", "TMPDIR", checks.RUN)
    inherited = {name: os.environ[name] for name in names if name in os.environ}
    return {
        **inherited,
        "AMQP_URI": uri,
        "PYTHONPATH": str(ROOT),
        **extra,
    }


def start_gateway(uri: str, directory: Path, wait: bool = True, **extra: str) -> Running:
    """Start `python -m gateway`. With `wait`, wait until it answers and each worker has a broker connection."""
    port = free_port()
    log = directory / f"gateway-{port}.log"
    process = _start(["-m", "gateway"], environment(uri, GATEWAY_PORT=str(port), **extra), log)
    running = Running(process, port, log)
    deadline = time.monotonic() + 90
    workers = int(extra.get("GATEWAY_WORKERS", "2"))
    while wait:
        try:
            live = running.ask("GET", "/health/live/", timeout=10).status == 200
            if live and len(running.lines("broker connected")) >= workers:
                break
        except OSError:
            pass
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    return running


def start_stubs(uri: str, directory: Path, *services: str) -> subprocess.Popen[bytes]:
    """Start doubles of `services` (stub_services.py), which read the answer of `health` from files in `directory`."""
    program = str(Path(__file__).with_name("stub_services.py"))
    return _start(
        [program, *services], environment(uri, STUB_CONTROL=str(directory)), directory / f"stubs-{services[0]}.log"
    )


def _start(arguments: list[str], env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=env,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
