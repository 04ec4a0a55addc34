"""The processes that carry the application: Granian, WSGI on threads, with the shop's numbers.

Why Granian: it was the fastest of the servers measured, and drains, respawns and lives through a broker's absence as
the next best, Hug in a Nameko container, does (tests/gateway/test_gateway_serving.py).
"""

from __future__ import annotations

import math
import os
import signal
import socket
import threading
import time
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings

from gateway.api import Gateway, create

# Requests at work in each process. A thread only waits for an answer: at 3 ms a call a handful would do, but some wait
# 30 s for a card, and those must not leave readers without one. Calls hold 112 of them at most (`gateway.shares`),
# bodies that are being received 40 (`gateway.reading`), so that some are always free to say 503. Idle threads end.
THREADS = 160
# Connections that the kernel keeps while all workers are busy: a burst waits rather than being refused.
BACKLOG = 1024
# What an answer may still need after its call has ended, at SIGTERM (seconds).
DRAIN_MARGIN = 3
# How long a connection may take to send a request's head, and stay open between two. Longer than the 60 s that a proxy
# in front usually keeps its own, which must be the one to end it.
IDLE_MS = 75_000
# Connections per process, idle ones included: Granian accepts no more, and its own default, 512, is soon idled away.
# It raises the process's limit of open files by itself.
CONNECTIONS = 4096
# How often a worker looks whether its parent still lives (seconds).
ORPHAN_CHECK = 1.0
# What ends a worker.
STOPPING = (signal.SIGTERM, signal.SIGINT)

_LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "chassis.logs.json_formatter"}},
    "handlers": {"stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "json"}},
    "root": {"level": "WARNING", "handlers": ["stdout"]},
    "loggers": {"_granian": {"level": "INFO"}},
}


def require_free(host: str, port: int) -> None:
    """Raise OSError when `host:port` cannot be listened on.

    Granian's workers share a port with `SO_REUSEPORT`, and would silently share one with another gateway, too.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def serve(host: str, port: int, workers: int, longest_call: float) -> None:
    """Serve until SIGTERM or SIGINT; then take nothing new, and finish what is in flight.

    Args:
        longest_call: seconds that a call may take; whoever is not done some time after that is hung up on.
    """
    Granian(
        "gateway.server:worker",
        factory=True,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=THREADS,
        backlog=BACKLOG,
        backpressure=CONNECTIONS,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=IDLE_MS),
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=math.ceil(longest_call) + DRAIN_MARGIN,
        log_dictconfig=_LOGGING,
    ).serve()


def worker() -> Gateway:
    """The application of one worker process, made after the fork."""
    _hand_signals_on()  # first: every thread that is started from here on has them blocked
    gateway = create()
    threading.Thread(
        target=_leave_with_parent, args=(os.getppid(), gateway.deadlines.longest), name="orphan-check", daemon=True
    ).start()
    return gateway


def _hand_signals_on() -> None:
    """Have one thread take SIGTERM and SIGINT, and give them to Granian's handler.

    Granian waits for them in the main thread, where Python runs handlers. But the kernel gives a process's signal to
    any thread that happens to be at work, and then nothing wakes the main one: with thirty
    requests in flight one stop in five went that way, and the worker took new ones until it was killed amid them.
    """
    inherited = signal.getsignal(signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)

    def take() -> None:
        number = signal.sigwait(STOPPING)
        handler = signal.getsignal(number)
        if handler is inherited or not callable(handler):
            os._exit(0)  # it serves nothing yet
        handler(number, None)  # once: the next ones would find it stopping

    threading.Thread(target=take, name="signals", daemon=True).start()


def _leave_with_parent(parent: int, longest_call: float) -> None:
    """End this process when the one that started it has been killed: nobody else would, and it holds the port."""
    while os.getppid() == parent:
        time.sleep(ORPHAN_CHECK)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(longest_call + DRAIN_MARGIN)
    os._exit(1)
