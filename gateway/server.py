"""The gateway's processes: workers that share the port, and their parent, which restarts crashed ones.

Each worker runs one event loop (uvloop) on one thread; uvicorn listens and shuts down gracefully.
"""

from __future__ import annotations

import asyncio
import logging
import math
import multiprocessing
import os
import signal
import socket
import sys
import time
from multiprocessing.process import BaseProcess
from types import FrameType

import uvicorn

from chassis.logs import json_formatter, log
from gateway.api import create
from gateway.http.connection import HttpProtocol, HttpServer

# Connections that the kernel keeps while all workers are busy: a burst waits rather than being refused.
BACKLOG = 1024
# Time that an answer may need after its call has ended, at SIGTERM (seconds).
DRAIN_MARGIN_S = 3
# Time after which the parent then kills a worker that has not ended.
KILL_MARGIN_S = 2
# How often a worker checks whether its parent still lives.
ORPHAN_CHECK_S = 1.0
# Pause between two starts of a worker that crashes at once.
RESPAWN_PAUSE_S = 0.5
# The signals that end a worker.
STOPPING = (signal.SIGTERM, signal.SIGINT)


def require_free(host: str, port: int) -> None:
    """Raise OSError when `host:port` cannot be listened on.

    Workers share a port with `SO_REUSEPORT`, and would silently share it with another gateway, too.
    """
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def serve(host: str, port: int, workers: int, longest_call: float, leave_s: float = 0.0) -> None:
    """Serve until SIGTERM or SIGINT; then accept nothing new, and finish all requests in progress.

    Args:
        leave_s: for how long requests are still accepted after the signal, while /health/live/ answers 503 (seconds): a
            proxy that checks it sends the rest elsewhere before a connection can be refused.
        longest_call: seconds that a call may take; a client without an answer some time after that is disconnected.
    """
    context = multiprocessing.get_context("fork")
    drain = math.ceil(longest_call) + DRAIN_MARGIN_S
    parent = os.getpid()
    signals = {*STOPPING, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # first: a signal in between would be lost
    for number in signals:
        signal.signal(number, _noted)  # by default SIGCHLD is discarded, not kept for sigwait

    def start() -> BaseProcess:
        process = context.Process(target=_work, args=(host, port, drain, leave_s, signals, parent))
        process.start()
        return process

    running = [start() for _ in range(workers)]
    while signal.sigwait(signals) not in STOPPING:
        for index, process in enumerate(running):
            if not process.is_alive():
                log.warning("worker crashed", service="gateway", pid=process.pid, exitcode=process.exitcode)
                time.sleep(RESPAWN_PAUSE_S)
                running[index] = start()
    for process in running:
        process.terminate()
    end = time.monotonic() + leave_s + drain + KILL_MARGIN_S
    for process in running:
        process.join(max(0.0, end - time.monotonic()))
        if process.is_alive():
            process.kill()


class _Server(uvicorn.Server):
    """uvicorn's server, but a second signal does not hurry it: a payment in progress is never cut.

    Args:
        leave_s: see `serve`.
    """

    def __init__(self, config: uvicorn.Config, leave_s: float) -> None:
        super().__init__(config)
        self._leave_s = leave_s
        self._stop_at = math.inf

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._stop_at = min(self._stop_at, time.monotonic() + self._leave_s)
        if self.started:
            self.config.loaded_app.gateway.leaving = True

    async def on_tick(self, counter: int) -> bool:
        if time.monotonic() >= self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # This also covers a connection that is made while uvicorn notifies the others.
        self.config.loaded_app.drain(asyncio.get_running_loop().time())
        await super().shutdown(sockets)


def _work(host: str, port: int, drain: int, leave_s: float, blocked: set[signal.Signals], parent: int) -> None:
    """One worker process, from its fork to its end.

    Args:
        parent: the process that forked it.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # the others stay noted: uvicorn raises them again after draining
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(json_formatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    listening = socket.socket(_family(host), socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind((host, port))

    def leave_with_parent() -> None:
        # A killed parent cannot stop this process, nothing else would, and it holds the port.
        if os.getppid() != parent:
            server.should_exit = True
        asyncio.get_running_loop().call_later(ORPHAN_CHECK_S, leave_with_parent)

    def application() -> HttpServer:
        leave_with_parent()
        return HttpServer(create())

    config = uvicorn.Config(
        application,
        factory=True,
        interface="asgi3",
        http=HttpProtocol,
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=drain,
    )
    server = _Server(config, leave_s)
    signal.signal(signal.SIGTERM, server.handle_exit)
    signal.signal(signal.SIGINT, server.handle_exit)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
    server.run([listening])


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _noted(_number: int, _frame: FrameType | None) -> None:
    """A handler that only prevents the signal's default action."""
