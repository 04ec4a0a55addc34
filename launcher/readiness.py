"""Waits for parts of the shop to be ready, with a timeout and a check for crashing processes."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
import urllib.error
import urllib.request
import xmlrpc.client
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from launcher.problem import Problem
from launcher.supervision import Supervisor, program_of

PAUSE = 0.25  # seconds between two checks
HEALTH_TIMEOUT_S = 10.0  # for one answer during a wait; the gateway's takes two and a half at most
# The gateway's processes share a port, and each has its own connection to the broker. This many answers come from all
# of them.
IN_A_ROW = 8
ANSWER_KEPT_S = 1.1  # seconds after which an answer is a new one: the gateway caches its result for one second
FALLS = 3  # a part that crashed this often while starting will not become ready
TAIL = 25  # lines of its log to show then
# The gateway is on this machine, so the environment's proxies are ignored.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Progress:
    """What is shown while the shop starts; this base class shows nothing."""

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Wrap the wait for the part `name`."""
        yield

    def missing(self, names: list[str]) -> None:
        """Show the parts that the gateway still misses."""


def answers(url: str, timeout: float = 3.0) -> bool:
    """Return True when `url` answers 200 within `timeout` seconds."""
    return ask(url, timeout)[0] == 200


def ask(url: str, timeout: float = 3.0) -> tuple[int, Any]:
    """Return status and JSON body (None when it is not JSON) of a GET of `url`; status 0 when nothing answers."""
    try:
        try:
            with _DIRECT.open(url, timeout=timeout) as answer:
                return answer.status, _json(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _json(error.read())
    except (OSError, http.client.HTTPException):  # also when it is killed in the middle of an answer
        return 0, None


def ask_twice(url: str) -> tuple[int, Any]:
    """Return status and body of the gateway's readiness, asking a second time if it is not ready. Every part has two
    seconds to answer, which is occasionally too short on a busy machine. Only a part that is late twice counts as
    missing."""
    status, body = ask(url, HEALTH_TIMEOUT_S)
    if status == 200:
        return status, body
    time.sleep(ANSWER_KEPT_S)
    return ask(url, HEALTH_TIMEOUT_S)


def until(
    supervisor: Supervisor, ready: Callable[[], bool], timeout: float, part: str, look: Callable[[], None] | None = None
) -> None:
    """Wait until `ready()`. Raises Problem with the tail of a log when a process keeps crashing, or after `timeout`
    seconds, then with the log of `part`. `look` is called in every round."""
    deadline = time.monotonic() + timeout
    starts: dict[str, set[int]] = {}
    while not ready():
        fallen = _fallen(supervisor, starts)
        if fallen:
            raise _problem(supervisor, fallen, "does not stay up")
        if time.monotonic() > deadline:
            raise _problem(supervisor, part, f"was not ready after {timeout:.0f} s")
        if look:
            look()
        time.sleep(PAUSE)


def until_ready(supervisor: Supervisor, gateway_url: str, timeout: float, progress: Progress) -> None:
    """Wait until the gateway reports that every part is ready. Raises Problem as `until` does."""
    lacking = ["gateway"]

    def ready() -> bool:
        for _ in range(IN_A_ROW):
            status, body = ask(f"{gateway_url}/health/ready/")
            lacking[:] = missing(body) or ["gateway"]
            if status != 200:
                return False
        return True

    with progress.step("gateway and services"):
        deadline = time.monotonic() + timeout
        try:
            until(supervisor, ready, timeout, "gateway", lambda: progress.missing(list(lacking)))
        except Problem:
            if time.monotonic() < deadline:
                raise
            raise _problem(supervisor, lacking[0], f"was not ready after {timeout:.0f} s") from None


def missing(body: Any) -> list[str]:
    """Return the names of the parts that a body of /health/ready/ reports as anything but ok."""
    parts = body.get("parts") if isinstance(body, dict) else None
    if not isinstance(parts, dict):
        return []
    return [name for name, state in parts.items() if not isinstance(state, dict) or set(state.values()) != {"ok"}]


def tail(var_dir: Path, part: str, lines: int = TAIL) -> str:
    """Return the last `lines` lines of the logs of `part`, all its copies."""
    texts = []
    for path in log_files(var_dir, part):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 400 * lines))
            texts.append("\n".join(file.read().decode(errors="replace").splitlines()[-lines:]))
    return "\n".join(texts)


def log_files(var_dir: Path, part: str | None = None) -> list[Path]:
    """Return the current log files of `part`, or of every part, by name."""
    found = [path for path in (var_dir / "logs").glob("*.log") if part is None or program_of(path.stem) == part]
    return sorted(found)


def _fallen(supervisor: Supervisor, starts: dict[str, set[int]]) -> str | None:
    if supervisor.process is None:
        raise Problem("supervisord has gone.", tail(supervisor.runtime.var_dir, "supervisord"))
    try:
        parts = supervisor.parts()
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        return None  # busy; its process exists, and the next check will show its state
    for info in parts:
        name = f"{info['group']}:{info['name']}"
        if info["start"]:
            starts.setdefault(name, set()).add(info["start"])
        down = info["statename"] in ("BACKOFF", "EXITED", "FATAL")
        if info["statename"] == "FATAL" or (down and len(starts.get(name, ())) >= FALLS):
            return program_of(info["name"])
    return None


def _problem(supervisor: Supervisor, part: str, what: str) -> Problem:
    logs = supervisor.runtime.var_dir / "logs"
    return Problem(f"{part} {what}; its log is in {logs}.", tail(supervisor.runtime.var_dir, part))


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
