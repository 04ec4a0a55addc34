"""The processes of both sides: one broker, and for each side one service process and one web server."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import amqp

from chassis.rpc import broker_connection
from launcher import readiness
from launcher.place import ROOT
from launcher.ports import free_port
from launcher.problem import Problem
from launcher.shop import Shop, without_keys

HOST = "127.0.0.1"
PRODUCT = "prod_9vP1XxJ7yNvbRr"
START_WAIT_S = 60.0  # seconds until a process answers; five on an idle machine
STOP_WAIT_S = 10.0
SERVICE_QUEUE = "rpc-products"
# Everything is on this machine, so the environment's proxies are ignored.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Side:
    """A target to request: `path` of the server at `port`."""

    name: str
    port: int
    path: str = f"/api/products/{PRODUCT}"

    @property
    def url(self) -> str:
        """The URL that is requested."""
        return f"http://{HOST}:{self.port}{self.path}"


class Processes:
    """The started processes, each in its own group; `stop` ends all of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: list[str], env: Mapping[str, str]) -> None:
        """Start `command` in the repository, with its output in a file, as under the shop's supervisor."""
        with (self.folder / f"{name}.log").open("ab") as output:
            self._running[name] = subprocess.Popen(
                command,
                cwd=ROOT,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self, name: str | None = None) -> None:
        """Stop one, or all of them, the last one first."""
        for each in [name] if name else list(reversed(self._running)):
            process = self._running.pop(each)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
                process.wait(STOP_WAIT_S)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_WAIT_S)

    def until(self, ready: Callable[[], bool], what: str) -> None:
        """Wait until `ready`. Raises Problem, with the end of the logs, when a process ends or after the timeout."""
        deadline = time.monotonic() + START_WAIT_S
        while not ready():
            ended = [name for name, process in self._running.items() if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                logs = "\n".join(
                    f"── {name}\n{(self.folder / f'{name}.log').read_text(errors='replace')[-1500:]}"
                    for name in ended or self._running
                )
                raise Problem(f"{ended[0] if ended else what} did not start.", logs)
            time.sleep(0.2)


@contextlib.contextmanager
def broker(folder: Path, env: Mapping[str, str]) -> Iterator[str]:
    """Return the URI of the broker in AMQP_URI, else of a private one. Raises Problem when it cannot be used."""
    given = env.get("AMQP_URI")
    if given:
        yield given
        return
    node = Shop.on_free_ports(folder / "broker", parts="broker")
    try:
        node.start()
        yield node.amqp_uri
    finally:
        node.stop()


def broker_version(uri: str) -> str:
    """Return the broker's name and version. Raises Problem when a `products` service uses it, which would answer
    instead of the stub."""
    with broker_connection.connect(uri, "bench", 5.0) as connection:
        properties = connection.server_properties
        with contextlib.suppress(amqp.exceptions.NotFound):
            if connection.channel().queue_declare(SERVICE_QUEUE, passive=True).consumer_count:
                raise Problem("A products service works on the broker of AMQP_URI; measure on another broker or vhost.")
    return f"{properties.get('product', 'broker')} {properties.get('version', '')}".strip()


def our_env(env: Mapping[str, str], uri: str, folder: Path, port: int, workers: int) -> dict[str, str]:
    """Return the environment of the shop's own processes, as its launcher would set it."""
    return {
        **without_keys(env),
        "AMQP_URI": uri,
        "VAR_DIR": str(folder / "var"),
        "GATEWAY_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "GATEWAY_WORKERS": str(workers),
        "PYTHONUNBUFFERED": "1",
    }


def start_our_service(processes: Processes, env: Mapping[str, str], module: str, name: str = "service") -> None:
    """Start a Nameko service under `nameko run`, as the launcher does."""
    nameko = str(Path(sys.executable).parent / "nameko")
    processes.start(f"our-{name}", [sys.executable, nameko, "run", "--config", "config.yml", module], env)


def start_ours(processes: Processes, env: Mapping[str, str], uri: str, workers: int) -> Side:
    """Start the real gateway, and a service that answers at once."""
    port = free_port()
    ours = our_env(env, uri, processes.folder, port, workers)
    start_our_service(processes, ours, "bench.rpc.our_service")
    processes.start("our-gateway", [sys.executable, "-m", "gateway"], ours)
    return Side("the shop", port)


def start_peers(
    processes: Processes, env: Mapping[str, str], uri: str, workers: int, calls: Mapping[str, str]
) -> list[Side]:
    """Start one FastStream service, and for each way to call it (PEER_CALL -> name) one FastAPI server."""
    peer = {**without_keys(env), "AMQP_URI": uri}
    processes.start("peer-service", [sys.executable, "-m", "bench.rpc.peer_service"], peer)
    sides = []
    for call, name in calls.items():
        port = free_port()
        serve = ["--host", HOST, "--port", str(port), "--workers", str(workers), "--log-level", "warning"]
        fast = ["--loop", "uvloop", "--http", "httptools", "--no-access-log"]
        uvicorn = [sys.executable, "-m", "uvicorn", *serve, *fast, "bench.rpc.peer_web:app"]
        processes.start(f"peer-web-{call}", uvicorn, {**peer, "PEER_CALL": call})
        sides.append(Side(name, port))
    return sides


def answers(side: Side) -> bool:
    """Whether it answers 200."""
    return readiness.answers(side.url)


def body(side: Side) -> bytes:
    """Return its answer."""
    with DIRECT.open(side.url, timeout=5) as response:
        content: bytes = response.read()
        return content
