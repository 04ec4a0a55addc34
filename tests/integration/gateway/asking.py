"""Asking the gateway over HTTP with full control of what goes over the wire, and processes of it to ask."""

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

from launcher.place import ROOT
from launcher.ports import free_port

HEX32 = re.compile(r"[0-9a-f]{32}")
# Deadlines that a test can wait for, each twice as long as the one before and more.
HASTY = {"RPC_TIMEOUT": "1.5", "CHECKOUT_TIMEOUT": "4", "PAY_TIMEOUT": "9"}


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers (names in lower case), the raw body."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


def is_problem(answer: Answer, status: int) -> dict[str, Any]:
    """Assert that `answer` is a whole problem with `status`, and give its body."""
    assert answer.status == status, answer.raw[:500]
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json
    assert body["status"] == status
    assert body["request_id"] == answer.headers["x-request-id"]
    assert all(isinstance(body[name], str) and body[name] for name in ("type", "title", "detail"))
    return body


def signed(unsigned: str, secret: str) -> str:
    """A cart's id as a shop with `secret` issues it."""
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
    """One request on its own connection. `body` is sent as JSON; `raw` as it is (an iterable: chunked)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        sent = dict(headers or {})
        data: Any = raw
        if body is not None:
            data = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection.request(method, path, body=data, headers=sent, encode_chunked=not isinstance(data, bytes))
        got = connection.getresponse()
        return Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())
    finally:
        connection.close()


@dataclass
class Running:
    """A gateway in processes of its own, listening on `port`; `log` is what it printed."""

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
        """Like `ask`, for this gateway."""
        return ask(self.port, method, path, body, headers, raw, timeout)

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The lines of the log about `event`."""
        whole, _, _ = self.log.read_text().rpartition("\n")  # the last line may just be being written
        found = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in found if line.get("event") == event]

    def logged(self, request_id: str, event: str = "request") -> dict[str, Any]:
        """The one line about this request; waits for it, since it is written after the answer."""
        deadline = time.monotonic() + 30
        while True:
            found = [line for line in self.lines(event) if line.get("request_id") == request_id]
            if found or time.monotonic() > deadline:
                assert len(found) == 1, (request_id, found)
                return found[0]
            time.sleep(0.05)

    def workers(self) -> list[int]:
        """The ids of the worker processes that live."""
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True, timeout=30
        ).stdout
        return [int(pid) for pid in listed.split()]

    def stop(self) -> None:
        """End it, gently first."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(timeout=10)

    def kill(self) -> None:
        """End it at once, its workers too."""
        pids = [self.process.pid, *self.workers()]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=10)


def environment(uri: str, **extra: str) -> dict[str, str]:
    """The environment of a process of the shop: nothing of the caller's settings."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {
        **inherited,
        "AMQP_URI": uri,
        "PYTHONPATH": str(ROOT),
        **extra,
    }


def start_gateway(uri: str, place: Path, wait: bool = True, **extra: str) -> Running:
    """Start `python -m gateway` and wait until it answers."""
    port = free_port()
    log = place / f"gateway-{port}.log"
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


def start_stubs(uri: str, place: Path, *services: str) -> subprocess.Popen[bytes]:
    """Start doubles of `services`; see stub_services.py. `place` is where `health` looks for what to say."""
    program = str(Path(__file__).with_name("stub_services.py"))
    return _start([program, *services], environment(uri, STUB_CONTROL=str(place)), place / f"stubs-{services[0]}.log")


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
